"""The settings of a search, as its folder keeps them in search.toml."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from lenet.config import Config, checked, recipe_values, to_toml
from lenet.config.keywords import SEARCH_EPOCHS
from lenet.config.request import Request
from lenet.config.values import shown
from lenet.data.identity import is_own, same_data, same_path
from lenet.errors import InputError, did_you_mean
from lenet.files import read_toml
from lenet.runs.metrics import METRICS, SELECT
from lenet.tuning.space import DEFAULT, Space, check_effects, parse_space, varies_dropout

STUDY = "cifar10-lenet"
_TRIALS = 10
_MAY_CHANGE = ("confirm", "keep", "gpus_per_trial", "data_dir")  # on resume: no trial depends on them
_CHOICES = {"scheduler": ("asha", "none"), "searcher": ("random", "tpe", "grid"), "metric": tuple(METRICS)}
_RANGES = {
    "trials": (1, 100_000), "confirm": (0, 1000), "keep": (0, 100_000), "grace_period": (1, 100_000),
    "reduction_factor": (2, 100),
}  # fmt: skip
_MOST_GPUS = 64


@dataclass(frozen=True)
class Search:
    """A search: `trials` trainings of `config` with options out of `space`, each of at most config.epochs epochs.

    metric: a column of metrics.csv, by which the scheduler stops trials and the best trial is chosen
    grace_period, reduction_factor: asha compares trials after grace_period * reduction_factor**k epochs, and lets the
        best 1 / reduction_factor of them continue
    confirm: number of new seeds for the best trial's settings; keep: number of trials whose weights are kept
    gpus_per_trial: the fraction of a GPU for each trial, or a number of GPUs; 0: trials run on the CPU
    """

    config: Config
    space: Space
    trials: int = _TRIALS
    metric: str = "val_accuracy"
    scheduler: Literal["asha", "none"] = "asha"
    searcher: Literal["random", "tpe", "grid"] = "random"
    grace_period: int = 1
    reduction_factor: int = 2
    confirm: int = 5
    keep: int = 3
    gpus_per_trial: float = field(default=0, compare=False)  # no result depends on it

    @property
    def sign(self) -> int:
        """1 where a higher metric is better, -1 where a lower one is."""
        return METRICS[self.metric]

    @property
    def rule(self) -> str:
        """How the scheduler stops trials."""
        asha = f"asha, grace {self.grace_period}, factor {self.reduction_factor}"
        return asha if self.scheduler == "asha" else "none"

    def check(self, layers: Sequence[Mapping[str, Any]] | None = None) -> "Search":
        """The search itself. Raises InputError where it is impossible; layers: of the user's own network."""
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                word = "search" if name == "searcher" else name
                raise InputError(f"{word} cannot be '{value}'{did_you_mean(str(value), known)}")
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise InputError(
                    f"{name.replace('_', '-')} must be a whole number between {low} and {high}, not {shown(value)}"
                )
        gpus = self.gpus_per_trial
        if not isinstance(gpus, (int, float)) or gpus is True or not 0 <= gpus <= _MOST_GPUS or (gpus > 1 and gpus % 1):
            raise InputError(
                f"gpus-per-trial must be a fraction of at most 1, or a whole number of at most {_MOST_GPUS}, not "
                f"{shown(gpus)}"
            )
        if self.config.start:
            raise InputError("a search starts from fresh weights: leave start out", options=["start"])
        if self.config.seeds != 1 or self.config.protocol == "folds":
            raise InputError(
                "a trial is one network: leave seeds out; --confirm trains the best trial's values over several",
                options=["seeds" if self.config.seeds != 1 else "protocol"],
            )
        if self.config.threads not in (None, 1):
            raise InputError(
                "a trial has one thread on one core: leave threads out; --workers sets how many run at once",
                options=["threads"],
            )
        check_effects(self.space, self.config, layers)
        if self.searcher == "grid" and self.space.combinations() is None:
            endless = next(axis for axis in self.space.axes if axis.every() is None)
            raise InputError(
                f"--search grid cannot try all of {endless.name}={endless}: give single values, as in "
                f"--space '{endless.name}=choice({endless.low:g}, {endless.high:g})'"
            )
        return self

    def extended(self, trials: int | None) -> "Search":
        """The same search with this many trials in total. Raises InputError where it has more, or is a grid."""
        if trials is None or trials == self.trials:
            return self
        if trials < self.trials:
            raise InputError(f"the search has {self.trials} trials already: give --trials {self.trials} or more")
        if self.searcher == "grid":
            raise InputError(f"the search tries all {self.trials} combinations of the grid: leave --trials out")
        return replace(self, trials=trials).check()

    def text(self) -> str:
        """search.toml."""
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("config", "space")}
        config = {name: value for name, value in vars(self.config).items() if value is not None}
        return to_toml(
            {**own, "space": self.space.texts(), "config": config},
            "A search by lenet tune; 'lenet tune --resume --out FOLDER' resumes it.",
        )


