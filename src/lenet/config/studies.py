"""Studies: a TOML list of runs, each a training, or a transfer from an earlier run.

seeds = 5                                   networks per run; an option of `lenet study` overrides it
title = "..."                               title of the plots
compare = [["small", "large"], ...]         pairs of runs whose difference is computed
[all]                                       options of every run, as in a recipe
[runs.small]                                the run "small" and its own options
[runs.other]                                a run may also have:
transfer = "small"                          the earlier run that it starts from
recipe = "..."                              a recipe, overridden by the options
label = "..."                               its line in the plot of accuracy over images per class
vary = { per_class = [10, 100] }            one run for each value: other-10, other-100
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet.config.recipes import read_named_toml, recipe_values
from lenet.config.values import checked, shown
from lenet.errors import InputError, did_you_mean

STUDIES = Path(__file__).parents[1] / "studies"
_TOP = ("seeds", "title", "compare", "all", "runs")
_OF_A_RUN = ("transfer", "recipe", "label", "vary")
_NAME = r"\w[\w+-]*(\.[\w+-]+)*"  # of a run's folder
_FILES = ("study.json", "settings.json")  # of a study beside its runs
_INSTEAD = {
    "seeds": "seeds is set once, at the top of the study",
    "start": "start cannot be set here: name an earlier run in transfer",
}


@dataclass(frozen=True)
class Entry:
    """One run of a study. options: the options that it sets, checked."""

    name: str
    options: Mapping[str, Any]
    transfer: str | None = None
    recipe: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Study:
    """Runs in order, and the pairs of their names to compare."""

    name: str
    title: str
    seeds: int
    entries: tuple[Entry, ...]
    compare: tuple[tuple[str, str], ...]


def read_study(name: str | Path) -> Study:
    """The study of this name, or in this .toml file.

    Raises InputError, naming the file and the run, for unknown keys and options, and for values that cannot work.
    """
    path, values = read_named_toml(name, STUDIES, "study")
    for key in values:
        if key not in _TOP:
            raise InputError(f"{path}: no key '{key}'{did_you_mean(key, _TOP)}")
    runs, everywhere = values.get("runs"), values.get("all", {})
    if not isinstance(runs, dict) or not runs or not isinstance(everywhere, dict):
        raise InputError(f"{path} lists no runs: add a table [runs.NAME] for each")
    entries: list[Entry] = []
    for run, table in runs.items():
        if not isinstance(table, dict) or not re.fullmatch(_NAME, run) or run in _FILES:
            raise InputError(
                f"{path}: runs.{run} must be a table whose name has only letters, digits and . _ + -, begins with a "
                f"letter or digit and is not {' or '.join(_FILES)}"
            )
        entries += _entries(path, run, everywhere, table, [entry.name for entry in entries])
    names = [entry.name for entry in entries]
    if doubled := next((one for one in names if names.count(one) > 1), None):
        raise InputError(f"{path}: two runs have the name '{doubled}': rename one")
    seeds = checked({"seeds": values.get("seeds", 1)}, f"{path}: ")["seeds"]
    return Study(path.stem, str(values.get("title", path.stem)), seeds, tuple(entries),
                 _pairs(path, values.get("compare", []), names))  # fmt: skip


def _entries(
    path: Path, run: str, everywhere: Mapping[str, Any], table: Mapping[str, Any], earlier: list[str]
) -> list[Entry]:
    """The run of this table, or one run for each value that its `vary` lists. earlier: names of the runs before it."""
    where = f"{path}: runs.{run}: "
    own = {key: table[key] for key in _OF_A_RUN if key in table}
    vary = own.pop("vary", {})
    for key, value in own.items():
        if not isinstance(value, str):
            raise InputError(f"{where}{key} takes text, not {shown(value)}")
    if "transfer" in own and own["transfer"] not in earlier:
        raise InputError(
            f"{where}no earlier run '{own['transfer']}' to start from{did_you_mean(own['transfer'], earlier)}"
        )
    rest = {key: value for key, value in table.items() if key not in _OF_A_RUN}
    for key in _INSTEAD:
        if key in (*rest, *everywhere, *(vary if isinstance(vary, dict) else ())):
            raise InputError(f"{where}{_INSTEAD[key]}")
    options = checked(everywhere, f"{path}: all: ") | checked(rest, where)
    if "recipe" in own:
        try:
            recipe_values(own["recipe"])
        except InputError as error:
            raise InputError(f"{where}{error}") from None
    if "vary" not in table:
        return [Entry(run, options, **own)]
    if not isinstance(vary, dict) or [isinstance(values, list) and bool(values) for values in vary.values()] != [True]:
        raise InputError(f"{where}vary takes one option with a list of values, such as {{ per_class = [10, 100] }}")
    ((option, values),) = vary.items()
    for value in values:
        if not re.fullmatch(r"[\w.+-]+", str(value)):
            raise InputError(f"{where}vary: '{shown(value)}' cannot be part of a run's name: give the runs one by one")
    return [Entry(f"{run}-{value}", {**options, **checked({option: value}, where)}, **own) for value in values]


def _pairs(path: Path, listed: Any, names: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in listed if isinstance(listed, list) else [listed]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"{path}: compare takes pairs of runs, not {shown(pair)}")
        for name in pair:
            if name not in names:
                raise InputError(f"{path}: compare: no run '{name}'{did_you_mean(str(name), names)}")
        if pair[0] == pair[1]:
            raise InputError(f"{path}: compare: '{pair[0]}' is compared with itself")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)
