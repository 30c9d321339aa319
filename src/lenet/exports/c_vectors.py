"""The loops of `c_sums.py` for processors that multiply bytes four at a time: vectors hold the sums of eight outputs.

Weights are packed in the order of these vectors by a layer's first call. `integers.c` has the functions.
"""

from collections.abc import Sequence

from lenet.exports.c_code import indented, times
from lenet.exports.c_weights import LANES, Kernel, vectors_of
from lenet.exports.quantized import Weighted
from lenet.exports.steps import Conv


def conv_in_vectors(step: Weighted, conv: Conv, name: str, kernel: Kernel, columns: int) -> tuple[str, str]:
    """Static variables, and the loops for a row of outputs: one or two vectors of them at several places at once."""
    assert step.rescale.output
    outputs, side, size, vectors = conv.output[0], kernel.side, kernel.size, vectors_of(conv.output[0])
    together = 2 if vectors % 2 == 0 else 1
    block = _near_full(columns, max(1, {1: 8, 2: 6}[together] // side**2))  # 8 or 12 sums, of at least 16 registers
    # gcc moves all sums at the end of a loop, which therefore adds several products to each.
    fours = next(count for count in (4, 3, 2, 1) if -(-kernel.length // 4) % count == 0)
    places = [(dy, p * side + dx) for p in range(block) for dy in range(side) for dx in range(side)]
    bytes = [f"bytes{dy}{_plus(column * kernel.apart)}" for dy, column in places]
    start = f"{times('column', side * kernel.apart)} + i"
    pointers = [f"const uint8_t *bytes{dy} = lines[ky{_plus(dy * conv.stride[0])}] + {start};" for dy in range(side)]
    stored = []
    for p in range(block):
        for b in range(together):
            most, *others = [f"s{place}_{b}" for place in range(p * side**2, (p + 1) * side**2)]
            for other in others:
                most = f"_mm256_max_epi32({most}, {other})"
            to, count = f"to{_plus(p * outputs + LANES * b)}", _stored(outputs, b)
            stored.append(f"lenet_bytes({most}, {name}_divisor + first{_plus(LANES * b)}, {step.rescale.low}, "
                          f"{step.rescale.output.zero}, {to}, {count});")  # fmt: skip
    loops = f"""\
for (int begin = 0; begin < {columns}; begin += {block}) {{
    const int column = begin < {columns - block} ? begin : {columns - block};
    for (int first = 0; first < {LANES * vectors}; first += {LANES * together}) {{
        uint8_t *to = y + (row * {columns} + column) * {outputs} + first;
{indented(_first_sums(name, together, len(places)), 8)}
        for (int ky = 0; ky < {kernel.rows}; ++ky)
            for (int i = 0; i < {kernel.length}; i += {4 * fours}) {{
{indented(pointers, 16)}
                const int8_t *weights = packed + first * {size} + (ky * {kernel.slot} + i) * {LANES};
{indented(_products(size, together, bytes, fours), 16)}
            }}
{indented(stored, 8)}
    }}
}}"""
    return _packing(name, outputs, size), loops


def linear_in_vectors(name: str, outputs: int, size: int) -> str:
    """The loops that set `sums` to those of the bytes `wide`. size: of the padded inputs."""
    blocks = vectors_of(outputs)
    together = _near_full(blocks, 8)
    return f"""\
{_packing(name, outputs, size)}
for (int begin = 0; begin < {blocks}; begin += {together}) {{
    const int first = {LANES} * (begin < {blocks - together} ? begin : {blocks - together});
{indented(_first_sums(name, together, 1), 4)}
    for (int i = 0; i < {size}; i += 8) {{
        const int8_t *weights = packed + first * {size} + i * {LANES};
{indented(_products(size, together, ["wide + i"], 2), 8)}
    }}
{indented([f"_mm256_storeu_si256((void *)(sums + first + {LANES * b}), s0_{b});" for b in range(together)], 4)}
}}"""


def packed_bytes(outputs: int, size: int) -> int:
    """The bytes of weights in the order of vectors."""
    return LANES * vectors_of(outputs) * size


def _near_full(count: int, most: int) -> int:
    """The largest part of at most `most` with which parts cover `count` with little computed twice."""
    parts = range(1, min(count, most) + 1)
    return max(parts, key=lambda part: (-(-count // part) * part <= 1.25 * count, part))


def _packing(name: str, outputs: int, size: int) -> str:
    """The weights in the order of vectors, packed by the first call."""
    return f"""\
static int8_t packed[{packed_bytes(outputs, size)}];
static int ready;
if (!ready)
    lenet_pack({name}_weight, {outputs}, {size}, packed);
ready = 1;"""


def _first_sums(name: str, together: int, places: int) -> list[str]:
    """The variables of the sums, a vector for each place and eight outputs, which begin with the bias."""
    return [
        f"__m256i s0_{b} = lenet_load({name}_bias + first{_plus(LANES * b)})"
        + "".join(f", s{place}_{b} = s0_{b}" for place in range(1, places))
        + ";"
        for b in range(together)
    ]


def _products(size: int, together: int, places: Sequence[str], fours: int) -> list[str]:
    """Four inputs of each place times their weights of each vector, added to the sums; then the next four."""
    return [
        line
        for four in range(fours)
        for b in range(together)
        for line in (
            f"const __m256i w{four}_{b} = lenet_load(weights{_plus(LANES * (b * size + 4 * four))});",
            *(
                f"s{n}_{b} = lenet_dot(s{n}_{b}, {bytes}{_plus(4 * four)}, w{four}_{b});"
                for n, bytes in enumerate(places)
            ),
        )
    ]


def _stored(outputs: int, b: int) -> str:
    """How many bytes of vector b are outputs."""
    rest = outputs % LANES
    if rest == 0:
        return str(LANES)
    return f"first + {LANES * (b + 1)} <= {outputs} ? {LANES} : {rest}"


def _plus(offset: int) -> str:
    return f" + {offset}" if offset else ""
