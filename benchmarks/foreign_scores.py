"""Which score separates images that a network was not trained for from its own test images?

    python benchmarks/foreign_scores.py [--seeds 3] [--images 600] [--data-dir DIR]

Trains lenet's default network on the digits and on CIFAR-10, and scores the test images and foreign ones: generated
images (foreign_images.py), CIFAR-100's test images, STL-10's monkeys, grey photographs. It prints for each score the
AUROC and the percentage of foreign images accepted where 95% of the test images are, means over the seeds; for lenet's
score also what `reject_unlike` accepts, and what it costs where images differ a little from the training images.

    confidence    1 - the highest softmax probability (Hendrycks and Gimpel 2017)
    energy        -logsumexp of the logits (Liu et al. 2020)
    Mahalanobis   least distance from a class mean, last hidden features, shared covariance (Lee et al. 2018)
    neighbours    distance to the 10th nearest of 5,000 training images, same features, normalised (Sun et al. 2022)
    ViM           energy and the residual outside the features' principal space (Wang et al. 2022)
    maps, class   as Mahalanobis, of mean and deviation of each map of the first layers
    maps          the same with one normal distribution for all classes: lenet's
"""

import argparse
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from comparison import table
from foreign_images import GENERATED, generated, grey
from PIL import Image, ImageEnhance, ImageFilter
from scipy.special import logsumexp
from scipy.stats import rankdata
from torch import nn

import lenet
from lenet.config import DataConfig
from lenet.data import Dataset, load_dataset
from lenet.engine import torch as engine
from lenet.engine.base import Settings
from lenet.engine.statistics import map_statistics
from lenet.evaluation.likeness import Likeness

_REFERENCE = 5000  # training images
_RATES = ("5%", "1%", "0.2%")
Score = Callable[[np.ndarray], np.ndarray]  # images -> float [N], higher for foreign ones


