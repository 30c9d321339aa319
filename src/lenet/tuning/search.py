"""What a search was asked, in a form that its folder keeps."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from lenet.config import Config, checked, recipe_values, to_toml
from lenet.data.identity import is_folder, same_folder
from lenet.errors import InputError, did_you_mean
from lenet.files import read_toml
from lenet.tuning.space import DEFAULT, Space, check_effects, parse_space

SEARCH_FILE = "search.toml"  # marks a folder as a search's
METRICS: dict[str, int] = {
    "val_accuracy": 1,
    "val_loss": -1,
    "train_accuracy": 1,
    "train_loss": -1,
}  # 1: more is better
STUDY = "cifar10-lenet"
_EPOCHS, _TRIALS = 10, 10
GRACE, FACTOR = 1, 2  # ASHA: after epoch 1, 2, 4, 8, ... the worse half of the trials that got there ends
_MAY_CHANGE = ("confirm", "keep", "data_dir")  # when a search goes on; they change no trial
_MOST_TRIALS = 100_000
_CHOICES = {"scheduler": ("asha", "none"), "searcher": ("random", "tpe", "grid"), "metric": tuple(METRICS)}
_WORDS = {"searcher": "search"}  # what the command line calls it


@dataclass(frozen=True)
class Search:
    """A search: trainings of `config`, their options in `space` varied, of at most config.epochs epochs.

    parts: how many trials were asked for at first, and how many more each time trials were added
    metric: a figure of metrics.csv, by which the scheduler stops trials and the best is chosen
    confirm: over how many fresh seeds the winner is trained again; keep: how many trials' weights stay
    """

    config: Config
    space: Space
    parts: tuple[int, ...] = (10,)
    metric: str = "val_accuracy"
    scheduler: Literal["asha", "none"] = "asha"
    searcher: Literal["random", "tpe", "grid"] = "random"
    confirm: int = 5
    keep: int = 3

    @property
    def trials(self) -> int:
        """All trials."""
        return sum(self.parts)

    @property
    def sign(self) -> int:
        """1 where more of the metric is better, -1 where less is."""
        return METRICS[self.metric]

    def check(self) -> "Search":
        """Itself, where all of it can be. Raises InputError."""
        for name, known in _CHOICES.items():
            word, value = _WORDS.get(name, name), getattr(self, name)
            if value not in known:
                raise InputError(f"{word} cannot be '{value}'{did_you_mean(str(value), known)}")
        for name, low, high in (("trials", 1, _MOST_TRIALS), ("confirm", 0, 1000), ("keep", 0, _MOST_TRIALS)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(f"{name} must be a whole number between {low} and {high}, not {value}")
        if self.config.start:
            raise InputError("a search starts from fresh weights: leave start out", options=["start"])
        if self.config.seeds != 1 or self.config.protocol == "folds":
            raise InputError(
                "a trial is one network: leave seeds out; --confirm trains the winner over several",
                options=["seeds" if self.config.seeds != 1 else "protocol"],
            )
        if self.config.threads not in (None, 1):
            raise InputError(
                "a trial has one thread, on a core of its own: leave threads out, --workers says how many",
                options=["threads"],
            )
        check_effects(self.space, self.config)
        if self.searcher == "grid" and self.space.combinations() is None:
            endless = next(axis for axis in self.space.axes if axis.every() is None)
            raise InputError(
                f"--search grid cannot try all of {endless.name}={endless}: give single values, as in "
                f"--space '{endless.name}=choice({endless.low:g}, {endless.high:g})'"
            )
        return self

    def extended(self, trials: int | None) -> "Search":
        """The same search with so many trials in all. Raises InputError where that is fewer, or a grid has no more."""
        if trials is None or trials == self.trials:
            return self
        if trials < self.trials:
            raise InputError(f"the search has {self.trials} trials already: give --trials {self.trials} or more")
        if self.searcher == "grid":
            raise InputError(
                f"the grid has {self.trials} trials, and all of them are in the search: leave --trials out"
            )
        return replace(self, parts=(*self.parts, trials - self.trials)).check()

    def text(self) -> str:
        """search.toml."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("config", "space")}
        lines = ["# A search by lenet tune; 'lenet tune --resume --out FOLDER' goes on with it."]
        lines += [f"{name} = {json.dumps(value)}" for name, value in own.items()]
        lines += ["", "[space]", *(f"{name} = {json.dumps(text)}" for name, text in self.space.texts().items())]
        return "\n".join([*lines, "", "[config]", to_toml(vars(self.config))])


