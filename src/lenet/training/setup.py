"""Setup: config and dataset become networks and engine, in one object that all of a run's functions take."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lenet.config import SHAPING, WITH_MOMENTUM, Config, checked, unused
from lenet.config.class_weights import class_weights
from lenet.cores import usable_cores
from lenet.data.catalog import SETS
from lenet.data.dataset import Dataset
from lenet.data.source import Source
from lenet.data.statistics import pixel_statistics
from lenet.engine.base import Settings
from lenet.engine.choice import Choice, choose
from lenet.errors import InputError
from lenet.files import expanded
from lenet.models import build, describe, fitted, has_dropout, network_of, shape_named, with_dropout
from lenet.runs.run import Run
from lenet.runs.tensors import saved_body
from lenet.training.checks import check_batch_size, check_device, check_memory, check_targets
from lenet.training.features import frozen_layers
from lenet.training.seen import images_seen, notes_of_seen
from lenet.training.start import Start, check_body, trained_parameters, with_new_head
from lenet.training.teacher import Teacher, read_teacher

OWN_MODEL = "own"  # config.model of a network given as nn.Sequential; layers.json and model.json describe it

# The smallest batch size at which one network trains faster on two cores (1.7 times).
_SPLIT_FROM = 4

Statistics = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True, eq=False)
class Setup:
    """Everything that training starts from.

    config: with every default filled in (see `resolved`)
    networks: one per seed, before their weights are initialised
    choice, settings: the engine and its settings, without class weights, which depend on a network's training images
    workers: number of networks trained at once
    body: the tensors that a transfer starts all networks from, by name; None if all weights are initialised
    teacher: the networks whose predictions are targets beside the labels, if there are any
    origin: a description of the network that `body` is from; run: the run folder, None for a trial of a search
    own: the user's network as it was given, before `network_for` adapts it; None for a named one or a transfer
    notes: notes to show to the user; seen: see `images_seen`; empty for trials
    """

    config: Config
    dataset: Dataset
    networks: Sequence[nn.Sequential]
    choice: Choice
    settings: Settings
    workers: int
    body: Mapping[str, torch.Tensor] | None = None
    teacher: Teacher | None = None
    origin: str = ""
    run: Run | None = None
    own: nn.Sequential | None = None
    notes: tuple[str, ...] = ()
    seen: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def class_weights(self, number: int = 0) -> tuple[float, ...] | None:
        """The class weights of network `number`, by its own training images. Raises InputError for other classes."""
        dataset = self.dataset.for_network(number)
        counts = np.bincount(dataset.labels[dataset.train], minlength=len(dataset.classes))
        return class_weights(self.config.class_weights, dataset.classes, counts.tolist())

    @property
    def given(self) -> nn.Sequential:
        """The network that layers.json describes: the user's as it was given, or else the first network."""
        return self.networks[0] if self.own is None else self.own

    @property
    def frozen(self) -> int:
        """Number of first layers that are frozen in the first epoch."""
        return frozen_layers(self.config.freeze, len(self.networks[0]))


