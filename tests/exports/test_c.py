"""The C file: no warnings, the network's probabilities, Pillow's pixels, no wrong memory accesses."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from lenet.data.fit import FITS
from lenet.errors import InputError
from lenet.exports import c_run
from lenet.exports.c_text import array, comment, real, string
from lenet.exports.fit import tall_first as installed
from lenet.exports.formats import FORMATS
from lenet.exports.network import read_network
from lenet.exports.proof import prove
from lenet.exports.quantize import quantized
from lenet.files import temporary

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wshadow", "-Wmissing-prototypes", "-Werror")
needs_compiler = pytest.mark.skipif(c_run.c_compiler() is None, reason="there is no C compiler")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.fixture
def written(write):
    """A function that writes a network as net.c and returns the path."""
    return partial(write, ".c")


@pytest.fixture
def c_program(tmp_path):
    """A function that compiles net.c together with a main program and runs it; returns its standard output."""

    def run(path, main, *flags, arguments=()):
        source, program = tmp_path / "main.c", tmp_path / "main"
        source.write_text(
            f'#define LENET_DECLARATIONS\n#include "net.c"\n#include <stdio.h>\n#include <stdlib.h>\n{main}'
        )
        command = [*c_run.c_compiler(), "-std=c99", "-O2", *flags, str(path), str(source), "-o", str(program), "-lm"]
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@needs_compiler
def test_every_kind_of_layer(any_network, some_images, as_exported, written, tmp_path):
    described = as_exported(any_network)
    compute = c_run.c_computer(written(described, any_network, some_images), tmp_path)
    proof = prove(described, any_network, compute, some_images, np.arange(20), any_size=True)
    assert (proof.images, proof.sizes) == (20, 16)


COMPILERS = {
    "gcc": ["-O2"],  # whose warnings depend on what its optimizer sees
    "clang": ["-fsyntax-only"],
    "arm-none-eabi-gcc": ["-mcpu=cortex-m4", "-O2"],
}


@pytest.fixture(params=COMPILERS)
def no_warnings(request):
    """A function that compiles a file with all warnings as errors."""
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")

    def compile(path, *flags):
        command = [request.param, *WARNINGS, *COMPILERS[request.param], *flags, "-c", str(path), "-o", os.devnull]
        built = subprocess.run(command, capture_output=True, text=True)
        assert (built.returncode, built.stderr) == (0, "")

    return compile


def test_no_warnings(any_network, some_images, as_exported, written, no_warnings):
    no_warnings(written(as_exported(any_network), any_network, some_images), "-DLENET_TEST")


@pytest.mark.parametrize("any_network", ["maps to classes"], indirect=True)
@pytest.mark.parametrize("fit", FITS)
def test_no_warnings_of_any_fit(any_network, fit, some_images, as_exported, written, no_warnings):
    path = written(as_exported(any_network, fit=fit), any_network, some_images)
    for flags in ([], ["-DLENET_TEST"]):
        no_warnings(path, *flags)


PRINT_PIXELS = """
int main(int count, char **arguments) {
    static unsigned char image[200 * 200 * 3];
    static float probabilities[LENET_CLASSES];
    FILE *file = fopen(arguments[1], "rb");
    int height, width, total = 0;
    if (count != 2 || !file) return 1;
    while (fread(&height, 4, 1, file) == 1 && fread(&width, 4, 1, file) == 1) {
        if (fread(image, 3, (size_t)height * (size_t)width, file) != (size_t)height * (size_t)width) return 2;
        if (lenet_classify(image, height, width, probabilities) < 0) return 3;
        for (int k = 0; k < LENET_CLASSES; ++k) printf("%.9g ", (double)probabilities[k]);
        ++total;
    }
    return fclose(file);
}
"""


@needs_compiler
@pytest.mark.parametrize("tall_first", [True, False])
@pytest.mark.parametrize("fit", FITS)
def test_images_of_any_size_are_fitted_pixel_for_pixel(
    fit, tall_first, write_of_pixels, shows_fitted, other_sizes, c_program, tmp_path, monkeypatch
):
    side = 16
    monkeypatch.setattr("lenet.exports.c.tall_first", lambda: tall_first)
    path = write_of_pixels(".c", side, fit)
    images = list(other_sizes(side))
    with (tmp_path / "images").open("wb") as file:
        for image in images:
            file.write(np.array(image.shape[1:3], np.int32).tobytes() + image.tobytes())
    found = np.array(c_program(path, PRINT_PIXELS, arguments=[tmp_path / "images"]).split(), np.float64)
    rows = zip(found.reshape(len(images), -1), images, strict=True)
    same = all(shows_fitted(row, image, side, fit) for row, image in rows)
    assert same == (tall_first == installed())


HOSTILE = """
int main(void) {
    float probabilities[LENET_CLASSES];
    static const int sizes[] = {0, -1, 1, 2, 3, 15, 16, 17, 63, 64, 65, INT_MAX, INT_MIN, INT_MAX / 2 + 1};
    const int count = (int)(sizeof sizes / sizeof *sizes);
    if (lenet_classify(NULL, 16, 16, probabilities) != LENET_NULL) return 1;
    if (lenet_classify_fitted(NULL, probabilities) != LENET_NULL) return 2;
    for (int i = 0; i < count; ++i)
        for (int k = 0; k < count; ++k) {
            const int height = sizes[i], width = sizes[k];
            const int fine = height > 0 && width > 0 && height <= LENET_MAX_SIDE && width <= LENET_MAX_SIDE;
            /* exactly as many bytes as the image has, on the heap, where a read beyond them is seen */
            const size_t bytes = fine ? (size_t)height * (size_t)width * LENET_CHANNELS : 1;
            unsigned char *pixels = malloc(bytes);
            for (size_t j = 0; j < bytes; ++j) pixels[j] = (unsigned char)(j * 37);
            const int number = lenet_classify(pixels, height, width, probabilities);
            if (fine ? number < 0 || number >= LENET_CLASSES : number != LENET_BAD_SIZE) return 3;
            if (fine && lenet_classify(pixels, height, width, NULL) != LENET_NULL) return 4;
            free(pixels);
        }
    return 0;
}
"""


@pytest.mark.parametrize("any_network", ["norm before zeros"], indirect=True)
@needs_compiler
@pytest.mark.parametrize("fit", FITS)
def test_hostile_sizes_read_nothing_beyond_the_image(fit, any_network, some_images, as_exported, written, c_program):
    path = written(as_exported(any_network, fit=fit), any_network, some_images)
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
    c_program(path, f"#include <limits.h>\n{HOSTILE}", "-DLENET_MAX_SIDE=64", *sanitizers)


@pytest.mark.parametrize("any_network", ["norm before zeros"], indirect=True)
@needs_compiler
def test_hostile_sizes_for_a_file_of_integers(any_network, some_images, as_exported, c_program, tmp_path):
    described = as_exported(any_network)
    content = FORMATS[".c"].int8.written(described, quantized(described, some_images), some_images, "any")
    path = tmp_path / "net.c"
    path.write_bytes(content)
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
    c_program(path, f"#include <limits.h>\n{HOSTILE}", "-DLENET_MAX_SIDE=64", *sanitizers)


@pytest.mark.parametrize("any_network", ["norm before zeros"], indirect=True)
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("-Ofast", "compile without -ffast-math"),
        ("-D__RECIPROCAL_MATH__", "compile without -ffast-math"),  # as -freciprocal-math defines it
        ("-D__FLT_EVAL_METHOD__=2", "compile with -msse2 -mfpmath=sse"),  # as -mfpmath=387 defines it
    ],
)
@needs_compiler
def test_arithmetic_that_would_differ_is_refused_for_integers(
    flag, message, any_network, some_images, as_exported, tmp_path
):
    described = as_exported(any_network)
    path = tmp_path / "net.c"
    path.write_bytes(FORMATS[".c"].int8.written(described, quantized(described, some_images), some_images, "any"))
    command = [*c_run.c_compiler(), "-std=c99", flag, "-c", str(path), "-o", os.devnull]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode
    assert message in built.stderr


@pytest.mark.parametrize("any_network", ["norm before zeros"], indirect=True)
@needs_compiler
def test_the_largest_images(any_network, some_images, as_exported, written, c_program):
    main = """
    int main(void) {
        float probabilities[LENET_CLASSES];
        unsigned char *pixels = calloc((size_t)LENET_MAX_SIDE * 4, LENET_CHANNELS);
        if (lenet_classify(pixels, LENET_MAX_SIDE, 4, probabilities) < 0) return 1;
        if (lenet_classify(pixels, 4, LENET_MAX_SIDE, probabilities) < 0) return 2;
        if (lenet_classify(pixels, LENET_MAX_SIDE + 1, 1, probabilities) != LENET_BAD_SIZE) return 3;
        free(pixels);
        return 0;
    }"""
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    for fit in ("crop", "pad"):
        path = written(as_exported(any_network, fit=fit), any_network, some_images)
        c_program(path, main, "-DLENET_MAX_SIDE=16384", *sanitizers)


@pytest.mark.parametrize("any_network", ["norm before zeros"], indirect=True)
@needs_compiler
def test_a_side_that_would_overflow_does_not_compile(any_network, some_images, as_exported, written):
    path = written(as_exported(any_network), any_network, some_images)
    command = [*c_run.c_compiler(), "-std=c99", "-c", "-DLENET_MAX_SIDE=16385", str(path), "-o", os.devnull]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode
    assert "LENET_MAX_SIDE must be 1 to 16384" in built.stderr


@pytest.mark.parametrize("any_network", ["norm before zeros"], indirect=True)
@needs_compiler
def test_the_file_checks_itself(any_network, some_images, as_exported, written, tmp_path):
    path = written(as_exported(any_network), any_network, some_images)
    text = path.read_text()
    program = str(tmp_path / "net")

    def check():
        subprocess.run([*c_run.c_compiler(), "-std=c99", "-DLENET_TEST", str(path), "-o", program, "-lm"], check=True)
        return subprocess.run([program], capture_output=True, text=True)

    done = check()
    assert (done.returncode, done.stdout.count("equal"), done.stdout.count("DIFFERENT")) == (0, 10, 0), done.stdout
    path.write_text(re.sub(r"(_bias\[\d+\] = \{\n +)", r"\g<1>9.0f + ", text))
    done = check()
    assert (done.returncode, "DIFFERENT" in done.stdout) == (1, True), done.stdout
    with pytest.raises(InputError, match="the file's own check fails"):
        c_run.c_computer(path, tmp_path)
    path.write_text(text.replace("float total", "flaot total"))
    with pytest.raises(InputError, match="does not compile the file"):
        c_run.c_computer(path, tmp_path)
    assert subprocess.run([program, "nothing", "16", "16"]).returncode == 2
    assert subprocess.run([program, "two", "arguments"]).returncode == 2


@needs_compiler
def test_class_names(digits_run, digits, written, c_program):
    names = ('a"b', "ü√", "\\n", "??/", "%s", "*/", "a\nb", "7" * 300, "\x01" + "2", "")
    checkpoint = digits_run.checkpoint()
    described = replace(read_network(digits_run, checkpoint, 0), classes=names)
    path = written(described, checkpoint.networks[0], digits.images[:4])
    main = """
    int main(void) {
        for (int k = 0; k < LENET_CLASSES; ++k) {
            fputs(lenet_class_names[k], stdout);
            putchar(0);
        }
        return 0;
    }"""
    assert c_program(path, main, *WARNINGS[1:]) == "".join(f"{name}\0" for name in names)


def test_names_in_comments_do_not_end_them(digits_run, digits, written):
    checkpoint = digits_run.checkpoint()
    described = read_network(digits_run, checkpoint, 0)
    evil = replace(described.provenance, data="a*/ int x; /*??/ü")
    path = written(replace(described, provenance=evil), checkpoint.networks[0], digits.images[:4])
    assert "trained on a* / int x; / *? ?/?" in path.read_text()


def test_without_a_compiler_there_is_no_computer(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert c_run.c_compiler() is None
    assert c_run.c_computer(tmp_path / "net.c", tmp_path) is None
    (tmp_path / "mycc").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "mycc").chmod(0o755)
    monkeypatch.setenv("CC", "mycc -m32")
    assert c_run.c_compiler() == ["mycc", "-m32"]
    with pytest.raises(
        InputError, match=r"mycc -m32 does not compile the file \(no message\): set CC to a C99 compiler"
    ):
        c_run.c_computer(tmp_path / "net.c", tmp_path)


@pytest.mark.parametrize("words", ["x.c:3: Fehler", "In function main:\nx.c:3: error: no\nstopped"])
def test_what_a_compiler_says_is_shown_with_the_name_of_the_user_s_file(tmp_path, monkeypatch, words):
    file = temporary(tmp_path / "net.c")
    file.touch()
    (tmp_path / "words").write_text(words.replace("x.c", str(file)) + "\n\n")
    (tmp_path / "mycc").write_text(f"#!/bin/sh\ncat {tmp_path}/words >&2\nexit 1\n")
    (tmp_path / "mycc").chmod(0o755)
    monkeypatch.setenv("CC", str(tmp_path / "mycc"))
    shown = next(line for line in words.splitlines() if "x.c" in line).replace("x.c", str(tmp_path / "net.c"))
    with pytest.raises(InputError, match=re.escape(f"does not compile the file ({shown}): set CC")):
        c_run.c_computer(file, tmp_path)


def test_a_compiler_that_is_not_found_is_refused(monkeypatch):
    monkeypatch.setenv("CC", "no-such-cc -m32")
    with pytest.raises(InputError, match="CC=no-such-cc -m32 is not found: set CC to a C99 compiler, or unset it"):
        c_run.c_compiler()
    monkeypatch.setenv("CC", " ")
    empty = c_run.c_compiler()
    monkeypatch.delenv("CC")
    assert c_run.c_compiler() == empty


def test_a_compiler_that_is_no_command_is_refused(monkeypatch):
    monkeypatch.setenv("CC", "'")
    with pytest.raises(InputError, match="CC is not a command"):
        c_run.c_compiler()


def test_literals():
    assert [real(value) for value in (1, -0.0, 0.1, 1e-45, 3e38, -2.5)] == [
        "1.0f", "-0.0f", "0.100000001f", "1.40129846e-45f", "3.00000001e+38f", "-2.5f",
    ]  # fmt: skip
    values = np.random.default_rng(0).normal(0, 1, 1000).astype(np.float32)
    assert all(np.float32(real(value)[:-1]) == value for value in values)
    assert string('a"\\?ü7') == r'"a\042\134\077\303\2747"'
    assert comment("*/*/ ??? ü\n") == "* / * / ? ? ? ??".replace("??", "? ?")
    assert array("int16_t", "x", np.arange(3)) == "static const int16_t x[3] = {\n    0, 1, 2,\n};\n"
