"""An audit: how probable each image's label is to be wrong, by networks that were not trained on the image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.config import DataConfig
from lenet.data import Dataset
from lenet.evaluation.label_errors import LabelErrors

_SUSPECT = 0.1


@dataclass(frozen=True, eq=False)
class Audit:
    """What the networks of an audit say of N images.

    config: by which the dataset was loaded
    indices: int64 [N], sorted, the images in the dataset
    probabilities: float64 [N, classes], the mean over networks that were not trained on the image
    errors: how probable their labels are to be wrong
    seconds: wall time, without writing the files
    failed: seeds of the networks that diverged, which are left out
    """

    dataset: Dataset
    config: DataConfig
    indices: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    errors: LabelErrors
    seconds: float
    failed: tuple[int, ...] = ()

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N]: the given labels."""
        return self.dataset.labels[self.indices]

    @property
    def suspects(self) -> NDArray[np.int64]:
        """int64: positions of the labels that are wrong with a probability of 10% or more, the most probable first."""
        return self.errors.ranked[self.errors.wrong[self.errors.ranked] >= _SUSPECT]

    @property
    def agreement(self) -> float:
        """Fraction of the images whose given label is the most probable one."""
        return float((self.probabilities.argmax(axis=1) == self.labels).mean())
