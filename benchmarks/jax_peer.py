"""The same network in JAX, with all steps of a call compiled into one function.

A convolution is a matrix product of the image's windows and the weights; a pool reduces a reshaped array. XLA's own
convolution and window reduction are four times as slow inside a loop on a CPU.
"""

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")  # one core, as for the other candidates

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from torch import nn

from lenet.models import Normalize, Residual


def jax_trainer(
    network: nn.Sequential, input_shape: tuple[int, int, int], batch_size: int, images: int
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A compiled function that trains on uint8 [images, H, W, C] and int64 [images] labels by SGD with momentum.

    network: its weights are the first; Flatten orders features by row, column, channel; input_shape: (height, width,
    channels)
    """

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        logits = _through(network, p, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    def step(state: Any, batch: Any) -> Any:
        p, momentum = state
        gradient = jax.grad(loss_of)(p, *batch)
        momentum = jax.tree.map(lambda m, g: 0.9 * m + g, momentum, gradient)
        return (jax.tree.map(lambda w, m: w - 1e-3 * m, p, momentum), momentum), None

    def steps(state: Any, x: Any, y: Any) -> Any:
        batches = (x.reshape(-1, batch_size, *input_shape), y.reshape(-1, batch_size))
        return lax.scan(step, state, batches)[0]

    epoch = jax.jit(steps)
    parameters = [_parameters(layer) for layer in network]
    state = (parameters, jax.tree.map(jnp.zeros_like, parameters))
    whole = images // batch_size * batch_size

    def train(pixels: np.ndarray, labels: np.ndarray) -> None:
        jax.block_until_ready(epoch(state, pixels[:whole], labels[:whole].astype(np.int32)))

    train(np.zeros((whole, *input_shape), np.uint8), np.zeros(whole, np.int64))
    return train


def _parameters(layer: nn.Module) -> Any:
    """The layer's parameters; a convolution's weight as [values of a window, outputs]."""
    if isinstance(layer, Residual):
        return [[_parameters(one) for one in branch] for branch in (layer.body, layer.shortcut)]
    arrays = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    if isinstance(layer, nn.Conv2d):
        arrays["weight"] = arrays["weight"].transpose(2, 3, 1, 0).reshape(-1, layer.out_channels)
    elif isinstance(layer, nn.Linear):
        arrays["weight"] = arrays["weight"].T
    return {name: jnp.asarray(value) for name, value in arrays.items()}


def _through(layers: nn.Sequential, parameters: list[Any], x: Any) -> Any:
    for layer, p in zip(layers, parameters, strict=True):
        x = _output(layer, p, x)
    return x


def _output(layer: nn.Module, p: Any, x: Any) -> Any:
    """The layer's output; maps are [B, H, W, C]."""
    if isinstance(layer, Normalize):
        return (x.astype(jnp.float32) / 255 - layer.mean.numpy()) / layer.std.numpy()
    if isinstance(layer, nn.Conv2d):
        return _windows(x, layer) @ p["weight"] + p["bias"]
    if isinstance(layer, nn.Linear):
        return x @ p["weight"] + p["bias"]
    if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
        axes = tuple(range(x.ndim - 1))
        return (x - x.mean(axes)) * lax.rsqrt(x.var(axes) + layer.eps) * p["weight"] + p["bias"]
    if isinstance(layer, nn.ReLU | nn.Tanh):
        return jax.nn.relu(x) if isinstance(layer, nn.ReLU) else jnp.tanh(x)
    if isinstance(layer, nn.MaxPool2d | nn.AvgPool2d):
        assert layer.kernel_size == layer.stride == 2
        batch, rows, columns, maps = x.shape
        fours = x[:, : rows // 2 * 2, : columns // 2 * 2].reshape(batch, rows // 2, 2, columns // 2, 2, maps)
        return fours.max((2, 4)) if isinstance(layer, nn.MaxPool2d) else fours.mean((2, 4))
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return x.mean((1, 2))
    if isinstance(layer, nn.Flatten):
        return x.reshape(x.shape[0], -1)
    if isinstance(layer, Residual):
        return _through(layer.body, p[0], x) + _through(layer.shortcut, p[1], x)
    assert isinstance(layer, nn.Dropout), layer
    return x  # left out


def _windows(x: Any, conv: nn.Conv2d) -> Any:
    """The values under the kernel at each output: [B, rows, columns, kernel * kernel * channels]."""
    assert isinstance(conv.padding, tuple)
    size, stride, pad = conv.kernel_size[0], conv.stride[0], conv.padding[0]
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    rows, columns = x.shape[1] - size + 1, x.shape[2] - size + 1
    shifted = [x[:, i : i + rows : stride, j : j + columns : stride] for i in range(size) for j in range(size)]
    return jnp.concatenate(shifted, axis=-1)
