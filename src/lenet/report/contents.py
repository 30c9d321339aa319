"""What a run's report and its model card show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lenet.evaluation.calibration import Calibration
from lenet.evaluation.evaluation import Predicted
from lenet.evaluation.scores import Scores
from lenet.exports.network import Exported
from lenet.exports.page import Check
from lenet.runs.metrics import EpochRow


@dataclass(frozen=True)
class DataCard:
    """Where the images come from, and what is known of them.

    source: where they are, or that they come with lenet; licence, citation, homepage: empty if lenet does not know them
    splits: numbers of images in "train", "val" and "test"; empty if unknown; folds: 0 without
    per_class: int64 [classes], training images of each class; None without the images
    copies: what is known of exact copies; empty without the images
    """

    name: str
    source: str
    sha256: str
    licence: str = ""
    citation: str = ""
    homepage: str = ""
    splits: Mapping[str, int] = field(default_factory=dict)
    folds: int = 0
    per_class: NDArray[np.int64] | None = None
    copies: str = ""

    @property
    def sizes(self) -> str:
        """Such as "45,000 training, 5,000 validation, 10,000 test", or "unknown"."""
        named = {"train": "training", "val": "validation", "test": "test"}
        return ", ".join(f"{count:,} {named[name]}" for name, count in self.splits.items()) or "unknown"


@dataclass(frozen=True, eq=False)
class Mistakes:
    """The wrong predictions of one network, those to show first first.

    images: uint8 [H, W, C] each; names: file or number of each; all three have one entry for each mistake
    predicted: what the network predicted; its confidence is the calibrated one, or NaN without weights
    """

    predicted: Predicted
    images: Sequence[NDArray[np.uint8]]
    names: Sequence[str]


@dataclass(frozen=True, eq=False)
class Contents:
    """What is shown of a run. What is None or empty is left out, for the reason in `missing`.

    path: the run's folder, as the user gave it; result: result.json
    seeds: of each network; best: number of the network that is shown where only one is
    val_accuracy: of each network, 0..1
    split: of which images the scores, the mistakes and the calibration are
    scores: one for each network; their loss is unknown
    filters: float [count, kernel height, kernel width, 1 or 3], the first layer's weights
    network, checks: the best network and check images, for the live network
    rejects_unlike: whether the network can answer "unknown" to images unlike the training images
    command: repeats the run, empty if unknown; config: the content of config.toml
    missing: by part ("mistakes", "calibration", ...) the reason, a sentence
    """

    path: str
    model: str
    parameters: int | None
    classes: tuple[str, ...]
    input_shape: tuple[int, int, int] | None
    fit: str
    seeds: Sequence[int]
    best: int
    val_accuracy: Sequence[float]
    split: Literal["test", "val"]
    scores: Sequence[Scores]
    data: DataCard
    command: str
    config: str
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    rejects_unlike: bool = False
    result: Mapping[str, Any] | None = None
    rows: Sequence[EpochRow] = ()
    mistakes: Mistakes | None = None
    calibration: Calibration | None = None
    filters: NDArray[np.float32] | None = None
    network: Exported | None = None
    checks: Sequence[Check] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def with_seed(self) -> str:
        """Which network is shown where only one is: " with seed 3", or "" if there is one alone."""
        return f" with seed {self.seeds[self.best]}" if len(self.seeds) > 1 else ""

    @property
    def best_accuracy(self) -> float:
        """Validation accuracy of the best network, 0..1; NaN if unknown."""
        return self.val_accuracy[self.best] if len(self.val_accuracy) else float("nan")

    @property
    def images_named(self) -> str:
        """What the evaluated images are: "test images" or "validation images"."""
        return "test images" if self.split == "test" else "validation images"
