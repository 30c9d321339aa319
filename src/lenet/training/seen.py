"""Test images that a training knows already: those on which the networks of its start or its teachers were trained.

A test accuracy on such images says little about new ones. Splits of the same images differ by --split-seed, by the
protocol, and where images were added to a folder.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lenet.config import Config
from lenet.data.dataset import Dataset, load_dataset
from lenet.data.source import MEMORY
from lenet.runs.run import Run

_CONVERSION = ("size", "channels", "fit")  # the options that determine an image's pixels


def seen_in_test(config: Config, dataset: Dataset) -> NDArray[np.int64]:
    """Indices of the test images that a run of `start` or `teacher` trained or validated on, as far as known."""
    found = np.zeros(0, np.int64)
    for path in (*([config.start] if config.start else []), *(config.teacher or ())):
        if Path(path).is_dir():
            run = Run(path)
            found = np.union1d(found, run.used_of_test(_converted_as_in(run, config, dataset)))
    return found


def _converted_as_in(run: Run, config: Config, dataset: Dataset) -> Dataset:
    """The dataset with its images converted as the run converted its own: the same ones are found by their pixels.

    Images in memory stay as they are.
    """
    kept = run.config()
    conversion = {name: getattr(kept, name) for name in _CONVERSION} if kept and config.data != MEMORY else {}
    if all(getattr(config, name) == value for name, value in conversion.items()):
        return dataset
    return replace(load_dataset(replace(config, **conversion), download=False), test=dataset.test)


def seen_note(seen: int, images: int) -> str:
    """What the user should know about so many of the test images."""
    return (
        f"{seen:,} of the {images:,} test images were used to train or validate the networks that this run starts from "
        "or learns from: the test accuracy says little about new images"
    )
