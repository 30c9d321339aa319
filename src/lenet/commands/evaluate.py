"""Evaluate: what a trained run's networks are worth on labelled images."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from lenet.commands.predict import chosen_member, load
from lenet.config import Config, checked, names_in
from lenet.data.dataset import Dataset, load_dataset
from lenet.data.wanted import check_images, load_data
from lenet.engine import Settings
from lenet.engine import torch as torch_engine
from lenet.errors import InputError
from lenet.evaluation.scores import Scores, confusion_csv, mean_sd, per_class_csv, scores
from lenet.files import make_folder, write_whole
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.run import Run


class Evaluation(list[Scores]):
    """The scores of each network evaluated, and what they are of.

    members: the networks' numbers in the run; several: whether the run has more than one
    data: the data's name; source: where it lies; sha256: of its images and labels
    own: whether these are the images that the run was trained on, of which its test split alone is evaluated
    split: "test", or "all" where the data has no test split
    trained_on: how many of the evaluated images the run trained or was validated on; None where that cannot be told
    """

    def __init__(
        self, found: Iterable[Scores], dataset: Dataset, members: list[int], *, several: bool, own: bool, split: str,
        trained_on: int | None,
    ) -> None:  # fmt: skip
        super().__init__(found)
        self.data, self.source, self.sha256 = dataset.name, dataset.source, dataset.sha256
        self.members, self.several, self.own, self.split, self.trained_on = members, several, own, split, trained_on

    def lines(self) -> list[str]:
        """What was evaluated, in words."""
        count = f"{self[0].images:,} images"
        which = f"the run's test split, {count}" if self.own else f"its test split, {count}"
        if self.split == "all":
            which = f"all of its {count}"
        lines = [f"data    {self.data} ({self.source}): {which}"]
        if self.trained_on is None:
            lines.append(
                "note    the run's own images are not where they were: not checked for images that it trained on"
            )
        elif self.trained_on:
            lines.append(
                f"note    the run trained or was validated on {self.trained_on:,} of these {count}: the accuracy says "
                "little about new images"
            )
        elif not self.own:
            lines.append("note    these are not the images that the run was trained on")
        return lines

    def folder(self, run: Path) -> Path:
        """Where its files go: each data has a folder of its own, so that one evaluation does not replace another's."""
        return run / "eval" if self.own else run / "eval" / f"{self.data[:40]}-{self.sha256[:8]}"

    def write(self, folder: Path) -> list[str]:
        """Write scores.json, and per-class.csv and confusion.csv of each network; returns the files' names.

        Of a run with several networks the names hold each one's number.
        """
        make_folder(folder)
        one = f"-{self.members[0]}" if self.several and len(self) == 1 else ""
        names = [f"scores{one}.json"]
        keys = ("data", "source", "sha256", "split", "trained_on", "members")
        facts = {key: getattr(self, key) for key in keys}
        facts |= {"images": self[0].images, "accuracy": mean_sd([one.accuracy for one in self])}
        facts["loss"] = mean_sd([one.loss for one in self])
        write_whole(folder / names[0], json.dumps(facts, indent=1) + "\n")
        for number, found in zip(self.members, self, strict=True):
            suffix = f"-{number}" if self.several else ""
            for name, text in (("per-class", per_class_csv(found)), ("confusion", confusion_csv(found))):
                names.append(f"{name}{suffix}.csv")
                write_whole(folder / names[-1], text)
        return names


def evaluate(
    run: str | Path | Run, data: str | None = None, *, data_dir: str | None = None, member: int | None = None
) -> Evaluation:
    """Each network's scores on the test split of the images it was trained on, or on other data.

    data: a named set (its test images) or a folder: its test images, or all of them where it is one folder a class.
        Images that the run was trained on are recognised by their content, and of these its test split is taken
    member: that network alone (0, 1, ...)

    Raises InputError where the run or the data cannot be read, the run's own images have changed, or the data has
    classes that the run does not know.
    """
    run = run if isinstance(run, Run) else Run(run)
    checkpoint = load(run)
    config = Config(**checked(checkpoint.config, f"{run.path}/model.json: "))
    sha256 = config.data_sha256 or (run.result or {}).get("data_sha256")
    config = replace(config, data_dir=data_dir or config.data_dir, data_sha256=sha256)
    dataset, own = _images(run, checkpoint, config, data)
    split = "test" if own or dataset.has_test or dataset.files is None else "all"
    indices = dataset.test if split == "test" else np.arange(len(dataset.labels))
    if not len(indices):
        raise InputError(f"{dataset.source} has no test images: add some under test/CLASS/")
    numbers = list(range(len(checkpoint.members))) if member is None else [chosen_member(checkpoint, member)]
    labels = dataset.labels[indices]
    images = dataset.images[indices]
    found = [
        scores(torch_engine.logits(checkpoint.members[number], images, Settings()), labels, checkpoint.classes)
        for number in numbers
    ]
    return Evaluation(
        found, dataset, numbers, several=len(checkpoint.members) > 1, own=own, split=split,
        trained_on=0 if own else _trained_on(run, config, images),
    )  # fmt: skip


def _images(run: Run, checkpoint: Checkpoint, config: Config, data: str | None) -> tuple[Dataset, bool]:
    """The images, and whether they are those that the run was trained on; then they are split as they were."""
    if data is None:
        own = _as_trained(run, config)
        return own, True
    named = replace(config, data=data)
    if names_in(config.classes):  # the data may have more classes than the run, which reads its own alone
        try:
            return _as_trained(run, named), True
        except InputError:
            pass
    size, _, channels = checkpoint.input_shape
    dataset = load_dataset(
        data,
        data_dir=config.data_dir,
        size=size,
        fit=checkpoint.fit,
        val_fraction=config.val_fraction,
        split_seed=config.split_seed,
        classes=checkpoint.classes,
        channels=channels,
    )
    if dataset.sha256 == config.data_sha256:
        return _as_trained(run, named), True
    return dataset, False


def _as_trained(run: Run, config: Config, *, download: bool = True) -> Dataset:
    """The run's own images, split as they were. Raises InputError where they are not there, or have changed."""
    dataset, _ = load_data(config, or_digits=False, download=download)
    check_images(dataset, config.data_sha256, f"{run.path} was trained on")
    return run.split_again(dataset)


def _trained_on(run: Run, config: Config, images: np.ndarray) -> int | None:
    """How many of these images are, to the byte, among those that the run trained or was validated on."""
    try:
        own = _as_trained(run, config, download=False)
    except InputError:  # gone, or changed
        return None
    folds = [indices for fold in own.folds for indices in fold]
    used = np.unique(np.concatenate([own.train, own.val, *folds]))
    seen = {_digest(own.images[index]) for index in used}
    return sum(_digest(image) in seen for image in images)


def _digest(image: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
