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

from lenet.layers.lenet import LeNet


def jax_trainer(
    shape: LeNet, input_shape: tuple[int, int, int], classes: int, batch_size: int, images: int
) -> Callable[[np.ndarray, np.ndarray], None]:
    """A compiled function that trains on uint8 [images, H, W, C] and int64 [images] labels by SGD with momentum.

    input_shape: (height, width, channels)
    """
    height, width, channels = input_shape
    sides = [((side - 4) // 2 - 4) // 2 for side in (height, width)]
    features = shape.maps[1] * sides[0] * sides[1]
    sizes = [(features, shape.fc[0]), (shape.fc[0], shape.fc[1]), (shape.fc[1], classes)]
    rng = np.random.default_rng(0)
    parameters: dict[str, Any] = {}
    for number, (inputs, outputs) in enumerate(zip((channels, shape.maps[0]), shape.maps, strict=True)):
        parameters[f"conv{number}"] = _layer(rng, (25 * inputs, outputs), 25 * inputs)
    for number, (inputs, outputs) in enumerate(sizes):
        parameters[f"fc{number}"] = _layer(rng, (inputs, outputs), inputs)
    activation = jax.nn.relu if shape.activation == "relu" else jnp.tanh

    def norm(x: Any, p: dict[str, Any]) -> Any:
        axes = tuple(range(x.ndim - 1))
        mean, variance = x.mean(axes), x.var(axes)
        return (x - mean) * lax.rsqrt(variance + 1e-5) * p["scale"] + p["shift"]

    def loss_of(p: dict[str, Any], x: Any, y: Any) -> Any:
        x = x.astype(jnp.float32) / 255 - 0.5
        for number in range(2):
            layer = p[f"conv{number}"]
            x = _windows(x) @ layer["w"] + layer["b"]
            x = activation(norm(x, layer) if shape.batch_norm == "all" else x)
            batch, rows, columns, maps = x.shape
            fours = x[:, : rows // 2 * 2, : columns // 2 * 2].reshape(batch, rows // 2, 2, columns // 2, 2, maps)
            x = fours.max((2, 4)) if shape.pool == "max" else fours.mean((2, 4))
        x = x.reshape(x.shape[0], -1)
        for number in range(2):
            layer = p[f"fc{number}"]
            x = x @ layer["w"] + layer["b"]
            normed = shape.batch_norm == "all" or (shape.batch_norm == "first-fc" and number == 0)
            x = activation(norm(x, layer) if normed else x)
        logits = x @ p["fc2"]["w"] + p["fc2"]["b"]
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
    state = (parameters, jax.tree.map(jnp.zeros_like, parameters))
    whole = images // batch_size * batch_size

    def train(pixels: np.ndarray, labels: np.ndarray) -> None:
        jax.block_until_ready(epoch(state, pixels[:whole], labels[:whole].astype(np.int32)))

    train(np.zeros((whole, *input_shape), np.uint8), np.zeros(whole, np.int64))
    return train


def _windows(x: Any) -> Any:
    """All 5x5 windows: [B, H, W, C] to [B, H - 4, W - 4, 25 C]."""
    height, width = x.shape[1] - 4, x.shape[2] - 4
    shifted = [x[:, i : i + height, j : j + width] for i in range(5) for j in range(5)]
    return jnp.concatenate(shifted, axis=-1)


def _layer(rng: np.random.Generator, shape: tuple[int, ...], inputs: int) -> dict[str, Any]:
    bound = inputs**-0.5
    weight = jnp.asarray(rng.uniform(-bound, bound, shape), jnp.float32)
    zeros, ones = jnp.zeros(shape[-1], jnp.float32), jnp.ones(shape[-1], jnp.float32)
    return {"w": weight, "b": zeros, "scale": ones, "shift": zeros}
