"""A contact sheet: thumbnails with captions, as one PNG."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lenet.characters import visible
from lenet.data.fit import as_image
from lenet.files import make_folder, write_whole

MOST_IMAGES = 400
_SIDE = 128  # pixels of a thumbnail's longer side
_GAP = 10
_LINE = 15  # pixels of a line of text
_FONT = 12
_COLUMNS = 8


def draw_contact_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], path: Path, title: str, *, together: int = 1
) -> None:
    """Draw the first 400 images in rows of 8, each above its caption, below the title.

    images: uint8 [H, W, C] with C 1 or 3, of any and different sizes
    captions: one per image; each line that is too wide is shortened in its middle, so that the end of a path shows
    together: number of images that belong together: 1, or 2 for pairs, which get a line around them

    Raises InputError if the file cannot be written.
    """
    make_folder(path.parent)
    content = io.BytesIO()
    contact_sheet(images[:MOST_IMAGES], captions[:MOST_IMAGES], title, together=together).save(content, "PNG")
    write_whole(path, content.getvalue())


def contact_sheet(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], title: str, *, together: int = 1
) -> Image.Image:
    """See `draw_contact_sheet`."""
    font = ImageFont.load_default(_FONT)
    assert isinstance(font, ImageFont.FreeTypeFont)
    columns = max(4, min(_COLUMNS, len(images)))  # room for the title
    texts = [[_shortened(visible(line), font, _SIDE) for line in text.split("\n")] for text in captions]
    height = _SIDE + _LINE * max((len(text) for text in texts), default=0) + _GAP
    top, width = _GAP + _LINE + _GAP, _GAP + columns * (_SIDE + _GAP)
    sheet = Image.new("RGB", (width, top + -(-len(images) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), _shortened(visible(title), font, width - 2 * _GAP), "black", font)
    for index, (pixels, text) in enumerate(zip(images, texts, strict=True)):
        row, column = divmod(index, columns)
        left, upper = _GAP + column * (_SIDE + _GAP), top + row * height
        thumbnail = _thumbnail(pixels)
        sheet.paste(thumbnail, (left + (_SIDE - thumbnail.width) // 2, upper + (_SIDE - thumbnail.height) // 2))
        if together > 1 and index % together == 0:
            right = left + together * (_SIDE + _GAP) - _GAP
            draw.rectangle((left - 3, upper - 3, right + 2, upper + height - 5), outline="silver")
        for number, line in enumerate(text):
            draw.text((left, upper + _SIDE + 2 + number * _LINE), line, "black", font)
    return sheet


def _thumbnail(pixels: NDArray[np.uint8]) -> Image.Image:
    """The image with `_SIDE` pixels on its longer side; small images are enlarged without smoothing."""
    image = as_image(pixels)
    scale = _SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BILINEAR)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """`text`, its middle replaced by an ellipsis if it is wider than `width` pixels."""
    if font.getlength(text) <= width:
        return text
    for kept in range(min(len(text), width) - 1, 1, -1):
        short = f"{text[: kept // 3]}…{text[len(text) - (kept - kept // 3) :]}"
        if font.getlength(short) <= width:
            return short
    return "…"
