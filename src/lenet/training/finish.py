"""The end of a run: evaluates the test set, once, with the best weights by validation."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lenet.engine.statistics import map_statistics, statistics_count
from lenet.errors import InputError
from lenet.evaluation.calibration import Calibration, fit_temperature, reliability
from lenet.evaluation.likeness import Likeness, likeness
from lenet.evaluation.rejection import Accepted, acceptance
from lenet.evaluation.scores import Scores, mean_sd, scores
from lenet.models import parameter_count
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.metrics import SELECT, best_of, images_trained
from lenet.runs.provenance import command, versions
from lenet.runs.run import Clock, Run
from lenet.training.setup import Setup, threads_each
from lenet.training.start import trained_parameters
from lenet.training.training import Training

_DESCRIBED_TRAIN, _DESCRIBED_VAL = 2000, 5000  # images of which statistics are computed; more make little difference
_COPIED = 512  # of these images at once
_PER_STATISTIC = 5  # training images at least: a covariance needs a multiple of the number of statistics


@dataclass(frozen=True, eq=False)
class Tested:
    """The networks that did not diverge, with their best weights; scores and calibration of each on the test images.

    best: index in these lists of the network with the best validation score, by the option `select`
    """

    trainings: list[Training]
    scores: list[Scores]
    calibrations: list[Calibration]
    best: int


def evaluate_test_set(setup: Setup, trainings: Sequence[Training], run: Run) -> Tested:
    """Evaluate each network's best weights on the test images; write predictions and checkpoint to the run folder.

    Networks that diverged are left out. Raises InputError if all diverged.
    """
    dataset, config = setup.dataset, setup.config
    kept = [training for training in trainings if not training.failed]
    if not kept:
        rows = [training.history[-1] for training in trainings]
        where = "; ".join(f"seed {row.seed} in epoch {row.epoch}, step {(row.failed_step or 0) + 1}" for row in rows)
        raise InputError(f"the loss is no longer finite ({where}): lower --lr (it is {config.peak_lr:g})")
    threads = threads_each(config, setup.choice, min(len(kept), setup.workers))
    for training in kept:
        training.settings = replace(training.settings, threads=threads)
        training.stop.clear()
    with ThreadPoolExecutor(setup.workers) as pool:
        try:
            evaluated = list(pool.map(_evaluated, kept))
        except BaseException:  # Ctrl-C, or what one of them raised: the others end soon
            for training in kept:
                training.stop.set()
            raise
    metric = SELECT[config.select]
    best = best_of([getattr(training.best, metric) for training in kept], metric)
    predictions = np.stack([one.predictions for one in evaluated])
    run.write_predictions(predictions, dataset.labels[dataset.test], dataset.test)
    height, width, channels = dataset.images.shape[1:]
    checkpoint = Checkpoint(
        networks=[training.model.cpu() for training in kept],
        classes=dataset.classes,
        input_shape=(height, width, channels),
        fit=config.fit,
        seeds=[training.seed for training in kept],
        val_accuracy=[training.best.val_accuracy for training in kept if training.best],
        temperature=[one.calibration.temperature for one in evaluated],
        acceptance=[one.accepted for one in evaluated],
        likeness=[one.likeness for one in evaluated],
        config=vars(config),
        versions=versions(),
        best=best,
    )
    run.write_checkpoint(checkpoint)
    return Tested(kept, [one.scores for one in evaluated], [one.calibration for one in evaluated], best)


@dataclass(frozen=True, eq=False)
class _Evaluated:
    """One network with its best weights; predictions: int64 [test images]."""

    predictions: np.ndarray
    scores: Scores
    calibration: Calibration
    accepted: list[Accepted]
    likeness: Likeness | None


def _evaluated(training: Training) -> _Evaluated:
    training.model.load_state_dict(training.best_weights)
    dataset = training.dataset
    labels, logits = dataset.labels[dataset.test], training.logits(dataset.test)
    temperature, accepted = calibrated(training)
    calibration = Calibration(temperature, reliability(logits, labels), reliability(logits / temperature, labels))
    found = scores(logits, labels, dataset.classes)
    return _Evaluated(logits.argmax(axis=1), found, calibration, accepted, likeness_of(training))


def calibrated(training: Training) -> tuple[float, list[Accepted]]:
    """The temperature of a network with its best weights, and its thresholds, from its validation images."""
    logits, labels = training.logits(training.dataset.val), training.dataset.labels[training.dataset.val]
    temperature = fit_temperature(logits, labels)
    return temperature, acceptance(logits / temperature, labels)


def likeness_of(training: Training) -> Likeness | None:
    """What the training images look like to a network with its best weights; None with too few validation images."""
    dataset, model = training.dataset, training.model
    height, width, channels = dataset.images.shape[1:]
    most_train = max(_DESCRIBED_TRAIN, _PER_STATISTIC * statistics_count(list(model), (height, width, channels)))

    def described(indices: NDArray[np.int64], most: int) -> np.ndarray:
        chosen = indices[np.linspace(0, len(indices) - 1, min(most, len(indices)), dtype=np.int64)]

        def block(begin: int) -> np.ndarray:
            images = dataset.images[chosen[begin : begin + _COPIED]]
            return map_statistics(training.choice.engine.maps(model, (height, width, channels)), model, images)

        with ThreadPoolExecutor(training.settings.threads) as pool:
            return np.concatenate(list(pool.map(block, range(0, len(chosen), _COPIED))))

    return likeness(described(dataset.train, most_train), described(dataset.val, _DESCRIBED_VAL))


def result_of(setup: Setup, trainings: Sequence[Training], tested: Tested, clock: Clock) -> dict[str, Any]:
    """The content of result.json. Seconds are wall time, summed over all sessions of the run."""
    config, dataset, kept = setup.config, setup.dataset, tested.trainings
    rows = [row for training in trainings for row in training.history]
    # While one network trains another may validate, so the loop's wall time is divided in the ratio of their seconds.
    train, val = (sum(getattr(row, name) for row in rows) for name in ("train_seconds", "val_seconds"))
    train_seconds = clock.loop * train / max(train + val, 1e-9)
    images = sum(
        images_trained(training.history, len(training.dataset.train), config.batch_size) for training in trainings
    )
    best_rows = [training.best for training in kept if training.best]
    return {
        "command": command(),
        "data": dataset.name,
        "data_sha256": dataset.sha256,
        "model": config.model,
        "parameters": parameter_count(kept[0].model),
        "learning_parameters": trained_parameters(kept[0].model, kept[0].frozen),
        "members": len(kept),
        "failed": [training.seed for training in trainings if training.failed],
        "engine": ", ".join(sorted({row.engine for row in rows})),
        "epochs": config.epochs,
        "seconds": {"train": train_seconds, "validation": clock.loop - train_seconds, "total": clock.total},
        "images_per_second": images / max(train_seconds, 1e-9),
        "val_accuracy": mean_sd([row.val_accuracy for row in best_rows]),
        "val_balanced_accuracy": mean_sd([row.val_balanced_accuracy for row in best_rows]),
        "val_macro_f1": mean_sd([row.val_macro_f1 for row in best_rows]),
        "val_loss": mean_sd([row.val_loss for row in best_rows]),
        "test_accuracy": mean_sd([one.accuracy for one in tested.scores]),
        "test_interval": tested.scores[0].interval if len(kept) == 1 else None,
        "test_balanced_accuracy": mean_sd([one.balanced_accuracy for one in tested.scores]),
        "test_macro_f1": mean_sd([one.macro_f1 for one in tested.scores]),
        "test_loss": mean_sd([one.loss for one in tested.scores]),
        "temperature": [one.temperature for one in tested.calibrations],
        "test_calibration_error": mean_sd([one.after.error for one in tested.calibrations]),
        "test_calibration_error_uncalibrated": mean_sd([one.before.error for one in tested.calibrations]),
        "test_images": len(dataset.test),
        "test_images_seen": len(setup.seen.get("test", ())),
        "val_images": len(dataset.val),
        "val_images_seen": len(setup.seen.get("val", ())),
        "class_weights": _weights_by_name(setup),
        "best_network": tested.best,
        "best_epoch": [row.epoch for row in best_rows],
        "seed": config.seed,
        "config": vars(config),
        "versions": versions(),
    }


def _weights_by_name(setup: Setup) -> list[dict[str, float]] | None:
    """The class weights by class name, once for each fold, or once for all networks; None without weights."""
    found = [setup.class_weights(number) for number in range(len(setup.dataset.folds) or 1)]
    return [dict(zip(setup.dataset.classes, weights, strict=True)) for weights in found if weights] or None
