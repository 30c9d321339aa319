"""The setup of a search: its settings and images, ready for Ray's workers, and its folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from lenet.config import SHAPING
from lenet.data.dataset import Dataset
from lenet.data.statistics import pixel_statistics
from lenet.errors import InputError
from lenet.files import write_whole
from lenet.models import build, describe
from lenet.runs.run import Run
from lenet.training.setup import OWN_MODEL, make_setup, resolved
from lenet.tuning.search import SEARCH_FILE, Search, read_search
from lenet.tuning.trial import Images, Job
from lenet.tuning.trials import Trials

# Options that decide whether a network can be trained, and by which engine.
_DECISIVE = {*SHAPING, "model", "batch_size", "size", "channels", "freeze", "unfreeze_after"}


@dataclass(frozen=True)
class SearchSetup:
    """A search before its first trial, as `watch` is given it.

    engine: which engine trains, and why; notes: what the user should know
    """

    run: Run
    job: Job
    engine: str
    notes: tuple[str, ...]

    @property
    def search(self) -> Search:
        """What is searched, and how."""
        return self.job.search

    def own(self) -> nn.Sequential | None:
        """The user's own network; None for a named model."""
        return build(self.job.layers) if self.job.layers else None


def own_network(search: Search, run: Run, given: nn.Sequential | None) -> nn.Sequential | None:
    """The user's own network, given now or kept by the run; None for a named model. Raises InputError."""
    if search.config.model != OWN_MODEL:
        return None
    kept = run.layers()
    if given is not None and kept and describe(given) != kept:
        raise InputError(f"{run.path} was started with another network: leave model out, or use another --out")
    if given is None and not kept:
        raise InputError("the network is one of your own, which only its nn.Sequential describes: pass it as model",
                         options=["model"])  # fmt: skip
    return build(kept) if given is None else given


def engine_of(search: Search, dataset: Dataset, own: nn.Sequential | None) -> str:
    """Which engine trains, and why. Raises InputError where no trial could train."""
    if search.config.device != "cpu":
        return f"torch on {search.config.device}"
    try:
        choice = make_setup(search.config, dataset, own=own).choice
    except InputError:
        if _DECISIVE & set(search.space.names):
            return "chosen for each trial"
        raise
    return f"{choice.name} ({choice.why})"


def set_up(
    search: Search,
    run: Run,
    versions: Mapping[tuple[Any, ...], Dataset],
    own: nn.Sequential | None,
    trials: Trials,
    engine: str,
    notes: Iterable[str],
) -> SearchSetup:
    """The setup; writes search.toml, the split and the layers of the user's own network.

    versions: the images by the values of the searched options that change them; trials: those that the folder holds
    """
    first = next(iter(versions.values()))
    search = replace(search, config=resolved(search.config, first, own))
    if read_search(run.path / SEARCH_FILE) != search:
        (run.path / "result.json").unlink(missing_ok=True)  # it stands for a finished search
        write_whole(run.path / SEARCH_FILE, search.text())
    if own is not None:
        run.write_layers(own)
    splits = {key: run.kept_split(dataset) if key == () else dataset for key, dataset in versions.items()}
    images = {key: Images(one, pixel_statistics(one.images, one.train)) for key, one in splits.items()}
    past = {trial.number: replace(trial) for trial in trials if trial.over}
    layers = None if own is None else describe(own)
    job = Job(search, images, layers, (run.path / "state").absolute(), past)
    return SearchSetup(run, job, engine, tuple(filter(None, notes)))
