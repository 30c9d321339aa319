"""Test images that a training knows already: those on which the networks of its start or its teachers were trained.

A test accuracy on such images says little about new ones. Splits of the same images differ by --split-seed, by the
protocol, and where images were added to a folder.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lenet.config import Config
from lenet.data.catalog import SETS
from lenet.data.copies import among, image_digests
from lenet.data.dataset import Dataset, load_dataset
from lenet.data.identity import CONVERSION
from lenet.data.source import Source
from lenet.errors import InputError
from lenet.runs.run import Run


def seen_in_test(config: Config, dataset: Dataset, memory: Source | None = None) -> NDArray[np.int64]:
    """Indices of the test images that a run of `start` or `teacher` trained or validated on, as far as known.

    memory: the images, if they were passed from Python
    """
    found = np.zeros(0, np.int64)
    for path in (*([config.start] if config.start else []), *(config.teacher or ())):
        run = Run(path)
        kept = run.config() if run.path.is_dir() else None
        if kept and (kept.data == config.data or not {kept.data, config.data} <= set(SETS)):
            converted = _converted_as(kept, config, dataset, memory)
            seen = run.used_of_test(converted)
            if seen is None and (digests := digests_of_trained(run, kept, memory)) is not None:
                seen = dataset.test[among(digests_of(converted, dataset.test), digests)]
            found = found if seen is None else np.union1d(found, seen)
    return found


def digests_of_trained(run: Run, config: Config, memory: Source | None = None) -> NDArray[np.uint8] | None:
    """uint8 [M, 16], the digests of the images that the run trained or validated on; None if they are not found.

    config: the run's, with the place where its images are now; memory: they, if they were passed from Python
    """
    if (kept := run.digests()) is not None:
        return kept
    try:
        own = run.split_again(load_dataset(run.with_own_labels(config), memory=memory, download=False))
    except InputError:  # missing or changed
        return None
    parts = [own.train, own.val, *(indices for fold in own.folds for indices in fold)]
    return digests_of(own, np.unique(np.concatenate(parts)))


def digests_of(dataset: Dataset, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8 [M, 16] of these images."""
    return dataset.facts.digests[indices] if dataset.facts else image_digests(dataset.images, indices)


def _converted_as(kept: Config, config: Config, dataset: Dataset, memory: Source | None) -> Dataset:
    """The dataset of `config` with its images converted as in a run with the config `kept`: equal images have equal
    pixels then.
    """
    conversion = {name: getattr(kept, name) for name in CONVERSION}
    if all(getattr(config, name) == value for name, value in conversion.items()):
        return dataset
    return replace(load_dataset(replace(config, **conversion), memory=memory, download=False), test=dataset.test)


def seen_note(seen: int, images: int) -> str:
    """What the user should know about so many of the test images."""
    return (
        f"{seen:,} of the {images:,} test images were used to train or validate the networks that this run starts from "
        "or learns from: the test accuracy says little about new images"
    )
