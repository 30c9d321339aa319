"""What augmentation costs: CPU time per image of the native engine, the default network on CIFAR-10, one thread.

The augmentations are measured in turn, in every round; the table shows medians over the rounds. "more" is the median
of the rounds' ratios to no augmentation.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch
from comparison import machine, table

from lenet.config import AUGMENTATIONS, Config, TrainingConfig, drawn
from lenet.data.dataset import load_dataset
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine.base import Settings
from lenet.models import SHAPES, network_of

LISTS = ("none", "flip-shift", *AUGMENTATIONS[2:], "flip-shift-rotate-scale", "-".join(AUGMENTATIONS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    data = load_dataset(Config(data="cifar10", data_dir=options.data_dir), download=False)
    images, labels = np.ascontiguousarray(data.images[: options.images]), data.labels[: options.images]
    torch.manual_seed(0)
    model = network_of(SHAPES["lenet5-modern"], images.shape[1:], 10)
    settings = Settings(TrainingConfig())
    print(f"{machine()}; native {native.level()}; {options.images:,} images, medians of {options.rounds} rounds")
    rows = []
    for batch in options.batches:
        seconds: dict[str, list[float]] = {name: [] for name in LISTS}
        for round in range(options.rounds + 1):
            for name in LISTS:
                started = time.process_time()
                plan = epoch_plan(np.arange(len(images)), seed=0, epoch=0, epochs=1, batch_size=batch,
                                  learning_rate=1e-3, image_size=images.shape[1:3],
                                  augment=drawn(Config(augment=name)))  # fmt: skip
                native.train(model, {}, images, labels, plan, settings)
                if round:  # the first round warms up
                    seconds[name].append(time.process_time() - started)
        for name in LISTS:
            ratio = median(some / none for some, none in zip(seconds[name], seconds["none"], strict=True))
            microseconds = 1e6 * median(seconds[name]) / len(images)
            rows.append({"augment": name, "batch": batch, "us per image": microseconds, "more": f"{ratio - 1:.1%}"})
    print(table(rows))


if __name__ == "__main__":
    main()
