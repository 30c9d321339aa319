"""The end of a run: the test set is evaluated once, and everything that a finished run holds is written."""

import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from lenet.config import Config
from lenet.data.dataset import Dataset
from lenet.errors import InputError
from lenet.evaluation.scores import mean_sd, scores
from lenet.models import parameter_count
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run
from lenet.training.start import learning_parameters
from lenet.training.training import Training

_LIBRARIES = ("lenet", "torch", "numpy", "pillow")


def finish(
    run: Run, config: Config, dataset: Dataset, trainings: Sequence[Training], workers: int, seconds: float
) -> None:
    """Judge each member's best weights on the test images, and write all that a finished run holds.

    A member whose loss stopped being finite has no part in it. Raises InputError where that is all of them.
    """
    from lenet.report.plots import (  # matplotlib takes as long to load as an epoch of the digits
        draw_confusion,
        draw_curves,
    )

    members = [training for training in trainings if not training.failed]
    if not members:
        rows = [training.history[-1] for training in trainings]
        where = "; ".join(f"seed {row.seed} in epoch {row.epoch}, step {(row.failed_step or 0) + 1}" for row in rows)
        raise InputError(f"the loss is no longer finite ({where}): lower --lr (it is {config.peak_lr:g})")
    test, predictions, labels = [], [], dataset.labels[dataset.test]
    for member in members:
        member.stop.clear()
        member.model.load_state_dict(member.best_weights)
        logits = member.logits(dataset.test)
        predictions.append(logits.argmax(axis=1))
        test.append(scores(logits, labels, dataset.classes))
    run.write_predictions(np.stack(predictions), labels, dataset.test)
    best_rows = [member.best for member in members if member.best is not None]
    val_accuracy = [row.val_accuracy for row in best_rows]
    height, width, channels = dataset.images.shape[1:]
    checkpoint = Checkpoint(
        members=[member.model.cpu() for member in members],
        classes=dataset.classes,
        input_shape=(height, width, channels),
        fit=config.fit,
        seeds=[member.seed for member in members],
        val_accuracy=val_accuracy,
        config=vars(config),
        versions=versions(),
    )
    run.write_checkpoint(checkpoint)

    rows = [row for training in trainings for row in training.history]
    best = checkpoint.best
    title = f"{config.model} on {dataset.name}"
    draw_curves(rows, title, run.plots / "curves.png")
    of = f"{title}, test images: {100 * test[best].accuracy:.1f}% right"
    draw_confusion(test[best], of + (f" (seed {members[best].seed})" if len(members) > 1 else ""),
                   run.plots / "confusion.png")  # fmt: skip

    train_seconds, val_seconds = epochs_seconds(trainings, workers)
    images = sum(len(training.dataset.train) * training.epoch for training in trainings)
    run.check_not_deleted()
    run.write_result(
        {
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            "data": dataset.name,
            "data_sha256": dataset.sha256,
            "model": config.model,
            "parameters": parameter_count(members[0].model),
            "learning_parameters": learning_parameters(members[0].model, members[0].frozen),
            "members": len(members),
            "failed": [training.seed for training in trainings if training.failed],
            "engine": ", ".join(sorted({row.engine for row in rows})),
            "epochs": config.epochs,
            "seconds": {"train": train_seconds, "validation": val_seconds, "total": seconds},
            "images_per_second": images / max(train_seconds, 1e-9),
            "val_accuracy": mean_sd(val_accuracy),
            "test_accuracy": mean_sd([score.accuracy for score in test]),
            "test_loss": mean_sd([score.loss for score in test]),
            "test_images": len(dataset.test),
            "best_epoch": [row.epoch for row in best_rows],
            "seed": config.seed,
            "config": vars(config),
            "versions": versions(),
        }
    )


def versions() -> dict[str, str]:
    """Of what the bits of a run depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def epochs_seconds(trainings: Sequence[Training], workers: int) -> tuple[float, float]:
    """(training, validation) by the clock on the wall, of members that trained `workers` at a time."""

    def wall(each: list[float]) -> float:
        busy_until = [0.0] * workers  # members start in turn, each where a worker is free first
        for seconds in each:
            busy_until[busy_until.index(min(busy_until))] += seconds
        return max(busy_until)

    return (
        wall([sum(row.train_seconds for row in training.history) for training in trainings]),
        wall([sum(row.val_seconds for row in training.history) for training in trainings]),
    )
