"""Evaluate: what a trained run's networks are worth on labelled images."""

from pathlib import Path

import numpy as np

from lenet.commands.predict import chosen_member, load
from lenet.config import TrainConfig, checked, names_in
from lenet.data.dataset import Dataset, load_dataset
from lenet.engine import Settings
from lenet.engine import torch as torch_engine
from lenet.errors import InputError
from lenet.evaluation import Scores, scores
from lenet.run import Run


def evaluate(
    run: str | Path | Run, data: str | None = None, *, data_dir: str | None = None, member: int | None = None
) -> list[Scores]:
    """Each member's scores on the test images of the data it was trained on, or of other data.

    data: a named set (its test images) or a folder: its test images, or all of them where it is one folder a class
    member: that network alone (0, 1, ...)

    Raises InputError where the run or the data cannot be read, or the data has classes that the run does not know.
    """
    run = run if isinstance(run, Run) else Run(run)
    checkpoint = load(run)
    config = TrainConfig(**checked(checkpoint.config, f"{run.path}/model.json: "))
    size, _, channels = checkpoint.input_shape
    own = data is None or data == config.data
    keep = names_in(config.classes) if own else None
    dataset = load_dataset(
        config.data if data is None else data,
        data_dir=data_dir or config.data_dir,
        size=size,
        fit=checkpoint.fit,
        val_fraction=config.val_fraction,
        split_seed=config.split_seed,
        classes=None if keep else checkpoint.classes,
        channels=channels,
        keep=keep,
    )
    indices = run.kept_split(dataset).test if own else _labelled(dataset)
    numbers = range(len(checkpoint.members)) if member is None else [chosen_member(checkpoint, member)]
    labels = dataset.labels[indices]
    images = dataset.images[indices]
    return [
        scores(torch_engine.logits(checkpoint.members[number], images, Settings()), labels, checkpoint.classes)
        for number in numbers
    ]


def _labelled(dataset: Dataset) -> np.ndarray:
    """The images to judge by: those set apart for testing by whoever made the set, otherwise all."""
    flat = dataset.files is not None and not any(name.split("/")[0] == "test" for name in dataset.files)
    indices = np.arange(len(dataset.labels)) if flat else dataset.test
    if not len(indices):
        raise InputError(f"{dataset.source} has no images to judge by: add some under test/CLASS/")
    return indices
