"""A finished run's own images, and what its networks say about images of a dataset."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lenet.config import Config, checked
from lenet.data import Dataset, load_dataset
from lenet.data.identity import check_images
from lenet.data.source import Source
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.predictor import finite
from lenet.runs.run import Run

SOME = 2048  # images; a multiple of what the engine takes at once, so that the results do not depend on it


def own_config(run: Run, checkpoint: Checkpoint | None, data_dir: str | Path | None) -> Config:
    """The config of the run, with the hash of its images.

    checkpoint: the run's; if None, the config is read from result.json
    data_dir: folder in which the images are searched; if None, the run's
    """
    saved, file = (checkpoint.config, "model.json") if checkpoint else (run.finished_result()["config"], "result.json")
    config = Config(**checked(saved, f"{run.path}/{file}: "))
    sha256 = config.data_sha256 or (run.result or {}).get("data_sha256")
    return replace(config, data_sha256=sha256, **checked({} if data_dir is None else {"data_dir": data_dir}))


def as_trained(run: Run, config: Config, memory: Source | None = None, *, download: bool = True) -> Dataset:
    """The run's own images with the run's split. Raises InputError if they are missing or have changed."""
    dataset = load_dataset(run.with_own_labels(config), memory=memory, download=download)
    check_images(dataset, config.data_sha256, f"{run.path} was trained on")
    return run.split.applied(dataset)


def logits_of(checkpoint: Checkpoint, number: int, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """float32 [len(indices), classes] of network `number` for these images, some of which are read at a time."""
    parts = [
        torch_engine.logits(checkpoint.networks[number], images[indices[begin : begin + SOME]], Settings())
        for begin in range(0, len(indices), SOME)
    ]
    return finite(np.concatenate(parts), number)
