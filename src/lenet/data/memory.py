"""Images from Python: arrays, tensors, torch datasets and Hugging Face datasets, as a source of images.

None of those libraries is imported: an object is recognised by its methods.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from lenet.config.values import shown
from lenet.data.arrays import as_array, checked_classes, checked_pixels
from lenet.data.fit import as_image
from lenet.data.folders import SPLIT_WORDS
from lenet.data.source import MEMORY, Part, Source, common_side, side_of, source_of
from lenet.data.splits import Split
from lenet.errors import InputError, did_you_mean

_KINDS = (
    "a name, a path, (images, labels), lenet.Images, a dataset with __len__ and __getitem__ -> (image, label), or a "
    'dict of them by split ("train", "val", "test")'
)
_LOOKED_AT = 16  # images, to see whether all have one size


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images in memory, for the `data` of lenet's functions.

    images: array or tensor [N, H, W, C], [N, C, H, W] or [N, H, W], C 1 or 3, uint8 or float from 0 to 1; or a list of
        PIL images, arrays or tensors of any sizes
    labels: N whole numbers from 0, or N class names
    classes: class names by label. Default: the labels themselves
    """

    images: Any
    labels: Any
    classes: Sequence[str] | None = None


def given_data(data: Any) -> tuple[Any, Source | None]:
    """The option `data`, and its source if it is images from Python: the option is "memory" then.

    Raises InputError as `in_memory` does.
    """
    memory = in_memory(data)
    return (data if memory is None else MEMORY), memory


def in_memory(data: Any) -> Source | None:
    """The source that `data` stands for; None if it is None, a name or a path. Reads no image.

    Raises InputError if `data` is nothing that holds labelled images.
    """
    if data is None or isinstance(data, (str, os.PathLike)):
        return None
    if isinstance(data, Source):
        return data
    by_split: dict[Split, Any] = {}
    if isinstance(data, Mapping):  # also a Hugging Face DatasetDict
        for name, one in data.items():
            if name not in SPLIT_WORDS:
                raise InputError(
                    f"data: no split {shown(name)}{did_you_mean(str(name), SPLIT_WORDS)}", options=["data"]
                )
            if SPLIT_WORDS[name] in by_split:
                raise InputError(
                    f"data: the split '{SPLIT_WORDS[name]}' is there twice: give it once", options=["data"]
                )
            by_split[SPLIT_WORDS[name]] = one
    else:
        by_split["train"] = data
    if not by_split:
        raise InputError("data: the dict is empty: give it a split 'train'", options=["data"])
    found = {split: _part(split, one, str(split) if isinstance(data, Mapping) else "images")
             for split, one in by_split.items()}  # fmt: skip
    named = {split: classes for split, (_, classes) in found.items() if classes is not None}
    if len(set(named.values())) > 1 or (named and len(named) < len(found)):
        raise InputError("data: the splits have different class names: give the same classes to each", options=["data"])
    return source_of(MEMORY, MEMORY, [part for part, _ in found.values()], next(iter(named.values()), None))


def _part(split: Split, data: Any, name: str) -> tuple[Part, tuple[str, ...] | None]:
    """The part, and its class names if it has some."""
    if isinstance(data, tuple) and len(data) == 2:
        data = Images(*data)
    if isinstance(data, Images):
        return _images(split, data, name)
    features = getattr(data, "features", None)
    indexed = callable(getattr(data, "__getitem__", None)) and callable(getattr(data, "__len__", None))
    if indexed and isinstance(features, Mapping):
        return _hugging_face(split, data, features, name)
    if indexed and not isinstance(data, (bytes, list, tuple)) and not hasattr(data, "dtype"):
        return _dataset(split, data, name)
    if not indexed and callable(getattr(data, "__iter__", None)):
        raise InputError(
            f"data: {type(data).__name__} has no __len__ or no __getitem__: pass the dataset, not a stream or a loader "
            "of batches of it", options=["data"],
        )  # fmt: skip
    raise InputError(f"data takes {_KINDS}; not {shown(data)}", options=["data"])


def _images(split: Split, data: Images, name: str) -> tuple[Part, tuple[str, ...] | None]:
    classes = None if data.classes is None else checked_classes(data.classes, "classes")
    images = data.images
    if isinstance(images, (list, tuple)):
        return Part(split, name, len(images), lambda: data.labels, opening=lambda index: _opened(images[index]),
                    side=_common_side(_some(images))), classes  # fmt: skip
    if not hasattr(images, "shape") or not len(images.shape):
        raise InputError(f"data: images must be an array, a tensor or a list, not {shown(images)}", options=["data"])
    shape = tuple(images.shape)
    return Part(split, name, shape[0], lambda: data.labels, pixels=lambda: images, side=side_of(shape)), classes


