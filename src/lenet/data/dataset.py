"""A dataset: one uint8 array of all images, with their labels, class names and splits."""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.config import DataConfig, names_in
from lenet.data.catalog import CIFAR10, SETS
from lenet.data.copies import ImageFacts, image_facts, summary
from lenet.data.detect import detect
from lenet.data.fetch import find_published
from lenet.data.fit import check_size_and_fit
from lenet.data.labels import leave_out, relabel
from lenet.data.loaded import by_protocol, only
from lenet.data.reading import read_folder, read_given, read_named
from lenet.data.source import MEMORY, Source
from lenet.data.splits import GivenSplits, Indices, split
from lenet.errors import InputError, Unavailable, did_you_mean
from lenet.files import expanded, followed

_HOW_TO_GET = "CIFAR-10 is not on disk; 'lenet train cifar10' downloads it, --data-dir names its folder"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images of all splits; `train`, `val` and `test` are sorted indices into them.

    source: "embedded", "memory", or the path it was read from, which is absolute for images of the user's own
    images: uint8 [N, H, W, C] with C 1 or 3, read-only; memory-mapped if it is in the cache
    labels: int64 [N], numbers into `classes`
    sha256: of the shape, the images' bytes (after resizing) and the labels' bytes, -1 for an image that is left out
    notes: lines for the user
    files: for images of the user's own, each image's path relative to the folder, or a name such as x_train[7]
    facts: digests, copies and near-constant images; None for images that are not the user's own and not in the cache
    folds: (train, val) of each fold, for one network each; `train` and `val` are then those of the first fold
    has_test, has_val: whether the source has a test split, and a validation split, of its own
    relabelled: the file of `config.labels`, otherwise empty
    corrections: what it says: the class of an image by index; None for an image that is left out, which is in no split
    numbers: each image's number in the whole dataset, where the option `classes` left some out; otherwise None
    renamed: which of a model's classes the labels were taken for, where they are integers without names; else empty
    substitute: why the embedded digits take the place of the dataset that was asked for, otherwise empty
    """

    name: str
    source: str
    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: Indices
    val: Indices
    test: Indices
    sha256: str
    notes: tuple[str, ...]
    files: Sequence[str] | None = None
    facts: ImageFacts | None = None
    folds: tuple[tuple[Indices, Indices], ...] = ()
    has_test: bool = False
    has_val: bool = False
    relabelled: str = ""
    corrections: Mapping[int, int | None] = field(default_factory=dict)
    numbers: Indices | None = None
    renamed: str = ""
    substitute: str = ""

    @property
    def fewest_trained(self) -> int:
        """Number of images that a network is trained on; with folds, the smallest."""
        return min((len(train) for train, _ in self.folds), default=len(self.train))

    def name_of(self, index: int) -> str | int:
        """What tables and `config.labels` call an image: its entry in `files`, or its number in the whole dataset."""
        if self.files is not None:
            return self.files[index]
        return index if self.numbers is None else int(self.numbers[index])

    def caption_of(self, index: int) -> str:
        """What pictures call an image: its file, or "image NUMBER"."""
        return f"image {self.name_of(index)}" if self.files is None else self.files[index]

    def for_network(self, number: int) -> "Dataset":
        """The dataset for network `number` (from 0): with folds, `train` and `val` are those of its own fold."""
        if not self.folds:
            return self
        train, val = self.folds[number]
        return replace(self, train=train, val=val)


def find_auto(data_dir: str | None = None) -> str:
    """What `auto` stands for: "cifar10" if it is on disk, in any layout, otherwise "digits". Never downloads."""
    return CIFAR10.name if find_published(CIFAR10, data_dir) else "digits"


def load_dataset(
    config: DataConfig,
    *,
    memory: Source | None = None,
    classes: tuple[str, ...] | None = None,
    download: bool = True,
    or_digits: bool = False,
    verify: bool = False,
    strict: bool = True,
) -> Dataset:
    """The images, labels and splits that the config describes.

    A published dataset is searched for in `config.data_dir`, $LENET_DATA, ./data and the user cache; if it is missing,
    it is downloaded, unless `download` is False. Validation images are `val_fraction` of the training images, by
    class, unless a folder has its own; which images are the test images depends on `split_seed` alone. Exact
    copies in a folder are drawn together.

    memory: images that were passed from Python, for `config.data` "memory" (see `lenet.data.memory`)
    classes: the class names of a trained model, for other images: labels are numbered by them, and a class may have few
        images or none
    or_digits: use the embedded digits, at 32x32 in colour, if the dataset is not on disk and cannot be downloaded
    verify: read all pixels in the cache and compare their hash; see `lenet.data.cache` for what is checked without
    strict: refuse a class with too few images to be in every split; never with `classes`

    Raises InputError for whatever is wrong with the names or the files.
    """
    if config.data == MEMORY:
        return _load(config, _from_memory(memory, config.data_sha256), classes, download, verify, strict)
    name, substitute = config.data, ""
    if name == "auto":
        name = find_auto(config.data_dir)
        substitute = _HOW_TO_GET if name == "digits" else ""
    try:
        dataset = _load(replace(config, data=name), None, classes, download, verify, strict)
    except Unavailable as error:
        if not or_digits:
            raise
        # As CIFAR-10's images are, so that a network made for those takes them.
        dataset = _load(replace(config, data="digits", size=32, channels=3), None, classes, download, verify, strict)
        substitute = str(error)
    return replace(dataset, substitute=substitute)


def _load(
    config: DataConfig,
    memory: Source | None,
    classes: tuple[str, ...] | None,
    download: bool,
    verify: bool,
    strict: bool,
) -> Dataset:
    """See `load_dataset`; `config.data` is a dataset's name, a path or "memory"."""
    check_size_and_fit(config.size, config.fit)
    name, keep, protocol = config.data, names_in(config.classes), config.protocol
    if name in SETS:
        loaded = read_named(config, classes, download, verify)
    elif source := memory or detect(root := own_path(name)):
        loaded = read_given(config, source, classes, verify)
    else:
        loaded = read_folder(config, root, classes, verify)
    if protocol != "official":
        loaded = by_protocol(loaded, protocol)
    if config.labels is not None:
        loaded = relabel(loaded, expanded(config.labels))
    if keep:
        loaded = only(loaded, keep)
    facts = loaded.arrays.facts
    if facts is None and loaded.files is not None:
        facts = image_facts(loaded.arrays.images)
    first = None if facts is None or loaded.files is None else facts.first
    given = GivenSplits(loaded.source if loaded.files else loaded.name, loaded.arrays.classes, loaded.split_labels,
                      loaded.train, loaded.val, loaded.test, loaded.folds, first)  # fmt: skip
    splits = split(given, val_fraction=config.val_fraction, seed=config.split_seed, protocol=protocol,
                   per_class=config.per_class, strict=strict and classes is None)  # fmt: skip
    splits = leave_out(splits, loaded)
    facts = facts and facts.without(loaded.left_out)
    notes = loaded.notes
    if facts is not None and loaded.files is not None:
        parts = {"train": splits.train, "val": splits.val, "test": splits.test}
        if found := summary(facts, loaded.arrays.labels, loaded.arrays.classes, parts):
            which = "lenet.check" if name == MEMORY else f"lenet data check {shlex.quote(name)}"
            notes += (*found, f"{which} names the images")
    for shared in (loaded.arrays.images, loaded.arrays.labels):
        shared.setflags(write=False)
    return Dataset(
        name=loaded.name,
        source=loaded.source,
        classes=loaded.arrays.classes,
        images=loaded.arrays.images,
        labels=loaded.arrays.labels,
        train=splits.train,
        val=splits.val,
        test=splits.test,
        sha256=loaded.sha256,
        notes=notes,
        files=loaded.files,
        facts=facts,
        folds=splits.folds,
        has_test=loaded.test is not None,
        has_val=loaded.val is not None,
        relabelled=loaded.relabelled,
        corrections=loaded.corrections,
        numbers=loaded.numbers,
        renamed=loaded.renamed,
    )


