"""Contents of reports, made by hand."""

import numpy as np
import pytest

from lenet.evaluation.calibration import Calibration, reliability
from lenet.evaluation.evaluation import Predicted
from lenet.evaluation.scores import mean_sd, predicted_scores
from lenet.report.contents import Contents, DataCard, Mistakes
from lenet.runs.metrics import EpochRow


@pytest.fixture(scope="session")
def contents():
    """A function that makes the contents of a report from classes, labels and what each network predicted."""

    def make(classes, labels, *predicted, side=16, channels=1, names=None, **changes):
        labels = np.asarray(labels)
        scores = [predicted_scores(np.asarray(each), labels, classes) for each in predicted]
        accuracy = mean_sd([one.accuracy for one in scores])
        logits = np.eye(len(classes))[np.asarray(predicted[0])] * 2
        wrong = np.flatnonzero(np.asarray(predicted[0]) != labels)
        random = np.random.default_rng(0)
        images = list(random.integers(0, 256, (len(wrong), side, side, channels), np.uint8))
        found = Predicted(wrong, labels[wrong], np.asarray(predicted[0])[wrong], np.linspace(0.99, 0.5, len(wrong)))
        result = {
            "data": "photos", "test_accuracy": accuracy, "val_accuracy": accuracy, "test_images": len(labels),
            "test_interval": scores[0].interval if len(scores) == 1 else None, "best_epoch": [1] * len(scores),
            "epochs": 2, "failed": [], "seconds": {"train": 1.0, "validation": 0.1, "total": 2.0},
            "images_per_second": 1000.0,
        }  # fmt: skip
        rows = [
            EpochRow(seed, epoch, "torch", 1 / epoch, 0.5, 1 / epoch, 0.5, 1.0, 0.1, None, 0.5, 0.5)
            for seed in range(len(scores))
            for epoch in (1, 2)
        ]
        values = {
            "path": "runs/0001", "model": "lenet5", "parameters": 100, "classes": classes,
            "input_shape": (side, side, channels), "fit": "crop", "seeds": range(len(scores)), "best": 0,
            "val_accuracy": accuracy["each"], "split": "test", "scores": scores,
            "data": DataCard("photos", "/photos", "ab" * 32), "command": "lenet train photos", "config": "epochs = 2\n",
            "options": {}, "versions": {"lenet": "1"}, "result": result, "rows": rows,
            "mistakes": Mistakes(found, images, names or [f"{number}.png" for number in wrong]),
            "calibration": Calibration(1.0, reliability(logits, labels), reliability(logits, labels)),
            "filters": np.ones((2, 3, 3, channels), np.float32), "missing": {"live": "No network: in this test."},
        }  # fmt: skip
        return Contents(**(values | changes))

    return make
