"""The plan of an epoch: everything random, and the learning rates, from (seed, epoch) before the epoch starts.

Engines draw no random numbers. Two engines that follow the same plan see the same augmented images in the same batches,
with the same learning rates, and drop the same units.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lenet.config.augmentation import Augmentation

Schedule = Literal["constant", "cosine", "one-cycle"]

# Each purpose has its own random stream, so that flips do not change the order of the images.
_ORDER, _FLIP, _SHIFT, _DROPOUT, _ROTATION, _SCALE, _COLOUR, _CUTOUT = range(8)
_WARM_UP = 0.3  # fraction of a one-cycle schedule in which the rate increases
_FLOOR = 0.04  # its first rate, as a fraction of the peak

MAP_BITS = 16  # fraction bits of Plan.warps
COLOUR_BITS = 12  # fraction bits of Plan.colours
GREY = 128  # the colour of boxes, and the centre of contrast
_NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True, eq=False)
class Plan:
    """One epoch, or some of its steps. P positions, S steps.

    order: int64 [P], the image shown at each position of the epoch
    flips: uint8 [P], 1 if the image is mirrored left to right, which comes before the shift
    shifts: int8 [P, 2], (dy, dx): output pixel (y, x) is pixel (y + dy, x + dx), reflected at the border
    warps: int32 [P, 2, 3], None if no image is rotated or scaled, or instead of flips and shifts: output pixel (y, x)
        is the image at map @ (y, x, 1) / 2^16, reflected at the border
    colours: int32 [P, 3], None if no colour changes: (gain, luma gain, offset) / 2^12; a value v of a pixel with this
        luma becomes gain * v + luma gain * luma + offset
    boxes: int16 [P, 4], None if nothing is cut out: rows [top, bottom) and columns [left, right) that become grey, as
        (top, left, bottom, right)
    steps: int64 [S, 2], the positions [begin, end) of each step's batch
    learning_rates: float64 [S]
    dropout_key: unsigned 64-bit, see `dropout_keep`
    """

    order: np.ndarray
    flips: np.ndarray
    shifts: np.ndarray
    steps: np.ndarray
    learning_rates: np.ndarray
    dropout_key: int
    warps: np.ndarray | None = None
    colours: np.ndarray | None = None
    boxes: np.ndarray | None = None

    def part(self, first: int, last: int) -> "Plan":
        """Steps [first, last) of this plan, at the same positions: the parts trained in turn equal the whole."""
        return replace(self, steps=self.steps[first:last], learning_rates=self.learning_rates[first:last])


def epoch_plan(
    indices: np.ndarray,
    *,
    seed: int,
    epoch: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    schedule: Schedule = "constant",
    image_size: tuple[int, int] = (1, 1),
    augment: Augmentation = _NO_AUGMENTATION,
    drop_single: bool = False,
) -> Plan:
    """The plan of one epoch over the images at `indices` (int64 [P]).

    epoch: 0 to epochs - 1; learning_rate: the schedule's peak. The last batch may be smaller; `drop_single` drops it if
    it is a single image (batch norm cannot train on one value per channel).
    image_size: (height, width), for rotation, scale and cutout
    augment: what is drawn for each image. Random flips are drawn in each epoch; alternating ones in the first epoch,
        and the next mirrors the other images, in turn (Jordan 2024, arXiv:2404.00498)
    """
    count = len(indices)
    order = np.asarray(indices, np.int64)[_draw(seed, epoch, _ORDER).permutation(count)]
    mirrored = np.zeros(count, np.uint8)
    if augment.flips == "alternating":
        first = _draw(seed, 0, _FLIP).integers(0, 2, int(order.max(initial=-1)) + 1, np.uint8)
        mirrored = first[order] ^ np.uint8(epoch % 2)
    elif augment.flips:
        mirrored = _draw(seed, epoch, _FLIP).integers(0, 2, count, np.uint8)
    shifts = np.zeros((count, 2), np.int8)
    if augment.max_shift:
        most = augment.max_shift
        shifts = _draw(seed, epoch, _SHIFT).integers(-most, most, (count, 2), np.int8, endpoint=True)

    warps = colours = boxes = None
    if augment.max_rotation or augment.max_scale:
        angles = np.deg2rad(_uniform(seed, epoch, _ROTATION, augment.max_rotation, (count,)))
        scales = 1 + _uniform(seed, epoch, _SCALE, augment.max_scale, (count,))
        warps = _warps(image_size, mirrored, shifts, angles, scales)
        mirrored, shifts = np.zeros_like(mirrored), np.zeros_like(shifts)
    if augment.max_colour:
        colours = _colours(*(1 + _uniform(seed, epoch, _COLOUR, augment.max_colour, (3, count))))
    if augment.cutout_size:
        boxes = _boxes(_draw(seed, epoch, _CUTOUT).integers(0, image_size, (count, 2)), image_size, augment.cutout_size)

    begins = np.arange(0, count, batch_size)
    steps = np.stack([begins, np.minimum(begins + batch_size, count)], axis=1)
    if drop_single and count > 1 and steps[-1, 1] - steps[-1, 0] == 1:
        steps = steps[:-1]
    return Plan(
        order=order,
        flips=mirrored,
        shifts=shifts,
        steps=steps,
        learning_rates=learning_rates(schedule, learning_rate, len(steps) * epoch, len(steps), len(steps) * epochs),
        dropout_key=int(_draw(seed, epoch, _DROPOUT).integers(0, 2**64, dtype=np.uint64)),
        warps=warps,
        colours=colours,
        boxes=boxes,
    )


def _warps(
    image_size: tuple[int, int], flips: np.ndarray, shifts: np.ndarray, angles: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """See Plan.warps: images are flipped, shifted, then rotated counter-clockwise and enlarged about their centres.

    angles: in radians, float64 [P]; scales: float64 [P]
    """
    centre = (np.array(image_size) - 1) / 2
    cosine, sine = np.cos(angles) / scales, np.sin(angles) / scales
    turn = np.stack([np.stack([cosine, sine], axis=1), np.stack([-sine, cosine], axis=1)], axis=1)
    offset = centre + shifts - turn @ centre
    warps = np.concatenate([turn, offset[:, :, None]], axis=2)
    warps[flips == 1, 1] *= -1
    warps[flips == 1, 1, 2] += image_size[1] - 1
    return np.asarray(np.rint(warps * 2**MAP_BITS).astype(np.int32))


def _colours(brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray) -> np.ndarray:
    """See Plan.colours: first brightness, then contrast about grey 128, then saturation about the luma; float64 [P].

    The factors are those of torchvision's ColorJitter, whose contrast is about the image's mean.
    """
    gain = brightness * contrast
    mix = np.stack([gain * saturation, gain * (1 - saturation), GREY * (1 - contrast)], axis=1)
    return np.asarray(np.rint(mix * 2**COLOUR_BITS).astype(np.int32))


def _boxes(centres: np.ndarray, image_size: tuple[int, int], cutout_size: float) -> np.ndarray:
    """See Plan.boxes: squares about these pixels (int [P, 2]), cut at the border (Cutout; DeVries & Taylor 2017)."""
    side = max(1, round(cutout_size * min(image_size)))
    first = centres - side // 2
    ends = np.clip(np.concatenate([first, first + side], axis=1), 0, (*image_size, *image_size))
    return np.asarray(ends.astype(np.int16))


def learning_rates(schedule: Schedule, peak: float, first: int, count: int, total: int) -> np.ndarray:
    """float64 [count]: the learning rates of steps [first, first + count) of `total` steps.

    constant: the peak throughout. cosine: half a cosine from the peak to zero (Loshchilov & Hutter 2017, no restarts).
    one-cycle: linear from 4% of the peak over the first 30% of the steps, then half a cosine down to zero (after
    Smith & Topin 2018; with constant momentum).
    """
    done = np.arange(first, first + count) / max(total, 1)
    if schedule == "cosine":
        return peak * (1 + np.cos(np.pi * done)) / 2
    if schedule == "one-cycle":
        climb = _FLOOR + (1 - _FLOOR) * done / _WARM_UP
        fall = (1 + np.cos(np.pi * (done - _WARM_UP) / (1 - _WARM_UP))) / 2
        return peak * np.where(done < _WARM_UP, climb, fall)
    return np.full(count, peak)


def dropout_keep(key: int, layer: int, positions: np.ndarray, units: int, p: float) -> np.ndarray:
    """bool [n, units]: which units of dropout layer number `layer` are kept, for each of the n positions.

    A unit is kept if hash(key, layer, position, unit) >= p * 2^32 (rounded down). `layer` counts all layers of the
    network in the order of lenet.layers.network.every_layer, a position is one in the epoch's order, and units count in
    PyTorch's C, H, W order. The hash mixes key, layer and position into 64 bits (the finaliser of SplitMix64; Steele et
    al. 2014), then each unit with both halves in 32-bit arithmetic, which vectorises well (after the "lowbias32"
    constants; Wellons 2018):

        row = splitmix64(key + (layer * 2^32 + position) * 0x9E3779B97F4A7C15)    unsigned, 64 bits
        x = low(row) + unit * 0x9E3779B1                                          unsigned, 32 bits from here on
        x = (x ^ x >> 16) * 0x7FEB352D
        x = (x ^ high(row) ^ x >> 15) * 0x846CA68B
        hash = x ^ x >> 16
    """
    with np.errstate(over="ignore"):
        row = np.uint64(key) + (np.uint64(layer << 32) + positions.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        row = (row ^ row >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        row = (row ^ row >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        row ^= row >> np.uint64(31)
        low, high = row.astype(np.uint32)[:, None], (row >> np.uint64(32)).astype(np.uint32)[:, None]
        x = low + np.arange(units, dtype=np.uint32) * np.uint32(0x9E3779B1)
        x = (x ^ x >> np.uint32(16)) * np.uint32(0x7FEB352D)
        x = (x ^ high ^ x >> np.uint32(15)) * np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return np.asarray(x >= np.uint32(int(p * 2**32)))


def _uniform(seed: int, epoch: int, purpose: int, most: float, shape: tuple[int, ...]) -> np.ndarray:
    """float64 of this shape, uniform from -most to most."""
    return _draw(seed, epoch, purpose).uniform(-most, most, shape)


def _draw(seed: int, epoch: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, purpose])))
