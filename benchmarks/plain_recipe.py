"""A recipe of lenet as a plain PyTorch script, for comparison: CIFAR-10, from the start to the test accuracy.

The images and transforms are those of plain_script.py; the network, optimizer, learning rates and batch size are the
recipe's, but flips are always drawn at random. With --only K it stops after K of the recipe's epochs, and then
evaluates the test set as at the end. The last line that it prints is a JSON object: seconds of each epoch (validation
included), and the test accuracy.
"""

import argparse
import json
import time

import numpy as np
import torch
from plain_script import Images
from torch import nn
from torch.utils.data import DataLoader

from lenet.config import Augmentation, Config, drawn, resolve
from lenet.config.options import SHAPING
from lenet.data.dataset import load_dataset
from lenet.data.plan import learning_rates
from lenet.models import Normalize, network_of, shape_named


class Muon:
    """The direction of SGD with Nesterov momentum, made orthogonal (https://kellerjordan.github.io/posts/muon/)."""

    def __init__(self, weights: list[nn.Parameter], config: Config) -> None:
        self.weights, self.config = weights, config
        self.buffers = [torch.zeros_like(weight) for weight in weights]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        for weight, buffer in zip(self.weights, self.buffers, strict=True):
            assert weight.grad is not None
            gradient = weight.grad + self.config.decay * weight
            buffer.mul_(self.config.momentum).add_(gradient)
            x = (gradient + self.config.momentum * buffer).flatten(1)
            x /= x.norm() + 1e-7
            for _ in range(5):
                a = x @ x.T
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
            weight.sub_(x.view_as(weight), alpha=rate * max(1.0, x.shape[0] / x.shape[1]) ** 0.5)
            weight.grad = None


def accuracy(model: nn.Sequential, loader: DataLoader[tuple[torch.Tensor, int]], count: int) -> float:
    """Fraction of the loader's `count` images that are classified correctly."""
    model.eval()
    with torch.inference_mode():
        return sum(int((model(x).argmax(1) == y).sum()) for x, y in loader) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", help="TOML file of a recipe that trains with sgd or muon")
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--only", type=int, help="number of epochs after which to stop (default: the recipe's)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that prepare images")
    options = parser.parse_args()

    config = resolve(options.recipe, {"data_dir": options.data_dir} if options.data_dir else None)
    kinds = drawn(config)
    if config.optimizer not in ("sgd", "muon") or kinds != Augmentation(kinds.flips, kinds.max_shift):
        parser.error("the recipe must train with sgd or muon, and augment by none, flip or shift")
    torch.set_num_threads(options.threads)
    torch.manual_seed(config.seed)
    data = load_dataset(config, download=False)

    def loader(part: np.ndarray, train: bool) -> DataLoader[tuple[torch.Tensor, int]]:
        images = Images(
            data.images[part], data.labels[part], train, shift=kinds.max_shift, flip=kinds.flips is not None
        )
        # The processes are kept from epoch to epoch, since starting them takes part of a second.
        return DataLoader(
            images,
            config.batch_size,
            shuffle=train,
            num_workers=options.workers,
            persistent_workers=options.workers > 0,
        )

    shape = shape_named(config.model, **{name: getattr(config, name) for name in SHAPING})
    layers = network_of(shape, (32, 32, 3), 10)
    model = nn.Sequential(*[layer for layer in layers if not isinstance(layer, Normalize)])
    loss_of = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    train, val = loader(data.train, True), loader(data.val, False)
    matrices = [p for p in model.parameters() if p.ndim > 1][:-1] if config.optimizer == "muon" else []
    muon = Muon(matrices, config)
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if all(p is not one for one in matrices)],
        lr=config.peak_lr,
        momentum=config.momentum,
        weight_decay=config.decay,
        nesterov=config.nesterov,
    )
    total = config.epochs * len(train)
    factors = np.append(learning_rates(config.schedule, 1.0, 0, total, total), 0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: float(factors[step]))

    seconds = []
    for epoch in range(min(options.only or config.epochs, config.epochs)):
        started = time.perf_counter()
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            muon.step(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
            loss.item()
        right = accuracy(model, val, len(data.val))
        seconds.append(time.perf_counter() - started)
        print(f"epoch {epoch + 1}  validation {100 * right:.1f}%  {seconds[-1]:.1f} s", flush=True)
    tested = accuracy(model, loader(data.test, False), len(data.test))
    print(json.dumps({"seconds": seconds, "test_accuracy": tested}))


if __name__ == "__main__":
    main()