def make_setup(
    config: Config,
    dataset: Dataset,
    *,
    own: nn.Sequential | None = None,
    start: Start | None = None,
    statistics: Statistics | None = None,
    run: Run | None = None,
    notes: tuple[str, ...] = (),
    memory: Source | None = None,
) -> Setup:
    """The setup for this config and dataset. Writes nothing.

    own: the user's network, instead of the config's named one; by default that which the run folder holds
    start: the network to start from; its last layer is replaced
    statistics: (mean, standard deviation) of the training images' pixels per channel, 0 to 1; computed by default
    run: the run folder; the user's network, or a transfer's network and start, are read from it if it has them
    memory: the images, if they were passed from Python

    Raises InputError if config, network and images do not match, or memory does not suffice.
    """
    if own is None and config.model == OWN_MODEL and not config.start:
        own = kept_network(run)
    asked, config = config, resolved(config, dataset, own)
    notes = (*notes, *_option_notes(asked, config, dataset))
    networks = _networks(config, dataset, own, start, statistics, run)
    if own is not None and asked.dropout is not None and not has_dropout(networks[0]):
        notes = (*notes, "dropout changes nothing: the model has no Dropout layer")
    frozen = frozen_layers(config.freeze, len(networks[0]))
    if frozen and not trained_parameters(networks[0], frozen):
        raise InputError(
            f"freeze {config.freeze} leaves nothing to train: the layers after the first {frozen} have no parameters",
            options=["freeze"],
        )
    body = start.body if start else saved_body(run) if run else None
    if body is not None and not start and run:
        check_body(body, networks[0], run.state_path("start"))
    height, width, channels = dataset.images.shape[1:]
    check_batch_size(config, networks[0], (height, width, channels), dataset.fewest_trained)
    choice, settings, workers = engine_for(config, networks[0])
    origin = start.description if start else config.start or ""
    if teacher := read_teacher(config, dataset, settings):
        config = replace(config, teacher_sha256=teacher.sha256)
        check_targets(len(dataset.train), len(dataset.classes), min(workers, config.seeds))
    seen = run.split.seen() if run else {}  # a search tells it once, not for each trial
    if seen is None:
        seen = images_seen(config, dataset, memory)
    if seen:
        notes = (*notes, *notes_of_seen(seen, dataset))
    setup = Setup(config, dataset, networks, choice, settings, workers, body, teacher, origin, run, own, notes, seen)
    setup.class_weights()  # raises before anything is written
    return setup


def resolved(config: Config, dataset: Dataset, own: nn.Sequential | None = None) -> Config:
    """The config with every default filled in, absolute paths and the images' SHA-256, so that it repeats the run.

    Raises InputError if `seeds` contradicts the dataset's folds.
    """
    data = dataset.source if dataset.files is not None else dataset.name
    data_dir, labels, start = (
        None if path is None else _absolute(path) for path in (config.data_dir, config.labels, config.start)
    )
    teacher = config.teacher and [_absolute(path) for path in config.teacher]
    size, channels = dataset.images.shape[2:]
    seeds = len(dataset.folds) or config.seeds
    if config.seeds not in (1, seeds):
        raise InputError(
            f"--seeds {config.seeds}: one network is trained on each of the {seeds} folds; leave --seeds out",
            options=["seeds"],
        )
    return replace(
        config,
        # absolute paths may not be valid in TOML
        **checked({"data": data, "data_dir": data_dir, "labels": labels, "start": start, "teacher": teacher}),
        data_sha256=dataset.sha256,
        augment=_augment(config, dataset),
        model=OWN_MODEL if own is not None else config.model,
        size=size,
        channels=channels,
        seeds=seeds,
        lr=config.peak_lr,
        weight_decay=config.decay,
    )


def _absolute(path: str) -> str:
    return str(expanded(path).absolute())


def _option_notes(asked: Config, config: Config, dataset: Dataset) -> Iterator[str]:
    """Notes on options that change nothing or may be a mistake. asked: the config before `resolved`."""
    grey = dataset.files is not None and dataset.images.shape[3] == 1
    if asked.augment == "auto" and grey and "flip" in config.augment:
        yield "training images are flipped: if they are characters, give --augment shift"
    yield from unused(config)
    if config.patience and config.select == "last":
        yield "patience changes nothing: --select last trains all epochs"
    default = Config()
    changed = {name for name, value in vars(asked).items() if value != getattr(default, name)}
    if dataset.has_val:
        drawn_anyway = not dataset.has_test or config.per_class is not None  # by the seed
        fixed = changed & ({"val_fraction"} if drawn_anyway else {"val_fraction", "split_seed"})
        for name in sorted(fixed):
            yield f"{name.replace('_', '-')} changes nothing: the data has splits of its own"
    if not config.teacher and changed & {"teacher_weight", "teacher_temperature"}:
        yield "teacher-weight and teacher-temperature change nothing without --teacher"
    if config.freeze in (default.freeze, "0") and "unfreeze_after" in changed:
        yield "unfreeze-after changes nothing without --freeze"
    elif config.unfreeze_after >= config.epochs:
        yield f"unfreeze-after changes nothing: the network trains for {config.epochs} epochs"
    if config.optimizer not in WITH_MOMENTUM and changed & {"momentum", "nesterov"}:
        yield f"momentum and nesterov change nothing with --optimizer {config.optimizer}"


