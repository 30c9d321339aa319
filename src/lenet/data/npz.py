""".npz files of images and labels, as numpy.savez and Keras write them."""

import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lenet.data.allocation import allocate
from lenet.data.arrays import checked_classes
from lenet.data.cache import stamp
from lenet.data.folders import few
from lenet.data.source import Part, Source, damaged, side_of, source_of
from lenet.data.splits import Split
from lenet.errors import InputError

# Names of images and labels, by split: as Keras, as NumPy's users, and as MedMNIST write them.
_LAYOUTS: tuple[tuple[tuple[Split, str, str], ...], ...] = (
    (("train", "x_train", "y_train"), ("val", "x_val", "y_val"), ("val", "x_valid", "y_valid"),
     ("test", "x_test", "y_test")),
    (("train", "train_images", "train_labels"), ("val", "val_images", "val_labels"),
     ("val", "valid_images", "valid_labels"), ("test", "test_images", "test_labels")),
    (("train", "images", "labels"),),
)  # fmt: skip
_CLASSES = "classes"
_CHUNK = 1 << 22  # bytes read at once


def npz_source(path: Path) -> Source:
    """The images of x_train, y_train, x_test and y_test; or train_images, train_labels and so on; or images, labels.

    Optional are x_val (or x_valid) and y_val, and "classes": class names by label. Reads headers only.
    Raises InputError for a damaged file, without such arrays, with images or labels alone, with arrays of Python
    objects (pickled; never read), or with arrays for which there is no room.
    """
    shapes = _headers(path)
    parts: list[Part] = []
    used = {_CLASSES}
    for layout in _LAYOUTS:
        for split, images, labels in layout:
            found = [name for name in (images, labels) if name in shapes]
            if not found:
                continue
            if len(found) == 1:
                missing = labels if found == [images] else images
                raise InputError(
                    f"{path} has {found[0]} but no {missing} (arrays: {', '.join(shapes):.500}): add or rename it",
                    options=["data"],
                )
            if parts and parts[-1].split == split:
                raise InputError(f"{path} has both {parts[-1].name} and {images}: keep one", options=["data"])
            used.update(found)
            shape = shapes[images]
            parts.append(
                Part(split, images, shape[0] if shape else 0,
                     lambda name=labels: _read(path, name),  # type: ignore[misc]
                     pixels=lambda name=images: _read(path, name), side=side_of(shape))  # type: ignore[misc]
            )  # fmt: skip
        if parts:
            break
    else:
        raise InputError(
            f"{path} holds {', '.join(shapes) or 'no arrays'}: name them x_train, y_train, x_test and y_test, or "
            "images and labels", options=["data"],
        )  # fmt: skip
    classes = None
    if _CLASSES in shapes:
        classes = checked_classes(_read(path, _CLASSES).tolist(), f"classes of {path}")
    unused = [name for name in shapes if name not in used]
    notes = [f"other arrays are ignored: {few(unused, 5):.200}"] if unused else []
    return source_of(path.stem, str(path), parts, classes, [stamp(path.parent, path.name)], notes)


def _headers(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array, checked as by `_header`."""
    try:
        with zipfile.ZipFile(path) as packed:
            shapes = {}
            for member in packed.infolist():
                if not member.filename.endswith(".npy"):
                    raise InputError(
                        f"{path} is an archive of other files than arrays, such as {member.filename}: unpack it",
                        options=["data"],
                    )
                with packed.open(member) as file:
                    shapes[member.filename.removesuffix(".npy")] = _header(path, member, file)[0]
            return shapes
    except MemoryError:
        raise
    except Exception as error:  # also zlib.error, RuntimeError for a password, TokenError for a header
        raise damaged(path, error) from None


def _header(path: Path, member: zipfile.ZipInfo, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether the first dimension varies fastest, and type of the array whose values come next in the file.

    Raises InputError for an array of Python objects, or of another size than its zip member.
    """
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    name = member.filename.removesuffix(".npy")
    if dtype.hasobject:
        raise InputError(
            f"{path}: {name} holds pickled Python objects, which lenet never reads: save it as numbers or text",
            options=["data"],
        )
    if prod(shape) * dtype.itemsize + file.tell() != member.file_size:
        raise InputError(f"{path}: {name} does not have the size that its header says: restore the file",
                         options=["data"])  # fmt: skip
    return tuple(shape), fortran, dtype


def _read(path: Path, name: str) -> NDArray[Any]:
    """An array of the file. Raises InputError as `_header` and `allocate` do, and if it is damaged."""
    try:
        with zipfile.ZipFile(path) as packed, packed.open(f"{name}.npy") as file:
            shape, fortran, dtype = _header(path, packed.getinfo(f"{name}.npy"), file)
            array = allocate(shape[::-1] if fortran else shape, str(path), dtype)
            content, got = array.reshape(-1).view(np.uint8), 0
            while some := file.read(_CHUNK):  # to the end, where zipfile compares the checksum
                content[got : got + len(some)] = np.frombuffer(some, dtype=np.uint8)
                got += len(some)
            if got < len(content):
                raise ValueError(f"{name} is truncated")
    except MemoryError:
        raise
    except Exception as error:  # zlib.error and the like, for damage within a member
        raise damaged(path, error) from None
    return array.transpose() if fortran else array
