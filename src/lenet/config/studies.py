"""A study: a TOML list of runs that belong together, each a training, or a transfer from an earlier one.

seeds = 5                                   members of each run, unless the command says otherwise
title = "..."                               over the pictures
compare = [["small", "large"], ...]         pairs whose difference is said
[all]                                       options of every run, as in a recipe
[runs.small]                                a run by that name, with its own options
[runs.other]                                and
transfer = "small"                          the earlier run that this one starts from
recipe = "..."                              a recipe that stands under the options
label = "..."                               its line in the picture of accuracy over images a class
vary = { per_class = [10, 100] }            one run for each value: other-10, other-100
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet.config.options import checked
from lenet.config.recipes import names_of, read_named_toml, recipe_values, resolve
from lenet.errors import InputError, did_you_mean

STUDIES = Path(__file__).parents[1] / "studies"
_TOP = ("seeds", "title", "compare", "all", "runs")
_OF_A_RUN = ("transfer", "recipe", "label", "vary")


@dataclass(frozen=True)
class Entry:
    """One run of a study. options: those of `lenet.config.Config` that it sets."""

    name: str
    options: Mapping[str, Any]
    transfer: str | None = None
    recipe: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class Study:
    """A list of runs in their order; pairs of their names to compare."""

    name: str
    title: str
    seeds: int
    entries: tuple[Entry, ...]
    compare: tuple[tuple[str, str], ...]


def study_names() -> list[str]:
    """The studies that come with the package."""
    return names_of(STUDIES)


def read_study(name: str | Path) -> Study:
    """A study by its name, or from a file that ends in .toml. Raises InputError for whatever in it cannot work."""
    path, values = read_named_toml(name, STUDIES, "study")
    for key in values:
        if key not in _TOP:
            raise InputError(f"{path}: no key '{key}'{did_you_mean(key, _TOP)}")
    runs, everywhere = values.get("runs"), values.get("all", {})
    if not isinstance(runs, dict) or not runs or not isinstance(everywhere, dict):
        raise InputError(f"{path}: it lists no runs: add [runs.NAME] tables")
    entries: list[Entry] = []
    for run, table in runs.items():
        if not isinstance(table, dict) or not re.fullmatch(r"[\w.+-]+", run):
            raise InputError(f"{path}: '{run}' is no run: give it a table, and a name of letters, digits, - and +")
        entries += _entries(path, run, everywhere, table, [entry.name for entry in entries])
    names = [entry.name for entry in entries]
    if doubled := next((one for one in names if names.count(one) > 1), None):
        raise InputError(f"{path}: two runs are called '{doubled}'")
    seeds = checked({"seeds": values.get("seeds", 1)}, f"{path}: ")["seeds"]
    return Study(path.stem, str(values.get("title", path.stem)), seeds, tuple(entries),
                 _pairs(path, values.get("compare", []), names))  # fmt: skip


def _entries(
    path: Path, run: str, everywhere: Mapping[str, Any], table: Mapping[str, Any], earlier: list[str]
) -> list[Entry]:
    """The run, or one for each of the values that its `vary` lists."""
    where = f"{path}: runs.{run}: "
    own = {key: table[key] for key in _OF_A_RUN if key in table}
    vary = own.pop("vary", {})
    for key, value in own.items():
        if not isinstance(value, str):
            raise InputError(f"{where}{key} takes text, not {value!r}")
    if own.get("transfer", run) not in (run, *earlier) or own.get("transfer") == run:
        raise InputError(
            f"{where}no earlier run '{own['transfer']}' to start from{did_you_mean(own['transfer'], earlier)}"
        )
    rest = {key: value for key, value in table.items() if key not in _OF_A_RUN}
    for key in ("seeds", "start"):
        if key in (*rest, *everywhere):
            raise InputError(f"{where}{key} is set for the whole study, and transfer names where a run starts")
    options = checked({**everywhere, **rest}, where)
    if "recipe" in own:
        resolve(own["recipe"], options)
        recipe_values(own["recipe"])
    if not vary:
        return [Entry(run, options, **own)]
    if not isinstance(vary, dict) or len(vary) != 1 or not all(isinstance(values, list) for values in vary.values()):
        raise InputError(f"{where}vary takes one option with a list of values")
    ((option, values),) = vary.items()
    return [Entry(f"{run}-{value}", {**options, **checked({option: value}, where)}, **own) for value in values]


def _pairs(path: Path, listed: Any, names: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in listed if isinstance(listed, list) else [listed]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f"{path}: compare takes pairs of runs, not {pair!r}")
        for name in pair:
            if name not in names:
                raise InputError(f"{path}: compare names no run '{name}'{did_you_mean(str(name), names)}")
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)
