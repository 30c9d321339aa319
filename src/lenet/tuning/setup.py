"""The setup of a search: what is asked for, against what the folder holds already, ready for Ray's workers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from lenet.config import FOLLOWING, SHAPING, Config
from lenet.config.request import Request
from lenet.data import load_dataset
from lenet.data.dataset import Dataset
from lenet.data.identity import check_images, differing_images
from lenet.data.source import Source
from lenet.data.statistics import pixel_statistics
from lenet.errors import InputError
from lenet.files import write_whole
from lenet.models import describe, shape_named
from lenet.runs.kinds import SEARCH_FILE
from lenet.runs.run import Run
from lenet.training.seen import images_seen, notes_of_seen
from lenet.training.setup import OWN_MODEL, Statistics, check_without_start, kept_network, make_setup, resolved
from lenet.training.teacher import with_teacher_sha256
from lenet.tuning.folder import read_trials
from lenet.tuning.search import STUDY, Search, read_search
from lenet.tuning.trial import Job
from lenet.tuning.trials import Trials

# Options that decide whether a network can be trained, and by which engine.
_DECISIVE = {*SHAPING, "model", "batch_size", "size", "channels", "freeze", "unfreeze_after"}


@dataclass(frozen=True, eq=False)
class SearchSetup:
    """Everything that a search starts from.

    dataset: the images without searched options; job: what all trials share; own: the user's own network
    trials: those that the folder holds; engine: which engine trains, and why; notes: what the user should be told
    memory: the images, if they were passed from Python
    """

    search: Search
    run: Run
    dataset: Dataset
    job: Job
    own: nn.Sequential | None
    trials: Trials
    engine: str
    notes: tuple[str, ...]
    memory: Source | None = None


_NOT_SEARCHED = "options not searched are the CIFAR-10 study's; --recipe none takes lenet's own"


def prepare(
    search: Search,
    run: Run,
    request: Request,
    own: nn.Sequential | None,
    *,
    or_digits: bool,
    notes: Sequence[str],
    memory: Source | None,
) -> SearchSetup:
    """The setup of a new search, or of one that is resumed. Reads the images; writes nothing.

    own: the user's own network; or_digits: use the embedded digits if the dataset is missing

    Raises InputError if the request does not go together, or not with the search that is resumed.
    """
    check_without_start(search.config)
    saved, own = read_search(run.path / SEARCH_FILE), _own_network(search, run, own)
    if own is None and "model" not in search.space.names:
        for axis in search.space.axes:
            for value in axis.every() or (axis.low,) if axis.name in SHAPING else ():
                shape_named(search.config.model, **{axis.name: value})  # raises for what the network does not have
    dataset = load_dataset(search.config, memory=memory, or_digits=or_digits)
    check_images(dataset, saved.config.data_sha256 if saved else None, f"{run.path} was started with")
    check_images(dataset, request.given.get("data_sha256"), "of data_sha256")
    # A default that follows from a searched option is each trial's own: `Job.config_of` fills it in.
    following = {name: getattr(search.config, name) for one in search.space.names for name in FOLLOWING.get(one, ())}
    config = replace(resolved(search.config, dataset, own), **following)
    if not {"augment", "max_shift"} & {*search.space.names, *request.settings} and "shift" not in config.augment:
        config = replace(config, max_shift=Config().max_shift)  # the study's changes nothing without shifts
    search = replace(search, config=with_teacher_sha256(config))
    images: dict[tuple[Any, ...], tuple[Dataset, Statistics]] = {}
    for options in search.space.image_options():
        one = load_dataset(replace(search.config, **options), memory=memory) if options else run.split.applied(dataset)
        images[tuple(options.values())] = one, pixel_statistics(one.images, one.train)
    trials = read_trials(run.path, search, resumed=True)
    past = {trial.number: replace(trial) for trial in trials if trial.over}
    job = Job(search, images, describe(own) if own else None, (run.path / "state").absolute(), past)
    differing = differing_images(dataset, request.recipe or STUDY, request.values, request.given)
    seen = notes_of_seen(images_seen(search.config, dataset, memory, test=False), dataset)
    other = request.defaults and saved is None and dataset.name != "cifar10"
    told = tuple(note for note in (*notes, differing, _NOT_SEARCHED if other else "", *seen) if note)
    return SearchSetup(search, run, dataset, job, own, trials, _engine(search, dataset, own), told, memory)


def begin(setup: SearchSetup) -> None:
    """Write what the folder must hold before the first trial."""
    run, search = setup.run, setup.search
    if read_search(run.path / SEARCH_FILE) != search:
        (run.path / "result.json").unlink(missing_ok=True)  # it stands for a finished search
        write_whole(run.path / SEARCH_FILE, search.text())
    if setup.own is not None:
        run.write_layers(setup.own)
    if not search.space.image_options()[0]:
        run.split.keep(setup.dataset)


def _own_network(search: Search, run: Run, given: nn.Sequential | None) -> nn.Sequential | None:
    """The user's own network, given now or kept by the run; None for a named model. Raises InputError."""
    if search.config.model != OWN_MODEL:
        return None
    if given is not None:
        run.check_layers(given)
        return given
    return kept_network(run)


def _engine(search: Search, dataset: Dataset, own: nn.Sequential | None) -> str:
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
