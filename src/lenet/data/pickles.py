"""CIFAR's pickles, read without running anything in them: plain values and arrays of integers."""

import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.errors import one_line

_MOST_TUPLES = 1000  # hashing nested ones recurses, without a limit of its own


class PickledArray:
    """Stands in for numpy.ndarray and its _reconstruct: an array out of shape, type and bytes, each checked.

    NumPy's own constructors would trust the sizes and flags in the file.
    """

    def __init__(self, *_: Any) -> None:
        self.array: NDArray[Any] = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _PickledDtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("array without type or bytes")
        flat = np.frombuffer(content, dtype=dtype.dtype)
        self.array = flat.reshape([int(side) for side in shape], order="F" if fortran else "C")


class _PickledDtype:
    """Stands in for numpy.dtype: only unsigned bytes and plain integers are accepted."""

    def __init__(self, code: Any = b"", *_: Any) -> None:
        text = _text(code)
        if text not in ("u1", "i4", "i8"):
            raise pickle.UnpicklingError(f"array of type '{text[:20]}'")
        self.dtype = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(">" if _text(state[1]) == ">" else "<")


def _text(value: Any) -> str:
    if not isinstance(value, (bytes, str)):
        raise pickle.UnpicklingError("array of unknown type")
    return value.decode() if isinstance(value, bytes) else value


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): PickledArray,
    ("numpy._core.multiarray", "_reconstruct"): PickledArray,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): _PickledDtype,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows NumPy's array constructors by name, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None


class _Refused(pickle.UnpicklingError):
    pass


def load_pickle(content: bytes, most_steps: int) -> dict[bytes, Any]:
    """The dict in a pickle, keys as bytes (Python 2 wrote bytes, Python 3 str). Nothing in the pickle is run.

    most_steps: how many operations the pickle may have, each of which may make a value
    Raises ValueError, which says what the pickle "is" or "holds", if it is not such a dict.
    """
    try:
        _check_steps(content, most_steps)
        loaded = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
    except _Refused as refused:
        raise ValueError(f"is refused: it calls '{refused}', which data never needs; nothing in it was run") from None
    except Exception as error:  # a damaged pickle can fail in any of its operations
        words = one_line(error)[:200]
        raise ValueError(f"is truncated or damaged ({words})") from None
    if not isinstance(loaded, dict):
        raise ValueError("holds no table of images")
    return {key.encode() if isinstance(key, str) else key: value for key, value in loaded.items()}


def _check_steps(content: bytes, most_steps: int) -> None:
    """Raises ValueError for operations that would take memory far beyond the pickle's own size."""
    tuples = 0
    for number, (operation, argument, _) in enumerate(pickletools.genops(content)):
        tuples += "TUPLE" in operation.name
        if number >= most_steps or tuples > _MOST_TUPLES:
            raise ValueError("more operations than the published files have")
        if "PUT" in operation.name and int(argument or 0) > most_steps:
            raise ValueError(f"it asks for a table of {argument:,} entries")
        if operation.name == "BYTEARRAY8":
            raise ValueError("the published files have no bytearray")
