"""split.safetensors: which images a run trains, validates and tests on, and what identifies the run and its images.

train, val, test: int64 indices of images, sorted; N.train, N.val: those of fold N; sha256: of all images and labels
config: digest of the run's options; digests: uint8 [images, 16], one per image, for a folder of images
seen, seen_val: int64 indices of the test images on which the networks of its start or its teachers were trained or
    validated, and of the validation images on which they were trained
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lenet.config import Config
from lenet.data.copies import among
from lenet.data.dataset import Dataset
from lenet.data.identity import check_images
from lenet.data.splits import splits_from
from lenet.errors import InputError
from lenet.runs.arrays import read_arrays, write_arrays

MAY_CHANGE = ("engine", "device", "data_dir")  # options that may differ when a run is resumed
Parts = tuple[Literal["train", "val"], ...]
BOTH: Parts = ("train", "val")
_SEEN = {"test": "seen", "val": "seen_val"}
_MEND = "restore it or start over with --overwrite"


def write_split(
    path: Path, dataset: Dataset, config: Config | None = None, seen: Mapping[str, NDArray[np.int64]] | None = None
) -> None:
    """Write the dataset's split, a digest of the config, and `seen`, as `seen_of` returns it.

    Raises InputError if it cannot be written.
    """
    parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    for number, (train, val) in enumerate(dataset.folds):
        parts |= {f"{number}.train": train, f"{number}.val": val}
    arrays: dict[str, np.ndarray] = {name: indices.astype(np.int64) for name, indices in parts.items()}
    arrays["sha256"] = _bytes(bytes.fromhex(dataset.sha256))
    if config is not None:
        arrays["config"] = _bytes(_identity(config))
    arrays |= {_SEEN[which]: indices for which, indices in (seen or {}).items() if len(indices)}
    if dataset.files is not None and dataset.facts is not None:  # single images may change, or be evaluated elsewhere
        arrays["digests"] = dataset.facts.digests
    write_arrays(path, arrays)


def read_split(path: Path, dataset: Dataset) -> Dataset:
    """The dataset with the saved split. Raises InputError if its images have changed, or the file is damaged."""
    kept = read_arrays(path, mend=_MEND)
    check_images(dataset, kept.pop("sha256", np.empty(0)).tobytes().hex(), f"{path.parent} was started with")
    for name in ("config", "digests", *_SEEN.values()):
        kept.pop(name, None)
    folds = len(dataset.folds) or sum(name.endswith(".train") for name in kept)
    try:
        splits = splits_from(kept, len(dataset.labels), folds)
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): {_MEND}") from None
    return replace(dataset, train=splits.train, val=splits.val, test=splits.test, folds=splits.folds)


def split_sizes(path: Path) -> dict[str, int]:
    """The number of training, validation and test images. Raises as `read_split`."""
    kept = read_arrays(path, mend=_MEND)
    return {name: len(kept[name]) for name in ("train", "val", "test") if name in kept}


def same_config(path: Path, config: Config) -> bool:
    """Whether the split was written for this config, options in `MAY_CHANGE` aside; True if that is not known."""
    kept = read_arrays(path, mend=_MEND).get("config") if path.is_file() else None
    return kept is None or kept.tobytes() == _identity(config)


def image_digests_of(
    path: Path, used: NDArray[np.int64] | None = None, parts: Parts = BOTH
) -> NDArray[np.uint8] | None:
    """uint8 [M, 16] of the images with these indices, by default of those used for training or validation.

    parts: only of the images of these parts

    None if the file has no digests. Raises as `read_split`. See `image_digest`.
    """
    kept = read_arrays(path, mend=_MEND)
    digests = kept.get("digests")
    if digests is None:
        return None
    if used is None:
        used = _used(kept, parts)
    fitting = digests.dtype == np.uint8 and digests.ndim == 2 and digests.shape[1] == 16
    if not fitting or not len(used) or used.min() < 0 or used.max() >= len(digests):
        raise InputError(f"{path} is damaged (its digests do not fit its indices): {_MEND}")
    found: NDArray[np.uint8] = digests[used]
    return found


def used_of(path: Path, dataset: Dataset, indices: NDArray[np.int64], parts: Parts = BOTH) -> NDArray[np.int64] | None:
    """Those of the indices of the dataset's images that were used for training or validation. Raises as `read_split`.

    parts: only for these

    They are recognised if all images are the same, or if both are folders of images; otherwise the result is None.
    """
    kept = read_arrays(path, mend=_MEND)
    if kept.get("sha256", np.empty(0)).tobytes().hex() == dataset.sha256:
        return np.intersect1d(indices, _used(kept, parts))
    digests = image_digests_of(path, parts=parts)
    if digests is None or dataset.facts is None:
        return None
    return indices[among(dataset.facts.digests[indices], digests)]


def seen_of(path: Path) -> dict[str, NDArray[np.int64]]:
    """The file's `seen` as "test", and `seen_val` as "val". Raises as `read_split`."""
    kept = read_arrays(path, mend=_MEND)
    return {which: kept.get(name, np.zeros(0, np.int64)) for which, name in _SEEN.items()}


def _used(kept: Mapping[str, NDArray[np.int64]], parts: Parts) -> NDArray[np.int64]:
    """Indices of the images of these parts, of any fold."""
    named = [array for name, array in kept.items() if name.rpartition(".")[2] in parts]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *named]))


def _identity(config: Config) -> bytes:
    """The SHA-256 of the options that differ from their defaults; an option added later does not change it.

    The images, their labels and the teachers have a hash of their own, wherever they are.
    """
    default = Config()
    fixed = {
        name: value
        for name, value in vars(config).items()
        if name not in (*MAY_CHANGE, "data", "labels", "teacher") and value != getattr(default, name)
    }
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).digest()


def _bytes(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
