"""Compiling a written C file and running its program, for the proof."""

import os
import shlex
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.exports.program import first_line, run_program
from lenet.exports.proof import Compute
from lenet.files import made_for

_SECONDS = 600  # for a compilation, or for classifying some images
_MEASURED, _TIMES = "0.2", 3  # seconds of a measurement of speed, and how many there are; the fastest counts


def c_compiler() -> list[str] | None:
    """The command of a C compiler: $CC, otherwise cc, gcc or clang; None if there is none.

    Raises InputError if CC is no command or is not found: another compiler would prove another program.
    """
    try:
        words = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise InputError(f"CC is not a command ({error}): set CC to a C99 compiler, or unset it") from None
    if words and not shutil.which(words[0]):
        raise InputError(f"CC={shlex.join(words)} is not found: set CC to a C99 compiler, or unset it")
    return words or next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def c_computer(path: Path, scratch: Path, *, integers: bool = False) -> Compute | None:
    """Runs the file's test program, whose own check it runs first; None without a compiler.

    scratch: a folder for the program and its images, which must last as long as the function is used
    integers: runs a second program too, compiled for this processor, whose logits must be equal

    Raises InputError if the file does not compile or its check fails, or if the two programs differ.
    """
    compiler = c_compiler()
    if compiler is None:
        return None
    programs, raw = [scratch / "program"], scratch / "images"
    _compile(compiler, ["-O2"], path, programs[0])
    if integers and (native := _native(compiler, scratch)):
        programs.append(scratch / "native-program")
        _compile(compiler, ["-O3", *native], path, programs[1])
    for program in programs:
        checked = run_program([str(program)], _SECONDS)
        if checked.returncode:
            wrong = next(
                (line for line in checked.stdout.splitlines() if "DIFFERENT" in line),
                first_line(checked.stderr, "error"),
            )
            raise InputError(f"the file's own check fails ({wrong}); no file was written")

    def compute(*parts: NDArray[np.uint8]) -> NDArray[np.floating]:
        return np.concatenate([of_one_size(part) for part in parts])

    def of_one_size(images: NDArray[np.uint8]) -> NDArray[np.floating]:
        raw.write_bytes(np.ascontiguousarray(images).tobytes())
        found, *others = (of_program(program, images) for program in programs)
        classes = found.shape[1] // 2
        if any(not np.array_equal(found[:, classes:], other[:, classes:]) for other in others):
            raise InputError("the file's logits are different when it is compiled with -O3 -march=native; no file was "
                             "written")  # fmt: skip
        return found

    def of_program(program: Path, images: NDArray[np.uint8]) -> NDArray[np.floating]:
        done = run_program([str(program), str(raw), *map(str, images.shape[1:3])], _SECONDS)
        if done.returncode:
            raise InputError(f"the file's program ended with exit code {done.returncode}; no file was written")
        found = np.array(done.stdout.split(), np.float64)
        if len(found) % len(images):
            raise InputError("the file's program does not give probabilities for each image; no file was written")
        return found.reshape(len(images), -1)

    return compute


def c_speed(path: Path, scratch: Path, images: NDArray[np.uint8]) -> float | None:
    """Images of the network's size per second, one at a time, compiled for this processor; None without a compiler."""
    compiler = c_compiler()
    if compiler is None:
        return None
    program, raw = scratch / "speed", scratch / "speed-images"
    _compile(compiler, ["-O3", *_native(compiler, scratch)], path, program)
    raw.write_bytes(np.ascontiguousarray(images).tobytes())
    found = [run_program([str(program), str(raw), _MEASURED], _SECONDS) for _ in range(_TIMES)]
    if any(done.returncode for done in found):
        raise InputError("the file's program cannot classify images from a file; no file was written")
    return max(float(done.stdout) for done in found)


def _native(compiler: list[str], scratch: Path) -> list[str]:
    """The option for the instructions of this processor; empty if the compiler has none."""
    source, option = scratch / "empty.c", "-march=native"
    source.write_text("int main(void) { return 0; }\n")
    built = run_program([*compiler, option, "-Werror", "-c", str(source), "-o", str(scratch / "empty.o")], _SECONDS)
    return [] if built.returncode else [option]


def _compile(compiler: list[str], options: list[str], path: Path, program: Path) -> None:
    shared = ["-std=c99", *options, "-DLENET_TEST", "-x", "c", str(path), "-o", str(program), "-lm"]
    built = run_program([*compiler, *shared], _SECONDS)
    if built.returncode:
        why = _fault(built.stderr).replace(path.name, made_for(path).name)
        raise InputError(f"{shlex.join(compiler)} does not compile the file ({why}): set CC to a C99 compiler")


def _fault(text: str) -> str:
    """The first line with "error"; without any, the last line: compilers may write in the user's language."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if "error" in line), lines[-1])
