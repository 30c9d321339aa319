"""An evaluation: the scores of a run's networks, and what exactly was evaluated."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lenet.data import Dataset
from lenet.evaluation.scores import Scores, mean_sd


@dataclass(frozen=True, eq=False)
class Predicted:
    """What one network predicted of N images.

    indices: int64 [N], the images in the dataset; labels, predicted: int64 [N], numbers of classes
    confidence: float64 [N], the probability of the predicted class, 0..1
    """

    indices: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray

    def errors(self) -> np.ndarray:
        """The positions, int64, of the wrong predictions, the most confident first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of each network that was evaluated, and of which images they are.

    predicted: what each network predicted; dataset: the images, with the run's split if they are its own
    networks: the networks' numbers in the run; several: whether the run has more than one
    data: the dataset's name; source: where it is; sha256: of its images and labels
    own: whether these are the images that the run was trained on; then its test split was evaluated,
        unless another was asked for
    split: "test", "train" or "val", or "all" for other data without a test split
    best: the number of the best of these networks by validation
    trained_on: how many of the evaluated images the run used for training or validation; None if that is unknown
    augmented: of each network, the scores of its mean probabilities over views of each image; None if not asked for
    """

    scores: list[Scores]
    predicted: list[Predicted]
    dataset: Dataset
    networks: list[int]
    several: bool
    data: str
    source: str
    sha256: str
    own: bool
    split: Literal["train", "val", "test", "all"]
    best: int
    trained_on: int | None
    augmented: list[Scores] | None = None

    @property
    def images(self) -> int:
        """Number of images evaluated."""
        return self.scores[0].images

    @property
    def accuracy(self) -> dict[str, Any]:
        """Mean and sd of the networks' accuracies."""
        return mean_sd([one.accuracy for one in self.scores])

    @property
    def balanced_accuracy(self) -> dict[str, Any]:
        """Mean and sd of the networks' balanced accuracies."""
        return mean_sd([one.balanced_accuracy for one in self.scores])

    @property
    def macro_f1(self) -> dict[str, Any]:
        """Mean and sd of the networks' macro F1."""
        return mean_sd([one.macro_f1 for one in self.scores])

    @property
    def augmented_accuracy(self) -> dict[str, Any] | None:
        """Mean and sd of the networks' accuracies over views; None if not asked for."""
        return mean_sd([one.accuracy for one in self.augmented]) if self.augmented else None

    @property
    def interval(self) -> list[float] | None:
        """The 95% interval of one network's accuracy; None for several, whose sd tells more."""
        return self.scores[0].interval if len(self.scores) == 1 else None

    @property
    def loss(self) -> dict[str, Any]:
        """Mean and sd of the networks' cross-entropies, in nats."""
        return mean_sd([one.loss for one in self.scores])
