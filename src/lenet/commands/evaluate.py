"""Evaluate: the scores of a run's networks on labelled images."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lenet.commands.predict import load
from lenet.config import Config, checked, names_in
from lenet.config.augmentation import augmentations
from lenet.data import Dataset, load_dataset
from lenet.data.augment import shifted
from lenet.data.copies import among
from lenet.data.memory import Images, given_data
from lenet.data.source import Source
from lenet.data.splits import SPLITS, Split
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError, similar
from lenet.evaluation.evaluation import Evaluation, Predicted
from lenet.evaluation.scores import confidences, confusion_csv, per_class_csv, probabilities, scores
from lenet.files import make_folder, write_json, write_whole
from lenet.report.evaluation import draw_errors, write_predictions
from lenet.report.sheet import safe
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run
from lenet.runs.trained import SOME, as_trained, logits_of, own_config
from lenet.training.seen import digests_of, digests_of_used

Which = Literal["train", "val", "test", "all"]
View = tuple[bool, int]  # whether the image is mirrored, and then by how many pixels it is shifted down and right


def evaluate(
    run: str | Path | Run,
    data: str | Path | Images | Any = None,
    *,
    data_dir: str | Path | None = None,
    network: int | None = None,
    split: Split | None = None,
    augment: bool = False,
) -> Evaluation:
    """The scores of each network of a run: on the run's own test split by default, or on other data.

    data: as for `lenet.train`: a dataset, of which the test images are evaluated, or images of your own, of which the
        test images are evaluated, or all images if there are none. Images in memory may be of the test split alone.
        Labels without names number the run's classes. If it holds the images that the run was trained on, which
        are recognised by their content, the run's test split is evaluated
    data_dir: folder in which datasets are found or downloaded; by default the run's
    network: evaluate only this network (0, 1, ...)
    split: which of the run's own images to evaluate, as it split them: "train", "val" or "test" (the default)
    augment: also score the mean probabilities over views of each image: mirrored, if the network was trained on
        mirrored images, and shifted diagonally by one pixel, if it was trained on shifted ones; six views by default

    Raises InputError if the run or the data cannot be read, if the run's own images have changed, if the data has
    classes that the run was not trained on, or if `split` is given for other data.
    """
    if split not in (None, *SPLITS):
        raise InputError(f"split must be 'train', 'val' or 'test', not '{split}'{similar(str(split), SPLITS)}")
    with preserved_torch():
        run = run if isinstance(run, Run) else Run(run)
        checkpoint = load(run)
        config = own_config(run, checkpoint, data_dir)
        named, memory = given_data(data)
        asked = checked({} if data is None else {"data": named})
        dataset, own = _images(run, checkpoint, config, asked.get("data"), memory)
        if split and not own:
            raise InputError(f"--split is for the run's own data, which {dataset.source} is not: leave it out")
        which: Which = split or ("test" if own or dataset.has_test else "all")
        views = _views(config) if augment else []
        numbers = list(range(len(checkpoint.networks))) if network is None else [checkpoint.number_of(network)]
        predicted, scored, augmented = [], [], []
        for number in numbers:
            # With folds, each network has training and validation images of its own.
            indices = _indices(dataset.for_network(checkpoint.seeds[number] - config.seed) if own else dataset, which)
            logits = logits_of(checkpoint, number, dataset.images, indices)
            labels = dataset.labels[indices]
            calibrated = confidences(logits / checkpoint.temperature[number])
            predicted.append(Predicted(indices, labels, logits.argmax(axis=1), calibrated))
            scored.append(scores(logits, labels, checkpoint.classes))
            if views:
                mean = _logits_of_views(checkpoint, number, dataset.images, indices, views)
                augmented.append(scores(mean, labels, checkpoint.classes))
        if own:
            seen = (run.result or {}).get("test_images_seen") or 0
            trained_on: int | None = seen if which == "test" else len(predicted[0].indices)
        else:
            trained_on = _trained_on(run, config, dataset, predicted[0].indices)
        return Evaluation(
            scores=scored,
            predicted=predicted,
            dataset=dataset,
            networks=numbers,
            several=len(checkpoint.networks) > 1,
            data=dataset.name,
            source=dataset.source,
            sha256=dataset.sha256,
            own=own,
            split=which,
            best=checkpoint.best if network is None else numbers[0],
            trained_on=trained_on,
            augmented=augmented or None,
        )


def evaluation_folder(evaluation: Evaluation, run: Path) -> Path:
    """The folder for the evaluation's files: eval/, or one per dataset below it for other data than the run's own."""
    name = re.sub(r"[^\w.-]+", "_", evaluation.data)[:40]
    return run / "eval" if evaluation.own else run / "eval" / f"{name}-{evaluation.sha256[:8]}"


def write_evaluation(evaluation: Evaluation, folder: Path) -> list[str]:
    """Write the evaluation's files; return their names.

    scores.json; of each network per-class.csv, confusion.csv (up to 1,000 classes), predictions.csv (every image) and
    errors.csv (the wrong ones, the most confident first); of the best network errors.png, the first of its errors.

    Names contain the split, unless it is the test split or all images, and, if the run has several networks, the
    network's number, so that one evaluation of the same data does not overwrite another. What an earlier evaluation of
    the same split, or of the same network of it, has left in the folder is removed.
    """
    make_folder(folder)
    split = f"-{evaluation.split}" if evaluation.split in ("train", "val") else ""
    one = f"-{evaluation.networks[0]}" if evaluation.several and len(evaluation.networks) == 1 else ""
    names = [f"scores{split}{one}.json"]
    keys = (
        *("data", "source", "sha256", "split", "trained_on", "networks", "images"),
        *("accuracy", "interval", "balanced_accuracy", "macro_f1", "loss"),
        *(("augmented_accuracy",) if evaluation.augmented else ()),
    )
    facts = {key: getattr(evaluation, key) for key in keys}
    write_json(folder / names[0], facts)
    for number, found, predicted in zip(evaluation.networks, evaluation.scores, evaluation.predicted, strict=True):
        suffix = split + (f"-{number}" if evaluation.several else "")
        shown = replace(found, classes=tuple(map(safe, found.classes)))
        tables = {"per-class": per_class_csv} | ({"confusion": confusion_csv} if shown.has_matrix else {})
        for name, table in tables.items():
            names.append(f"{name}{suffix}.csv")
            write_whole(folder / names[-1], table(shown))
        for name, positions in (("predictions", None), ("errors", predicted.errors())):
            names.append(f"{name}{suffix}.csv")
            write_predictions(folder / names[-1], evaluation.dataset, predicted, positions)
        picture = f"errors{suffix}.png"
        if number == evaluation.best and draw_errors(evaluation, predicted, folder / picture):
            names.append(picture)
    number_of = re.escape(one) if one else r"(-\d+)?"
    stale = re.compile(rf"(scores|per-class|confusion|predictions|errors){split}{number_of}\.(csv|png|json)")
    for path in folder.iterdir():
        if stale.fullmatch(path.name) and path.name not in names:
            path.unlink()
    return names


def _indices(dataset: Dataset, which: Which) -> np.ndarray:
    """The indices of these images. Raises InputError if there are none."""
    indices = np.arange(len(dataset.labels)) if which == "all" else getattr(dataset, which)
    if not len(indices):
        if which == "test":
            raise InputError(f"{dataset.source} has no test images: add some under test/CLASS/")
        named = {"train": "training", "val": "validation"}.get(which, which)
        raise InputError(f"the run has no {named} images: choose another --split")
    return np.asarray(indices)


def _images(
    run: Run, checkpoint: Checkpoint, config: Config, data: str | None, memory: Source | None
) -> tuple[Dataset, bool]:
    """The dataset, and whether it is the one that the run was trained on; if so, with the run's split."""
    if data is None:
        return as_trained(run, config), True
    named = replace(config, data=data)
    # The data may have more classes than the run was trained on, and labels that the run corrected.
    if names_in(config.classes) or config.labels:
        try:
            return as_trained(run, named, memory), True
        except InputError:
            pass
    size, _, channels = checkpoint.input_shape
    other = Config(
        data=data, data_dir=config.data_dir, size=size, channels=1 if channels == 1 else 3, fit=config.fit,
        val_fraction=config.val_fraction, split_seed=config.split_seed,
    )  # fmt: skip
    dataset = load_dataset(other, memory=memory, classes=checkpoint.classes)
    if dataset.sha256 == config.data_sha256:
        return as_trained(run, named, memory), True
    return dataset, False


