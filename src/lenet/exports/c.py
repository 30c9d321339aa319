"""A network as one C99 file that needs nothing but a compiler and math.h: no memory allocation, no other files.

The file holds its own test: check images with the probabilities that lenet computes.
"""

from collections.abc import Sequence
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.exports.c_code import Body
from lenet.exports.c_int8 import integer_body
from lenet.exports.c_layers import layer_of
from lenet.exports.c_program import Node, Program
from lenet.exports.c_text import array, comment, real, string
from lenet.exports.fit import tall_first
from lenet.exports.network import Exported
from lenet.exports.quantized import Quantized
from lenet.exports.steps import Residual, Step

CHECKS = 4  # check images
MAX_SIDE = 4096  # default; the file refuses larger images. LENET_MAX_SIDE changes it, up to _HIGHEST_SIDE
_HIGHEST_SIDE = 16384


def c_text(
    exported: Exported, images: NDArray[np.uint8], wanted: NDArray[np.floating], integers: Quantized | None = None
) -> str:
    """The C file.

    images: uint8 [CHECKS, size, size, C], the check images
    wanted: [CHECKS + 2, classes]: their probabilities, and those of all their bytes as one tall and as one wide image
    integers: the network in 8-bit integers, which the file then contains instead of the float one
    """
    body = integer_body(integers) if integers else _float_body(exported)
    parts = [
        _header(exported, body, int8=integers is not None),
        _declarations(exported),
        "#ifndef LENET_DECLARATIONS\n",
        _definitions(exported),
        body.text,
        _network(body.logits),
        Path(__file__).with_name("fit.c").read_text(encoding="utf-8"),
        _checks(images, wanted, body.logits if integers else ""),
        Path(__file__).with_name("check.c").read_text(encoding="utf-8"),
        "#endif\n",
    ]
    return "\n".join(parts)


def c_use(exported: Exported) -> str:
    """How the file is used, in a line."""
    side, _, channels = exported.input_shape
    return (
        f"lenet_classify: {'grey' if channels == 1 else 'RGB'} images up to {MAX_SIDE}x{MAX_SIDE}; "
        f"lenet_classify_fitted: {side}x{side}"
    )


def _float_body(exported: Exported) -> Body:
    program = Program({"float": ("lenet_a", "lenet_b", "lenet_c", "lenet_d")})
    pixels = program.value("float", prod(exported.input_shape))
    logits = program.run(_nodes(exported.steps), pixels)
    run = "\n    ".join(program.calls)
    text = [
        array("float", "lenet_mean", exported.mean) + array("float", "lenet_deviation", exported.std),
        program.definitions(),
        *program.functions,
        f"""\
static void lenet_run(const uint8_t *pixels) {{
    for (int i = 0; i < LENET_SIDE * LENET_SIDE; ++i)
        for (int c = 0; c < LENET_CHANNELS; ++c)
            {pixels.array}[i * LENET_CHANNELS + c] =
                ((float)pixels[i * LENET_CHANNELS + c] / 255.0f - lenet_mean[c]) / lenet_deviation[c];
    {run}
}}
""",
    ]
    return Body("\n".join(text), logits.array, program.constants, program.variables)


def _nodes(steps: Sequence[Step]) -> list[Node]:
    return [
        Node(
            step,
            partial(layer_of, step),
            "float",
            (_nodes(step.body), _nodes(step.shortcut)) if isinstance(step, Residual) else (),
        )
        for step in steps
    ]


def _header(exported: Exported, body: Body, *, int8: bool) -> str:
    origin, (side, _, channels) = exported.provenance, exported.input_shape
    fitting = 2 * 4 * (2 * MAX_SIDE + 6 * side) + side * side * channels
    accuracy = "" if origin.test_accuracy is None else f", test accuracy {100 * origin.test_accuracy:.2f}%"
    if accuracy and int8:
        accuracy += " before quantization"
    more = (
        f"\n   Compiled for a processor with VNNI: {body.more:,} more bytes of static variables." if body.more else ""
    )
    sha256 = f"\n   SHA-256 of the images and labels: {comment(origin.data_sha256)}" if origin.data_sha256 else ""
    return f"""\
/* An image classifier, written by lenet {comment(origin.lenet)}: {len(exported.classes)} classes, \
{exported.colours} images, {side}x{side} pixels{", 8-bit integers" if int8 else ""}.

       float probabilities[LENET_CLASSES];
       int number = lenet_classify(pixels, height, width, probabilities);
       if (number >= 0) puts(lenet_class_names[number]);

   Compile with -O3 (and -march=native for the machine that compiles it), and link with -lm.
   In other files: #define LENET_DECLARATIONS, then #include this file.
   Test: cc -std=c99 -DLENET_TEST THIS_FILE -lm && ./a.out

   Memory: {body.bytes:,} bytes of constants; {body.variables:,} bytes of static variables for
   lenet_classify_fitted, and {fitting:,} more for lenet_classify, 16 times LENET_MAX_SIDE of them. Nothing is
   allocated; two calls must not run at the same time.{more}

   Network {origin.network} (seed {origin.seed}) trained on {comment(origin.data)}{accuracy}.{sha256} */
"""


