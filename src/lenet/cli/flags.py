"""The options of a training as command-line flags, and the arguments that several commands share."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import make_dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Annotated, Any, get_origin

from cyclopts import Group, Parameter, Token

from lenet.config import GROUPS, options


def help_of(name: str, default: str | None = None) -> str:
    """An option's meaning and default. default: the text that replaces the option's own default."""
    return options()[name].described(default)


def whole(kind: Any, tokens: Sequence[Token]) -> int | tuple[int, ...]:
    """Whole numbers, one or several; cyclopts itself would round 2.5. "none" is no number where any may be given."""
    several = get_origin(kind) is tuple
    if several and [token.value for token in tokens] == ["none"]:
        return ()
    wrong = next((token.value for token in tokens if not re.fullmatch(r"[+-]?\d+", token.value)), None)
    if wrong is not None:
        option = f"{tokens[0].keyword}: " if len(tokens) > 1 else ""  # cyclopts names it before a single one itself
        raise ValueError(f"{option}'{wrong}' is not a whole number.")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers if several else numbers[0]


NO_FLAGS = (
    "data",
    "data_sha256",
    "start_sha256",
    "teacher_sha256",
)  # an argument, and what lenet itself writes into recipes


def flags_of(
    module: str,
    leave_out: Sequence[str] = NO_FLAGS,
    defaults: Mapping[str, str] | None = None,
    refused: Sequence[str] = (),
) -> Any:
    """A dataclass of the options as flags; a flag that was not given is None, so that a recipe can set the option.

    module: the caller's, since cyclopts looks into a class of its function's module, but not into one of `types`
    leave_out: options without a flag; defaults: what help shows in place of an option's own default
    refused: options that the command refuses with a message of its own, which help does not list
    """
    groups = {
        group: Group((group.__doc__ or "").partition(":")[0], sort_key=number) for number, group in enumerate(GROUPS, 1)
    }
    flags = []
    for name, option in options().items():
        if name in leave_out:
            continue
        parameter = Parameter(
            help=help_of(name, (defaults or {}).get(name)),
            group=groups[option.group],
            show=name not in refused,
            converter=whole if {int, tuple[int, int], tuple[int, ...]} & set(option.kinds) else None,
            consume_multiple=(1, option.most) if option.most else name == "augment" or None,
            negative_iterable=(),
        )
        kind = list[str] if name == "augment" else option.kind  # --augment flip shift
        flags.append((name, Annotated[kind | None, parameter], None))
    return make_dataclass("Flags", flags, frozen=True, namespace={"__module__": module})


def given(flags: Any) -> dict[str, Any]:
    """The flags that were given, by option."""
    return {name: value for name, value in vars(flags).items() if value is not None}


def unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command with each argument's help on one line of its docstring: cyclopts would keep the line breaks."""
    lines: list[str] = []
    for line in cleandoc(function.__doc__ or "").splitlines():
        if line.startswith("    ") and lines[-1].startswith("    "):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line)
    function.__doc__ = "\n".join(lines)
    return function


Whole = Annotated[int, Parameter(converter=whole)]
Data = Annotated[str | None, Parameter(help=help_of("data"))]
DataDir = Annotated[str | None, Parameter(help=help_of("data_dir"))]
DataDirOfRun = Annotated[str | None, Parameter(help="Folder in which datasets are found. Default: the run's.")]
Recipe = Annotated[
    str | None,
    Parameter(help="Recipe: a name ('lenet recipes' lists them) or a TOML file. Command-line flags override it."),
]
Out = Annotated[Path | None, Parameter(help="Folder to write to. Default: a new numbered folder under runs/.")]
Resume = Annotated[
    bool,
    Parameter(
        negative="",
        help="Resume what an earlier command began in --out. Default: the newest numbered folder under runs/.",
    ),
]
Overwrite = Annotated[bool, Parameter(negative="", help="Replace what an earlier command wrote to --out.")]
Report = Annotated[bool, Parameter(negative="", help="Write RUN/report.html at the end, as 'lenet report' does.")]
RunFolder = Annotated[Path, Parameter(help="Folder of a finished run.")]
