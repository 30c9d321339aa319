"""A checkpoint: safetensors and JSON that hold all a trained network needs. Never pickle.

NAME.safetensors holds the weights (of K members, named "0.", "1.", ...; of one, without a prefix), NAME.json the list
of layers, the class names, the input's shape and fit, the config and the library versions.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from lenet.data.fit import FITS
from lenet.errors import InputError, did_you_mean
from lenet.files import open_regular, read_json, write_whole
from lenet.models import build, describe

FORMAT = 1


@dataclass
class Checkpoint:
    """Trained members of one architecture, and what is needed to use them.

    input_shape: (height, width, channels) of the uint8 images that the members take
    fit: how an image is brought to that size ("crop", "pad" or "squash")
    seeds: each member's seed; val_accuracy: each member's, by which the best is chosen
    """

    members: list[nn.Sequential]
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int]
    fit: str
    seeds: list[int] = field(default_factory=lambda: [0])
    val_accuracy: list[float] = field(default_factory=lambda: [0.0])
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """The number of the member with the highest validation accuracy."""
        return max(range(len(self.members)), key=lambda number: self.val_accuracy[number])


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path`.safetensors, then `path`.json. Raises InputError where they cannot be written."""
    many = len(checkpoint.members) > 1
    tensors = {
        f"{number}.{name}" if many else name: tensor.contiguous()
        for number, member in enumerate(checkpoint.members)
        for name, tensor in member.state_dict().items()
    }
    facts = {
        "format": FORMAT,
        "layers": describe(checkpoint.members[0]),
        "classes": checkpoint.classes,
        "input_shape": checkpoint.input_shape,
        "fit": checkpoint.fit,
        "seeds": checkpoint.seeds,
        "val_accuracy": checkpoint.val_accuracy,
        "config": checkpoint.config,
        "versions": checkpoint.versions,
    }
    write_tensors(path.with_suffix(".safetensors"), tensors)
    write_whole(path.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")


def load_checkpoint(path: Path) -> Checkpoint:
    """Read `path`.safetensors and `path`.json. Raises InputError where they are missing, damaged or contradict."""
    weights, text = path.with_suffix(".safetensors"), path.with_suffix(".json")
    for file in (text, weights):
        if not file.is_file():
            raise InputError(f"{file.parent} has no {file.name}: it is not a finished run, or lost its weights")
    facts = read_json(text, "restore it or train again")
    try:
        if facts["format"] != FORMAT:
            raise InputError(f"{text} is of format {facts['format']}, not {FORMAT}: use the lenet it names")
        template, seeds, classes = build(facts["layers"]), list(facts["seeds"]), tuple(facts["classes"])
        height, width, channels = facts["input_shape"]
        checkpoint = Checkpoint(
            members=[template if number == 0 else build(facts["layers"]) for number in range(len(seeds))],
            classes=classes,
            input_shape=(height, width, channels),
            fit=facts["fit"],
            seeds=seeds,
            val_accuracy=list(facts["val_accuracy"]),
            config=facts["config"],
            versions=facts["versions"],
        )
        if checkpoint.fit not in FITS:
            raise InputError(f"no fit '{checkpoint.fit}'{did_you_mean(str(checkpoint.fit), FITS)}")
        if len(checkpoint.val_accuracy) != len(seeds):
            raise InputError(f"{len(checkpoint.val_accuracy)} figures in val_accuracy for {len(seeds)} members")
    except InputError as error:
        raise InputError(f"{text}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{text} is damaged ({type(error).__name__}: {error}): restore it or train again") from None
    _fill(checkpoint, read_tensors(weights, needs_digest=False), weights, text)
    _check_shapes(checkpoint, text)
    return checkpoint


def write_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """A safetensors file whose metadata holds the tensors' digest. Equal tensors give equal bytes."""
    write_whole(path, safetensors.torch.save(tensors, {_DIGEST: digest_of(tensors)}))


def read_tensors(
    path: Path, *, mend: str = "restore it or train again", needs_digest: bool = True
) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file, by name. Raises InputError where they are not those that were written.

    mend: how the message ends; needs_digest: refuse a file without a digest, as other programs write
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


def _fill(checkpoint: Checkpoint, tensors: dict[str, torch.Tensor], weights: Path, text: Path) -> None:
    many = len(checkpoint.members) > 1
    expected: set[str] = set()
    for number, member in enumerate(checkpoint.members):
        prefix = f"{number}." if many else ""
        own = {name: tensors.get(prefix + name) for name in member.state_dict()}
        expected |= {prefix + name for name in own}
        for name, wanted in member.state_dict().items():
            found = own[name]
            if found is None or found.shape != wanted.shape:
                shape = "nothing" if found is None else f"shape {tuple(found.shape)}"
                raise InputError(
                    f"{weights} and {text.name} contradict each other: {prefix}{name} should have shape "
                    f"{tuple(wanted.shape)}, found {shape}; restore the pair from one run"
                )
        member.load_state_dict(own)
        member.eval()
    extra = sorted(set(tensors) - expected)
    if extra:
        raise InputError(f"{weights} holds {extra[0]}, which {text.name} does not list; restore the pair from one run")


def _check_shapes(checkpoint: Checkpoint, text: Path) -> None:
    try:
        with torch.inference_mode():
            shape = checkpoint.members[0](torch.zeros(1, *checkpoint.input_shape, dtype=torch.uint8)).shape
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{text}: its layers do not take its input of {checkpoint.input_shape} ({first})") from None
    if shape != (1, len(checkpoint.classes)):
        raise InputError(f"{text}: its network gives {tuple(shape)[1:]} logits for {len(checkpoint.classes)} classes")
