"""`lenet audit` on images with planted wrong labels, beside cleanlab and beside a plain PyTorch script.

    python benchmarks/audit.py [--data cifar10] [--images 50000] [--wrong 5 10] [--kind random confused]
        [--data-dir DIR] [--peer-folds 1] [--out FOLDER]

Of each N planted labels the table shows how many are among the first N/10, N/2 and N images of a ranking (%):

- lenet: the ranking of `lenet audit`, with its wall and CPU seconds, all networks and files included; the length of its
  labels.csv with precision and recall, and the number of wrong labels that it estimates
- cleanlab: `cleanlab.filter.find_label_issues` (its default, ranked by self-confidence) of the same probabilities; the
  length of its list with precision and recall, and `cleanlab.count.num_label_issues`. Needs `pip install cleanlab`;
  without it, these rows are left out
- plain: probabilities of a plain script (a DataLoader of PIL images, eager PyTorch, Adam, one thread) that trains the
  same network for the same epochs, one network per fold, ranked as lenet ranks, and by cleanlab. Only --peer-folds
  folds are trained: figures are of their images, and seconds are extrapolated to all networks of the audit. "lenet,
  same images" are lenet's figures for those images.

A folder of photographs from benchmarks/photo_folder.py is a data set too: `--data photos --kind none` takes its planted
labels from photos.planted.csv.
"""

import argparse
import csv
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comparison import machine, table
from numpy.typing import NDArray
from plain_script import Images, PlainScript
from torch.utils.data import DataLoader

import lenet
from lenet.config import DataConfig
from lenet.data import Dataset, load_dataset
from lenet.evaluation.label_errors import label_errors
from lenet.models import Normalize
from lenet.models.audit import audit_network

# What people confuse; a planted wrong label of the kind "confused" is one of these.
_CONFUSED = {
    "airplane": "bird ship", "automobile": "truck", "car": "truck", "bird": "airplane deer", "cat": "dog",
    "deer": "horse", "dog": "cat", "frog": "bird", "horse": "deer dog", "monkey": "cat dog", "ship": "airplane",
    "truck": "automobile car",
}  # fmt: skip

Labels = NDArray[np.int64]


def plant(true: Labels, classes: tuple[str, ...], wrong: int, kind: str, seed: int = 0) -> Labels:
    """The labels with `wrong` of them replaced: by any other class ("random") or by one it is confused with."""
    random, labels = np.random.default_rng(seed), np.array(true)
    chosen = random.choice(len(true), wrong, replace=False)
    for index in chosen:
        others = [number for number in range(len(classes)) if number != true[index]]
        if kind == "confused":
            named = _CONFUSED[classes[true[index]]].split()
            others = [number for number in others if classes[number] in named]
        labels[index] = random.choice(others)
    return labels


def found(order: NDArray[np.int64], wrong: NDArray[np.bool_]) -> dict[str, str]:
    """How many of the first N/10, N/2 and N images of a ranking are wrong, in percent; N are wrong of all."""
    count, hits = int(wrong.sum()), wrong[order]
    shares = {"N/10": count / 10, "N/2": count / 2, "N": count}
    return {name: f"{100 * hits[: max(1, round(share))].mean():.1f}" for name, share in shares.items()}


