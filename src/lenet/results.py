"""The end of a run: the test set judged once, the figures written down, the pictures drawn, the result said."""

import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lenet.checkpoint import Checkpoint
from lenet.config import TrainConfig
from lenet.data.dataset import Dataset
from lenet.display import clock
from lenet.errors import InputError
from lenet.evaluation import mean_sd, scores
from lenet.models import parameter_count
from lenet.run import Run
from lenet.start import learning_parameters
from lenet.training import Training

_LIBRARIES = ("lenet", "torch", "numpy", "pillow")


def finish(
    run: Run, config: TrainConfig, dataset: Dataset, trainings: Sequence[Training], workers: int, seconds: float
) -> None:
    """Judge each member's best weights on the test images, and write all that a finished run holds.

    A member whose loss stopped being finite has no part in it. Raises InputError where that is all of them.
    """
    from lenet.plots import draw_confusion, draw_curves  # matplotlib takes as long to load as an epoch of the digits

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
            "test_images": len(dataset.test),
            "best_epoch": [row.epoch for row in best_rows],
            "seed": config.seed,
            "config": vars(config),
            "versions": versions(),
        }
    )


def say_result(run: Run, console: Console) -> None:
    """The finished run's figures, in a few lines."""
    result = run.result or {}
    seconds, lost = result["seconds"], diverged(result)
    lines = [f"failed  {lost}"] if lost else []
    lines += [
        f"valid.  {percent(result['val_accuracy'], always_n=bool(lost))} "
        f"(epoch {_span(result['best_epoch'])} of {result['epochs']})",
        f"test    {percent(result['test_accuracy'], always_n=bool(lost))} of {result['test_images']:,} images, "
        "judged once",
        f"took    {clock(seconds['total'])}, {clock(seconds['train'])} of it training at "
        f"{result['images_per_second']:,.0f} images a second",
        f"files   {run.path}: model.safetensors, result.json, plots/curves.png, ...",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def percent(accuracy: Mapping[str, Any], always_n: bool = False) -> str:
    """75.4%, or 75.4% ± 0.3 (n = 5). always_n: name n for one network too, where others were trained beside it."""
    n = len(accuracy["each"])
    return f"{plus_minus(accuracy, '%')} (n = {n})" if n > 1 or always_n else plus_minus(accuracy, "%")


def plus_minus(accuracy: Mapping[str, Any], unit: str = "") -> str:
    """75.4 ± 0.3 in per cent, mean and sample sd; one value has no sd (runs of older versions say 0)."""
    mean = f"{100 * accuracy['mean']:.1f}{unit}"
    return mean if len(accuracy["each"]) == 1 else f"{mean} ± {100 * accuracy['sd']:.1f}"


def diverged(result: Mapping[str, Any]) -> str | None:
    """Which networks are not in a run's figures because their loss stopped being finite; None where all are."""
    failed = result.get("failed") or []
    if not failed:
        return None
    trained = len(failed) + len(result["test_accuracy"]["each"])
    verb, seeds = ("is", "seed") if len(failed) == 1 else ("are", "seeds")
    named = ", ".join(map(str, failed))
    return f"{len(failed)} of {trained} networks diverged and {verb} not in the mean: {seeds} {named}"


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


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"
