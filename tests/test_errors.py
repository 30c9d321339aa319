"""Errors that the user can correct."""

from lenet.errors import InputError, Unavailable, did_you_mean


def test_input_errors_are_value_errors():
    assert issubclass(InputError, ValueError)
    assert issubclass(Unavailable, InputError)


def test_did_you_mean_gives_the_nearest_word_or_lists_all():
    assert did_you_mean("epocs", ["lr", "epochs"]) == ", did you mean 'epochs'?"
    assert did_you_mean("xyz", ["lr", "epochs"]) == "; known: epochs, lr"
    assert did_you_mean("xyz", []) == ""


def test_a_long_message_is_cut_in_the_middle():
    message = str(InputError(f"no option '{'a' * 100_000}'; known: lr"))
    assert message.startswith("no option 'aaa")
    assert message.endswith("aaa'; known: lr")
    assert len(message) < 2100
    assert str(InputError("a" * 2000)) == "a" * 2000
