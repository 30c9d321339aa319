"""IDX files, the layout of MNIST, Fashion-MNIST, KMNIST and EMNIST.

The format is described at http://yann.lecun.com/exdb/mnist/: two zero bytes, the type (8: uint8), the number of
dimensions, each dimension as a big-endian 32-bit integer, then the values.
"""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from lenet.data.allocation import allocate
from lenet.data.cache import stamp
from lenet.data.folders import SPLIT_WORDS, few
from lenet.data.published import AGAIN, Arrays, check_labels
from lenet.data.published_set import Layout, PublishedSet
from lenet.data.source import Part, Source, damaged, source_of
from lenet.data.splits import Split
from lenet.errors import InputError
from lenet.files import open_regular

_NAME = re.compile(
    r"(?P<prefix>.*?)(?P<split>train|t10k|test|val)[-_.](?P<what>images|labels)[-_.]idx[13]-ubyte(\.gz)?"
)
_SPLITS: dict[str, Split] = {**SPLIT_WORDS, "t10k": "test"}
_GZIP = b"\x1f\x8b"
_MOST_RATIO = 1032  # bytes that a byte of deflate can stand for


def is_idx(path: Path) -> bool:
    """Whether a file opens as IDX files of bytes do, compressed or not."""
    try:
        with _open(path) as file:
            return _is_magic(file.read(4))
    except (OSError, EOFError, zlib.error):
        return False


def idx_folder(path: Path) -> Path | None:
    """`path`, or its folder raw/, if image files are in it that are named as MNIST's are."""
    for folder in (path, path / "raw"):
        if folder.is_dir() and any(_images_in(folder)):
            return folder
    return None


def idx_source(path: Path) -> Source:
    """The images of {train,t10k,test,val}-{images,labels}-idx{3,1}-ubyte[.gz] in a folder, or beside a file.

    Names may open with a word of their own, as in emnist-letters-train-images-idx3-ubyte; a folder with several such
    datasets needs a file, which says which one is meant. Reads headers only.
    Raises InputError for missing labels, another type or shape, and files longer or shorter than their header says.
    """
    folder = path if path.is_dir() else path.parent
    own = _NAME.fullmatch(path.name) if path.is_file() else None
    if path.is_file() and own is None:
        raise InputError(
            f"{path} is an IDX file: name images train-images-idx3-ubyte and labels train-labels-idx1-ubyte, as MNIST "
            "does (t10k- for test images)", options=["data"],
        )  # fmt: skip
    found: dict[tuple[str, Split], Path] = {}
    for file, prefix, split in _images_in(folder):
        other = found.get((prefix, split), file)
        if other.name.removesuffix(".gz") != file.name.removesuffix(".gz"):
            raise InputError(f"{folder} has both {other.name} and {file.name}: keep one", options=["data"])
        if other is file or not file.name.endswith(".gz"):  # an unpacked file beside the packed one
            found[prefix, split] = file
    prefixes = sorted({prefix for prefix, _ in found})
    if own is not None:
        prefixes = [own["prefix"]]
    if len(prefixes) > 1:
        raise InputError(
            f"{folder} holds several datasets ({few([repr(prefix) for prefix in prefixes], 5)}): give one of "
            "their image files", options=["data"],
        )  # fmt: skip
    parts, stamps = [], []
    for (prefix, split), images in found.items():
        if prefix == prefixes[0]:
            labels = _labels_of(images)
            stamps += [stamp(folder, images.name), stamp(folder, labels.name)]
            parts.append(_part(split, images, labels))
    if not parts:
        raise InputError(f"{folder} has no image files beside {path.name}: add train-images-idx3-ubyte",
                         options=["data"])  # fmt: skip
    name = prefixes[0].strip("-_.") or (folder.parent.name if folder.name == "raw" else folder.name)
    return source_of(name, str(path), parts, None, sorted(stamps))


def idx_file(folder: Path, name: str) -> Path:
    """The file of a published dataset, or the packed one if only that is there."""
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() and not (folder / name).is_file() else folder / name


def opens_with(folder: Path, layout: Layout) -> bool:
    """Whether the training labels in the folder are a dataset's, by its first ones. Never raises."""
    path = idx_file(folder, layout.train[1])
    try:
        with _open(path) as file:
            return file.read(8)[:4] == b"\0\0\x08\x01" and tuple(file.read(len(layout.opening))) == layout.opening
    except (OSError, EOFError, zlib.error, InputError):
        return False


