"""Times lenet training one network on part of an epoch. Prints one line of JSON."""

import json
import time

import numpy as np
from comparison import arguments

from lenet.config import Augmentation, DataConfig, resolve
from lenet.data.augment import augmented
from lenet.data.dataset import load_dataset
from lenet.data.plan import epoch_plan
from lenet.engine.base import Settings
from lenet.engine.choice import choose
from lenet.models import SHAPES, network_of
from lenet.training.training import initialised


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--engine", choices=("auto", "native", "torch"), default="auto")
    options = parser.parse_args()

    config = resolve(given={"optimizer": options.optimizer, "engine": options.engine, "lr": 1e-3, "nesterov": False})
    data = load_dataset(DataConfig(data="cifar10", data_dir=options.data_dir), download=False)
    model = initialised(network_of(SHAPES[options.model], (32, 32, 3), 10), 0)
    settings = Settings(config, threads=options.threads)
    choice = choose(options.engine, model, settings)
    plan = epoch_plan(
        data.train[: options.images],
        seed=0,
        epoch=0,
        epochs=20,
        batch_size=options.batch_size,
        learning_rate=1e-3,
        augment=Augmentation("random", 4),
    )
    images, labels = np.ascontiguousarray(data.images), data.labels
    choice.engine.train(model, {}, images, labels, plan.part(0, 10), settings)
    started = time.perf_counter()
    metrics = choice.engine.train(model, {}, images, labels, plan, settings)
    seconds = time.perf_counter() - started

    # The fraction of this time that the torch engine spends on gathering, augmenting and normalizing images.
    started = time.perf_counter()
    for begin in range(0, len(plan.order), 512):
        batch = augmented(images, plan, slice(begin, begin + 512))
        (batch.astype(np.float32) / 255 - 0.5) / 0.25
    preparing = time.perf_counter() - started
    facts = {"images_per_second": metrics.images / seconds, "seconds": seconds, "engine": choice.name}
    print(json.dumps(facts | ({"preparing": preparing / seconds} if choice.name == "torch" else {})))


if __name__ == "__main__":
    main()
