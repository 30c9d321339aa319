"""Augment: a contact sheet of what augmentation makes of images."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from lenet.config import Config, DataConfig, augmentation_line, drawn, options
from lenet.config.keywords import Options, with_options
from lenet.config.request import Request
from lenet.data import load_dataset
from lenet.data.augment import augmented
from lenet.data.dataset import Dataset
from lenet.data.identity import check_outside
from lenet.data.memory import Images, given_data
from lenet.data.plan import epoch_plan
from lenet.errors import InputError
from lenet.files import check_new_file, expanded
from lenet.report.contact_sheet import draw_contact_sheet
from lenet.training.setup import resolved

TAKEN = tuple(field.name for field in fields(DataConfig))  # the options that augment takes
_OUT = "augmentation.png"
_IMAGES = 6
_EPOCHS = 7  # with the image as it is, a row of the contact sheet


@with_options([name for name in options() if name not in TAKEN])
def augment(
    data: str | Path | Images | Any = None, *, out: str | Path = _OUT, overwrite: bool = False,
    **options: Unpack[Options],
) -> Config:  # fmt: skip
    """Draw a contact sheet of training images, each as it is and as a network sees it in seven epochs.

    data: as for `lenet.train`
    out: the PNG file that is written
    overwrite: replace an existing file; one of the default name is always replaced

    Returns the config, whose `augment` names the augmentations that auto stands for. Raises InputError if an argument
    is invalid or the file cannot be written.
    """
    if unknown := next((name for name in options if name not in TAKEN), None):
        raise InputError(f"augment does not take {unknown.replace('_', '-')}: leave it out")
    path = expanded(out)
    if path.suffix.lower() != ".png":
        raise InputError(f"out {path} must be a .png file")
    check_outside(path, data)
    check_new_file(path, overwrite or path == Path(_OUT))
    named, memory = given_data(data)
    asked = Request.of(None, {"data": named, **options}).config()
    dataset = load_dataset(asked, memory=memory)
    config = resolved(asked, dataset)
    chosen = _chosen(dataset)
    views = [dataset.images[chosen], *(_seen(dataset, chosen, config, epoch) for epoch in range(_EPOCHS))]
    names = [dataset.classes[label] for label in dataset.labels[chosen]]
    captions = [text for name in names for text in (name, *(f"epoch {epoch + 1}" for epoch in range(_EPOCHS)))]
    pixels = [view[number] for number in range(len(names)) for view in views]
    draw_contact_sheet(pixels, captions, path, f"{dataset.name}: {augmentation_line(config)}")
    return config


def _chosen(dataset: Dataset) -> NDArray[np.int64]:
    """The first training image of each of the first classes, or several of each if there are fewer classes."""
    labels = dataset.labels[dataset.train]
    rank = np.empty(len(labels), np.int64)  # an image's number within its class
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    return dataset.train[np.lexsort((labels, rank))[:_IMAGES]]


def _seen(dataset: Dataset, chosen: NDArray[np.int64], config: Config, epoch: int) -> NDArray[np.uint8]:
    """uint8 [images, H, W, C]: the chosen images as an epoch's plan shows them."""
    plan = epoch_plan(chosen, seed=0, epoch=epoch, epochs=_EPOCHS, batch_size=len(chosen), learning_rate=0.0,
                      image_size=(*dataset.images.shape[1:3],), augment=drawn(config))  # fmt: skip
    place = {index: position for position, index in enumerate(plan.order.tolist())}
    return augmented(dataset.images, plan, np.array([place[index] for index in chosen.tolist()]))