def read_idx(published: PublishedSet, layout: Layout, folder: Path) -> Arrays:
    """All images of a published dataset in IDX files, the training images first.

    Raises InputError naming the file that is missing, damaged, or has another count, shape or label range.
    """
    parts = []
    for (pixels, labels), count in ((layout.train, published.train_count), (layout.test, published.test_count)):
        found = []
        for name, shape in ((pixels, (count, published.size, published.size)), (labels, (count,))):
            path = idx_file(folder, name)
            if not path.is_file():
                raise InputError(f"{path} is missing; {AGAIN}")
            header = _header(path, len(shape))
            if header.shape != shape:
                raise InputError(f"{path} holds {list(header.shape)}, expected {list(shape)}; {AGAIN}")
            found.append(header.read())
        numbers = found[1].astype(np.int64)
        check_labels(idx_file(folder, labels), numbers, len(published.classes))
        parts.append((found[0], numbers))
    images = np.concatenate([images for images, _ in parts])[..., None]
    return Arrays(images, np.concatenate([labels for _, labels in parts]), published.train_count, published.classes,
                  grey=True)  # fmt: skip


@dataclass(frozen=True)
class _Idx:
    path: Path
    shape: tuple[int, ...]

    def read(self) -> NDArray[np.uint8]:
        """uint8 of the header's shape."""
        content = allocate(self.shape, str(self.path))
        need = content.size
        try:
            with _open(self.path) as file:
                file.seek(4 + 4 * len(self.shape))
                view, got = content.reshape(-1), 0
                while got < need and (more := file.readinto(view[got:].data)):  # type: ignore[attr-defined]
                    got += more
                longer = file.read(1)
        except (OSError, EOFError, zlib.error) as error:
            raise damaged(self.path, error) from None
        if got < need or longer:
            raise InputError(
                f"{self.path} is {'truncated' if got < need else 'too long'}: {'over ' if longer else ''}{got:,} "
                f"bytes, {need:,} expected of {list(self.shape)}: restore the file", options=["data"],
            )  # fmt: skip
        return content


def _header(path: Path, dimensions: int) -> _Idx:
    """The header. Raises InputError unless the file can hold what it says, and memory as well."""
    try:
        with open_regular(path) as raw:
            packed = raw.read(2) == _GZIP
        with _open(path) as file:
            magic = file.read(4)
            sizes = file.read(4 * dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(path, error) from None
    if not _is_magic(magic) or magic[3] != dimensions or len(sizes) != 4 * dimensions:
        what = "images (magic 00000803)" if dimensions == 3 else "labels (magic 00000801)"
        raise InputError(f"{path} is not an IDX file of {what}: it opens with {magic.hex()}; restore the file",
                         options=["data"])  # fmt: skip
    shape = tuple(int(size) for size in np.frombuffer(sizes, dtype=">u4"))
    need = 1
    for size in shape:
        need *= size
    on_disk = path.stat().st_size
    most = on_disk * _MOST_RATIO if packed else on_disk - 4 - 4 * dimensions
    if need > most:
        raise InputError(
            f"{path} is truncated: its header says {need:,} bytes ({list(shape)}), the file can hold {most:,}: restore "
            "the file", options=["data"],
        )  # fmt: skip
    return _Idx(path, shape)


def _part(split: Split, images: Path, labels: Path) -> Part:
    pixels, numbers = _header(images, 3), _header(labels, 1)
    count, height, width = pixels.shape
    return Part(split, images.name, count, numbers.read, pixels=pixels.read, side=height if height == width else None)


def _images_in(folder: Path) -> list[tuple[Path, str, Split]]:
    """Each image file, the start of its name, and its split."""
    named = [(file, _NAME.fullmatch(file.name)) for file in sorted(folder.iterdir())]
    return [(file, name["prefix"], _SPLITS[name["split"]]) for file, name in named if name and name["what"] == "images"]


def _labels_of(images: Path) -> Path:
    prefix, _, rest = images.name.removesuffix(".gz").rpartition("images")
    name = f"{prefix}labels{rest.replace('idx3', 'idx1')}"
    for file in (images.with_name(name), images.with_name(f"{name}.gz")):
        if file.is_file():
            return file
    raise InputError(f"{images.with_name(name)} is missing: restore it; it holds the labels of {images.name}",
                     options=["data"])  # fmt: skip


def _is_magic(four: bytes) -> bool:
    return four[:3] == b"\0\0\x08" and len(four) == 4 and 1 <= four[3] <= 4


def _open(path: Path) -> BinaryIO:
    file = open_regular(path)
    packed = file.read(2) == _GZIP
    file.seek(0)
    if not packed:
        return file
    file.close()
    return gzip.open(path, "rb")  # type: ignore[return-value]
