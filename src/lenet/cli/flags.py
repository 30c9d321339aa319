"""The options of a training as command-line flags."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import make_dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from lenet.config import GROUPS, options


def whole(kind: Any, tokens: Sequence[Token]) -> int | tuple[int, ...]:
    """Whole numbers, one or a pair; cyclopts itself would round 2.5."""
    wrong = next((token.value for token in tokens if not re.fullmatch(r"[+-]?\d+", token.value)), None)
    if wrong is not None:
        option = f"{tokens[0].keyword}: " if len(tokens) > 1 else ""  # cyclopts names it before a single one itself
        raise ValueError(f"{option}'{wrong}' is not a whole number.")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers[0] if len(numbers) == 1 else numbers


Whole = Annotated[int, Parameter(converter=whole)]


def flags_of(
    module: str, leave_out: Sequence[str] = ("data", "data_sha256"), defaults: Mapping[str, str] | None = None
) -> Any:
    """A dataclass of the options as flags; a flag that was not given is None, so that a recipe can set the option.

    module: the caller's, since cyclopts looks into a class of its function's module, but not into one of `types`
    leave_out: options without a flag; defaults: what help shows in place of an option's own default
    """
    groups = {
        group: Group((group.__doc__ or "").partition(":")[0], sort_key=number) for number, group in enumerate(GROUPS, 1)
    }
    flags = []
    for name, option in options().items():
        if name in leave_out:
            continue
        meaning = option.meaning
        if defaults and name in defaults:
            meaning = f"{meaning.partition(' Default: ')[0]} Default: {defaults[name]}."
        elif option.default is not None and option.default != "":
            meaning = f"{meaning} Default: {str(option.default).lower()}."
        converter = whole if {int, tuple[int, int]} & set(option.kinds) else None
        parameter = Parameter(help=meaning, group=groups[option.group], converter=converter, show_default=False,
                              negative_iterable=())  # fmt: skip
        flags.append((name, Annotated[option.kind | None, parameter], None))
    return make_dataclass("Flags", flags, frozen=True, namespace={"__module__": module})


def given(flags: Any) -> dict[str, Any]:
    """The flags that were given, by option."""
    return {name: value for name, value in vars(flags).items() if value is not None}
