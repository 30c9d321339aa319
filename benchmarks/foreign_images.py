"""Images that a network was not trained for, uint8 [N, S, S, 3], generated from a seed: no file is needed."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSansMono.ttf")


@functools.cache
def _font(number: int, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype(_FONTS[number], size)
    except OSError:  # this machine lacks DejaVu
        return ImageFont.load_default(size)


def house_numbers(random: np.random.Generator, size: int) -> np.ndarray:
    """Like SVHN: a digit and parts of its neighbours, in one colour on another, unevenly lit, blurred and noisy."""
    paper, ink = random.integers(0, 256, 3), random.integers(0, 256, 3)
    while np.abs(paper - ink).sum() < 120:
        ink = random.integers(0, 256, 3)
    image = Image.new("RGB", (64, 64), tuple(map(int, paper)))
    draw, font = ImageDraw.Draw(image), _font(int(random.integers(5)), int(random.integers(44, 62)))
    step, digits = int(random.integers(26, 36)), random.integers(0, 10, 3)
    for place, digit in zip((-1, 0, 1), digits, strict=True):
        if place == 0 or random.random() < 0.5:
            at = (32 + place * step + int(random.integers(-3, 4)), 32 + int(random.integers(-4, 5)))
            draw.text(at, str(digit), fill=tuple(map(int, ink)), font=font, anchor="mm")
    image = image.rotate(float(random.normal(0, 6)), Image.Resampling.BILINEAR, fillcolor=tuple(map(int, paper)))
    small = image.resize((int(random.integers(16, 33)),) * 2, Image.Resampling.BILINEAR)
    pixels = np.asarray(small.resize((size, size), Image.Resampling.BILINEAR), np.float64)
    slope = np.add.outer(*(np.linspace(-1, 1, size) * random.normal(0, 20) for _ in range(2)))[:, :, None]
    return _pixels(pixels + slope + random.normal(0, random.uniform(0, 8), pixels.shape))


def letters(random: np.random.Generator, size: int) -> np.ndarray:
    """A capital letter, light on dark, as coarse as the embedded digits: from 8x8 pixels."""
    image = Image.new("L", (64, 64), 0)
    letter = "ABCDEFGHJKLMNPQRTUVWXY"[int(random.integers(22))]  # without I, O, S and Z, which look like digits
    font = _font(int(random.integers(5)), int(random.integers(52, 66)))
    ImageDraw.Draw(image).text((32, 32), letter, fill=255, font=font, anchor="mm")
    image = image.rotate(float(random.normal(0, 5)), Image.Resampling.BILINEAR)
    coarse = image.resize((8, 8), Image.Resampling.BOX).resize((size, size), Image.Resampling.BILINEAR)
    return np.repeat(np.asarray(coarse)[:, :, None], 3, axis=2)


def gratings(random: np.random.Generator, size: int) -> np.ndarray:
    """A sine wave of any direction and 1 to 8 periods, between two colours."""
    rows, columns = np.mgrid[:size, :size] / size
    angle, periods = random.uniform(0, np.pi), random.uniform(1, 8)
    wave = np.sin(2 * np.pi * (periods * (columns * np.cos(angle) + rows * np.sin(angle)) + random.random()))
    return _between(wave, random)


def perlin(random: np.random.Generator, size: int) -> np.ndarray:
    """Perlin noise in four octaves, between two colours."""
    total = np.zeros((size, size))
    for octave in range(4):
        cells = 2 ** (octave + 1)
        angles = random.uniform(0, 2 * np.pi, (cells + 1, cells + 1))
        place = np.arange(size) * cells / size
        cell, part = place.astype(int), place % 1
        smooth = part**3 * (part * (6 * part - 15) + 10)
        corners = []
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            angle = angles[np.ix_(cell + down, cell + right)]
            corners.append(np.sin(angle) * (part - down)[:, None] + np.cos(angle) * (part - right)[None, :])
        top, bottom = (one + smooth * (other - one) for one, other in (corners[:2], corners[2:]))
        total += (top + smooth[:, None] * (bottom - top)) / 2**octave
    return _between(total / np.abs(total).max(), random)


def smooth_noise(random: np.random.Generator, size: int) -> np.ndarray:
    """Noise of each colour, coarser or finer by an upscaling of 2 to 8."""
    coarse = Image.fromarray(random.integers(0, 256, (*(max(size // int(random.integers(2, 9)), 2),) * 2, 3), np.uint8))
    return np.array(coarse.resize((size, size), Image.Resampling.BICUBIC))


def uniform_noise(random: np.random.Generator, size: int) -> np.ndarray:
    """Every value drawn by itself."""
    return random.integers(0, 256, (size, size, 3), np.uint8)


def blank(random: np.random.Generator, size: int) -> np.ndarray:
    """One colour, with a little noise in every second image."""
    noise = random.normal(0, 3, (size, size, 3)) * random.integers(2)
    return _pixels(random.integers(0, 256, 3) + noise)


def scenes(random: np.random.Generator, size: int) -> np.ndarray:
    """A generated photograph: sky, ground and a few shaded objects, with soft edges and sensor noise."""
    image = Image.fromarray(perlin(random, 64)).convert("RGB")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 64, int(random.integers(15, 45))), fill=tuple(map(int, random.integers(80, 256, 3))))
    for _ in range(int(random.integers(2, 6))):
        left, top = random.integers(-10, 55, 2)
        box = (int(left), int(top), int(left + random.integers(8, 40)), int(top + random.integers(8, 40)))
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape(box, fill=tuple(map(int, random.integers(0, 256, 3))))
    light = np.add.outer(*(np.linspace(-1, 1, size) * random.normal(0, 30) for _ in range(2)))[:, :, None]
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float64) + light
    return _pixels(pixels + random.normal(0, 4, pixels.shape))


GENERATED: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "house numbers": house_numbers,
    "letters": letters,
    "gratings": gratings,
    "Perlin noise": perlin,
    "smooth noise": smooth_noise,
    "uniform noise": uniform_noise,
    "blank": blank,
    "scenes": scenes,
}


def generated(name: str, count: int, size: int, seed: int = 0) -> np.ndarray:
    """`count` images of this kind, uint8 [count, size, size, 3]."""
    return np.stack([GENERATED[name](np.random.default_rng([seed, number]), size) for number in range(count)])


def grey(images: np.ndarray, size: int) -> np.ndarray:
    """The images as lenet reads them for a grey network, uint8 [N, size, size, 1]."""
    fitted = [ImageOps.grayscale(Image.fromarray(image)).resize((size, size), Image.Resampling.BILINEAR)
              for image in images]  # fmt: skip
    return np.stack([np.asarray(image) for image in fitted])[..., None]


def _between(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Values in -1..1 as mixtures of two colours."""
    one, other = random.integers(0, 256, (2, 3))
    return _pixels(one + (values[:, :, None] + 1) / 2 * (other - one))


def _pixels(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
