"""Which named network to take for how many training images and epochs: what `--model auto` chooses by.

    python benchmarks/network_choice.py --data cifar10 --images 500 2000 5000 --epochs 20 60 --out choice.json

Each network is trained with its default options on the first so many training images, in an order drawn once, and
evaluated after the last epoch on the validation images, which nothing is chosen by. The test set is not used. --out
keeps every training, and a later call does only those that are missing. Prints accuracies in per cent, mean ± sample
standard deviation over seeds, and images a second of training, which compare only within one call.
"""

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from comparison import machine, table

from lenet.config import Config
from lenet.cores import usable_cores
from lenet.data.dataset import Dataset, load_dataset
from lenet.evaluation.scores import mean_sd
from lenet.files import write_whole
from lenet.report.text import plus_minus
from lenet.training.setup import make_setup
from lenet.training.training import Training

NETWORKS = ("lenet5-modern", "lenet-62k", "small-vgg", "resnet8")


def few(dataset: Dataset, count: int) -> Dataset:
    """The dataset with `count` of its training images."""
    kept = np.random.default_rng(0).permutation(dataset.train)[:count]
    return replace(dataset, train=np.sort(kept))


def trained(dataset: Dataset, config: Config) -> dict[str, float]:
    """Validation accuracy after the last epoch, and training images a second."""
    training = Training(make_setup(config, dataset))
    rows = []
    while not training.finished:
        rows.append(training.advance())
    seconds = sum(row.train_seconds for row in rows)
    return {"accuracy": rows[-1].val_accuracy, "images_per_second": len(rows) * len(dataset.train) / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="cifar10", help="A published dataset or a folder.")
    parser.add_argument("--data-dir", help="Folder in which published datasets are found or downloaded.")
    parser.add_argument("--size", type=int, help="Image side length in pixels. Default: the dataset's own.")
    parser.add_argument("--images", type=int, nargs="+", default=[500, 2000, 5000])
    parser.add_argument("--epochs", type=int, nargs="+", default=[20, 60])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--out", type=Path, default=Path("network_choice.json"))
    given = parser.parse_args()

    done = json.loads(given.out.read_text()) if given.out.exists() else {}
    rows: dict[tuple[int, int], dict[str, str | int]] = {}
    for images, epochs, network in product(given.images, given.epochs, given.networks):
        found = []
        for seed in range(given.seeds):
            config = Config(
                data=given.data, data_dir=given.data_dir, size=given.size, model=network, epochs=epochs, seed=seed,
                threads=given.threads,
            )  # fmt: skip
            key = f"{given.data} {given.size or ''} {images} {epochs} {network} {seed}"
            if key not in done:
                done[key] = trained(few(load_dataset(config), images), config)
                write_whole(given.out, json.dumps(done, indent=1))
            found.append(done[key])
        row = rows.setdefault((images, epochs), {"images": images, "epochs": epochs})
        row[network] = plus_minus(mean_sd([one["accuracy"] for one in found]), scale=100)
        row[f"{network}/s"] = round(float(np.median([one["images_per_second"] for one in found])))
    print(machine())
    print(table(list(rows.values())))


if __name__ == "__main__":
    main()
