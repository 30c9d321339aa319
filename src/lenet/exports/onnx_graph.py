"""An ONNX graph in the making: nodes and constants."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np


class Graph:
    """Nodes and constants; the methods return the name of the value that they add."""

    def __init__(self, onnx: ModuleType) -> None:
        self._onnx = onnx
        self.nodes: list[Any] = []
        self._count = 0
        self.constants: list[Any] = []
        self._known: dict[tuple[Any, ...], str] = {}

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """The output of a new node."""
        self._count += 1
        name = output or f"{operator.lower()}_{self._count}"
        self.nodes.append(self._onnx.helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def constant(self, values: Any, kind: type[np.generic] = np.float32) -> str:
        """A constant; equal ones are stored once."""
        array = np.asarray(values, kind)
        key = (kind, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = f"constant_{len(self.constants)}"
            self.constants.append(self._onnx.numpy_helper.from_array(array, self._known[key]))
        return self._known[key]

    def whole(self, values: Any) -> str:
        """A constant of int64."""
        return self.constant(values, np.int64)

    def cast(self, value: str, kind: str) -> str:
        """`value` as FLOAT, DOUBLE or INT64."""
        return self.add("Cast", value, to=getattr(self._onnx.TensorProto, kind))

    def choose(self, condition: str, then: Callable[[], str], otherwise: Callable[[], str]) -> str:
        """The value that one of two functions adds; only the nodes of the one that bool [1] `condition` selects run."""
        branches = []
        for function in (then, otherwise):
            outer, self.nodes = self.nodes, []
            output = self._onnx.helper.make_empty_tensor_value_info(function())
            branches.append(self._onnx.helper.make_graph(self.nodes, f"branch_{self._count}", [], [output]))
            self.nodes = outer
        return self.add("If", condition, then_branch=branches[0], else_branch=branches[1])

    def joined(self, *sizes: str | int) -> str:
        """A shape: int64 [n] of constants and of values of shape [1]."""
        return self.add("Concat", *(self.whole([one]) if isinstance(one, int) else one for one in sizes), axis=0)
