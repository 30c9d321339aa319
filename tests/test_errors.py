"""The one error users mend."""

from lenet.errors import InputError, Unavailable, did_you_mean


def test_is_a_value_error():
    assert issubclass(InputError, ValueError)
    assert issubclass(Unavailable, InputError)


def test_the_nearest_word_or_all_of_them():
    assert did_you_mean("epocs", ["lr", "epochs"]) == ", did you mean 'epochs'?"
    assert did_you_mean("xyz", ["lr", "epochs"]) == "; known: epochs, lr"
