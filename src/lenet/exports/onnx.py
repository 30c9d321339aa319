"""A network as one ONNX file: the fit of the image, the normalisation, the layers, the calibrated softmax.

Only operators of opset 17 are used, which ONNX Runtime supports since version 1.12.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.errors import InputError
from lenet.exports.network import Exported, metadata
from lenet.exports.onnx_fit import as_maps, fitted
from lenet.exports.onnx_graph import Graph
from lenet.exports.onnx_int8 import integer_layers
from lenet.exports.onnx_layers import conv, max_pool
from lenet.exports.proof import Compute, in_batches
from lenet.exports.quantized import Quantized
from lenet.exports.steps import Activation, AveragePool, Conv, Flatten, Linear, MaxPool, Residual, Scale, Span, Step

Input = Literal["any", "network"]
INPUTS: tuple[Input, ...] = ("any", "network")
_OPSET, _IR = 17, 8
_TIMES = 10  # that speed is measured; the fastest counts


def onnx_bytes(exported: Exported, takes: Input = "any", integers: Quantized | None = None) -> bytes:
    """The ONNX file.

    takes: "any": images of any height and width, uint8 [N, H, W, C]; "network": of the network's size
    integers: the network in 8-bit integers, which the file then contains instead of the float one

    Its outputs are float32 [N, classes]: probabilities, calibrated, and logits. Raises InputError if onnx is missing.
    """
    with _installed():
        import onnx
    graph = Graph(onnx)
    height, width, channels = exported.input_shape
    x = fitted(graph, exported) if takes == "any" else as_maps(graph)
    x = integer_layers(graph, integers, x) if integers else _float_layers(graph, exported, x)
    logits = graph.add("Identity", x, output="logits")
    scaled = graph.add("Div", logits, graph.constant(exported.temperature))
    graph.add("Softmax", scaled, axis=-1, output="probabilities")

    kinds, info = onnx.TensorProto, onnx.helper.make_tensor_value_info
    sides = ["height", "width"] if takes == "any" else [height, width]
    outputs = [info(name, kinds.FLOAT, ["images", len(exported.classes)]) for name in ("probabilities", "logits")]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes, "lenet", [info("image", kinds.UINT8, ["images", *sides, channels])], outputs, graph.constants,
            doc_string=f"A lenet network: {onnx_use(exported, takes)}.",
        ),
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
        ir_version=_IR, producer_name="lenet", producer_version=exported.provenance.lenet,
    )  # fmt: skip
    onnx.helper.set_model_props(model, metadata(exported) | {"arithmetic": "int8" if integers else "float32"})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def onnx_computer(path: Path, *, logits: bool = False) -> Compute:
    """Runs the file with ONNX Runtime. logits: give these too, after the probabilities.

    Raises InputError if onnxruntime is missing.
    """
    session = _session(path)
    names = ["probabilities", "logits"] if logits else ["probabilities"]
    return in_batches(lambda images: np.concatenate(session.run(names, {"image": images}), axis=1))


def onnx_speed(path: Path, images: NDArray[np.uint8]) -> float:
    """Images per second on one core, all of `images` in one call."""
    session = _session(path, threads=1)

    def seconds() -> float:
        start = perf_counter()
        session.run(["probabilities"], {"image": images})
        return perf_counter() - start

    return len(images) / min(seconds() for _ in range(_TIMES))


def _session(path: Path, threads: int = 0) -> Any:
    with _installed():
        import onnxruntime as runtime
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = threads  # 0: one per core
    return runtime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


@contextmanager
def _installed() -> Iterator[None]:
    """Raises InputError if the block imports a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f'.onnx files need {error.name}: pip install "lenet[export]"') from None


def onnx_use(exported: Exported, takes: Input) -> str:
    """What the file takes and gives."""
    side, _, channels = exported.input_shape
    sides = "height, width" if takes == "any" else f"{side}, {side}"
    return f"image, uint8 [images, {sides}, {channels}] ({exported.colours}), to probabilities and logits"


# The layers.


def _float_layers(graph: Graph, exported: Exported, x: str) -> str:
    x = graph.add("Div", x, graph.constant(255))
    x = graph.add("Sub", x, graph.constant(exported.mean[:, None, None]))
    x = graph.add("Div", x, graph.constant(exported.std[:, None, None]))
    return _through(graph, exported.steps, x)


def _through(graph: Graph, steps: Sequence[Step], x: str) -> str:
    for step in steps:
        x = _step(graph, step, x)
    return x


def _step(graph: Graph, step: Step, x: str) -> str:
    if isinstance(step, Conv):
        return conv(graph, step, x, graph.constant(step.weight), graph.constant(step.bias))
    if isinstance(step, Linear):
        return graph.add("Gemm", x, graph.constant(step.weight), graph.constant(step.bias), transB=1)
    if isinstance(step, Scale):
        shape = (-1, 1, 1)[: len(step.input)]
        x = graph.add("Mul", x, graph.constant(step.factor.reshape(shape)))
        return graph.add("Add", x, graph.constant(step.shift.reshape(shape)))
    if isinstance(step, Activation):
        return _activation(graph, step, x)
    if isinstance(step, MaxPool):
        return max_pool(graph, step, x)
    if isinstance(step, AveragePool):
        return _average_pool(graph, step, x)
    if isinstance(step, Residual):
        return graph.add("Add", _through(graph, step.body, x), _through(graph, step.shortcut, x))
    assert isinstance(step, Flatten), step.where
    return graph.add("Flatten", x, axis=1)


def _activation(graph: Graph, step: Activation, x: str) -> str:
    if step.function in ("relu", "tanh"):
        return graph.add("Relu" if step.function == "relu" else "Tanh", x)
    if step.function == "leaky_relu":
        return graph.add("LeakyRelu", x, alpha=step.slope)
    half, one = graph.constant(0.5), graph.constant(1)
    if step.function == "gelu":
        inner = graph.add("Erf", graph.add("Mul", x, graph.constant(np.sqrt(0.5))))
    else:
        cube = graph.add("Mul", graph.add("Mul", x, x), x)
        inner = graph.add("Add", x, graph.add("Mul", cube, graph.constant(0.044715)))
        inner = graph.add("Tanh", graph.add("Mul", inner, graph.constant(np.sqrt(2 / np.pi))))
    return graph.add("Mul", graph.add("Mul", x, half), graph.add("Add", inner, one))


def _average_pool(graph: Graph, step: AveragePool, x: str) -> str:
    regular = [_regular(*one) for one in zip((step.rows, step.columns), step.input[1:], strict=True)]
    if all(regular):
        kernel, strides = zip(*regular, strict=True)
        return graph.add("AveragePool", x, kernel_shape=kernel, strides=strides)
    rows, columns = (
        [[span.weight * (span.begin <= place < span.end) for place in range(side)] for span in spans]
        for spans, side in zip((step.rows, step.columns), step.input[1:], strict=True)
    )
    return graph.add("MatMul", graph.constant(rows), graph.add("MatMul", x, graph.constant(np.transpose(columns))))


def _regular(spans: Sequence[Span], side: int) -> tuple[int, int] | None:
    """Kernel and stride of means over equal windows of `side` values without padding; None for others."""
    kernel = spans[0].end - spans[0].begin
    stride = spans[1].begin - spans[0].begin if len(spans) > 1 else side
    wanted = tuple(Span(number * stride, number * stride + kernel, 1 / kernel) for number in range(len(spans)))
    return (kernel, stride) if tuple(spans) == wanted and stride > 0 else None
