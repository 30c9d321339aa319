"""Networks in 8-bit integers: ONNX Runtime and compiled C files give the integers of the definition, bit for bit."""

import platform
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.exports import c_run
from lenet.exports.formats import FORMATS
from lenet.exports.onnx import onnx_bytes
from lenet.exports.proof import in_batches
from lenet.exports.proof_int8 import integer_results, prove_integers
from lenet.exports.quantize import quantized
from lenet.exports.quantized import LIMIT, WIDE_LIMIT, Averaged, Looked, Moved, Weighted, every_integer, logits_of
from lenet.exports.steps import Conv, Linear, Scale
from lenet.models import Normalize

runtime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
needs_compiler = pytest.mark.skipif(c_run.c_compiler() is None, reason="there is no C compiler")

NAMES = (
    *("lenet", "norm after pool", "norm before zeros", "norm before mirrored", "strides", "padding modes"),
    *("residual", "residual of all kinds", "residual at the end"),
    *("no linear layer", "one linear layer", "maps to classes", "grey", "dead", "means of one", "activation first"),
    *("tiny weights", "wide sums", "pools and rests", "pool of groups"),
)
# The fastest code that the compiler makes, which may fuse products and sums; and code that stops at any wrong access.
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow", "-Wmissing-prototypes")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
BUILDS = (
    ["-std=gnu99", "-O3", "-march=native", *WARNINGS],
    ["-std=c99", "-O1", *SANITIZED, *WARNINGS],
    ["-std=c99", "-O1", "-march=native", *SANITIZED, *WARNINGS],  # of vectors, on processors with VNNI
)