def with_cleanlab(probabilities: NDArray[np.float64], labels: Labels, wrong: NDArray[np.bool_]) -> dict[str, str]:
    """cleanlab's own list of the same probabilities; empty without cleanlab."""
    try:
        from cleanlab.count import num_label_issues
        from cleanlab.filter import find_label_issues
    except ImportError:
        return {}
    issues = find_label_issues(labels, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    rest = np.setdiff1d(np.arange(len(labels)), issues)
    rest = rest[np.argsort(probabilities[rest, labels[rest]], kind="stable")]  # its list may be shorter than N
    ranks = found(np.concatenate([issues, rest]), wrong)
    estimated = {"estimated": f"{num_label_issues(labels, probabilities):,}"}
    return ranks | listed(len(issues), wrong[issues], wrong) | estimated


def listed(count: int, hits: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> dict[str, str]:
    """Length, precision and recall of a list of suspects."""
    return {
        "listed": f"{count:,}",
        "precision": f"{100 * hits.mean():.1f}",
        "recall": f"{100 * hits.sum() / wrong.sum():.1f}",
    }


def plain(dataset: Dataset, labels: Labels, folds: list[Labels], every: Labels, epochs: int) -> NDArray[np.float64]:
    """Out-of-fold probabilities of the images of these folds, in their order; one network per fold."""
    height, width, channels = dataset.images.shape[1:]
    rows = []
    for fold in folds:
        torch.manual_seed(0)
        train = np.setdiff1d(every, fold)
        network = audit_network((height, width, channels), len(dataset.classes))
        script = PlainScript(torch.nn.Sequential(Normalize([0.5] * channels, [0.25] * channels), *network), 64, "adam")
        for _ in range(epochs):
            script.train(dataset.images[train], labels[train])
        script.model.eval()
        with torch.inference_mode():
            loader = DataLoader(Images(dataset.images[fold], labels[fold], train=False), 64)
            rows += [torch.softmax(script.model(x), 1).double().numpy() for x, _ in loader]
    return np.concatenate(rows)


def seconds() -> tuple[float, float]:
    """Wall time, and the CPU time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def measured(
    dataset: Dataset, every: Labels, labels: Labels, wrong: NDArray[np.bool_], peer: int, out: Path
) -> list[dict[str, str]]:
    """The rows of one case.

    every: the images that are audited; labels: int64, of all images; wrong: bool, of all images; peer: folds
    """
    rows: list[dict[str, str]] = []
    blank = dict.fromkeys(("", "N/10", "N/2", "N", "listed", "precision", "recall", "estimated", "wall s", "CPU s"), "")
    begun = seconds()
    images = lenet.Images(dataset.images[every], labels[every], dataset.classes)
    seen: list[Any] = []
    audit = lenet.audit(images, out=out, resume=out.exists(), watch=_keep(seen))
    ended = seconds()
    bad, given = wrong[every], audit.labels
    took = {"wall s": f"{ended[0] - begun[0]:,.0f}", "CPU s": f"{ended[1] - begun[1]:,.0f}"}
    first, estimated = audit.suspects, {"estimated": f"{audit.errors.estimated:,}"}
    ours = found(audit.errors.ranked, bad) | listed(len(first), bad[first], bad) | estimated
    rows.append(blank | {"": "lenet"} | ours | took)
    rows.append(blank | {"": "cleanlab"} | with_cleanlab(audit.probabilities, given, bad))
    if peer:
        networks = seen[-1]
        parts = [np.setdiff1d(audit.indices, training.dataset.train) for training in networks[:peer]]
        some = np.concatenate(parts)
        begun = seconds()
        probabilities = plain(audit.dataset, given, parts, audit.indices, networks[0].config.epochs)
        ended = seconds()
        scale = len(networks) / peer
        took = {"wall s": f"{scale * (ended[0] - begun[0]):,.0f}", "CPU s": f"{scale * (ended[1] - begun[1]):,.0f}"}
        bad, given = bad[some], given[some]
        rows.append(blank | {"": "plain"} | found(label_errors(probabilities, given).ranked, bad) | took)
        rows.append(blank | {"": "plain, cleanlab"} | with_cleanlab(probabilities, given, bad))
        same = found(label_errors(audit.probabilities[some], given).ranked, bad)
        rows.append(blank | {"": "lenet, same images"} | same)
    return [row for row in rows if row["N"]]


def _keep(seen: list[Any]) -> Any:
    return lambda _, trainings: seen.append(trainings) if not seen else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--images", type=int, default=50_000, help="the first so many training images")
    parser.add_argument("--wrong", type=float, nargs="+", default=[5, 10], help="planted wrong labels, in percent")
    parser.add_argument("--kind", choices=("random", "confused", "none"), nargs="+", default=["random", "confused"])
    parser.add_argument("--data-dir", help="folder with the dataset (default: $LENET_DATA, ./data, ...)")
    parser.add_argument("--peer-folds", type=int, default=1, help="folds that the plain script trains; 0: none")
    parser.add_argument("--out", type=Path, help="keep the audits here; an interrupted one is resumed")
    options = parser.parse_args()

    torch.set_num_threads(1)
    dataset = load_dataset(DataConfig(data=options.data, data_dir=options.data_dir))
    every = np.sort(np.concatenate([dataset.train, dataset.val]))[: options.images]
    true = np.array(dataset.labels)
    print(f"{machine()}; {dataset.name}, {len(every):,} images")
    for kind in options.kind:
        for percent in options.wrong if kind != "none" else [0.0]:
            labels = np.array(true)
            if kind == "none":
                with Path(f"{options.data.rstrip('/')}.planted.csv").open(encoding="utf-8") as file:
                    names = {
                        row["file"] for row in csv.DictReader(file) if row["kind"] in ("wrong label", "in two classes")
                    }
                assert dataset.files is not None
                wrong = np.array([name in names for name in dataset.files])
            else:
                labels[every] = plant(true[every], dataset.classes, round(percent * len(every) / 100), kind)
                wrong = labels != true
            with tempfile.TemporaryDirectory() as place:
                out = (options.out or Path(place)) / f"{kind}-{percent:g}"
                rows = measured(dataset, every, labels, wrong, options.peer_folds, out)
            print(f"\n{kind}, {int(wrong[every].sum()):,} wrong labels", flush=True)
            print(table(rows), flush=True)


if __name__ == "__main__":
    main()
