"""Near-duplicates: copies of an image that were re-encoded, resized, brightened or shifted by a few pixels."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from lenet.cores import usable_cores
from lenet.data.decode import threads_for
from lenet.data.inspection import THUMBNAIL

SIMILAR = 0.6
_CELL = 4  # pixels per side of the cells that candidates are found by
_CANDIDATES = 5  # for each image
_SHIFT = 2  # pixels
_ALIKE = 10.0  # robust standard deviations above the median of random pairs
_RANDOM_PAIRS = 4000
_FEW = 10  # images; among fewer, copies themselves would decide what random pairs are like
_BLOCK = 1 << 23  # similarities that a thread holds at once
_PAIRS = 256  # pairs compared at once; their gradients fit into a core's cache

Pairs = NDArray[np.int64]


def near_duplicates(
    thumbnails: NDArray[np.uint8], advance: Callable[[int], None] = lambda _: None
) -> list[tuple[int, int, float]]:
    """Pairs (lower index, higher index, similarity), the most similar first.

    thumbnails: uint8 [N, 32, 32, 3], different from each other and none of them constant
    advance: called with the number of images that were searched since the last call, N in total

    An image's candidates are the five whose colours, averaged over 8x8 cells, correlate best. The similarity of two
    candidates, -1 to 1, is the highest correlation of the gradients of their grey values over shifts of up to 2
    of 32 pixels. They are near-duplicates from 0.6 on, or from a higher value if random pairs of these images are
    similar too, as digits are: ten robust standard deviations above their median.
    """
    count = len(thumbnails)
    if count < 2:
        return []
    with _one_thread_each(), threads_for(usable_cores()) as pool:
        threshold, colours = _threshold(thumbnails), _colours(thumbnails)
        rows = max(1, _BLOCK // count)

        def search(begin: int) -> tuple[int, dict[tuple[int, int], float]]:
            pairs = _candidates(colours, begin, rows)
            similarity = _similarity(thumbnails, pairs)
            near = np.flatnonzero(similarity >= threshold)
            return min(rows, count - begin), {
                (int(pairs[at, 0]), int(pairs[at, 1])): float(similarity[at]) for at in near
            }

        found: dict[tuple[int, int], float] = {}
        for done, pairs in pool.map(search, range(0, count, rows)):
            found |= pairs
            advance(done)
    return sorted(((*pair, value) for pair, value in found.items()), key=lambda each: (-each[2], each[:2]))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """One PyTorch thread for each of ours: on a busy machine its own ones wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _colours(thumbnails: NDArray[np.uint8]) -> torch.Tensor:
    """float32 [N, 192] of mean 0 and norm 1: the colours of 8x8 cells."""
    count, side = len(thumbnails), THUMBNAIL // _CELL
    cells = np.empty((count, side, side, 3), dtype=np.float32)
    for begin in range(0, count, _PAIRS):
        part = thumbnails[begin : begin + _PAIRS].reshape(-1, side, _CELL, side, _CELL, 3)
        cells[begin : begin + _PAIRS] = part.mean(axis=(2, 4), dtype=np.float32)
    cells -= cells.mean(axis=(1, 2, 3), keepdims=True)
    return torch.nn.functional.normalize(torch.from_numpy(cells.reshape(count, -1)))


def _candidates(colours: torch.Tensor, begin: int, rows: int) -> Pairs:
    """int64 [P, 2], the lower index first: the images from `begin` on and those most like each."""
    similar = colours[begin : begin + rows] @ colours.T
    own = torch.arange(len(similar))
    similar[own, own + begin] = -2
    best = similar.topk(min(_CANDIDATES, len(colours) - 1)).indices.numpy()
    one = np.repeat(np.arange(begin, begin + len(best)), best.shape[1])
    return np.unique(np.sort(np.stack([one, best.ravel()], axis=1), axis=1), axis=0)


def _threshold(thumbnails: NDArray[np.uint8]) -> float:
    """The similarity from which two of these images are near-duplicates."""
    if len(thumbnails) < _FEW:
        return SIMILAR
    generator = np.random.default_rng(0)
    pairs = generator.integers(0, len(thumbnails), (min(_RANDOM_PAIRS, len(thumbnails) ** 2), 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    median, upper = np.quantile(np.arctanh(_similarity(thumbnails, pairs).clip(-0.999, 0.999)), (0.5, 0.75))
    return max(SIMILAR, float(np.tanh(median + _ALIKE * (upper - median) / 0.6745)))


def _similarity(thumbnails: NDArray[np.uint8], pairs: Pairs) -> NDArray[np.float32]:
    """float32 [P]: the highest correlation of the two images' gradients over the shifts."""
    inner = THUMBNAIL - 1 - 2 * _SHIFT
    best = np.full(len(pairs), -1, dtype=np.float32)
    for begin in range(0, len(pairs), _PAIRS):
        one, other = (_gradients(thumbnails[pairs[begin : begin + _PAIRS, which]]) for which in (0, 1))
        middle = _unit(one[:, :, _SHIFT : _SHIFT + inner, _SHIFT : _SHIFT + inner])
        for down, right in np.ndindex(2 * _SHIFT + 1, 2 * _SHIFT + 1):
            shifted = _unit(other[:, :, down : down + inner, right : right + inner])
            at = best[begin : begin + _PAIRS]
            np.maximum(at, (middle * shifted).sum(dim=1).numpy(), out=at)
    return best


def _gradients(images: NDArray[np.uint8]) -> torch.Tensor:
    """float32 [P, 2, 31, 31]: differences of grey values downwards and to the right.

    The mean of each row and column is taken off, since black bars and horizons are no sign of a copy, and values are
    clipped at one standard deviation, so that a few strong edges do not decide.
    """
    grey = torch.from_numpy(images @ np.array([0.299, 0.587, 0.114], dtype=np.float32))
    here = grey[:, 1:, 1:]
    gradients = torch.stack([here - grey[:, :-1, 1:], here - grey[:, 1:, :-1]], dim=1)
    gradients -= gradients.mean(dim=3, keepdim=True)
    gradients -= gradients.mean(dim=2, keepdim=True)
    limit = gradients.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return torch.clamp(gradients, -limit, limit)


def _unit(gradients: torch.Tensor) -> torch.Tensor:
    """float32 [P, F] of norm 1; zeros without gradients."""
    return torch.nn.functional.normalize(gradients.flatten(1))
