"""The one error that users cause and users can mend, and the hint that goes with it."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class InputError(ValueError):
    """What the user gave cannot work. The message is one line: what is wrong, where, and how to mend it.

    The command line prints it without a traceback and exits with 2; from Python it is a ValueError.

    options: the options whose values cannot work, so that `naming` can say where they were set
    """

    def __init__(self, message: str, *, options: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.options = tuple(options)


class Unavailable(InputError):
    """A published data set is neither on disk nor to be downloaded now."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message: ", did you mean 'x'?" for the nearest known word, otherwise all that are known."""
    from difflib import get_close_matches  # loaded where there is an error only: it is slow to load

    known = sorted(known)
    near = get_close_matches(word, known, n=1)
    return f", did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"


@contextmanager
def naming(recipe: object, values: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[None]:
    """Adds to an InputError about an option that the recipe has set, not the user, which recipe that was.

    values: what the recipe sets; given: what the user set over it
    """
    try:
        yield
    except InputError as error:
        from_recipe = [name for name in error.options if name in values and name not in given]
        if not from_recipe:
            raise
        listed = ", ".join(f"{name.replace('_', '-')} {values[name]}" for name in from_recipe)
        error.args = (f"{error} (recipe {recipe} sets {listed})",)
        error.options = ()
        raise
