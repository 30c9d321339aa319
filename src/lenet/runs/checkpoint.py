"""A checkpoint: a safetensors file and a JSON file that together hold trained networks. Nothing is pickled.

NAME.safetensors holds the weights; with several networks, each name starts with the network's number ("0.", "1.", ...).
Tensors named "likeness.mean" and so on are no weights: they say what the training images look like to the network.
NAME.json holds the list of layers, the class names, the input's shape and fit, temperatures, the config and the library
versions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lenet.data.fit import FITS, MAX_SIZE, MIN_SIZE
from lenet.engine.statistics import statistics_count
from lenet.errors import InputError
from lenet.evaluation.calibration import HIGHEST, LOWEST
from lenet.evaluation.likeness import Likeness
from lenet.evaluation.rejection import LEVELS, Accepted
from lenet.files import read_json, write_json
from lenet.layers.network import describe, every_layer, layer_costs, parsed
from lenet.layers.table import Layer
from lenet.runs.arrays import read_arrays, type_of, write_arrays
from lenet.runs.networks import Networks

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
_LIKENESS = "likeness."
_MOST_VALUES = 1 << 26  # that a layer returns for one image: 256 MiB


@dataclass
class Checkpoint:
    """Trained networks of one architecture, and what is needed to use them.

    input_shape: (height, width, channels) of the uint8 images that the networks take
    fit: how an image is converted to that size ("crop", "pad" or "squash")
    seeds, val_accuracy: one per network; accuracies are fractions from 0 to 1
    temperature: one per network; logits divided by it give calibrated probabilities
    acceptance: for each network, which confidences accept how many validation images; empty if unknown
    best: the number of the network with the best validation score, by the run's option `select`
    likeness: for each network, what its training images look like; None if there were too few validation images
    """

    networks: Sequence["nn.Sequential"]
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    fit: str
    seeds: list[int] = field(default_factory=lambda: [0])
    val_accuracy: list[float] = field(default_factory=lambda: [0.0])
    temperature: list[float] = field(default_factory=lambda: [1.0])
    acceptance: list[list[Accepted]] = field(default_factory=lambda: [[]])
    likeness: list[Likeness | None] = field(default_factory=lambda: [None])
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    best: int = 0

    def number_of(self, network: int | None) -> int:
        """`network`; for None the best by validation. Raises InputError if there is no such network."""
        if network is None:
            return self.best
        whole = isinstance(network, int | np.integer) and not isinstance(network, bool)
        if not whole or not 0 <= network < len(self.networks):
            raise InputError(f"no network {network}: the run has networks 0 to {len(self.networks) - 1}")
        return int(network)

    def check_finite(self, where: str | Path) -> None:
        """Raises InputError, which begins with `where`, if a weight is infinite or NaN."""
        for number, network in enumerate(self.networks):
            for name, tensor in network.state_dict().items():
                if not tensor.isfinite().all():
                    raise InputError(f"{where}: {name} of network {number} has values that are not finite: restore the "
                                     "run or train it again")  # fmt: skip


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path`.safetensors, then `path`.json. Raises InputError if they cannot be written."""
    many = len(checkpoint.networks) > 1
    arrays = {
        f"{number}.{name}" if many else name: tensor.detach().cpu().numpy()
        for number, network in enumerate(checkpoint.networks)
        for name, tensor in network.state_dict().items()
    }
    for number, likeness in enumerate(checkpoint.likeness):
        prefix = f"{number}.{_LIKENESS}" if many else _LIKENESS
        arrays |= {prefix + name: array for name, array in vars(likeness).items()} if likeness else {}
    facts = {
        "format": FORMAT,
        "layers": describe(checkpoint.networks[0]),
        "classes": checkpoint.classes,
        "input_shape": checkpoint.input_shape,
        "fit": checkpoint.fit,
        "seeds": checkpoint.seeds,
        "val_accuracy": checkpoint.val_accuracy,
        "best": checkpoint.best,
        "temperature": checkpoint.temperature,
        "acceptance": [[[row.threshold, row.accepted, row.wrong] for row in rows] for rows in checkpoint.acceptance],
        "config": checkpoint.config,
        "versions": checkpoint.versions,
    }
    write_arrays(path.with_suffix(".safetensors"), arrays)
    write_json(path.with_suffix(".json"), facts)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read `path`.safetensors and `path`.json.

    Raises InputError if one of them is missing or damaged, or if they contradict each other.
    """
    weights, text = path.with_suffix(".safetensors"), path.with_suffix(".json")
    for file in (text, weights):
        if not file.is_file():
            raise InputError(
                f"{file.parent} has no {file.name}, so it is not a finished run: resume the run or restore the file"
            )
    try:
        checkpoint, template = _parsed(read_json(text, "restore it or train again"))
    except InputError as error:
        raise InputError(f"{text}: {error}") from None
    _fill(checkpoint, template, read_arrays(weights, needs_digest=False), weights, text)
    return checkpoint


def _parsed(facts: Any) -> tuple[Checkpoint, list[Layer]]:
    """The checkpoint that the JSON file describes, still without networks, and the layers of one, without tensors.

    Raises InputError for a value that is missing or impossible. The message lacks the file's name.
    """

    def fact(name: str, what: str, fits: Callable[[Any], bool]) -> Any:
        value = facts.get(name) if isinstance(facts, dict) else None
        if not fits(value):
            raise InputError(f"{name} must be {what}, not {value!s:.60}; restore it or train again")
        return value

    def texts(value: Any) -> bool:
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())

    fact("format", f"{FORMAT}, as this version of lenet writes it", lambda value: value == FORMAT)
    seeds = fact("seeds", "a list of whole numbers", _list_of(int))
    template = parsed(facts.get("layers"))
    checkpoint = Checkpoint(
        networks=[],
        classes=tuple(fact("classes", "a list of names", _list_of(str))),
        input_shape=tuple(fact("input_shape", "height, width and channels", _is_input_shape)),
        fit=fact("fit", f"one of {', '.join(FITS)}", lambda value: isinstance(value, str) and value in FITS),
        seeds=seeds,
        val_accuracy=fact(
            "val_accuracy",
            "a list of numbers from 0 to 1, one per seed",
            lambda value: (
                _list_of(int, float)(value) and len(value) == len(seeds) and all(0 <= one <= 1 for one in value)
            ),
        ),
        temperature=fact(
            "temperature",
            f"a list of numbers from {LOWEST:g} to {HIGHEST:g}, one per seed",
            lambda value: (
                _list_of(int, float)(value)
                and len(value) == len(seeds)
                and all(LOWEST <= one <= HIGHEST for one in value)
            ),
        ),
        acceptance=[
            [Accepted(*row) for row in rows]
            for rows in fact(
                "acceptance",
                f"a list of up to {LEVELS} [threshold, accepted, wrong] for each seed",
                lambda value: _list_of(list)(value) and len(value) == len(seeds) and all(map(_is_acceptance, value)),
            )
        ],
        config=fact("config", "a table", lambda value: isinstance(value, dict)),
        versions=fact("versions", "a table of texts", texts),
    )
    checkpoint.best = fact(
        "best", "the number of a network", lambda value: type(value) is int and 0 <= value < len(seeds)
    )
    rows = layer_costs(template, checkpoint.input_shape)
    for row in rows:
        if prod(row.output) > _MOST_VALUES:
            raise InputError(f"layer {row.name} returns {prod(row.output):,} values for one image; at most "
                             f"{_MOST_VALUES:,} work")  # fmt: skip
    output, classes = rows[-1].output, len(checkpoint.classes)
    if output != (classes,):
        raise InputError(
            f"its network gives {'x'.join(map(str, output))} logits for {classes} classes; restore it or train again"
        )
    return checkpoint, template


def _list_of(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(type(one) in kinds for one in value)


def _is_acceptance(rows: list[Any]) -> bool:
    def fits(row: Any) -> bool:
        if not isinstance(row, list) or [type(one) for one in row] not in ([float, int, int], [int, int, int]):
            return False
        return bool(0 <= row[0] <= 1) and 0 <= row[2] <= row[1] < 1 << 53

    return len(rows) <= LEVELS and all(map(fits, rows))


def _is_input_shape(value: Any) -> bool:
    sides = _list_of(int)(value) and len(value) == 3 and value[2] in (1, 3)
    return sides and all(MIN_SIZE <= side <= MAX_SIZE for side in value[:2])


def _is_likeness(arrays: dict[str, np.ndarray], count: int) -> bool:
    """Whether these are the arrays of a Likeness of `count` statistics."""
    names = {"mean", "whitening", "distances"}
    numbers = all(one.dtype == np.float32 and bool(np.isfinite(one).all()) for one in arrays.values())
    if arrays.keys() != names or not numbers:
        return False
    distances = arrays["distances"]
    fits = arrays["mean"].shape == (count,) and arrays["whitening"].shape == (count, count)
    ordered = distances.ndim == 1 and len(distances) > 0 and bool((distances[1:] >= distances[:-1]).all())
    return fits and ordered and float(distances[0]) >= 0


def _fill(
    checkpoint: Checkpoint, template: list[Layer], arrays: dict[str, np.ndarray], weights: Path, text: Path
) -> None:
    """Set the networks: copies of the template with the arrays. Raises InputError if names or shapes differ."""
    wanted = {
        f"{place.name}.{name}": shape
        for place in every_layer(template)
        for name, shape in place.kind.tensors(place.layer).items()
    }
    many, networks = len(checkpoint.seeds) > 1, []
    checkpoint.likeness = []
    for number in range(len(checkpoint.seeds)):
        prefix = f"{number}.{_LIKENESS}" if many else _LIKENESS
        parts = {name.removeprefix(prefix): arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
        if parts and not _is_likeness(parts, statistics_count(template, checkpoint.input_shape)):
            raise InputError(f"{weights}: {prefix} does not fit the network; restore it or train again")
        checkpoint.likeness.append(Likeness(**parts) if parts else None)
    if len(arrays) != len(wanted) * len(checkpoint.seeds):  # compared before memory is allocated for each network
        raise InputError(
            f"{weights} and {text.name} contradict each other: {len(arrays)} tensors instead of "
            f"{len(checkpoint.seeds)} x {len(wanted)}; restore the pair from one run"
        )
    for number in range(len(checkpoint.seeds)):
        prefix = f"{number}." if many else ""
        network = [layer.without_tensors() for layer in template]
        layers = {place.name: place.layer for place in every_layer(network)}
        for name, shape in wanted.items():
            array = arrays.get(prefix + name)
            dtype = "torch.int64" if name.endswith("num_batches_tracked") else "torch.float32"
            if array is None or array.shape != shape or type_of(array) != dtype:
                found = "nothing" if array is None else f"shape {array.shape}, {type_of(array)}"
                raise InputError(
                    f"{weights} and {text.name} contradict each other: {prefix}{name} should have shape {shape}, "
                    f"{dtype}, found {found}; restore the pair from one run"
                )
            layer, _, attribute = name.rpartition(".")
            setattr(layers[layer], attribute, array)
        networks.append(network)
    checkpoint.networks = Networks(networks)
