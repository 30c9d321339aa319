"""What a check sees of each image: size, mode, digest, contrast, thumbnail, or why it cannot be read."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.data.allocation import allocate
from lenet.data.decode import Room, read_each
from lenet.data.fit import fit_image, to_8bit
from lenet.data.listing import Listing

THUMBNAIL = 32  # pixels per side of the images that are compared


@dataclass(frozen=True, eq=False)
class Inspection:
    """One entry per image; those of images that cannot be read are 0, empty, or of any content (thumbnails).

    sizes: int32 [N, 2], width and height in pixels, turned as EXIF says; modes: Pillow's, as the file has it
    digests: uint8 [N, 16] of the pixels at their own size in 8 bits; equal where two images show the same
    deviation: float32 [N], standard deviation of the thumbnail's pixels, 0 to 255, of the channel with the highest
    thumbnails: uint8 [N, 32, 32, 3], or [0, 32, 32, 3] if they were not asked for
    failures: why images cannot be read, by index
    """

    sizes: NDArray[np.int32]
    modes: list[str]
    digests: NDArray[np.uint8]
    deviation: NDArray[np.float32]
    thumbnails: NDArray[np.uint8]
    failures: dict[int, str]

    def readable(self) -> NDArray[np.bool_]:
        """bool [N]"""
        readable = np.ones(len(self.modes), dtype=np.bool_)
        readable[list(self.failures)] = False
        return readable


def inspect_images(listing: Listing, *, thumbnails: bool) -> Inspection:
    """Read every image once. Memory depends on the number of images, not on their sizes.

    Raises InputError if there is too little memory, and MemoryError.
    """
    count = len(listing.files)
    seen = Inspection(
        sizes=np.zeros((count, 2), dtype=np.int32),
        modes=[""] * count,
        digests=np.zeros((count, 16), dtype=np.uint8),
        deviation=np.zeros(count, dtype=np.float32),
        thumbnails=allocate((count if thumbnails else 0, THUMBNAIL, THUMBNAIL, 3), listing.source),
        failures={},
    )
    room = Room()

    def inspect_one(index: int) -> None:
        with listing.opening(index) as lazy, room.taken(lazy.width * lazy.height):
            mode, image = lazy.mode, to_8bit(lazy)
            thumbnail = fit_image(image, THUMBNAIL, 3, "squash")
            seen.digests[index] = np.frombuffer(_digest(image), dtype=np.uint8)
        seen.sizes[index], seen.modes[index] = image.size, mode
        seen.deviation[index] = thumbnail.std(axis=(0, 1)).max()
        if thumbnails:
            seen.thumbnails[index] = thumbnail

    seen.failures.update(read_each(inspect_one, count, listing.threads))
    return seen


def _digest(image: Image.Image) -> bytes:
    """16 bytes that identify size and pixels of an image in mode L or RGB; grey is the same in either."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and (pixels[..., :1] == pixels).all():
        pixels = pixels[..., 0]
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
