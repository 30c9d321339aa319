"""The options of a training as flags of the command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, make_dataclass
from typing import Annotated, Any, get_args

from cyclopts import Group, Parameter, Token

from lenet.config import TrainConfig, options

_GROUPS = ("Data", "Model", "Transfer", "Training", "Run")


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
    module: str, leave_out: Sequence[str] = ("data", "data_sha256"), defaults: Mapping[str, Any] | None = None
) -> Any:
    """A class of the options as flags that are None unless given: only so can a recipe stand under them.

    module: the caller's, since cyclopts looks into a class of its function's module, but not into one of `types`
    leave_out: options that are no flags; defaults: shown in place of the config's
    """
    groups = {name: Group(name, sort_key=number) for number, name in enumerate(_GROUPS, 1)}
    flags = []
    for field in fields(TrainConfig):
        if field.name in leave_out:
            continue
        kind, option = options()[field.name]
        default, meaning = field.default, option.meaning
        if field.name in (defaults or {}):
            default, meaning = (defaults or {})[field.name], re.sub(r" \(else [^)]*\)", "", meaning)
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        meaning = meaning if default is None else f"{meaning} [default: {str(shown).lower()}]"
        converter = whole if {int, tuple[int, int]} & {kind, *get_args(kind)} else None
        parameter = Parameter(help=meaning, group=groups[option.group], converter=converter, show_default=False,
                              negative_iterable=())  # fmt: skip
        flags.append((field.name, Annotated[kind | None, parameter], None))
    return make_dataclass("Flags", flags, frozen=True, namespace={"__module__": module})


def given(flags: Any) -> dict[str, Any]:
    """The flags that were given, by option."""
    return {name: value for name, value in vars(flags).items() if value is not None}
