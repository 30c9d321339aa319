"""Compiling a written C file and running its program, for the proof."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.exports.proof import Compute

_SECONDS = 600  # for a compilation, or for classifying some images


def c_compiler() -> list[str] | None:
    """The command of a C compiler: $CC, cc, gcc or clang; None if there is none."""
    for command in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(command)
        if words and shutil.which(words[0]):
            return words
    return None


def c_computer(path: Path, scratch: Path) -> Compute | None:
    """Runs the file's test program, whose own check it runs first; None without a compiler.

    scratch: a folder for the program and its images, which must last as long as the function is used

    Raises InputError if the file does not compile or its check fails.
    """
    compiler = c_compiler()
    if compiler is None:
        return None
    program, raw = scratch / "program", scratch / "images"
    shared = ["-std=c99", "-O2", "-DLENET_TEST", "-x", "c", str(path), "-o", str(program), "-lm"]
    built = _run([*compiler, *shared])
    if built.returncode:
        why = _first_line(built.stderr)
        raise InputError(f"{shlex.join(compiler)} does not compile the file ({why}): set CC to a C99 compiler")
    checked = _run([str(program)])
    if checked.returncode:
        wrong = next((line for line in checked.stdout.splitlines() if "DIFFERENT" in line), _first_line(checked.stderr))
        raise InputError(f"the file's own check fails ({wrong}); no file was written")

    def compute(images: NDArray[np.uint8]) -> NDArray[np.floating]:
        raw.write_bytes(np.ascontiguousarray(images).tobytes())
        done = _run([str(program), str(raw), *map(str, images.shape[1:3])])
        if done.returncode:
            raise InputError(f"the file's program ended with exit code {done.returncode}; no file was written")
        found = np.array(done.stdout.split(), np.float64)
        if len(found) % len(images):
            raise InputError("the file's program does not give probabilities for each image; no file was written")
        return found.reshape(len(images), -1)

    return compute


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"cannot run {command[0]} ({error})") from None


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if "error" in line), "no message")
