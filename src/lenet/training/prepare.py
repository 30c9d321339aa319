"""Preparation of a run: request and run folder become a setup and its trainings, new or resumed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import nn

from lenet.config import FOLLOWING, Config
from lenet.config.request import Request
from lenet.data import load_dataset
from lenet.data.identity import check_images, differing_images, is_own, same_data, same_path
from lenet.data.source import Source
from lenet.errors import InputError
from lenet.runs.run import Run
from lenet.runs.split import MAY_CHANGE
from lenet.runs.tensors import save_body, saved_body
from lenet.training.automatic import choose_network
from lenet.training.loop import load_trainings
from lenet.training.setup import Setup, make_setup
from lenet.training.start import config_from_start, read_start
from lenet.training.teacher import teacher_digest
from lenet.training.training import Training


def prepare(
    run: Run,
    request: Request,
    own: nn.Sequential | None,
    *,
    memory: Source | None,
    or_digits: bool,
    notes: Sequence[str],
) -> Setup:
    """The setup of a new or resumed run. Reads the images; writes nothing.

    own: the user's network, if `lenet.train` was given one; or_digits: see `lenet.train`
    memory: the images, if they were passed from Python
    notes: notes to show to the user, placed before those found here

    Raises InputError if the request contradicts itself or the run that is resumed.
    """
    saved = run.config()
    run.check_unchanged()
    config = _resumed(run, saved, request, or_digits) if saved else request.config()
    begun = saved_body(run) is not None and run.layers() is not None
    start = read_start(config.start) if config.start and not begun else None
    if start and own is not None:
        raise InputError(f"the network comes from {config.start}: leave model out", options=["start"])
    differing = []
    if start and start.sha256 != (config.start_sha256 or start.sha256):
        if saved or "start_sha256" in request.given:
            raise InputError(f"the network of {config.start} is not the one of start_sha256: restore that run")
        differing.append(f"the network of {config.start} differs from that of {request.recipe}")
    if start and not saved:
        config = config_from_start(config, start, request.settings)
    own_labels = saved is not None and "labels" not in request.given
    dataset = load_dataset(run.with_own_labels(config) if own_labels else config, memory=memory, or_digits=or_digits)
    check_images(dataset, request.given.get("data_sha256"), "of data_sha256")
    check_images(dataset, saved.data_sha256 if saved else None, f"{run.path} was started with")
    differing.append(differing_images(dataset, request.recipe, request.values, request.given))
    config, why = choose_network(config, dataset, own)
    kept = () if saved else _kept_from_recipe(request)
    shown = tuple(note for note in (*notes, *differing, *kept, why) if note)
    return make_setup(config, run.split.applied(dataset), own=own, start=start, run=run, notes=shown, memory=memory)


def _kept_from_recipe(request: Request) -> Iterator[str]:
    """Notes on what a recipe sets for another value of an option than the user's, such as its optimizer's lr."""
    for name, following in FOLLOWING.items():
        theirs = request.values.get(name, getattr(Config(), name))
        if request.given.get(name, theirs) == theirs:
            continue
        for one in following:
            if one in request.values and one not in request.given:
                yield (f"{one.replace('_', '-')} {request.values[one]} is from {request.recipe}, which sets it for "
                       f"{name.replace('_', '-')} {theirs}")  # fmt: skip


def begin(setup: Setup, run: Run) -> list[Training]:
    """Write the files that a run needs before its first epoch; return its trainings, resumed from saved states.

    Raises InputError if a file cannot be written, or a saved state is damaged or of another network.
    """
    saved = run.config()
    if saved is None or saved.data != setup.config.data:
        # Where the start was is among what `Run.check_unchanged` compares.
        kept = replace(setup.config, start=saved.start) if saved else setup.config
        run.write_config(kept, setup.dataset.substitute)
    run.write_layers(setup.given)
    run.keep_labels(setup.config)
    run.make_state_folder()
    if setup.body is not None and saved_body(run) is None:
        save_body(run, setup.body)
    run.split.keep(setup.dataset, setup.config, run.layers(), setup.seen)
    trainings = load_trainings(setup, run)
    # The whole file, since the process may have been killed after it wrote a state and before it appended the row.
    run.write_metrics(row for training in trainings for row in training.history)
    return trainings


def check_same_images(run: Run, request: Request, or_digits: bool, memory: Source | None) -> None:
    """Raises InputError if the request has other settings or images than the finished run."""
    saved = run.config()
    if saved is None:
        return
    config = _resumed(run, saved, request, or_digits)
    if config.data != saved.data or memory is not None or "labels" in request.given:
        dataset = load_dataset(config, memory=memory, or_digits=or_digits)
        check_images(dataset, saved.data_sha256, f"{run.path} was started with")


def _resumed(run: Run, saved: Config, request: Request, or_digits: bool) -> Config:
    """The saved config with the request's MAY_CHANGE options and the folder's new path, if it moved.

    Raises InputError if the request changes any other option.
    """
    asked = request.settings
    same = {"data_sha256", "start_sha256", "teacher_sha256"}  # what they are digests of is compared when it is read
    same |= {name for name in ("data", "augment", "model") if asked.get(name) == "auto"} | {"minutes"}
    if or_digits and saved.data == "digits":
        same.add("data")
    if is_own(asked.get("data", "auto")) and is_own(saved.data):  # the folder may have moved
        same.add("data")
        if not same_data(asked["data"], saved.data):
            saved = replace(saved, data=asked["data"])
    if asked.get("labels") and saved.labels and same_path(asked["labels"], saved.labels):
        same.add("labels")  # the images' hash tells whether the file was changed
    if (start := asked.get("start")) and saved.start:
        if same_path(start, saved.start):
            same.add("start")
        elif read_start(start).sha256 == saved.start_sha256:  # it has moved
            same.add("start")
            saved = replace(saved, start=start)
    if (teachers := same_teachers(asked.get("teacher"), saved)) is not None:
        same.add("teacher")
        saved = replace(saved, teacher=teachers)
    compared = {name: value for name, value in asked.items() if name not in same}
    changed = [name for name, value in compared.items() if name not in MAY_CHANGE and value != getattr(saved, name)]
    if changed:
        listed = ", ".join(f"{name} {getattr(saved, name)} -> {compared[name]}" for name in changed)
        raise InputError(
            f"{run.path} was started with other settings ({listed}): leave them out, or use another --out",
            options=changed,
        )
    return replace(saved, **{name: compared[name] for name in MAY_CHANGE if name in compared})


def same_teachers(asked: Sequence[str] | None, saved: Config) -> tuple[str, ...] | None:
    """Where the teachers of the saved config are now, if `asked` names them; None if it names others or none.

    Raises InputError if `asked` names a run elsewhere that does not exist or has no weights.
    """
    if not asked or not saved.teacher:
        return None
    if len(asked) == len(saved.teacher) and all(map(same_path, asked, saved.teacher)):
        return saved.teacher
    return tuple(asked) if teacher_digest(asked) == saved.teacher_sha256 else None  # they may have moved
