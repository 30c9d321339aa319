"""An evaluation: the scores of a run's networks, and what exactly was evaluated."""

from dataclasses import dataclass
from typing import Any, Literal

from lenet.evaluation.scores import Scores, mean_sd, wilson_interval


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of each network that was evaluated, and of which images they are.

    networks: the networks' numbers in the run; several: whether the run has more than one
    data: the dataset's name; source: where it is; sha256: of its images and labels
    own: whether these are the images that the run was trained on; then its test split was evaluated
    split: "test", or "all" if the data has no test split
    trained_on: how many of the evaluated images the run used for training or validation; None if that is unknown
    """

    scores: list[Scores]
    networks: list[int]
    several: bool
    data: str
    source: str
    sha256: str
    own: bool
    split: Literal["test", "all"]
    trained_on: int | None

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
    def interval(self) -> list[float] | None:
        """The 95% interval of one network's accuracy; None for several, whose sd tells more."""
        if len(self.scores) > 1:
            return None
        return list(wilson_interval(round(self.scores[0].accuracy * self.images), self.images))

    @property
    def loss(self) -> dict[str, Any]:
        """Mean and sd of the networks' cross-entropies, in nats."""
        return mean_sd([one.loss for one in self.scores])
