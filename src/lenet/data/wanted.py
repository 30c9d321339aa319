"""The images a config asks for. Apart from all else that a training needs, since it needs no torch."""

from dataclasses import replace

from lenet.config import TrainConfig, names_in
from lenet.data.dataset import Dataset, find_auto, load_dataset
from lenet.errors import InputError, Unavailable

_HOW_TO_GET = "CIFAR-10 is not on disk: 'lenet train cifar10' downloads it, --data-dir DIR tells where it lies"


def load_data(config: TrainConfig, or_digits: bool) -> tuple[Dataset, str]:
    """The images, and what to say where they are the embedded digits for want of CIFAR-10."""
    name = find_auto(config.data_dir) if config.data == "auto" else config.data
    note = _HOW_TO_GET if config.data == "auto" and name == "digits" else ""
    try:
        return _load(replace(config, data=name)), note
    except Unavailable as error:
        if not or_digits:
            raise
        # As large and as colourful as CIFAR-10's images, so that a network made for those takes them.
        return _load(replace(config, data="digits", size=32, channels=3)), str(error)


def other_images(dataset: Dataset, whose: str) -> InputError:
    """What to raise where the images are not those that `whose` work started with."""
    return InputError(
        f"the images of {dataset.name} are not those {whose} was started with: restore them ({dataset.source}), or "
        "give the folder in which they lie now"
    )


def _load(config: TrainConfig) -> Dataset:
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
    )