def read_search(path: Path) -> Search | None:
    """The search that this search.toml describes; None where there is none. Raises InputError where it is damaged."""
    if not path.is_file():
        return None
    values = read_toml(path)
    try:
        config = replace(Config(), **checked(values.pop("config"), f"{path}: "))
        parts = tuple(map(int, values.pop("parts")))
        return Search(config=config, space=parse_space(values.pop("space")), parts=parts, **values).check()
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): restore it or start over with --overwrite") from None


def values_under(recipe: str | Path | None) -> dict[str, Any]:
    """What the recipe of a search sets: the study's without one, nothing for "none"."""
    named = STUDY if recipe is None else recipe
    return {} if str(named) == "none" else recipe_values(named)


def wanted_search(
    given: dict[str, Any],
    recipe: str | Path | None,
    space: Any,
    trials: int | None,
    asked: dict[str, Any],
    gpus: float = 0,
) -> Search:
    """The search that was asked for, before its folder is looked at. Raises InputError.

    gpus: the share of a GPU that each trial has
    """
    values = values_under(recipe) | {"epochs": _EPOCHS} | given
    if gpus and values.get("device", "cpu") == "cpu":
        values["device"] = "cuda"  # Ray shows a trial its own GPU alone
    if not gpus and values.get("device", "cpu") != "cpu":
        raise InputError(
            f"--device {values['device']}: say what share of a GPU a trial gets, as in --gpus-per-trial 0.25",
            options=["device"],
        )
    if space is None:
        found = parse_space({name: text for name, text in DEFAULT.items() if name not in given})
    else:
        found = parse_space([space] if isinstance(space, str) else space)
        both = [name for name in found.names if name in given]
        if both:
            raise InputError(f"{both[0].replace('_', '-')} is both searched and given: leave one out")
    search = Search(config=replace(Config(), **values), space=found, **asked)
    grid = found.combinations() if search.searcher == "grid" else None
    if grid is not None and trials not in (None, grid):
        raise InputError(f"--search grid tries all {grid} combinations: leave --trials out")
    count = grid or (_TRIALS if trials is None else trials)
    return replace(search, parts=(count,)).check()


def resumed_search(
    folder: Path,
    saved: Search,
    wanted: Search,
    *,
    given: dict[str, Any],
    asked: dict[str, Any],
    recipe: str | Path | None,
    space: Any,
) -> Search:
    """The saved search; what was given may only repeat it, but for what changes no trial. Raises InputError."""
    values = given if recipe in (None, "none") else recipe_values(recipe) | given
    values = {name: value for name, value in values.items() if name != "data_sha256"}
    if is_folder(values.get("data", "auto")) and is_folder(saved.config.data):
        # Wherever the folder lies now: its images are compared by their hash.
        data = values.pop("data")
        if not same_folder(data, saved.config.data):
            saved = replace(saved, config=replace(saved.config, data=data))
    told = [(name, getattr(saved.config, name), value) for name, value in values.items() if value != "auto"]
    told += [(name, getattr(saved, name), value) for name, value in asked.items()]
    differ = {name: f"{name} {old} -> {new}" for name, old, new in told if name not in _MAY_CHANGE and old != new}
    differ |= {name: f"{name} is searched" for name in given if name in saved.space.names}
    if space is not None and wanted.space != saved.space:
        differ["space"] = "space"
    if differ:
        listed = ", ".join(differ.values())
        raise InputError(
            f"{folder} was started with other settings ({listed}): leave them out, or use another --out", options=differ
        )
    config = replace(saved.config, data_dir=given.get("data_dir", saved.config.data_dir))
    return replace(saved, config=config, **{name: asked[name] for name in ("confirm", "keep") if name in asked})
