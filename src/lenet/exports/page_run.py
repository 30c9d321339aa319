"""Running a written page's network with Node, for the proof."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.exports.page import SOURCE
from lenet.exports.proof import Compute

_SECONDS = 1800  # for some images


def page_computer(path: Path, scratch: Path) -> Compute | None:
    """Runs the JavaScript of the page, as it is in the file; None without Node.

    scratch: a folder for images and probabilities, which must last as long as the function is used
    """
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        return None
    pixels, found = scratch / "pixels", scratch / "probabilities"

    def compute(images: NDArray[np.uint8]) -> NDArray[np.floating]:
        pixels.write_bytes(np.ascontiguousarray(images).tobytes())
        sides = map(str, images.shape[1:3])
        command = [node, str(SOURCE / "prove.js"), str(path), str(pixels), *sides, str(found)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InputError(f"cannot run {node} ({error})") from None
        if done.returncode:
            why = next((line for line in done.stderr.splitlines() if "Error" in line), "no message")
            raise InputError(f"{node} cannot run the page's network ({why}); no file was written")
        return np.frombuffer(found.read_bytes(), "<f8").reshape(len(images), -1)

    return compute