def more_networks(name, normalized):
    torch.manual_seed(0)
    if name == "grey":
        layers = (
            nn.Conv2d(1, 3, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(3),
            nn.Flatten(),
            nn.Linear(192, 5),
        )
        network = nn.Sequential(Normalize((0.3,), (0.4,)), *layers).eval()
        network[4].running_mean.fill_(0.2)
        return network
    if name == "dead":  # no value after the ReLU is above zero, and a channel has no weights
        conv = nn.Conv2d(3, 4, 3)
        with torch.no_grad():
            conv.bias.fill_(-100)
            conv.weight[1], conv.bias[1] = 0, 0
        return normalized(conv, nn.ReLU(), nn.Conv2d(4, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(288, 5))
    if name == "tiny weights":  # as weight decay leaves them: 1 / weight is beyond float32
        conv, linear = nn.Conv2d(3, 4, 3), nn.Linear(784, 5)
        with torch.no_grad():
            conv.weight[0], conv.bias[0], linear.weight[3], linear.bias[3] = 1e-42, 0, 1e-41, 0
        return normalized(conv, nn.ReLU(), nn.Flatten(), linear)
    if name == "wide sums":  # of the linear layer: beyond 2^24, and odd, so that float32 rounds them
        conv, linear = nn.Conv2d(3, 12, 3), nn.Linear(2352, 5)
        with torch.no_grad():
            conv.bias.add_(1)
            linear.weight.add_(0.2).mul_(0.015)
        return normalized(conv, nn.ReLU(), nn.Flatten(), linear)
    if name == "pools and rests":  # maps of an odd side, and numbers of channels that fill no vectors
        layers = nn.Conv2d(3, 27, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(27, 18, 2), nn.MaxPool2d(2)
        layers += nn.Conv2d(18, 5, 2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(45, 27), nn.ReLU()
        return normalized(*layers, nn.Linear(27, 5))
    if name == "pool of groups":
        layers = nn.Conv2d(3, 12, 3, 2, 1), nn.Conv2d(12, 6, 3, groups=3, dilation=2), nn.MaxPool2d(2)
        return normalized(*layers, nn.Flatten(), nn.Linear(24, 5))
    if name == "means of one":  # of one channel, to one number
        layers = nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 5), nn.GELU()
        return normalized(*layers)
    return normalized(nn.Tanh(), nn.MaxPool2d(3, 1), nn.ReLU(), nn.Flatten(), nn.LeakyReLU(0.2), nn.Linear(588, 5))


@pytest.fixture(scope="module")
def images():
    """uint8 [60, 16, 16, 3]; among them black, white and checkered ones, which make the largest sums."""
    found = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    found[0], found[1] = 0, 255
    found[2:20] = np.where(found[2:20] > 127, 255, 0)
    return found


@pytest.fixture(scope="module", params=NAMES)
def case(request, network_named, normalized, as_exported, images):
    """(network as steps, its integers, network, images), for each network."""
    try:
        network = network_named(request.param)
    except KeyError:
        network = more_networks(request.param, normalized)
    channels = len(network[0].mean)
    images = images[..., :channels]
    described = as_exported(network, input_shape=(16, 16, channels))
    return described, quantized(described, images[20:]), network, images


def test_the_integers_are_near_the_network(case):
    described, integers, network, images = case
    wanted = torch_engine.logits(network, images[20:], Settings())
    _, found = integer_results(described, integers, images[20:])
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.03 * np.sqrt(np.mean(wanted**2))


def test_onnx_gives_the_same_integers(case):
    described, integers, _, images = case
    run = runtime.InferenceSession(onnx_bytes(described, "any", integers))
    for some in (images, images[:1], images[3:5, :9], np.tile(images[5:6], (1, 1, 3, 1))):
        probabilities, logits = integer_results(described, integers, some)
        found = run.run(["probabilities", "logits"], {"image": some})
        np.testing.assert_array_equal(found[1], logits)
        np.testing.assert_allclose(found[0], probabilities, atol=1e-6)


@needs_compiler
@pytest.mark.skipif(platform.machine() != "x86_64", reason="SSE3 is of x86-64 processors beyond the oldest")
def test_other_results_of_this_processors_instructions_are_refused(network_named, as_exported, images, tmp_path):
    described = as_exported(network_named("lenet"))
    path = tmp_path / "net.c"
    path.write_bytes(FORMATS[".c"].int8.written(described, quantized(described, images[20:]), images[:4], "any"))
    assert FORMATS[".c"].int8.computer(path, tmp_path)(images).shape == (60, 10)
    red, green, blue = images[50, 0, 0]
    wrong = f"if (pixels[0] == {red} && pixels[1] == {green} && pixels[2] == {blue}) lenet_logits[0] += 1.0f;"
    run = "lenet_run(pixels);\n"
    text = path.read_text().replace(f"    {run}", f"    {run}#ifdef __SSE3__\n    {wrong}\n#endif\n", 1)
    path.write_text(text)
    with pytest.raises(InputError, match="logits are different when it is compiled with -O3 -march=native"):
        FORMATS[".c"].int8.computer(path, tmp_path)(images)


@needs_compiler
@pytest.mark.parametrize("flags", BUILDS, ids=["fastest", "sanitized", "sanitized for this machine"])
def test_c_gives_the_same_integers(case, flags, tmp_path):
    described, integers, _, images = case
    path, program = tmp_path / "net.c", tmp_path / "net"
    path.write_bytes(FORMATS[".c"].int8.written(described, integers, images[:4], "any"))
    built = subprocess.run(
        [*c_run.c_compiler(), *flags, "-DLENET_TEST", path, "-o", program, "-lm"], capture_output=True
    )
    assert built.returncode == 0, built.stderr.decode()
    if "-march=native" in flags and shutil.which("clang"):
        warned = subprocess.run(["clang", *flags, "-fsyntax-only", path], capture_output=True, text=True)
        assert (warned.returncode, warned.stderr) == (0, "")
    assert subprocess.run([program]).returncode == 0  # its own check
    for some in (images, np.tile(images[5:6], (1, 1, 3, 1))):
        (tmp_path / "raw").write_bytes(some.tobytes())
        done = subprocess.run([program, tmp_path / "raw", *map(str, some.shape[1:3])], capture_output=True, check=True)
        found = np.array(done.stdout.split(), np.float64).reshape(len(some), 2, -1)
        probabilities, logits = integer_results(described, integers, some)
        np.testing.assert_array_equal(found[:, 1].astype(np.float32), logits)
        np.testing.assert_allclose(found[:, 0], probabilities, atol=1e-6)


def test_no_sum_reaches_the_limit(case):
    _, integers, _, _ = case
    for step in every_integer(integers.steps):
        if isinstance(step, Weighted):
            farthest = np.maximum(step.zeros, 255 - step.zeros.astype(int)).max()
            sums = np.abs(step.weight.astype(int)).reshape(len(step.weight), -1).sum(axis=1) * farthest
            largest = (sums + np.abs(step.bias.astype(int))).max()
            assert largest == step.largest_sum < (WIDE_LIMIT if isinstance(step.step, Linear) else LIMIT)


def kinds(integers):
    return [(type(step), type(step.step)) for step in integers.steps]


def test_batch_norm_after_a_pool_and_the_normalization_are_folded(network_named, as_exported, images):
    integers = quantized(as_exported(network_named("norm after pool")), images)
    assert Scale not in [kind for _, kind in kinds(integers)]
    assert [kind for kind, _ in kinds(integers)] == [Weighted, Moved, Weighted, Looked, Averaged, Moved, Weighted]


def test_padding_before_batch_norm_contains_what_it_makes_zero(normalized, as_exported, images):
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3, padding=1)
    network = normalized(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        network[4].running_mean.copy_(torch.tensor([0.1, 0.3, 0.2, 0.15]))
        network[4].bias.zero_()
    integers = quantized(as_exported(network), images)
    first, second = (step for step in integers.steps if isinstance(step.step, Conv))
    assert first.zeros.tolist() == [102, 128, 153]  # 255 times the means of the pixels, rounded
    assert len(set(second.zeros.tolist())) == 4
    with torch.no_grad():  # zero is no value that the ReLU gives
        network[4].running_mean[0] = -5
    assert (Weighted, Scale) in kinds(quantized(as_exported(network), images))


def test_weights_use_all_127_steps_of_each_channel(network_named, as_exported, images):
    integers = quantized(as_exported(network_named("lenet")), images)
    for step in integers.steps:
        if isinstance(step, Weighted):
            assert (np.abs(step.weight.reshape(len(step.weight), -1)).max(axis=1) == 127).all()
    assert integers.weight_bytes == 4 * 3 * 25 + 144 * 12 + 12 * 5


def test_large_sums_use_smaller_weights(normalized, as_exported, images):
    network = normalized(nn.Conv2d(3, 90, 1), nn.Conv2d(90, 5, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        network[2].weight.fill_(0.1)
    described = as_exported(network)
    integers = quantized(described, images)
    assert np.abs(integers.steps[1].weight).max() < 127
    assert not integers.steps[1].wide
    run = runtime.InferenceSession(onnx_bytes(described, "any", integers))
    (found,) = run.run(["logits"], {"image": images})
    np.testing.assert_array_equal(found, logits_of(integers, images))


def test_sums_of_linear_layers_may_be_larger(normalized, as_exported, images):
    integers = quantized(as_exported(more_networks("wide sums", normalized)), images)
    wide = integers.steps[-1]
    assert wide.wide
    assert (np.abs(wide.weight).max(axis=1) == 127).all()
    sums = logits_of(integers, images).astype(np.float64) * wide.rescale.divisor
    assert np.abs(sums).max() > LIMIT  # with real images, not only in theory


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(value, network_named, as_exported, images):
    described = as_exported(network_named("lenet"))
    first = replace(described.steps[0], bias=np.full(4, value, np.float32))
    with pytest.raises(
        InputError, match=r"layer 1 \(Conv2d\) cannot be exported in int8: it gives values that are not"
    ):
        quantized(replace(described, steps=(first, *described.steps[1:])), images)


def test_too_many_inputs_are_named(normalized, as_exported):
    network = nn.Sequential(Normalize((0.5,), (0.5,)), nn.Flatten(), nn.Linear(257 * 257, 2))
    described = as_exported(network, input_shape=(257, 257, 1), classes=("a", "b"))
    with pytest.raises(
        InputError, match=r"layer 2 \(Linear\).* 66,049 inputs of a sum are too many \(at most 65,536\)"
    ):
        quantized(described, np.zeros((2, 257, 257, 1), np.uint8))


def test_the_first_image_with_other_integers_is_named(network_named, as_exported, images):
    described = as_exported(network_named("lenet"))
    integers = quantized(described, images)
    names = [f"image {number}" for number in range(60)]

    def prove(change):
        def compute(some):
            probabilities, logits = integer_results(described, integers, some)
            return change(np.concatenate([probabilities, logits.astype(np.float64)], axis=1))

        return prove_integers(
            described, integers, in_batches(compute), images, np.arange(60), logits_of(integers, images),
            any_size=True, names=names,
        )  # fmt: skip

    def last_bit(found):
        if len(found) > 7:
            found[7, 8] = np.nextafter(np.float32(found[7, 8]), np.float32(9))
        return found

    proof = prove(lambda found: found)
    assert (proof.images, proof.sizes) == (60, 16)
    with pytest.raises(InputError, match="for image 7 it gives other integers; no file was written"):
        prove(last_bit)
    with pytest.raises(InputError, match=r"for image 0 it gives probabilities that differ by 1\.0e-02"):
        prove(lambda found: found + np.repeat([0.01, 0], 5))
    with pytest.raises(InputError, match=r"\[60, 9\] probabilities and logits"):
        prove(lambda found: found[:, 1:])
