"""A plain Ray Tune script, as a user would write it, for comparison with `lenet tune`. Prints one line of JSON.

A training function with a DataLoader over PIL images and their transforms, an eager model, one process per trial, ASHA.
tune_speed.py runs it with the settings that lenet's search drew.
"""

import argparse
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

os.environ.update(
    RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_AIR_NEW_OUTPUT="0", RAY_CHDIR_TO_TRIAL_DIR="0"
)

import ray
import torch
from plain_script import Images
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from torch import nn
from torch.utils.data import DataLoader

from lenet.config import DataConfig
from lenet.data.dataset import load_dataset


def network(dropout: float) -> nn.Sequential:
    """The CIFAR-10 study's network."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Dropout(dropout), nn.Linear(120, 84), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(84, 10),
    )  # fmt: skip


def train(config: dict[str, Any]) -> None:
    """One trial."""
    setting = config["setting"]
    data = load_dataset(DataConfig(data="cifar10", data_dir=config["data_dir"], val_fraction=0.2), download=False)
    train_set = Images(data.images[data.train], data.labels[data.train], True)
    val_set = Images(data.images[data.val], data.labels[data.val], False)
    loader = DataLoader(train_set, batch_size=setting["batch_size"], shuffle=True)
    val_loader = DataLoader(val_set, batch_size=setting["batch_size"])
    model, loss_of = network(setting["dropout"]), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=setting["lr"], momentum=0.9, weight_decay=5e-4)
    for _ in range(config["epochs"]):
        started = time.perf_counter()
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        right = 0
        with torch.no_grad():
            for x, y in val_loader:
                right += (model(x).argmax(1) == y).sum().item()
        tune.report({"accuracy": right / len(val_set), "seconds": time.perf_counter() - started})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", type=Path, help="a JSON list of {batch_size, lr, dropout}")
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    ray.init(num_cpus=options.workers, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
    settings = json.loads(options.settings.read_text())
    tuner = tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        param_space={
            "setting": tune.grid_search(settings),
            "epochs": options.epochs,
            "data_dir": options.data_dir,
        },
        tune_config=tune.TuneConfig(
            metric="accuracy",
            mode="max",
            scheduler=ASHAScheduler(max_t=options.epochs, grace_period=1, reduction_factor=2),
        ),
        run_config=tune.RunConfig(storage_path=str(options.storage.absolute()), verbose=0),
    )
    epochs, best = [], 0.0
    results = tuner.fit()
    for result in (results[number] for number in range(len(results))):
        frame = result.metrics_dataframe
        assert result.config is not None
        assert frame is not None
        best = max(best, float(frame["accuracy"].max()))
        epochs += [(result.config["setting"]["batch_size"], float(seconds)) for seconds in frame["seconds"]]
    ray.shutdown()
    print(json.dumps({"epochs": epochs, "best": best}))


if __name__ == "__main__":
    main()
