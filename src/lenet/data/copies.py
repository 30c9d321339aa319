"""Exact copies and near-constant images among images of one size."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from lenet.errors import counted

CONSTANT_SD = 3.0  # of 255: an image with a lower standard deviation of its pixels is near-constant
IMBALANCED_FROM = 3.0  # times as many training images in the largest class as in the smallest


def image_digest(image_hwc: np.ndarray) -> bytes:
    """16 bytes that identify the pixels of a uint8 [H, W, C] image."""
    return hashlib.blake2b(np.ascontiguousarray(image_hwc).data, digest_size=16).digest()


def image_digests(images_nhwc: np.ndarray) -> NDArray[np.uint8]:
    """uint8 [N, 16]: the `image_digest` of each image."""
    return np.frombuffer(b"".join(map(image_digest, images_nhwc)), np.uint8).reshape(-1, 16)


def first_of_copies(digests: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 [N]: for each image the lowest index of an image with the same digest, which is its own without copies."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(each.tobytes(), index) for index, each in enumerate(digests)], dtype=np.int64)


def conflicting(first: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted: the first image of each group of copies, as in `first_of_copies`, that has more than one label."""
    return np.unique(first[labels != labels[first]])


def summary(
    images: NDArray[np.uint8], labels: NDArray[np.int64], first: NDArray[np.int64], classes: tuple[str, ...],
    splits: dict[str, NDArray[np.int64]],
) -> tuple[str, ...]:  # fmt: skip
    """Up to three lines about copies, near-constant images and imbalance; empty if there are none.

    images: uint8 [N, H, W, C]; splits: indices, of which "train" is compared by class
    """
    lines = []
    if copies := int((first != np.arange(len(first))).sum()):
        split = np.full(len(first), -1)
        for number, indices in enumerate(splits.values()):
            split[indices] = number
        across = len(np.unique(first[split != split[first]]))
        wrong = len(conflicting(first, labels))
        told = [f"{copies:,} exact {'copy' if copies == 1 else 'copies'} of other images"]
        told += [f"{counted(across, 'image')} in several splits"] if across else []
        told += [f"{counted(wrong, 'image')} with conflicting labels"] if wrong else []
        lines.append(", ".join(told))
    if constant := sum(float(image.std()) < CONSTANT_SD for image in images):
        lines.append(counted(constant, "near-constant image"))
    if uneven := imbalance(np.bincount(labels[splits["train"]], minlength=len(classes)), classes):
        lines.append(uneven)
    return tuple(lines)


def imbalance(counts: NDArray[np.int64], classes: tuple[str, ...]) -> str:
    """A line on the largest and the smallest class if their numbers of training images differ three times or more."""
    low, high = int(counts.argmin()), int(counts.argmax())
    if counts[high] < IMBALANCED_FROM * counts[low]:
        return ""
    return f"imbalanced: {counts[high]:,} training images of '{classes[high]}', {counts[low]:,} of '{classes[low]}'"