def _augment(config: Config, dataset: Dataset) -> str:
    """The config's augmentations, auto replaced by what was best when measured (docs/LOG.md)."""
    if config.augment != "auto":
        return config.augment
    # Without augmentation the features of frozen layers are computed only once.
    frozen = config.freeze == "all-but-last" and not config.unfreeze_after
    if dataset.name == "digits" or frozen:
        return "none"
    published = SETS.get(dataset.name) if dataset.files is None else None
    return "flip-shift" if published is None or published.flips else "shift"


def check_without_start(config: Config) -> None:
    """Raise InputError if the config has options of 'lenet train' that have been followed before a network is made."""
    if config.start:
        raise InputError(
            "start: only 'lenet train' and 'lenet transfer' start from another run; leave it out", options=["start"]
        )
    if config.minutes is not None:
        raise InputError("minutes: only 'lenet train' chooses a network by time; leave it out", options=["minutes"])


def network_for(
    config: Config,
    dataset: Dataset,
    own: nn.Sequential | None,
    statistics: Statistics | None = None,
) -> nn.Sequential:
    """The network for these images, before its weights are initialised. Arguments and errors as for `make_setup`."""
    check_without_start(config)
    height, width, channels = dataset.images.shape[1:]
    input_shape, classes = (height, width, channels), len(dataset.classes)
    mean, std = statistics or pixel_statistics(dataset.images, dataset.train)
    if own is None:
        shape = shape_named(config.model, **{name: getattr(config, name) for name in SHAPING})
        with torch.device("meta"):  # allocates no memory, however large the network is
            check_memory(config, network_of(shape, input_shape, classes, mean=mean, std=std), input_shape)
        return network_of(shape, input_shape, classes, mean=mean, std=std)
    for name in SHAPING:
        if name != "dropout" and getattr(config, name) is not None:
            raise InputError(f"{name} changes a named model: change the nn.Sequential itself", options=[name])
    # Built anew, as a checkpoint's are: without the module's memory layout, and with no activation in place.
    return with_dropout(build(describe(fitted(own, input_shape, classes, mean, std))), config.dropout)


def engine_for(config: Config, network: nn.Sequential) -> tuple[Choice, Settings, int]:
    """The engine, its settings and the number of networks trained at once. Raises InputError as `make_setup` does."""
    check_device(config)
    settings = Settings(config, threads=config.threads or 1, device=config.device)
    assert config.size is not None  # `resolved` has set both
    assert config.channels is not None
    shape = (config.size, config.size, config.channels)
    check_memory(config, network, shape)
    choice = choose(config.engine, network, settings, shape)
    if choice.name == "torch":
        return choice, settings, 1
    threads = threads_each(config, choice, config.seeds)
    return choice, replace(settings, threads=threads), max(1, usable_cores() // threads)


def threads_each(config: Config, choice: Choice, networks: int) -> int:
    """Number of threads for each of `networks` networks that are trained at once.

    Results of the torch engine depend on the number of threads, so it always uses the config's.
    """
    if choice.name == "torch":
        return config.threads or 1
    cores = usable_cores()
    if config.threads:
        return min(config.threads, cores)
    return max(1, cores // networks) if config.batch_size >= _SPLIT_FROM else 1


def _networks(
    config: Config,
    dataset: Dataset,
    own: nn.Sequential | None,
    start: Start | None,
    statistics: Statistics | None,
    run: Run | None,
) -> list[nn.Sequential]:
    """One network per seed; the layers of a transfer that is resumed are read from its folder."""
    if start:
        network = with_new_head(start, len(dataset.classes))
    elif config.start and run and (layers := run.layers()):
        network = build(layers)
    elif dataset.folds:  # each network normalises with the statistics of its own training images
        return [network_for(config, dataset.for_network(number), own) for number in range(config.seeds)]
    else:
        network = network_for(config, dataset, own, statistics)
    return [network] * config.seeds


def kept_network(run: Run | None) -> nn.Sequential:
    """The user's network as it was given when the run was started. Raises InputError if the run has none."""
    if run is None or not (kept := run.layers()):
        raise InputError("the model is a network of your own: pass its nn.Sequential as model",
                         options=["model"])  # fmt: skip
    return build(kept)
