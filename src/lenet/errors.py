"""The one error that users cause and users can mend, and the hint that goes with it."""

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """What the user gave cannot work. The message is one line: what is wrong, where, and how to mend it.

    The command line prints it without a traceback and exits with 2; from Python it is a ValueError.
    """


class Unavailable(InputError):
    """A published data set is neither on disk nor to be downloaded now."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message: ", did you mean 'x'?" for the nearest known word, otherwise all that are known."""
    known = sorted(known)
    near = get_close_matches(word, known, n=1)
    return f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
