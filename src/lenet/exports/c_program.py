"""The functions of a network's steps as one C program: their calls in order, and the arrays that values are kept in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from lenet.exports.c_code import Layer, function
from lenet.exports.steps import Step


@dataclass(frozen=True)
class Node:
    """One step of a program.

    write: its function's name -> its C code, None if it changes nothing; gives: the C type of the values it gives
    branches: of a sum, the steps whose results for the same input it adds
    """

    step: Step
    write: Callable[[str], Layer | None]
    gives: str
    branches: tuple[Sequence["Node"], ...] = ()


@dataclass(frozen=True)
class Value:
    """The input, or what a step gives: the array that it is in, and the C type."""

    array: str
    kind: str


class Program:
    """Functions and calls. A value takes the first array that has no value which is still needed.

    arrays: names of the arrays of each C type
    functions, calls: C text; constants: bytes of the functions' constants; more: see `Layer`
    """

    def __init__(self, arrays: Mapping[str, Sequence[str]]) -> None:
        self._arrays = arrays
        self._needed: set[str] = set()
        self._sizes: dict[str, int] = {}
        self._steps = 0
        self._variables = 0
        self.more = 0
        self.functions: list[str] = []
        self.calls: list[str] = []
        self.constants = 0

    def value(self, kind: str, count: int) -> Value:
        """An array for `count` values, which are needed until `run` releases them."""
        array = next(array for array in self._arrays[kind] if array not in self._needed)
        self._needed.add(array)
        self._sizes[array] = max(self._sizes.get(array, 1), count)
        return Value(array, kind)

    def run(self, nodes: Sequence[Node], x: Value, *, keep: bool = False) -> Value:
        """What the steps give for x. keep: x is needed afterwards; otherwise its array may be used again."""
        kept = {x.array} if keep else set()
        for node in nodes:
            inputs = [self.run(branch, x, keep=True) for branch in node.branches] or [x]
            self._steps += 1
            name = f"lenet_step{self._steps}"
            layer = node.write(name)
            if layer is None:
                continue
            if x not in inputs:
                self._needed -= {x.array} - kept
            over = layer.in_place and x.array not in kept
            y = x if over else self.value(node.gives, prod(node.step.output))
            self._call(node.step, layer, name, inputs, y)
            self._needed -= {one.array for one in inputs} - {y.array} - kept
            x = y
        return x

    def _call(self, step: Step, layer: Layer, name: str, inputs: Sequence[Value], y: Value) -> None:
        if layer.in_place:
            arguments, given = f"{y.kind} *x", [y]
            if inputs[0] != y:
                count = prod(step.input)
                self.calls.append(f"for (int i = 0; i < {count}; ++i)\n        {y.array}[i] = {inputs[0].array}[i];")
        else:
            names = zip(inputs, ("x", "z"), strict=False)
            arguments = "".join(f"const {one.kind} *restrict {letter}, " for one, letter in names)
            arguments, given = f"{arguments}{y.kind} *restrict y", [*inputs, y]
        self.functions.append(function(step, layer, name, arguments))
        self.calls.append(f"{name}({', '.join(one.array for one in given)});")
        self.constants += layer.bytes
        self._variables += layer.variables
        self.more += layer.more

    def definitions(self) -> str:
        """The arrays as C text."""
        return "".join(
            f"static {kind} {', '.join(f'{array}[{self._sizes[array]}]' for array in used)};\n"
            for kind, arrays in self._arrays.items()
            if (used := [array for array in arrays if array in self._sizes])
        )

    @property
    def variables(self) -> int:
        """Bytes of the arrays and of the functions' static variables."""
        bytes_of = {"uint8_t": 1, "float": 4}
        kinds = {array: kind for kind, arrays in self._arrays.items() for array in arrays}
        return self._variables + sum(count * bytes_of[kinds[array]] for array, count in self._sizes.items())
