"""Errors that the user can correct."""

from lenet.errors import InputError, Unavailable, did_you_mean


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)
    assert issubclass(Unavailable, InputError)


def test_did_you_mean_gives_the_nearest_word_or_lists_all():
    assert did_you_mean("epocs", ["lr", "epochs"]) == ", did you mean 'epochs'?"
    assert did_you_mean("xyz", ["lr", "epochs"]) == "; known: epochs, lr"
    assert did_you_mean("xyz", []) == ""