def _views(config: Config) -> list[View]:
    """Views like those that the run was trained on. Raises InputError if it was trained on the images as they are."""
    kinds = augmentations(config.augment)
    flips = (False, True) if "flip" in kinds else (False,)
    shifts = (0, 1, -1) if "shift" in kinds else (0,)
    if len(flips) * len(shifts) == 1:
        raise InputError(f"the run was trained without flips and shifts (augment {config.augment}), so there are no "
                         "views to average: leave --augment out")  # fmt: skip
    return [(flip, shift) for flip in flips for shift in shifts]


def _logits_of_views(
    checkpoint: Checkpoint, number: int, images: np.ndarray, indices: np.ndarray, views: list[View]
) -> np.ndarray:
    """float32 [len(indices), classes]: the logarithm of the mean probabilities over the views."""
    found = np.empty((len(indices), len(checkpoint.classes)), np.float32)
    for begin in range(0, len(indices), SOME):
        some = indices[begin : begin + SOME]
        total = np.zeros((len(some), len(checkpoint.classes)))
        for flip, shift in views:
            flips, shifts = np.full(len(some), flip), np.full((len(some), 2), shift, np.int8)
            pixels = shifted(images, some, flips, shifts)
            total += probabilities(torch_engine.logits(checkpoint.networks[number], pixels, Settings()))
        found[begin : begin + SOME] = np.log(np.maximum(total / len(views), np.finfo(np.float32).tiny))
    return found


def _trained_on(run: Run, config: Config, dataset: Dataset, indices: np.ndarray) -> int | None:
    """How many of these images, compared byte for byte, the run used for training or validation; None if unknown."""
    digests = digests_of_used(run, config)
    return None if digests is None else int(among(digests_of(dataset, indices), digests).sum())
