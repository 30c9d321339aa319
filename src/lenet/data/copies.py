"""Exact copies and near-constant images among images of one size."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.errors import counted

CONSTANT_SD = 3.0  # of 255: an image with a lower standard deviation of its pixels is near-constant
IMBALANCED_FROM = 3.0  # times as many training images in the largest class as in the smallest
_CHUNK = 1 << 22  # pixels that are looked at together


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """What a pass over the pixels of N images finds; it is kept in the cache, so that later runs need no such pass.

    digests: uint8 [N, 16], the `image_digest` of each image
    first: int64 [N], for each image the lowest index of an exact copy, which is its own without copies
    constant: bool [N], whether the standard deviation of the image's pixels is below `CONSTANT_SD`
    """

    digests: NDArray[np.uint8]
    first: NDArray[np.int64]
    constant: NDArray[np.bool_]

    def of(self, chosen: NDArray[np.int64]) -> "ImageFacts":
        """Those of the images at these indices alone."""
        digests = self.digests[chosen]
        return ImageFacts(digests, first_of_copies(digests), self.constant[chosen])

    def without(self, left_out: NDArray[np.int64]) -> "ImageFacts":
        """The same, but the images at these sorted indices are no copies of others and not near-constant."""
        if not left_out.size:
            return self
        first, constant = np.arange(len(self.first)), self.constant.copy()
        others = np.delete(first, left_out)
        first[others] = others[first_of_copies(self.digests[others])]
        constant[left_out] = False
        return ImageFacts(self.digests, first, constant)


def image_facts(images: NDArray[np.uint8]) -> ImageFacts:
    """The facts about uint8 images [N, H, W, C]."""
    digests = image_digests(images, range(len(images)))
    return ImageFacts(digests, first_of_copies(digests), near_constant(images))


def image_digest(image_hwc: np.ndarray) -> bytes:
    """16 bytes that identify the pixels of a uint8 [H, W, C] image."""
    return hashlib.blake2b(np.ascontiguousarray(image_hwc).data, digest_size=16).digest()


def image_digests(images_nhwc: np.ndarray, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8 [len(indices), 16]: the `image_digest` of each of these images."""
    digests = np.empty((len(indices), 16), dtype=np.uint8)
    for position, index in enumerate(indices):
        digests[position] = np.frombuffer(image_digest(images_nhwc[index]), dtype=np.uint8)
    return digests


def among(digests: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool [N]: which of the digests, uint8 [N, 16], are among the others, uint8 [M, 16]."""
    first = first_of_copies(np.concatenate([others, digests]))
    return first[len(others) :] < len(others)


def first_of_copies(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 [N]: for each image the lowest index of an image with the same digest, which is its own without copies."""
    high, low = np.ascontiguousarray(digests).view(np.uint64).T
    order = np.lexsort((low, high))  # stable: of equal digests the lowest index comes first
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (np.diff(high[order]) != 0) | (np.diff(low[order]) != 0)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[new][np.cumsum(new) - 1]
    return first


def near_constant(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool [N]: whether the pixels of each image, uint8 [N, H, W, C], have a standard deviation below 3 per channel."""
    found = np.zeros(len(images), dtype=np.bool_)
    count = max(1, images.shape[1] * images.shape[2])
    per_chunk = max(1, _CHUNK // (count * images.shape[3]))
    for begin in range(0, len(images), per_chunk):
        part = images[begin : begin + per_chunk]
        # The squared deviations of a sixteenth of the pixels are at most those of all, and far faster to sum.
        possible = np.flatnonzero(_deviate_less(part[:, ::4, ::4], count))
        found[begin + possible] = _deviate_less(part[possible], count)
    return found


def _deviate_less(images: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """bool [N]: whether the sum of squared deviations is below `count` times CONSTANT_SD squared in all channels."""
    own = max(1, images.shape[1] * images.shape[2])
    pixels = images.reshape(-1, own, images.shape[3])
    wide = np.uint32 if own * 255**2 < 2**32 else np.uint64
    total = pixels.sum(axis=1, dtype=wide).astype(np.int64)
    squares = np.square(pixels, dtype=np.uint16).sum(axis=1, dtype=wide).astype(np.int64)
    low = own * squares - total**2 < CONSTANT_SD**2 * count * own  # whole numbers: exact
    return np.asarray(low.all(axis=1), dtype=np.bool_)


def conflicting(first: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted: the first image of each group of copies, as in `first_of_copies`, that has more than one label."""
    return np.unique(first[labels != labels[first]])


def summary(
    facts: ImageFacts, labels: NDArray[np.int64], classes: tuple[str, ...], splits: dict[str, NDArray[np.int64]]
) -> tuple[str, ...]:
    """Up to three lines about copies, near-constant images and imbalance; empty if there are none.

    labels: int64 [N]; splits: indices, of which "train" is compared by class
    """
    lines, first = [], facts.first
    if copies := int((first != np.arange(len(first))).sum()):
        found = [np.unique(first[indices]) for indices in splits.values()]  # of each split, without the unused images
        across = int((np.unique(np.concatenate(found), return_counts=True)[1] > 1).sum())
        wrong = len(conflicting(first, labels))
        told = [f"{copies:,} exact {'copy' if copies == 1 else 'copies'} of other images"]
        told += [f"{counted(across, 'image')} in several splits"] if across else []
        told += [f"{counted(wrong, 'image')} with conflicting labels"] if wrong else []
        lines.append(", ".join(told))
    if constant := int(facts.constant.sum()):
        lines.append(counted(constant, "near-constant image"))
    counts = np.bincount(labels[splits["train"]], minlength=len(classes))
    if uneven := imbalance(counts):
        high, low = uneven
        few = f"{counts[low]:,} of '{classes[low]}'"
        lines.append(f"imbalanced: {counts[high]:,} training images of '{classes[high]}', {few}")
    return tuple(lines)


def imbalance(counts: NDArray[np.int64]) -> tuple[int, int] | None:
    """The largest and the smallest class if their numbers of images, `counts`, differ three times or more; else None.

    Classes without images do not count.
    """
    used = np.flatnonzero(counts)
    if not len(used):
        return None
    high, low = int(used[counts[used].argmax()]), int(used[counts[used].argmin()])
    return (high, low) if counts[high] >= IMBALANCED_FROM * counts[low] else None
