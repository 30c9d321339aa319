"""The teachers' logits of all flipped and shifted views, in memory and in the user's cache.

A training with a teacher of CIFAR-10 sees 2.5 million views, whose logits take longer to compute than a small network
takes to train. So they are kept on disk, and later trainings, resumed runs and the trials of a search read them.
"""

import hashlib
import json
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.data.cache import logits_folder
from lenet.data.plan import Plan
from lenet.errors import InputError
from lenet.files import is_left_over, locked
from lenet.runs.arrays import read_arrays, write_arrays

_MOST_FILES = 10  # the least recently used are removed
_WORTH = 10  # a file is written when computing what is new in it took this many times as long as writing it


class Table:
    """Logits by image and view, float16 [N * views, classes], and which of them are known.

    Memory is taken as entries are filled. Threads may share a table, and two may fill the same entry: with the same
    values. Other processes with the same `path` exchange theirs through the file.
    """

    def __init__(self, images: int, classes: int, max_shift: int, flips: bool, path: Path | None = None) -> None:
        """flips: whether images are mirrored too

        path: of the file, which is read if it exists; None keeps the table in memory alone
        """
        self._images, self._sides, self._side, self._max_shift = images, 1 + flips, 2 * max_shift + 1, max_shift
        entries = images * self._sides * self._side**2
        self.logits = np.zeros((entries, classes), np.float16)
        self.known = np.zeros(entries, np.bool_)
        self._path, self._writing = path, threading.Lock()
        self._unsaved_seconds, self._write_seconds = 0.0, 0.2
        self._read()

    def places(self, plan: Plan) -> NDArray[np.int64]:
        """int64 [P]: the entry of each position's image and view."""
        dy, dx = (plan.shifts.astype(np.int64) + self._max_shift).T
        place: NDArray[np.int64] = ((plan.order * self._sides + plan.flips) * self._side + dy) * self._side + dx
        return place

    def known_of(self, images: NDArray[np.int64]) -> float:
        """The fraction of these images' views whose logits are known."""
        return float(self.known.reshape(self._images, -1)[images].mean()) if len(images) else 0.0

    def fill(self, places: NDArray[np.int64], logits: NDArray[np.float16], seconds: float) -> None:
        """Enter logits at these places. seconds: what computing them took"""
        self.logits[places] = logits
        self.known[places] = True
        self._unsaved_seconds += seconds
        worth = self._unsaved_seconds > _WORTH * self._write_seconds
        if self._path and worth and self._writing.acquire(blocking=False):
            try:
                self._write(self._path)
            finally:
                self._writing.release()

    def _read(self) -> None:
        """Enter what the file has. A file that is damaged, or of another size, is as good as none."""
        if self._path is None:
            return
        with suppress(OSError, InputError, MemoryError):
            if self._path.stat().st_size > self.logits.nbytes + self.known.nbytes + 4096:
                return
            arrays = read_arrays(self._path)
            known, logits = arrays.get("known"), arrays.get("logits")
            if known is None or logits is None or known.dtype != np.bool_ or logits.dtype != np.float16:
                return
            if known.shape == self.known.shape and logits.shape == self.logits.shape:
                new = known & ~self.known
                self.logits[new] = logits[new]
                self.known |= new
                self._path.touch()  # used now

    def _write(self, path: Path) -> None:
        """Write the file, with what other processes have entered in it.

        Not if another process is writing one just now, or where there is no room on the disk.
        """
        began, self._unsaved_seconds = time.perf_counter(), 0.0
        with suppress(OSError, InputError, MemoryError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path.parent, wait=False) as alone:
                for left in filter(is_left_over, path.parent.iterdir()) if alone else ():
                    left.unlink()
                self._read()
                # `known` first: other threads enter logits meanwhile, and mark them as known afterwards.
                known = self.known.copy()
                write_arrays(path, {"known": known, "logits": self.logits.copy()})
                files = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
                for file in files[:-_MOST_FILES]:
                    file.unlink()
        self._write_seconds = time.perf_counter() - began


def table_path(**origin: object) -> Path:
    """The file in the user's cache of the table of this origin: all that its values depend on."""
    key = hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()
    return logits_folder() / f"{key[:32]}.safetensors"