def _dataset(split: Split, data: Any, name: str) -> tuple[Part, tuple[str, ...] | None]:
    """A dataset of (image, label), such as torchvision's. `classes`, if it has them, name its integer labels."""
    count = len(data)
    labels: list[Any] = [None] * count

    def opening(index: int) -> AbstractContextManager[Image.Image]:
        item = data[index]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ValueError("not (image, label)")
        image, labels[index] = item[0], _label(item[1])
        return _opened(image)

    pairs = [item for item in _some(data) if isinstance(item, (tuple, list)) and len(item) == 2]
    part = Part(split, name, count, lambda: labels, opening=opening, side=_common_side(image for image, _ in pairs))
    classes = getattr(data, "classes", None)
    named = isinstance(classes, (list, tuple)) and pairs and not isinstance(pairs[0][1], str)
    return part, checked_classes(classes, "classes") if named else None


def _hugging_face(
    split: Split, data: Any, features: Mapping[str, Any], name: str
) -> tuple[Part, tuple[str, ...] | None]:
    """A Hugging Face dataset: the first Image feature, and the ClassLabel feature or the column "label"."""
    image, label, classes = columns_of({key: (type(kind).__name__, getattr(kind, "names", None))
                                        for key, kind in features.items()}, "data")  # fmt: skip
    labels: list[Any] = [None] * len(data)

    def opening(index: int) -> AbstractContextManager[Image.Image]:
        row = data[index]
        labels[index] = _label(row[label])
        return _opened(row[image])

    side = _common_side(row[image] for row in _some(data) if isinstance(row, Mapping) and image in row)
    return Part(split, name, len(data), lambda: labels, opening=opening, side=side), classes


def columns_of(
    features: Mapping[str, tuple[str, Sequence[str] | None]], what: str
) -> tuple[str, str, tuple[str, ...] | None]:
    """The columns of images and labels, and the class names, of a dataset with these features: (kind, class names).

    Raises InputError if there is no image column, or several none of which is "image" or "img", or no label column, or
    several ClassLabel columns none of which is "label", "labels" or "fine_label".
    """
    images = [key for key, (kind, _) in features.items() if kind == "Image"]
    listed = ", ".join(map(str, features)) or "none"
    if not images:
        raise InputError(f"{what} has no column of images (columns: {listed}): give one with images", options=["data"])
    named = [key for key in ("image", "img") if key in images]
    if len(images) > 1 and not named:
        raise InputError(f"{what} has several columns of images ({', '.join(map(str, images))}): rename the one to use "
                         "to 'image'", options=["data"])  # fmt: skip
    labels = [key for key, (kind, _) in features.items() if kind == "ClassLabel"]
    preferred = [key for key in ("label", "labels", "fine_label") if key in features and key not in images]
    if len(labels) != 1 and not preferred:
        raise InputError(f"{what} has no column 'label' (columns: {listed}): rename the column of labels",
                         options=["data"])  # fmt: skip
    label = labels[0] if len(labels) == 1 else preferred[0]
    names = features[label][1]
    return named[0] if named else images[0], label, checked_classes(names, what) if names else None


def _some(data: Any) -> Iterator[Any]:
    """A few items, from the first to the last. One that cannot be read is left out: `decode_all` will name it."""
    count = len(data)
    for index in sorted({number * (count - 1) // (_LOOKED_AT - 1) for number in range(_LOOKED_AT if count else 0)}):
        with suppress(Exception):  # the user's own code
            yield data[index]


def _label(label: Any) -> Any:
    """A label as int or str. Raises ValueError for anything else."""
    if hasattr(label, "item") and callable(label.item):
        label = label.item()
    if isinstance(label, str) or (isinstance(label, int) and not isinstance(label, bool)):
        return label
    raise ValueError(f"its label {shown(label)} is not a whole number or a name")


def _opened(image: Any) -> AbstractContextManager[Image.Image]:
    """A PIL image, array or tensor [H, W, C], [C, H, W] or [H, W] as a PIL image. Raises as `checked_pixels`."""
    if isinstance(image, Image.Image):
        return nullcontext(image)
    array = as_array(image, "the image")
    if array.ndim not in (2, 3):
        raise InputError(f"shape {list(array.shape)} is not that of an image")
    batch: Any = image[None] if hasattr(image, "shape") else array[None]
    pixels: np.ndarray = checked_pixels(batch, "the image")[0]
    return nullcontext(as_image(pixels))


def _common_side(images: Iterable[Any]) -> int | None:
    """The side length that all images have, in pixels; None if one is not square or not an image, or there is none."""
    sizes = []
    try:
        for image in images:
            with _opened(image) as picture:
                sizes.append(picture.size)
    except (InputError, ValueError, TypeError):
        return None
    return common_side(sizes)
