"""Arrays of images: small ones in memory, large ones in a file, so that their number is not bounded by memory."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lenet.cores import free_memory
from lenet.data.cache import user_cache
from lenet.errors import InputError

LARGE = 256 << 20  # bytes; a larger array lies in a file
_CHECKED = 1 << 20  # bytes; to look up the free memory for a smaller array, such as an image, takes too long


def allocate(shape: Sequence[int], where: str = "this dataset", dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """An array to be filled, C-contiguous, of any content.

    One of more than 256 MiB lies in a mapped file without a name in the cache folder: the system writes it to the disk
    as memory gets short, and removes it with the array. Without room there for it and for the copy that the cache will
    keep, it lies in memory.

    where: the images' place, for the error

    Raises InputError if it fits neither into the cache folder nor into the free memory.
    """
    need = prod(shape) * np.dtype(dtype).itemsize
    if need > LARGE:
        try:
            return _mapped(tuple(shape), dtype, need)
        except OSError:  # no room, or a folder that cannot be written
            pass
    if need > _CHECKED:
        check_memory(where, need)
    return np.empty(tuple(shape), dtype=dtype)


def contiguous(array: NDArray[Any], where: str = "this dataset") -> NDArray[Any]:
    """The array itself if it is C-contiguous, otherwise a copy that is; see `allocate`."""
    if array.flags.c_contiguous:
        return array
    copy = allocate(array.shape, where, array.dtype)
    copy[...] = array
    return copy


def check_memory(where: str, need: int) -> None:
    """Raises InputError if so many bytes of images are more than the free memory."""
    free = free_memory()
    if need > free:
        raise InputError(
            f"the images in {where} take {need / 2**30:.1f} GiB of memory at this size and {free / 2**30:.1f} GiB are "
            "free: use a smaller --size or fewer images"
            + (f", or make room for them twice in {user_cache()}" if need > LARGE else ""),
            options=["size"],
        )


def _mapped(shape: tuple[int, ...], dtype: DTypeLike, need: int) -> NDArray[Any]:
    """The array in a file. Raises OSError if there is no room."""
    folder = user_cache() / "arrays"
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < 2 * need:
        raise OSError("no room for the array and its copy in the cache")
    with tempfile.TemporaryFile(dir=folder) as file:
        # Without its blocks, a full disk would kill the process when a page is written.
        os.posix_fallocate(file.fileno(), 0, need) if hasattr(os, "posix_fallocate") else file.truncate(need)
        return np.asarray(np.memmap(file, dtype=dtype, mode="r+", shape=shape))
