"""Any image to a square of the model's input size: one antialiased resize in uint8, for training and prediction."""

import io
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, PngImagePlugin

from lenet.data.allocation import allocate
from lenet.errors import InputError, did_you_mean, one_line
from lenet.files import open_regular

Fit = Literal["crop", "pad", "squash"]
FITS: tuple[str, ...] = get_args(Fit)
MIN_SIZE, MAX_SIZE = 16, 96
MOST_PIXELS = 100_000_000  # of one image; decoding and converting it take up to 12 bytes per pixel
_MOST_BYTES = 1 << 29  # of one file; the WebP decoder reads it whole
_BAND = 1 << 20  # pixels that are converted at once where a conversion takes many bytes per pixel
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
# What EXTENSIONS in folders.py lists. Pillow reads more formats; for one of them, EPS, it starts another program.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_DEEP_GREY_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_PHOTOMETRIC, _SAMPLE_FORMAT = 262, 339  # tags of TIFF: 0 means that zero is white; 1 that integers are unsigned
# PNG's raw modes of which Pillow scales the values to 8 bits, but not the one that the file names as transparent.
_PNG_SCALES: dict[Any, Callable[[Any], Any]] = {
    "L;2": lambda grey: grey * 85,
    "L;4": lambda grey: grey * 17,
    "RGB;16B": lambda colour: tuple(value >> 8 for value in colour),
}
_opening = threading.Lock()  # Python has one list of warning filters per process


def check_size_and_fit(size: int | None, fit: str) -> None:
    """Raises InputError unless `size` is None or 16 to 96 pixels and `fit` is one of FITS."""
    if size is not None and not MIN_SIZE <= size <= MAX_SIZE:
        raise InputError(f"size {size} is out of range: give {MIN_SIZE} to {MAX_SIZE} pixels")
    if fit not in FITS:
        raise InputError(f"no fit '{fit}'{did_you_mean(fit, FITS)}")


def open_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read the image file as `to_8bit` does. Raises InputError naming the file if it cannot be read whole."""
    with naming(path), opened(path) as image:
        return to_8bit(image)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """What the block raises while it reads an image becomes an InputError that names the file; MemoryError stays."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"no image at '{os.fspath(path)}': check the path") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise errors of any kind for damaged files
        raise InputError(f"cannot read the image '{os.fspath(path)}' ({reason(error)}): replace or remove it") from None


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The image of a regular file, of which only the header has been read. Raises whatever Pillow does."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > _MOST_BYTES:
            raise InputError(f"the file has more than {_MOST_BYTES:,} bytes, lenet's limit for an image")
        yield _open(file)


@contextmanager
def open_bytes(content: bytes) -> Iterator[Image.Image]:
    """The image in the bytes of an image file, as `opened`."""
    yield _open(io.BytesIO(content))


def _open(file: BinaryIO) -> Image.Image:
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `to_8bit` has a limit of its own
        return Image.open(file, formats=_FORMATS)


def reason(error: Exception) -> str:
    """Pillow's own words, on one line and without the path or object that they may repeat."""
    words = one_line(error)
    if words.startswith("cannot identify image file"):
        return "not an image"
    if "truncated" in words.lower():
        return "file is truncated"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MOST_PIXELS:,} pixels, lenet's limit"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return words or type(error).__name__


