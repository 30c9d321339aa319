"""Images are identified by the hash of their content, since a folder may move or change."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lenet.data.catalog import SETS
from lenet.data.dataset import Dataset
from lenet.data.source import MEMORY
from lenet.errors import InputError
from lenet.files import expanded, followed

CONVERSION = ("size", "channels", "fit")  # the options that determine an image's pixels
_CHANGE_IMAGES = (*CONVERSION, "classes", "labels")


def same_data(one: str, other: str) -> bool:
    """Whether two values of `data` name the same images: the same word, or paths to one folder or file."""
    return one == other or (is_own(one) and is_own(other) and same_path(one, other))


def same_path(one: str, other: str) -> bool:
    """Whether two paths name one file or folder, which need not exist any more."""
    return followed(expanded(one)) == followed(expanded(other))


def is_own(data: str) -> bool:
    """Whether a value of `data` means the user's own images, from a path or from Python, not a published dataset."""
    return data not in SETS and data != "auto"


def check_outside(out: Path, data: object) -> None:
    """Raises InputError if `out`, for files that lenet writes, is in the folder of images that `data` names."""
    if not isinstance(data, str | Path) or not is_own(str(data)):
        return
    root = expanded(data)
    if root.is_dir() and followed(expanded(out)).is_relative_to(followed(root)):
        raise InputError(f"--out {out} is in the folder of images, where its pictures would be taken for more images: "
                         "give a path outside it")  # fmt: skip


def check_images(dataset: Dataset, sha256: str | None, which: str) -> None:
    """Raises InputError if the images do not have this hash. which: the end of "the images are not those"."""
    if sha256 not in (None, dataset.sha256):
        mend = f"restore them in {dataset.source}, or give the folder that has them now"
        if dataset.source == MEMORY:
            mend = "pass the same images and labels"
        if dataset.relabelled:
            mend = f"restore {dataset.relabelled}, or the images"
        raise InputError(
            f"the images of {dataset.name} are not those {which} (their SHA-256 is {dataset.sha256[:12]}..., not "
            f"{str(sha256)[:12]}...): {mend}"
        )


def differing_images(dataset: Dataset, recipe: object, values: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """A note if the images are not those that the recipe was written for, else empty.

    values: what the recipe sets; given: what the user set. Images of another size, or other classes, were asked for.
    """
    asked = any(given.get(name, values.get(name)) != values.get(name) for name in _CHANGE_IMAGES)
    if asked or values.get("data_sha256") in (None, dataset.sha256):
        return ""
    return f"the images differ from those of {recipe}"
