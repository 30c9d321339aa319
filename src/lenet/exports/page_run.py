"""Running a written page's network with Node, for the proof."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.exports.page import SOURCE
from lenet.exports.program import first_line, run_program
from lenet.exports.proof import Compute

_SECONDS = 1800  # for some images


def node() -> str | None:
    """The path of Node.js; None if there is none."""
    return shutil.which("node") or shutil.which("nodejs")


def page_computer(path: Path, scratch: Path) -> Compute | None:
    """Runs the JavaScript of the page, as it is in the file; None without Node.

    scratch: a folder for images and probabilities, which must last as long as the function is used
    """
    program = node()
    if program is None:
        return None
    pixels, found = scratch / "pixels", scratch / "probabilities"

    def compute(*parts: NDArray[np.uint8]) -> NDArray[np.floating]:
        pixels.write_bytes(b"".join(part.tobytes() for part in parts))
        shapes = [str(number) for part in parts for number in part.shape[:3]]
        done = run_program([program, str(SOURCE / "prove.js"), str(path), str(pixels), str(found), *shapes], _SECONDS)
        if done.returncode:
            why = first_line(done.stderr, "Error")
            raise InputError(f"{program} cannot run the page's network ({why}); no file was written")
        return np.frombuffer(found.read_bytes(), "<f8").reshape(sum(map(len, parts)), -1)

    return compute