def _from_memory(memory: Source | None, sha256: str | None) -> Source:
    if memory is None:
        known = f" (SHA-256 {sha256[:12]}...)" if sha256 else ""
        raise InputError(
            f"the data is '{MEMORY}': pass the same images from Python, as data{known}; write ./{MEMORY} for a folder "
            "of that name", options=["data"],
        )  # fmt: skip
    return memory


def own_path(path: str) -> Path:
    """The absolute path of a file or folder that exists and is not a published dataset."""
    root = expanded(path)
    if root.is_dir():
        for published in SETS.values():
            for layout in published.layouts:
                if (root / layout.folder).is_dir() or (not layout.more and (root / layout.archive.file).is_file()):
                    raise InputError(
                        f"'{path}' contains {published.name}: use {published.name} with --data-dir '{path}'"
                    )
                if not layout.more and (root / layout.train[0]).is_file():  # IDX files may be anyone's
                    raise InputError(f"'{path}' is {published.name}: use {published.name} with --data-dir '{path}'")
    if root.exists():
        root = followed(root)
        try:
            str(root).encode()
        except UnicodeEncodeError:
            raise InputError(f"the path of folder {root} is not UTF-8: rename it", options=["data"]) from None
        return root
    if os.sep in path:
        raise InputError(
            f"no file or folder '{path}': check the path, or use a named dataset: auto, {', '.join(SETS)}",
            options=["data"],
        )
    raise InputError(f"no dataset or folder '{path}'{did_you_mean(path, ['auto', *SETS])}", options=["data"])
