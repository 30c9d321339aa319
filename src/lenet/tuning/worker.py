"""What Ray's workers run. Apart from the search, so that a worker does not import Optuna."""

from typing import Any

import torch
from ray.tune import Trainable

from lenet.tuning.trial import Job, results_of

NUMBER = "number"  # where a searcher without numbered trials puts a trial's


class Trial(Trainable):
    """A trial as Ray calls it: `step` is one epoch. One worker trains one trial after another."""

    def setup(self, config: dict[str, Any], job: Job | None = None) -> None:
        """Called by Ray when the worker starts."""
        assert job is not None
        torch.set_num_threads(1)
        self._job = job
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called by Ray when the worker takes another trial."""
        number, values = number_of(self.trial_id, new_config), self._job.search.space.values(new_config)
        self._results = results_of(self._job, number, values)
        return True

    def step(self) -> dict[str, Any]:
        """One epoch. Called by Ray."""
        return next(self._results)


def number_of(trial_id: str, config: dict[str, Any]) -> int:
    """A trial's number: the one that the searcher gave with its values, otherwise its place in Ray's own count."""
    return int(config[NUMBER]) if NUMBER in config else int(trial_id.rsplit("_", 1)[1])
