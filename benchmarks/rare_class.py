"""A rare class of CIFAR-10: what class weights, and the score that chooses the epoch, do for it.

    python benchmarks/rare_class.py --data-dir DATA --keep 6 20 --seeds 5

Of one class only every sixth or twentieth training and validation image is kept; all test images are. Each network is
evaluated on the test images after every epoch, so one training shows what each --select would have chosen. Prints test
scores in per cent, mean ± sample standard deviation over seeds. "like training" is the accuracy on test images of which
the rare class has the same fraction as in training. One core trains an epoch of 40,000 images in 2 to 4 s.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lenet.config import Config
from lenet.data.dataset import Dataset, load_dataset
from lenet.evaluation.scores import Scores, mean_sd, scores
from lenet.report.text import plus_minus
from lenet.runs.metrics import SELECT, EpochRow, best_row
from lenet.training.setup import make_setup
from lenet.training.training import Training

COLUMNS = ("recall", "precision", "balanced", "like training")


def rare(dataset: Dataset, number: int, keep: int) -> Dataset:
    """The dataset with every `keep`-th training and validation image of class `number`."""

    def kept(indices: np.ndarray) -> np.ndarray:
        own = dataset.labels[indices] == number
        return np.sort(np.concatenate([indices[~own], indices[own][::keep]]))

    return replace(dataset, train=kept(dataset.train), val=kept(dataset.val))


def epochs(dataset: Dataset, config: Config) -> Iterator[tuple[EpochRow, Scores]]:
    """Each epoch of a training, with its scores on the test images."""
    training = Training(make_setup(config, dataset))
    while not training.finished:
        row = training.advance()
        yield row, scores(training.logits(dataset.test), dataset.labels[dataset.test], dataset.classes)


def figures(found: Scores, number: int, keep: int) -> tuple[float, ...]:
    """The values of COLUMNS, 0 to 1."""
    weight = np.where(np.arange(len(found.classes)) == number, 1 / keep, 1.0)
    alike = float((found.recall * weight).sum() / weight.sum())
    return float(found.recall[number]), float(found.precision[number]), found.balanced_accuracy, alike


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", help="Folder in which CIFAR-10 is found or downloaded.")
    parser.add_argument("--name", default="cat", help="The rare class.")
    parser.add_argument("--keep", type=int, nargs="+", default=[6, 20], help="Keep every so-manieth of its images.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=15)
    given = parser.parse_args()
    whole = load_dataset(Config(data="cifar10", data_dir=given.data_dir))
    number = whole.classes.index(given.name)
    print(f"{'kept':6}{'weights':10}{'select':10}" + "".join(f"{name:>15}" for name in COLUMNS))
    for keep in given.keep:
        dataset = rare(whole, number, keep)
        for weights in ("none", "balanced"):
            chosen: dict[str, list[tuple[float, ...]]] = {select: [] for select in SELECT}
            for seed in range(given.seeds):
                config = Config(data="cifar10", epochs=given.epochs, seed=seed, threads=1, class_weights=weights)
                found = dict(epochs(dataset, config))
                for select, metric in SELECT.items():
                    best = best_row(list(found), metric)
                    if best is not None:
                        chosen[select].append(figures(found[best], number, keep))
            for select, values in chosen.items():
                cells = [plus_minus(mean_sd(column), scale=100) for column in zip(*values, strict=True)]
                print(f"{f'1/{keep}':6}{weights:10}{select:10}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