def to_8bit(image: Image.Image) -> Image.Image:
    """`image` upright, as 8 bits per channel: mode L if it holds grey alone, otherwise RGB.

    EXIF's orientation is applied, transparency composited on white, 16 bits scaled to 8, palettes and CMYK
    converted; of an animation the first frame is taken. Raises InputError, before decoding, for too many pixels.
    """
    _check_pixels(*image.size)
    tags = getattr(image, "tag_v2", {})  # of TIFF; the upright image has none
    white_is_zero = tags.get(_PHOTOMETRIC) == 0
    unsigned = bool(tags) and tags.get(_SAMPLE_FORMAT, 1) in (1, (1,))
    raw = image.tile[0].args if isinstance(image, PngImagePlugin.PngImageFile) and image.tile else None
    image.load()
    if raw in _PNG_SCALES and (clear := image.info.get("transparency")) is not None:
        image.info["transparency"] = _PNG_SCALES[raw](clear)
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            image = ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data beside a good image: it keeps its orientation
        pass
    if image.mode in _ALPHA_MODES or ("transparency" in image.info and image.mode in ("1", "L", "P", "RGB")):
        return _on_white(image, "L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    if image.mode in _DEEP_GREY_MODES:
        return Image.fromarray(_deep_grey(image, white_is_zero, unsigned))
    return _in_mode(image, "L" if image.mode in ("1", "L") else "RGB")


def _check_pixels(width: int, height: int) -> None:
    pixels = width * height
    if not pixels:
        raise InputError(f"{width} x {height} has no pixels")
    if pixels > MOST_PIXELS:
        raise InputError(f"{width} x {height} is {pixels:,} pixels, lenet's limit is {MOST_PIXELS:,}")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _bands(width: int, height: int) -> Iterator[tuple[int, int]]:
    """The first row, and the one after the last, of bands of about `_BAND` pixels."""
    rows = max(1, _BAND // max(1, width))
    for top in range(0, height, rows):
        yield top, min(top + rows, height)


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    """`image` composited on white, in mode L or RGB."""
    result = Image.new(mode, image.size)
    for top, bottom in _bands(*image.size):
        band = image.crop((0, top, image.width, bottom))
        # Pillow converts premultiplied grey to no mode but this.
        colour = (band.convert("LA") if band.mode == "La" else band).convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        result.paste(Image.alpha_composite(white, colour).convert(mode), (0, top))
    return result


def _deep_grey(image: Image.Image, white_is_zero: bool, unsigned: bool) -> NDArray[np.uint8]:
    """uint8 [H, W] of a 16-bit, 32-bit or float image.

    Integers are taken as 16-bit values (what PNG and TIFF cameras and microscopes write); floats as 0..1 if none is
    larger, otherwise as 0..255. Pillow's own convert("L") would clip them all at 255. A PNG file may name one value as
    transparent.
    """
    values, clear = np.asarray(image), image.info.get("transparency")
    if image.mode == "I" and unsigned:  # Pillow reads 32 bits as signed
        values = values.view(np.uint32)
    bands = [slice(*band) for band in _bands(*image.size)]
    top = 65535
    if image.mode == "F":
        top = 1 if all(np.nan_to_num(values[band].astype(np.float64)).max() <= 1 for band in bands) else 255
    grey = np.empty(values.shape, dtype=np.uint8)
    for band in bands:
        scaled = np.nan_to_num(values[band].astype(np.float64)) * (255 / top)
        grey[band] = np.clip(np.rint(255 - scaled if white_is_zero else scaled), 0, 255)
        if isinstance(clear, int):
            grey[band][values[band] == clear] = 255
    return grey


def fit_image(image: Image.Image, size: int, channels: int, fit: str = "crop") -> NDArray[np.uint8]:
    """`image` as uint8 [size, size, channels], channels 1 (grey) or 3.

    crop: the shorter side becomes `size`, the middle of the longer one is kept. pad: the longer side becomes
    `size`, black fills the rest on both sides. squash: both sides become `size`, whatever the shape was.
    """
    check_size_and_fit(size, fit)
    return _fitted(to_8bit(image), size, channels, fit)


def _fitted(image: Image.Image, size: int, channels: int, fit: str) -> NDArray[np.uint8]:
    """`fit_image` of an image of mode L or RGB."""
    image = _in_mode(image, "L" if channels == 1 else "RGB")
    width, height = image.size
    if fit == "crop":
        # The box is the exact middle, also where that lies between pixels, in the same resampling.
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


def as_image(pixels: NDArray[np.uint8]) -> Image.Image:
    """uint8 [H, W, 1 or 3] as a grey or RGB image."""
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def fit_array(images: NDArray[Any], size: int, fit: str = "crop", channels: int | None = None) -> NDArray[np.uint8]:
    """uint8 [N, H, W, C] to uint8 [N, size, size, C], pixel for pixel what `fit_image` makes of each.

    `channels`, 1 or 3, changes C. Images that need no change are returned as they are, not copied.
    """
    check_size_and_fit(size, fit)
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] not in (1, 3):
        raise InputError(
            f"images must be uint8 [N, H, W, C] with C 1 or 3, not {images.dtype} {list(images.shape)}: convert them"
        )
    count, height, width, own_channels = images.shape
    channels = channels or own_channels
    if height == width == size:
        return in_channels(images, channels)
    _check_pixels(width, height)
    fitted = allocate((count, size, size, channels))
    for index, pixels in enumerate(images):
        fitted[index] = _fitted(as_image(pixels), size, channels, fit)
    return fitted


def in_channels(images: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """uint8 [N, H, W, 1 or 3] to uint8 [N, H, W, channels], as `fit_image` converts images; copied only if needed."""
    count, height, width, own = images.shape
    if channels == own:
        return images
    converted = allocate((count, height, width, channels))
    if own == 1:
        converted[...] = images
        return converted
    per_band = max(1, _BAND // max(1, height * width))
    for begin in range(0, count, per_band):
        part = images[begin : begin + per_band]
        tall = Image.fromarray(np.ascontiguousarray(part).reshape(-1, width, 3)).convert("L")
        converted[begin : begin + per_band] = np.asarray(tall).reshape(-1, height, width, 1)
    return converted