def scores_of(network: nn.Sequential, likeness: Likeness, dataset: Dataset) -> dict[str, Score]:
    """Every score of a network."""
    chosen = dataset.train[:: 1 + (len(dataset.train) - 1) // _REFERENCE]
    images, labels = dataset.images[chosen], dataset.labels[chosen]

    def hidden(images: np.ndarray) -> np.ndarray:
        return engine.logits(nn.Sequential(*list(network)[:-1]), images, Settings()).astype(np.float64)

    def maps(images: np.ndarray) -> np.ndarray:
        return map_statistics(engine.maps(network, images.shape[1:]), network, images).astype(np.float64)

    def logits(images: np.ndarray) -> np.ndarray:
        return engine.logits(network, images, Settings()).astype(np.float64)

    def unsure(images: np.ndarray) -> np.ndarray:
        values = logits(images)
        return np.asarray(1 - np.exp(values.max(axis=1) - logsumexp(values, axis=1)))

    features, last = hidden(images), network[-1]
    assert isinstance(last, nn.Linear)
    weight, bias = (one.detach().numpy().astype(np.float64) for one in (last.weight, last.bias))
    origin = -np.linalg.pinv(weight) @ bias
    values, vectors = np.linalg.eigh((features - origin).T @ (features - origin))
    outside = vectors[:, : len(values) // 2]
    alpha = logits(images).max(axis=1).mean() / np.linalg.norm((features - origin) @ outside, axis=1).mean()

    def virtual(images: np.ndarray) -> np.ndarray:
        residual = np.linalg.norm((hidden(images) - origin) @ outside, axis=1)
        return np.asarray(alpha * residual - logsumexp(logits(images), axis=1))

    near = _normalised(features)

    def neighbours(images: np.ndarray) -> np.ndarray:
        parts = np.array_split(_normalised(hidden(images)), 1 + len(images) // 500)
        return np.concatenate([np.partition(1 - part @ near.T, 9, axis=1)[:, 9] for part in parts])

    return {
        "confidence": unsure,
        "energy": lambda images: -logsumexp(logits(images), axis=1),
        "Mahalanobis": _by_class(features, labels, hidden),
        "neighbours": neighbours,
        "ViM": virtual,
        "maps, class": _by_class(maps(images), labels, maps),
        "maps": lambda images: likeness.distance(
            map_statistics(engine.maps(network, images.shape[1:]), network, images)
        ),
    }


def _by_class(reference: np.ndarray, labels: np.ndarray, describe: Score) -> Score:
    """The least Mahalanobis distance from a class mean, with the classes' shared covariance."""
    means = np.stack([reference[labels == label].mean(axis=0) for label in np.unique(labels)])
    rest = reference - means[np.unique(labels, return_inverse=True)[1]]
    deviation = np.maximum(rest.std(axis=0), 1e-3)
    inverse = np.linalg.inv(np.corrcoef((rest / deviation).T) + 0.01 * np.eye(len(deviation)))

    def score(images: np.ndarray) -> np.ndarray:
        found = describe(images)
        gaps = [(found - mean) / deviation for mean in means]
        return np.asarray(np.min([np.einsum("ni,ij,nj->n", gap, inverse, gap, optimize=True) for gap in gaps], axis=0))

    return score


def _normalised(features: np.ndarray) -> np.ndarray:
    return np.asarray(features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9))


def auroc(own: np.ndarray, foreign: np.ndarray) -> float:
    """The probability that a foreign image has a higher score than a test image."""
    ranks = rankdata(np.concatenate([own, foreign]))[len(own) :]
    return float((ranks.sum() - len(foreign) * (len(foreign) + 1) / 2) / (len(own) * len(foreign)))


def changed(images: np.ndarray) -> dict[str, np.ndarray]:
    """Test images as other cameras and programs may give them."""

    def each(change: Callable[[Image.Image], Image.Image]) -> np.ndarray:
        pictures = [Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image) for image in images]
        return np.stack([np.asarray(change(one)).reshape(images.shape[1:]) for one in pictures])

    def jpeg(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=50)
        return Image.open(file)

    size = images.shape[1]
    noise = np.random.default_rng(0).normal(0, 10, images.shape)
    half = (size // 2, size // 2)
    return {
        "JPEG, quality 50": each(jpeg),
        "half the size, enlarged": each(lambda one: one.resize(half).resize((size, size), Image.Resampling.BILINEAR)),
        "blurred, 1 pixel": each(lambda one: one.filter(ImageFilter.GaussianBlur(1))),
        "brightness 0.7": each(lambda one: ImageEnhance.Brightness(one).enhance(0.7)),
        "contrast 0.7": each(lambda one: ImageEnhance.Contrast(one).enhance(0.7)),
        "noise, sd 10": np.clip(np.rint(images + noise), 0, 255).astype(np.uint8),
    }


Labelled = tuple[np.ndarray, np.ndarray | None]  # images, and their labels if they are of the network's classes


def measure(
    dataset: Dataset, data_dir: str | None, seeds: int, foreign: dict[str, np.ndarray], more: dict[str, Labelled]
) -> None:
    """Train the networks and print their tables."""
    name = dataset.name
    with tempfile.TemporaryDirectory() as place:
        checkpoint = lenet.load(lenet.train(name, data_dir=data_dir, seeds=seeds, out=Path(place, "run")))
    torch.set_num_threads(1)
    test, labels = dataset.images[dataset.test], dataset.labels[dataset.test]
    areas, passed, accepted = Means(), Means(), Means()
    shown: dict[str, Labelled] = {kind: (images, None) for kind, images in foreign.items()}
    shown["test images"] = test, labels
    shown |= {kind: (images, labels[:2000]) for kind, images in changed(test[:2000]).items()} | more
    for network, likeness in zip(checkpoint.networks, checkpoint.likeness, strict=True):
        assert likeness is not None
        for score, function in scores_of(network, likeness, dataset).items():
            own = function(test)
            limit = np.quantile(own, 0.95)
            for kind, images in foreign.items():
                found = function(images)
                areas.add(score, kind, auroc(own, found))
                passed.add(score, kind, float((found <= limit).mean()))
        for kind, (images, truth) in shown.items():
            distance = likeness.distance(map_statistics(engine.maps(network, images.shape[1:]), network, images))
            right = engine.logits(network, images, Settings()).argmax(axis=1) == truth
            for rate in _RATES:
                if (len(likeness.distances) + 1) * float(rate[:-1]) >= 100:
                    within = distance <= likeness.threshold(rate)
                    accepted.add(kind, rate, float(within.mean()))
                    if truth is not None and rate == "1%" and not within.all():
                        accepted.add(kind, "right if rejected", float(right[~within].mean()))
            if truth is not None:
                accepted.add(kind, "accuracy", float(right.mean()))
    for title, values in (("AUROC", areas), ("accepted with 95% of the test images", passed)):
        print(f"\n{name}, {seeds} seeds, %: {title}\n{values.table(mean=True)}")
    print(f"\n{name}, {seeds} seeds, %: accepted by reject_unlike\n{accepted.table()}", flush=True)


class Means:
    """Fractions by row and column, and their means over the networks as a table."""

    def __init__(self) -> None:
        self._each: dict[str, dict[str, list[float]]] = {}

    def add(self, row: str, column: str, value: float) -> None:
        self._each.setdefault(row, {}).setdefault(column, []).append(100 * value)

    def table(self, mean: bool = False) -> str:
        columns = list(dict.fromkeys(column for row in self._each.values() for column in row))
        rows = []
        for name, row in self._each.items():
            found = {column: f"{np.mean(row[column]):.1f}" if column in row else "" for column in columns}
            if mean:
                found["mean"] = f"{np.mean(list(row.values())):.1f}"
            rows.append({"": name} | found)
        return table(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=600, help="number of images of each generated kind")
    parser.add_argument("--data-dir", help="folder with CIFAR-10, CIFAR-100 and STL-10 (default: $LENET_DATA, ...)")
    options = parser.parse_args()

    cifar10, cifar100, stl10 = (
        load_dataset(DataConfig(data=name, data_dir=options.data_dir)) for name in ("cifar10", "cifar100", "stl10")
    )
    count = options.images
    digits = load_dataset(DataConfig(data="digits"))
    names = np.array(stl10.classes)[stl10.labels[stl10.test]]
    known = np.isin(np.array(cifar100.classes)[cifar100.labels[cifar100.test]], ["bus", "pickup_truck", "streetcar"])
    photographs = {"CIFAR-10": cifar10.images[cifar10.test[:2000]], "STL-10": stl10.images[stl10.test[:1000]]}
    made = {kind: generated(kind, count, 32) for kind in GENERATED}
    greys = {kind: grey(images, 16) for kind, images in {**photographs, **made}.items()}
    measure(digits, None, options.seeds, {**greys, "inverted digits": 255 - digits.images[digits.test]}, {})
    del made["letters"]
    others = {
        **made,
        "CIFAR-100": cifar100.images[cifar100.test[~known][:2000]],
        "monkeys": stl10.images[stl10.test[names == "monkey"]],
    }
    shared = names != "monkey"
    labels = np.array([cifar10.classes.index({"car": "automobile"}.get(name, name)) for name in names[shared]])
    same: dict[str, Labelled] = {"STL-10, shared classes": (stl10.images[stl10.test[shared]], labels)}
    measure(cifar10, options.data_dir, options.seeds, others, same)


if __name__ == "__main__":
    main()
