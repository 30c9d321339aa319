"""An audit: how probable each image's label is to networks that were not trained on the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.data import Dataset
from lenet.evaluation.label_errors import estimated_errors, given_probability, ranked, suggested


@dataclass(frozen=True, eq=False)
class Audit:
    """What the networks of an audit say of N images.

    indices: int64 [N], sorted, the images in the dataset
    probabilities: float64 [N, classes], the mean over networks that were not trained on the image
    seconds: wall time of the whole audit
    """

    dataset: Dataset
    indices: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    seconds: float

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N]: the given labels."""
        return self.dataset.labels[self.indices]

    @property
    def ranked(self) -> NDArray[np.int64]:
        """int64 [N]: positions of the images, the most probably wrong label first."""
        return ranked(self.probabilities, self.labels)

    @property
    def suggested(self) -> NDArray[np.int64]:
        """int64 [N]: the most probable label other than the given one."""
        return suggested(self.probabilities, self.labels)

    @property
    def given_probability(self) -> NDArray[np.float64]:
        """float64 [N]: the probability of the given label."""
        return given_probability(self.probabilities, self.labels)

    @property
    def suggested_probability(self) -> NDArray[np.float64]:
        """float64 [N]: the probability of the suggested label."""
        return given_probability(self.probabilities, self.suggested)

    @property
    def estimated(self) -> int:
        """The estimated number of wrong labels."""
        return estimated_errors(self.probabilities, self.labels)

    @property
    def agreement(self) -> float:
        """Fraction of the images whose given label is the most probable one."""
        return float((self.given_probability > self.suggested_probability).mean())
