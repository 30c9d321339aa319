"""split.safetensors: which images a run trains, validates and tests on, and what identifies the run and its images.

train, val, test: int64 indices of images, sorted; N.train, N.val: those of fold N; sha256: of all images and labels
config, layers: digests of the run's options and of its layers.json
digests: uint8 [images, 16], one per image, for a folder of images
seen, seen_val: int64 indices of the test images on which the networks of its start or its teachers were trained or
    validated, and of the validation images on which they were trained
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.config import Config
from lenet.data.copies import among
from lenet.data.dataset import Dataset
from lenet.data.identity import check_images
from lenet.data.splits import SPLITS, splits_from
from lenet.errors import InputError
from lenet.runs.arrays import read_arrays, write_arrays

MAY_CHANGE = ("engine", "device", "data_dir")  # options that may differ when a run is resumed
Parts = tuple[Literal["train", "val"], ...]
BOTH: Parts = ("train", "val")
_SEEN = {"test": "seen", "val": "seen_val"}
_MEND = "restore it or start over with --overwrite"


class SplitFile:
    """A run's split.safetensors, which may not exist yet. Whatever reads it raises InputError if it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep(
        self,
        dataset: Dataset,
        config: Config | None = None,
        layers: list[dict[str, Any]] | None = None,
        seen: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> Dataset:
        """The dataset with the split that the run was started with; a new run saves the dataset's present split.

        config, layers: saved as digests beside the split, for `changed`; seen: saved too, for `seen`

        Raises InputError if the images have changed since, or the file cannot be written.
        """
        if not self.path.is_file():
            identity = {} if config is None else _identity(config, layers)
            self._write(dataset, identity, seen or {})
        return self.applied(dataset)

    def applied(self, dataset: Dataset) -> Dataset:
        """The dataset with the saved split, or unchanged if there is none. Raises InputError for other images."""
        if (kept := self._read()) is None:
            return dataset
        check_images(dataset, kept.pop("sha256", np.empty(0)).tobytes().hex(), f"{self.path.parent} was started with")
        for name in ("config", "layers", "digests", *_SEEN.values()):
            kept.pop(name, None)
        folds = len(dataset.folds) or sum(name.endswith(".train") for name in kept)
        try:
            splits = splits_from(kept, len(dataset.labels), folds)
        except ValueError as error:
            raise InputError(f"{self.path} is damaged ({error}): {_MEND}") from None
        return replace(dataset, train=splits.train, val=splits.val, test=splits.test, folds=splits.folds)

    def changed(self, config: Config, layers: list[dict[str, Any]] | None) -> list[str]:
        """Which of "config" (options in `MAY_CHANGE` aside) and "layers" the split was not written for.

        What is missing, here or in the file, counts as unchanged.
        """
        kept = self._read() or {}
        now = _identity(config, layers)
        return [name for name, digest in now.items() if name in kept and kept[name].tobytes() != digest]

    def sizes(self) -> dict[str, int]:
        """The number of images in "train", "val" and "test"; empty without a file."""
        kept = self._read() or {}
        return {name: len(kept[name]) for name in SPLITS if name in kept}

    def digests(self, indices: NDArray[np.int64] | None = None, parts: Parts = BOTH) -> NDArray[np.uint8] | None:
        """uint8 [M, 16] of the images with these indices, by default of those used for training or validation.

        parts: only of the images of these parts

        None if the file has no digests. See `image_digest`.
        """
        return self._digests(self._read() or {}, indices, parts)

    def _digests(
        self, kept: Mapping[str, np.ndarray], indices: NDArray[np.int64] | None, parts: Parts
    ) -> NDArray[np.uint8] | None:
        digests = kept.get("digests")
        if digests is None:
            return None
        used = _used(kept, parts) if indices is None else indices
        fitting = digests.dtype == np.uint8 and digests.ndim == 2 and digests.shape[1] == 16
        if not fitting or not len(used) or used.min() < 0 or used.max() >= len(digests):
            raise InputError(f"{self.path} is damaged (its digests do not fit its indices): {_MEND}")
        found: NDArray[np.uint8] = digests[used]
        return found

    def used_of(self, dataset: Dataset, indices: NDArray[np.int64], parts: Parts = BOTH) -> NDArray[np.int64] | None:
        """Those of the indices of the dataset's images that were used for training or validation.

        parts: only for these

        They are recognised if all images are the same, or if both are folders of images; otherwise the result is None.
        """
        if (kept := self._read()) is None:
            return None
        if kept.get("sha256", np.empty(0)).tobytes().hex() == dataset.sha256:
            return np.intersect1d(indices, _used(kept, parts))
        digests = self._digests(kept, None, parts)
        if digests is None or dataset.facts is None:
            return None
        return indices[among(dataset.facts.digests[indices], digests)]

    def seen(self) -> dict[str, NDArray[np.int64]] | None:
        """The file's `seen` as "test", and `seen_val` as "val"; None without a file."""
        if (kept := self._read()) is None:
            return None
        return {which: kept.get(name, np.zeros(0, np.int64)) for which, name in _SEEN.items()}

    def _read(self) -> dict[str, np.ndarray] | None:
        return read_arrays(self.path, mend=_MEND) if self.path.is_file() else None

    def _write(self, dataset: Dataset, identity: Mapping[str, bytes], seen: Mapping[str, NDArray[np.int64]]) -> None:
        parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        for number, (train, val) in enumerate(dataset.folds):
            parts |= {f"{number}.train": train, f"{number}.val": val}
        arrays: dict[str, np.ndarray] = {name: indices.astype(np.int64) for name, indices in parts.items()}
        arrays["sha256"] = _bytes(bytes.fromhex(dataset.sha256))
        arrays |= {name: _bytes(digest) for name, digest in identity.items()}
        arrays |= {_SEEN[which]: indices for which, indices in seen.items() if len(indices)}
        if dataset.files is not None and dataset.facts is not None:  # single images may change, or be elsewhere
            arrays["digests"] = dataset.facts.digests
        write_arrays(self.path, arrays)


def _used(kept: Mapping[str, NDArray[np.int64]], parts: Parts) -> NDArray[np.int64]:
    """Indices of the images of these parts, of any fold."""
    named = [array for name, array in kept.items() if name.rpartition(".")[2] in parts]
    return np.unique(np.concatenate([np.zeros(0, np.int64), *named]))


def _identity(config: Config, layers: list[dict[str, Any]] | None) -> dict[str, bytes]:
    """The SHA-256 of the options that differ from their defaults, as "config", and of the layers, if there are any.

    An option added later does not change it.
    The images, their labels and the teachers have a hash of their own, wherever they are.
    """
    default = Config()
    fixed = {
        name: value
        for name, value in vars(config).items()
        if name not in (*MAY_CHANGE, "data", "labels", "teacher") and value != getattr(default, name)
    }
    return {
        name: hashlib.sha256(json.dumps(values, sort_keys=True).encode()).digest()
        for name, values in (("config", fixed), ("layers", layers))
        if values is not None
    }


def _bytes(content: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(content, np.uint8)
