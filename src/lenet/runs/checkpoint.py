"""A checkpoint: a safetensors file and a JSON file that together hold trained networks. Nothing is pickled.

NAME.safetensors holds the weights; with several networks, each name starts with the network's number ("0.", "1.", ...).
Tensors named "likeness.mean" and so on are no weights: they say what the training images look like to the network.
NAME.json holds the list of layers, the class names, the input's shape and fit, temperatures, the config and the library
versions.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from lenet.data.fit import FITS, MAX_SIZE, MIN_SIZE
from lenet.engine.statistics import statistics_count
from lenet.errors import InputError
from lenet.evaluation.calibration import HIGHEST, LOWEST
from lenet.evaluation.likeness import Likeness
from lenet.evaluation.rejection import LEVELS, Accepted
from lenet.files import open_regular, read_json, write_whole
from lenet.models import build, describe, trace
from lenet.runs.metrics import best_of

FORMAT = 1
_LIKENESS = "likeness."


@dataclass
class Checkpoint:
    """Trained networks of one architecture, and what is needed to use them.

    input_shape: (height, width, channels) of the uint8 images that the networks take
    fit: how an image is converted to that size ("crop", "pad" or "squash")
    seeds, val_accuracy: one per network; accuracies are fractions from 0 to 1
    temperature: one per network; logits divided by it give calibrated probabilities
    acceptance: for each network, which confidences accept how many validation images; empty in older checkpoints
    best: the number of the network with the best validation score, by the run's option `select`
    likeness: for each network, what its training images look like; None if there were too few validation images, and
        in older checkpoints
    """

    networks: list[nn.Sequential]
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


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path`.safetensors, then `path`.json. Raises InputError if they cannot be written."""
    many = len(checkpoint.networks) > 1
    tensors = {
        f"{number}.{name}" if many else name: tensor.contiguous()
        for number, network in enumerate(checkpoint.networks)
        for name, tensor in network.state_dict().items()
    }
    for number, likeness in enumerate(checkpoint.likeness):
        prefix = f"{number}.{_LIKENESS}" if many else _LIKENESS
        tensors |= {prefix + name: tensor for name, tensor in vars(likeness).items()} if likeness else {}
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
    write_tensors(path.with_suffix(".safetensors"), tensors)
    write_whole(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


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
    _fill(checkpoint, template, read_tensors(weights, needs_digest=False), weights, text)
    return checkpoint


def _parsed(facts: Any) -> tuple[Checkpoint, nn.Sequential]:
    """The checkpoint that the JSON file describes, still without networks, and one network on the meta device.

    Raises InputError for a value that is missing or impossible. The message lacks the file's name.
    """

    def fact(name: str, what: str, fits: Callable[[Any], bool]) -> Any:
        value = facts.get(name) if isinstance(facts, dict) else None
        if not fits(value):
            raise InputError(f"{name} must be {what}, not {value!s:.60}; restore it or train again")
        return value

    def texts(value: Any) -> bool:
        return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())

    if isinstance(facts, dict) and isinstance(count := facts.get("seeds"), list):  # older files lack these two
        facts = {"temperature": [1.0] * len(count), "acceptance": [[] for _ in count]} | facts
    fact("format", f"{FORMAT}, as this version of lenet writes it", lambda value: value == FORMAT)
    seeds = fact("seeds", "a list of whole numbers", _list_of(int))
    with torch.device("meta"):
        template = build(facts.get("layers")).eval()
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
    checkpoint.best = best_of(checkpoint.val_accuracy, "val_accuracy")  # older files lack it
    if "best" in facts:
        checkpoint.best = fact(
            "best", "the number of a network", lambda value: type(value) is int and 0 <= value < len(seeds)
        )
    output, classes = trace(template, checkpoint.input_shape)[-1].output, len(checkpoint.classes)
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


def _is_likeness(tensors: dict[str, torch.Tensor], count: int) -> bool:
    """Whether these are the tensors of a Likeness of `count` statistics."""
    names = {"mean", "whitening", "distances"}
    numbers = all(one.dtype == torch.float32 and bool(one.isfinite().all()) for one in tensors.values())
    if tensors.keys() != names or not numbers:
        return False
    distances = tensors["distances"]
    fits = tensors["mean"].shape == (count,) and tensors["whitening"].shape == (count, count)
    ordered = distances.ndim == 1 and len(distances) > 0 and bool((distances[1:] >= distances[:-1]).all())
    return fits and ordered and float(distances[0]) >= 0


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a safetensors file whose metadata holds the tensors' digest. Equal tensors give identical files."""
    write_whole(path, safetensors.torch.save(tensors, {_DIGEST: digest_of(tensors)}))


def read_tensors(
    path: Path, *, mend: str = "restore it or train again", needs_digest: bool = True
) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, by name.

    mend: what the user should do, the end of the error message
    needs_digest: refuse a file without a digest, which other programs write

    Raises InputError if the file cannot be read, or its tensors do not match their digest.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
        tensors = safetensors.torch.load(content)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): {mend}") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # safetensors has checked it
    digest = header.get("__metadata__", {}).get(_DIGEST)
    if digest is None and needs_digest:
        raise InputError(f"{path} has no digest: another version of lenet or another program wrote it; {mend}")
    if digest not in (None, digest_of(tensors)):
        raise InputError(f"{path} is damaged (its tensors do not match their digest): {mend}")
    return tensors


_DIGEST = "sha256"


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of the tensors' names, dtypes, shapes and bytes, in the order of their names."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha256.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():  # an empty one may have a stride that `view` refuses
            sha256.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()


def _fill(
    checkpoint: Checkpoint, template: nn.Sequential, tensors: dict[str, torch.Tensor], weights: Path, text: Path
) -> None:
    """Append the networks: copies of the template with the tensors. Raises InputError if names or shapes differ."""
    wanted, many = template.state_dict(), len(checkpoint.seeds) > 1
    checkpoint.likeness = []
    for number in range(len(checkpoint.seeds)):
        prefix = f"{number}.{_LIKENESS}" if many else _LIKENESS
        parts = {name.removeprefix(prefix): tensors.pop(name) for name in list(tensors) if name.startswith(prefix)}
        if parts and not _is_likeness(parts, statistics_count(template, checkpoint.input_shape)):
            raise InputError(f"{weights}: {prefix} does not fit the network; restore it or train again")
        checkpoint.likeness.append(Likeness(**parts) if parts else None)
    if len(tensors) != len(wanted) * len(checkpoint.seeds):  # compared before memory is allocated for each network
        raise InputError(
            f"{weights} and {text.name} contradict each other: {len(tensors)} tensors instead of "
            f"{len(checkpoint.seeds)} x {len(wanted)}; restore the pair from one run"
        )
    for number in range(len(checkpoint.seeds)):
        prefix = f"{number}." if many else ""
        own = {name: tensors.get(prefix + name) for name in wanted}
        for name, tensor in own.items():
            shape, dtype = tuple(wanted[name].shape), wanted[name].dtype
            if tensor is None or tuple(tensor.shape) != shape or tensor.dtype != dtype:
                found = "nothing" if tensor is None else f"shape {tuple(tensor.shape)}, {tensor.dtype}"
                raise InputError(
                    f"{weights} and {text.name} contradict each other: {prefix}{name} should have shape {shape}, "
                    f"{dtype}, found {found}; restore the pair from one run"
                )
        network = copy.deepcopy(template)
        network.load_state_dict(own, assign=True)
        checkpoint.networks.append(network)
