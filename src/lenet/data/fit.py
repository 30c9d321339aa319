"""Any picture to a square of the model's size: one antialiased resize in uint8, the same wherever a model is fed."""

import os
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from lenet.errors import InputError, did_you_mean

Fit = Literal["crop", "pad", "squash"]
FITS: tuple[str, ...] = ("crop", "pad", "squash")
MIN_SIZE, MAX_SIZE = 16, 96
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
# Those that EXTENSIONS in folders.py promise. Pillow knows many more, among them EPS, which it has another program run.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_DEEP_GREY_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def check_size_and_fit(size: int | None, fit: str) -> None:
    """InputError unless `size` is None or 16 to 96 pixels and `fit` is one of FITS."""
    if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"size {size} is out of range: give {MIN_SIZE} to {MAX_SIZE} pixels")
    if fit not in FITS:
        raise InputError(f"no fit '{fit}'{did_you_mean(fit, FITS)}")


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """The picture at `path`, upright, as 8 bits a channel: mode L where it holds grey alone, otherwise RGB.

    EXIF's orientation is applied, transparency composited on white, 16 bits scaled to 8, palettes and CMYK
    converted; of an animation the first frame. Raises InputError naming the file where it cannot be read whole.
    """
    try:
        return load_image(path)
    except FileNotFoundError:
        raise InputError(f"no image at '{os.fspath(path)}': check the path") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever a damaged file drives them into
        raise InputError(f"cannot read the image '{os.fspath(path)}' ({reason(error)}): replace or remove it") from None


def load_image(path: str | os.PathLike[str]) -> Image.Image:
    """`open_image` for those who report many files at once: it raises whatever Pillow does."""
    with Image.open(path, formats=_FORMATS) as image:
        image.load()
        return to_8bit(image)


def reason(error: Exception) -> str:
    """Pillow's own words, on one line and without the path or object they may repeat."""
    words = " ".join(str(error).split())
    if words.startswith("cannot identify image file"):
        return "not an image"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return words or type(error).__name__


def to_8bit(image: Image.Image) -> Image.Image:
    """`image` upright in mode L or RGB; see `open_image`."""
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF under a good picture: it stays as it lies
        image = image.copy()
    if image.mode in _ALPHA_MODES or ("transparency" in image.info and image.mode in ("1", "L", "P", "RGB")):
        grey = image.mode in ("1", "L", "LA", "La")
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, colour).convert("L" if grey else "RGB")
    if image.mode in _DEEP_GREY_MODES:
        return Image.fromarray(_deep_grey(image))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """uint8 [H, W] of a 16-bit, 32-bit or float picture.

    Integers count as 16 bits (what PNG and TIFF cameras and microscopes write); floats as 0..1 where none is
    larger, otherwise as 0..255. Pillow's own convert("L") would clip them all at 255.
    """
    values = np.nan_to_num(np.asarray(image).astype(np.float64))
    top = 65535 if image.mode != "F" else 1 if values.max() <= 1 else 255
    scaled = values * (255 / top)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def fit_image(image: Image.Image, size: int, channels: int, fit: str = "crop") -> NDArray[np.uint8]:
    """`image` as uint8 [size, size, channels], channels 1 (grey) or 3.

    crop: the shorter side becomes `size`, the middle of the longer one is kept. pad: the longer side becomes
    `size`, black fills the rest on both sides. squash: both sides become `size`, whatever the shape was.
    """
    check_size_and_fit(size, fit)
    image = to_8bit(image).convert("L" if channels == 1 else "RGB")
    width, height = image.size
    if fit == "crop":
        # The box takes the exact middle, also where that falls between pixels, in the same one resampling.
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        square = image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    elif fit == "pad":
        side = max(width, height)
        inner = max(1, round(width * size / side)), max(1, round(height * size / side))
        square = Image.new(image.mode, (size, size))
        square.paste(image.resize(inner, Image.Resampling.BILINEAR), ((size - inner[0]) // 2, (size - inner[1]) // 2))
    else:
        square = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(square, dtype=np.uint8).reshape(size, size, channels)


def fit_array(images: NDArray[Any], size: int, fit: str = "crop", channels: int | None = None) -> NDArray[np.uint8]:
    """uint8 [N, H, W, C] to uint8 [N, size, size, C], pixel for pixel what `fit_image` makes of each.

    `channels`, 1 or 3, changes C. Images that are as asked for come back as they are, not copied.
    """
    check_size_and_fit(size, fit)
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3):
        raise InputError(
            f"images must be uint8 [N, H, W, C] with C 1 or 3, not {images.dtype} {list(images.shape)}: convert them"
        )
    count, height, width, own_channels = images.shape
    channels = channels or own_channels
    if height == width == size and channels == own_channels:
        return images
    fitted = np.empty((count, size, size, channels), dtype=np.uint8)
    for index, pixels in enumerate(images):
        picture = Image.fromarray(pixels[:, :, 0] if own_channels == 1 else pixels)
        fitted[index] = fit_image(picture, size, channels, fit)
    return fitted
