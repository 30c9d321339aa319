"""Reads each kind of source: published datasets, files and arrays, folders of images."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from lenet.config import DataConfig
from lenet.data.cache import cached, digest, stamp
from lenet.data.catalog import SETS
from lenet.data.decode import decode
from lenet.data.fetch import get_published
from lenet.data.fit import fit_array
from lenet.data.folders import scan
from lenet.data.idx import idx_file, read_idx
from lenet.data.loaded import Loaded, as_asked
from lenet.data.published import Arrays, read_digits, read_published
from lenet.data.source import DEFAULT_SIZE, Names, Source, read_source, renumbered, with_digest
from lenet.data.stl10 import read_stl10
from lenet.errors import InputError


def default_size(name_or_path: str) -> int:
    """The default image side length in pixels."""
    published = SETS.get(name_or_path)
    if published is None:
        return DEFAULT_SIZE
    return published.train_size or published.size


def read_named(config: DataConfig, classes: tuple[str, ...] | None, download: bool, verify: bool) -> Loaded:
    """A published dataset, or the embedded digits."""
    published = SETS[config.data]
    size, channels = config.size or default_size(config.data), config.channels or published.channels
    notes: tuple[str, ...] = ()
    if channels != published.channels:
        notes = ("colour images, taken as grey" if channels == 1 else "grey images, the same in all three channels",)
    if not published.layouts:
        source, (arrays, sha256) = "embedded", _digits(size)
    else:
        layout, folder = get_published(published, config.data_dir, download)
        source = str(folder)
        # Prediction converts to grey before it resizes, which gives other pixels than the reverse.
        grey = channels == 1 < published.channels and size != published.size

        def make() -> Arrays:
            read = {"stl10": read_stl10, "idx": read_idx}.get(layout.kind, read_published)
            made = read(published, layout, folder)
            return replace(made, images=fit_array(made.images, size, channels=1 if grey else None))

        files: tuple[str, ...] = (*layout.train, *layout.test, layout.meta)
        if layout.kind == "idx":
            files = tuple(idx_file(folder, name).name for name in files[:-1])
        stamps = [stamp(folder, file) for file in files]
        arrays, sha256 = cached(published.name, folder, stamps, {"size": size, "grey": grey}, make,
                                verify=verify)  # fmt: skip
    known = classes or arrays.classes
    for name in arrays.classes:
        if name not in known:
            raise InputError(f"class '{name}' of the data is not among the model's: use data of the same classes")
    number = np.array([known.index(name) for name in arrays.classes], dtype=np.int64)
    arrays, sha256 = as_asked(arrays, sha256, number[arrays.labels], known, channels)
    order = np.arange(len(arrays.labels))
    train, test = order[: arrays.train_count], order[arrays.train_count :]
    has_test = bool(published.layouts)
    return Loaded(published.name, source, arrays, sha256, train, None, test if has_test else None, notes)


@lru_cache(maxsize=1)
def _digits(size: int) -> tuple[Arrays, str]:
    arrays = read_digits()
    arrays = replace(arrays, images=fit_array(arrays.images, size))
    for shared in (arrays.images, arrays.labels):
        shared.setflags(write=False)
    return arrays, digest(arrays)


def read_given(config: DataConfig, source: Source, classes: tuple[str, ...] | None, verify: bool) -> Loaded:
    """A file of images, or images that were passed from Python."""
    size = config.size or source.default_size()

    def read(grey: bool) -> tuple[Arrays, str]:
        def make() -> Arrays:
            return read_source(source, size, config.fit, grey, classes)

        if source.stamps is None:
            return with_digest(make())
        options = {"size": size, "fit": config.fit, "grey": grey, "all": classes is not None}
        return cached(source.name, Path(source.path), source.stamps, options, make, verify=verify)

    arrays, sha256, channels = _in_channels(config.channels, read, config.channels == 1)
    labels, names, renamed = renumbered(arrays, classes, source.path)
    arrays, sha256 = as_asked(arrays, sha256, labels, names, channels)
    train = np.arange(arrays.train_count)
    return Loaded(source.name, source.path, arrays, sha256, train, source.part("val"), source.part("test"),
                  source.notes, Names(tuple(part.group() for part in source.parts)), renamed=renamed)  # fmt: skip


def read_folder(config: DataConfig, root: Path, classes: tuple[str, ...] | None, verify: bool) -> Loaded:
    """A folder of image files, with a folder for each class."""
    found = scan(root, classes)
    size = config.size or DEFAULT_SIZE

    def read(grey: bool) -> tuple[Arrays, str]:
        options = {"size": size, "fit": config.fit, "grey": grey}

        def make() -> Arrays:
            return decode(root, found, size, config.fit, grey=grey)

        return cached(root.name, root, found.stamped(), options, make, verify=verify)

    # A folder of grey images then has one entry in the cache, whatever channels are asked for.
    arrays, sha256, channels = _in_channels(config.channels, read, False)
    arrays, sha256 = as_asked(arrays, sha256, found.labels, found.classes, channels)
    return Loaded(
        name=root.name,
        source=str(root),
        arrays=arrays,
        sha256=sha256,
        train=found.indices("train"),
        val=found.indices("val") if found.has_val else None,
        test=found.indices("test") if found.has_test else None,
        notes=found.notes,
        files=found.files,
    )


def _in_channels(asked: int | None, read: Callable[[bool], tuple[Arrays, str]], grey: bool) -> tuple[Arrays, str, int]:
    """What read(grey) reads, and the number of channels that it is to have: as asked, or as the images are."""
    arrays, sha256 = read(grey)
    channels = asked or (1 if arrays.grey else 3)
    if channels < arrays.images.shape[3]:  # colour among them: grey comes before the resize, as in prediction
        arrays, sha256 = read(True)
    return arrays, sha256, channels