def read_search(path: Path) -> Search | None:
    """The search of this search.toml; None where there is none. Raises InputError where the file is damaged."""
    if not path.is_file():
        return None
    values = read_toml(path)
    mend = "restore it or start over with --overwrite"
    if missing := [one.name for one in fields(Search) if one.name not in values]:
        raise InputError(f"{path} is damaged ({missing[0]} is missing): {mend}")
    try:
        config = Config(**checked(values.pop("config"), f"{path}: "))
        return Search(config=config, space=parse_space(values.pop("space")), **values).check()
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged ({error}): {mend}") from None


def request_of(recipe: str | Path | None, given: Mapping[str, Any]) -> Request:
    """The options of the trainings: without a recipe the study's are the defaults, with "none" lenet's own.

    Images are augmented as the data are best augmented: the study's flips are right for CIFAR-10, wrong for digits.
    """
    if recipe is None:
        return Request.of(None, given, recipe_values(STUDY) | {"augment": "auto"})
    return Request.of(None if str(recipe) == "none" else recipe, given)


def wanted_search(
    request: Request,
    space: Any,
    trials: int | None,
    asked: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]] | None = None,
) -> Search:
    """The search that the caller describes, before its folder is looked at. Raises InputError.

    asked: fields of Search; layers: of the user's own network
    """
    given = request.given
    config = replace(request.config(), epochs=given.get("epochs", SEARCH_EPOCHS))
    gpus = asked.get("gpus_per_trial", 0)
    if gpus and config.device == "cpu":
        config = replace(config, device="cuda")  # Ray shows a trial its own GPU alone
    if not gpus and config.device != "cpu":
        raise InputError(
            f"--device {config.device}: set the fraction of a GPU for each trial, as in --gpus-per-trial 0.25",
            options=["device"],
        )
    if space is None:
        left_out = given.keys() | (set() if varies_dropout(layers) else {"dropout"})
        found = parse_space({name: text for name, text in DEFAULT.items() if name not in left_out})
    else:
        found = parse_space([space] if isinstance(space, str) else space)
        if both := [name for name in found.names if name in given]:
            raise InputError(f"{both[0].replace('_', '-')} is both searched and given: leave one out")
    if config.select == "last":
        raise InputError("select last: a search chooses by a validation score; give --select accuracy, balanced, loss "
                         "or f1", options=["select"])  # fmt: skip
    search = Search(config=config, space=found, **{"metric": SELECT[config.select], **asked})
    grid = found.combinations() if search.searcher == "grid" else None
    if grid and grid > (most := _RANGES["trials"][1]):
        raise InputError(f"--search grid would try {grid:,} combinations, at most {most:,}: search fewer values")
    if grid is not None and trials not in (None, grid):
        raise InputError(f"--search grid tries all {grid} combinations: leave --trials out")
    for name in {"grace_period", "reduction_factor"} & asked.keys() if search.scheduler == "none" else ():
        raise InputError(f"{name.replace('_', '-')} changes nothing with --scheduler none: leave it out")
    return replace(search, trials=grid or (_TRIALS if trials is None else trials)).check(layers)


def resumed_search(
    folder: Path, saved: Search, wanted: Search, request: Request, asked: Mapping[str, Any], space: Any
) -> Search:
    """The saved search; what was given may repeat its settings or change those in _MAY_CHANGE. Raises InputError."""
    from lenet.training.prepare import same_teachers  # here because PyTorch is slow to load

    given, values = request.given, {name: value for name, value in request.settings.items() if name != "data_sha256"}
    if "epochs" not in given:
        values.pop("epochs", None)  # a search does not take them from a recipe
    if is_own(values.get("data", "auto")) and is_own(saved.config.data):
        # The folder may have moved: its images are compared by their hash.
        data = values.pop("data")
        if not same_data(data, saved.config.data):
            saved = replace(saved, config=replace(saved.config, data=data))
    if values.get("labels") and saved.config.labels and same_path(values["labels"], saved.config.labels):
        values.pop("labels")  # the images' hash tells whether the file was changed
    if (teachers := same_teachers(values.get("teacher"), saved.config)) is not None:
        values.pop("teacher")
        saved = replace(saved, config=replace(saved.config, teacher=teachers))
    told = [(name, getattr(saved.config, name), value) for name, value in values.items() if value != "auto"]
    told += [(name, getattr(saved, name), value) for name, value in asked.items()]
    differ = {name: f"{name} {old} -> {new}" for name, old, new in told if name not in _MAY_CHANGE and old != new}
    differ |= {name: f"{name} is searched" for name in given if name in saved.space.names}
    if asked.get("gpus_per_trial") and saved.config.device == "cpu":
        differ["gpus_per_trial"] = "device cpu -> cuda"
    if space is not None and (axes := set(wanted.space.texts().items()) ^ set(saved.space.texts().items())):
        differ["space"] = f"space of {', '.join(sorted({name for name, _ in axes}))}"
    if differ:
        raise InputError(
            f"{folder} was started with other settings ({', '.join(differ.values())}): leave them out, or use another "
            "--out",
            options=differ,
        )
    config = replace(saved.config, data_dir=given.get("data_dir", saved.config.data_dir))
    return replace(saved, config=config, **{name: asked[name] for name in _MAY_CHANGE if name in asked})
