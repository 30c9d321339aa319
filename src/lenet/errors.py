"""Errors that the user can correct, and the hint "did you mean"."""

from collections.abc import Iterable

_LONGEST = 2000  # characters of a message


class InputError(ValueError):
    """The input cannot work. The message is one line: what is wrong, where, and what to do.

    The command line prints it without a traceback and exits with code 2.

    options: the options whose values cannot work, so that a message can name the recipe that set them
    """

    def __init__(self, message: str, *, options: Iterable[str] = ()) -> None:
        if len(message) > _LONGEST:  # a value in it may be of any length
            message = f"{message[: _LONGEST // 2]} ... {message[-_LONGEST // 2 :]}"
        super().__init__(message)
        self.options = tuple(options)


class Unavailable(InputError):
    """A published dataset is not on disk and cannot be downloaded now."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message: ", did you mean 'x'?" if a known word is similar, otherwise the list of known words."""
    known = sorted(known)
    return similar(word, known) or (f"; known: {', '.join(known)}" if known else "")


def similar(word: str, known: Iterable[str]) -> str:
    """The end of a message: ", did you mean 'x'?" if a known word is similar, otherwise nothing."""
    from difflib import get_close_matches  # imported here because it is slow to load

    near = get_close_matches(word, sorted(known), n=1)
    return f", did you mean '{near[0]}'?" if near else ""


def one_line(error: object) -> str:
    """What an exception says, in one line; the name of its type if it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def counted(count: int, what: str) -> str:
    """1 image, 1,000 images."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
