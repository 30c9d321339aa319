"""The images a config asks for. Apart from all else that a training needs, since it needs no torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lenet.config import Config, names_in
from lenet.data.catalog import SETS
from lenet.data.dataset import Dataset, find_auto, load_dataset
from lenet.errors import InputError, Unavailable

_CHANGE_IMAGES = ("size", "channels", "fit", "classes")
_HOW_TO_GET = "CIFAR-10 is not on disk: 'lenet train cifar10' downloads it, --data-dir DIR tells where it lies"


def load_data(config: Config, or_digits: bool, *, download: bool = True) -> tuple[Dataset, str]:
    """The images, and what to say where they are the embedded digits for want of CIFAR-10."""
    name = find_auto(config.data_dir) if config.data == "auto" else config.data
    note = _HOW_TO_GET if config.data == "auto" and name == "digits" else ""
    try:
        return _load(replace(config, data=name), download), note
    except Unavailable as error:
        if not or_digits:
            raise
        # As large and as colourful as CIFAR-10's images, so that a network made for those takes them.
        return _load(replace(config, data="digits", size=32, channels=3), download), str(error)


def same_folder(one: str, other: str) -> bool:
    """Whether two values of `data` name one folder, or are the same word."""
    return one == other or (is_folder(one) and is_folder(other) and _resolved(one) == _resolved(other))


def is_folder(data: str) -> bool:
    """Whether a value of `data` is a folder's path. The folder may lie elsewhere now: the images' hash tells them."""
    return data not in SETS and data != "auto"


def check_images(dataset: Dataset, sha256: str | None, which: str) -> None:
    """Raises InputError where the images are not those of that hash; the message says which they should be."""
    if sha256 not in (None, dataset.sha256):
        raise InputError(
            f"the images of {dataset.name} are not those {which} (their SHA-256 is {dataset.sha256[:12]}..., not "
            f"{str(sha256)[:12]}...): restore them in {dataset.source}, or give the folder in which they lie now"
        )


def differing_images(dataset: Dataset, recipe: object, values: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What to say where the images are not those that the recipe was written for; empty where they are.

    values: what the recipe sets; given: what was set over it. Images that were asked for in another size, or of other
    classes, differ for that reason alone.
    """
    asked = any(given.get(name, values.get(name)) != values.get(name) for name in _CHANGE_IMAGES)
    if asked or values.get("data_sha256") in (None, dataset.sha256):
        return ""
    return f"note    the images differ from those of {recipe}"


def _resolved(path: str) -> Path:
    return Path(path).expanduser().resolve()


def _load(config: Config, download: bool) -> Dataset:
    return load_dataset(
        config.data,
        data_dir=config.data_dir,
        size=config.size,
        fit=config.fit,
        channels=config.channels,
        val_fraction=config.val_fraction,
        split_seed=config.split_seed,
        keep=names_in(config.classes),
        per_class=config.per_class,
        protocol=config.protocol,
        download=download,
    )
