"""Images that a training knows already: those on which the networks of its start or its teachers were trained.

A test accuracy on such images says little about new ones, and a validation accuracy on them is too high: 63.3% where
the test accuracy was 59.7% (docs/LOG.md). Splits of the same images differ by --split-seed, by --val-fraction, by the
protocol, and where images were added to a folder.
"""

from collections.abc import Mapping
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
from lenet.runs.split import BOTH, Parts


def images_seen(
    config: Config, dataset: Dataset, memory: Source | None, *, test: bool = True
) -> dict[str, NDArray[np.int64]]:
    """Indices of the images that the runs of `start` and `teacher` used, as far as known.

    "test": of the test images those that they trained or validated on; empty if `test` is False
    "val": of the validation images those that they trained on; to have validated on the same ones does no harm

    memory: the images, if they were passed from Python
    """
    found = {"test": np.zeros(0, np.int64), "val": np.zeros(0, np.int64)}
    wanted: dict[str, tuple[NDArray[np.int64], Parts]] = {"val": (dataset.val, ("train",))}
    if test:
        wanted["test"] = (dataset.test, BOTH)
    for path in (*([config.start] if config.start else []), *(config.teacher or ())):
        run = Run(path)
        kept = run.config() if run.path.is_dir() else None
        if kept and (kept.data == config.data or not {kept.data, config.data} <= set(SETS)):
            converted = _converted_as(kept, config, dataset, memory)
            for which, (indices, parts) in wanted.items():
                seen = run.split.used_of(converted, indices, parts)
                if seen is None and (digests := digests_of_used(run, kept, memory, parts)) is not None:
                    seen = indices[among(digests_of(converted, indices), digests)]
                if seen is not None:
                    found[which] = np.union1d(found[which], seen)
    return found


def digests_of_used(
    run: Run, config: Config, memory: Source | None = None, parts: Parts = BOTH
) -> NDArray[np.uint8] | None:
    """uint8 [M, 16], the digests of the images that the run trained or validated on; None if they are not found.

    config: the run's, with the place where its images are now; memory: they, if they were passed from Python
    parts: only of the images of these parts
    """
    if (kept := run.split.digests(parts=parts)) is not None:
        return kept
    try:
        own = run.split.applied(load_dataset(run.with_own_labels(config), memory=memory, download=False))
    except InputError:  # missing or changed
        return None
    used = [getattr(own, part) for part in parts]
    used += [indices for fold in own.folds for part, indices in zip(BOTH, fold, strict=True) if part in parts]
    return digests_of(own, np.unique(np.concatenate(used)))


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
    return load_dataset(replace(config, **conversion), memory=memory, download=False)


def notes_of_seen(seen: Mapping[str, NDArray[np.int64]], dataset: Dataset) -> list[str]:
    """`seen_notes` of what `images_seen` found."""
    return seen_notes(
        {which: len(indices) for which, indices in seen.items()}, {"test": len(dataset.test), "val": len(dataset.val)}
    )


def seen_notes(seen: Mapping[str, int], images: Mapping[str, int]) -> list[str]:
    """What the user should know about so many of the "test" and the "val" images."""
    whose = "the networks that this run starts from or learns from"
    notes = []
    if seen["test"]:
        notes.append(
            f"{seen['test']:,} of the {images['test']:,} test images were used to train or validate {whose}: the test "
            "accuracy says little about new images"
        )
    if seen["val"]:
        notes.append(
            f"{seen['val']:,} of the {images['val']:,} validation images were used to train {whose}: the validation "
            "accuracy is too high"
        )
    return notes
