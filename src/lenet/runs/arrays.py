"""Safetensors files with a digest, as NumPy arrays; `lenet.runs.tensors` converts them to PyTorch's tensors."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from lenet.cores import free_memory
from lenet.errors import InputError
from lenet.files import open_regular, write_whole

_DIGEST = "sha256"


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file whose metadata holds the arrays' digest. Equal arrays give identical files."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_whole(path, safetensors.numpy.save(contiguous, {_DIGEST: digest_of(contiguous)}))


def read_arrays(
    path: Path, *, mend: str = "restore it or train again", needs_digest: bool = True
) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, by name; each has memory of its own, which can be written to.

    mend: what the user should do, the end of the error message
    needs_digest: refuse a file without a digest, which other programs write

    Raises InputError if the file cannot be read, or its arrays do not match their digest.
    """
    try:
        with open_regular(path) as file:
            need, free = 2 * os.fstat(file.fileno()).st_size, free_memory()
            if need > free:
                raise InputError(f"{path} takes {need / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free")
            content = file.read()
        views = safetensors.numpy.load(content)
        arrays = {name: views.pop(name).copy() for name in list(views)}  # one after the other: each view takes memory
    except KeyError as error:  # a type that NumPy lacks
        raise InputError(f"{path} cannot be read (type {error} is not supported): {mend}") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}): {mend}") from None
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])  # safetensors has checked it
    digest = (header.get("__metadata__") or {}).get(_DIGEST)
    if digest is None and needs_digest:
        raise InputError(f"{path} has no digest: another version of lenet or another program wrote it; {mend}")
    if digest not in (None, digest_of(arrays)):
        raise InputError(f"{path} is damaged (its tensors do not match their digest): {mend}")
    return arrays


def digest_of(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of names, types (as PyTorch names them), shapes and bytes, in the order of the names."""
    sha256 = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        sha256.update(json.dumps([name, type_of(array), list(array.shape)]).encode())
        sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def type_of(array: np.ndarray) -> str:
    """PyTorch's name of the array's type, such as "torch.float32"."""
    return f"torch.{array.dtype}"