def _declarations(exported: Exported) -> str:
    side, _, channels = exported.input_shape
    return f"""\
#ifndef LENET_CLASSES
#include <stdint.h>

#define LENET_CLASSES {len(exported.classes)}
#define LENET_SIDE {side}
#define LENET_CHANNELS {channels}
#define LENET_BAD_SIZE (-1) /* height or width is below 1 or above LENET_MAX_SIDE */
#define LENET_NULL (-2)     /* a pointer is NULL */

#ifndef LENET_MAX_SIDE
#define LENET_MAX_SIDE {MAX_SIDE}
#endif

#ifdef __cplusplus
extern "C" {{
#endif
extern const char *const lenet_class_names[LENET_CLASSES]; /* UTF-8 */

/* Both return the number of the most probable class, or a negative error. pixels: {_pixels(channels)}, rows
   first. probabilities: LENET_CLASSES values, which are set; they are calibrated and add up to 1. */

/* An image of any size up to LENET_MAX_SIDE, brought to the network's size (fit: {exported.fit}). */
int lenet_classify(const uint8_t *pixels, int height, int width, float *probabilities);

/* An image of LENET_SIDE x LENET_SIDE pixels. */
int lenet_classify_fitted(const uint8_t *pixels, float *probabilities);
#ifdef __cplusplus
}}
#endif
#endif
"""


def _pixels(channels: int) -> str:
    return "one byte per pixel" if channels == 1 else "red, green and blue bytes per pixel"


def _definitions(exported: Exported) -> str:
    names = ",\n    ".join(map(string, exported.classes))
    return f"""\
#include <limits.h>
#include <math.h>
#include <stddef.h>

#if INT_MAX < 2147483647
#error "int must have 32 bits"
#endif
#if LENET_MAX_SIDE < 1 || LENET_MAX_SIDE > {_HIGHEST_SIDE}
#error "LENET_MAX_SIDE must be 1 to {_HIGHEST_SIDE}"
#endif
#define LENET_CROP 0
#define LENET_PAD 1
#define LENET_SQUASH 2
#define LENET_FIT LENET_{exported.fit.upper()}
#define LENET_TALL_FIRST {int(tall_first())}
#define LENET_TEMPERATURE {real(exported.temperature)}

const char *const lenet_class_names[LENET_CLASSES] = {{
    {names},
}};
"""


def _network(logits: str) -> str:
    return f"""\
int lenet_classify_fitted(const uint8_t *pixels, float *probabilities) {{
    int best = 0;
    float total = 0.0f;
    if (!pixels || !probabilities)
        return LENET_NULL;
    lenet_run(pixels);
    for (int k = 1; k < LENET_CLASSES; ++k)
        if ({logits}[k] > {logits}[best])
            best = k;
    for (int k = 0; k < LENET_CLASSES; ++k)
        total += probabilities[k] = expf(({logits}[k] - {logits}[best]) / LENET_TEMPERATURE);
    for (int k = 0; k < LENET_CLASSES; ++k)
        probabilities[k] /= total;
    return best;
}}
"""


def _checks(images: NDArray[np.uint8], wanted: NDArray[np.floating], logits: str) -> str:
    """logits: the array whose values the test program prints too, for images from a file; empty: none."""
    rows = wanted.astype(np.float32)
    printed = f"#define LENET_LOGITS {logits}\n" if logits else ""
    return f"""\
#ifdef LENET_TEST
#define LENET_CHECKS {CHECKS}
#define LENET_TOLERANCE 1e-5f
{printed}
{array("uint8_t", "lenet_check_pixels", images)}
static const float lenet_check_wanted[LENET_CHECKS + 2][LENET_CLASSES] = {{
{chr(10).join("    {" + ", ".join(map(real, row)) + "}," for row in rows)}
}};
#endif
"""
