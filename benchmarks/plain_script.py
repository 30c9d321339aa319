"""The peer: a plain PyTorch training script, as a user writes it, timed.

A Dataset that gives a PIL image, the usual transforms on each image (a random crop with 4 pixels of padding, a flip,
ToTensor, Normalize), a DataLoader, an eager model. Run by the benchmarks beside this file; prints one line of JSON.
"""

import argparse
import json
import random
import time

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lenet.data.dataset import load_dataset
from lenet.models import SHAPES, Normalize, lenet

MEAN, STD = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2470, 0.2435, 0.2616])


class Cifar(TorchDataset[tuple[torch.Tensor, int]]):
    """Images one at a time, transformed one at a time."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, train: bool) -> None:
        self.images, self.labels, self.train = images, labels, train

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.images[index])
        if self.train:
            padded = ImageOps.expand(picture, 4)
            left, top = random.randint(0, 8), random.randint(0, 8)
            picture = padded.crop((left, top, left + 32, top + 32))
            if random.random() < 0.5:
                picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)
        return tensor.sub_(MEAN[:, None, None]).div_(STD[:, None, None]), int(self.labels[index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir")
    parser.add_argument("--model", default="lenet5-modern", choices=sorted(SHAPES))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="adam")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--validate", type=int, default=0, help="validate on so many images too, within the time")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    data = load_dataset("cifar10", data_dir=options.data_dir, download=False)
    chosen = data.train[: options.images]
    loader = DataLoader(Cifar(data.images[chosen], data.labels[chosen], True), options.batch_size, shuffle=True)
    held = data.val[: options.validate]
    val_loader = DataLoader(Cifar(data.images[held], data.labels[held], False), options.batch_size)
    layers = [layer for layer in lenet(SHAPES[options.model], (32, 32, 3), 10) if not isinstance(layer, Normalize)]
    model = nn.Sequential(*layers)
    loss_of = nn.CrossEntropyLoss()
    optimizer: torch.optim.Optimizer
    if options.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=1.2e-3, momentum=0.9, weight_decay=5e-4)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: torch.Tensor, y: torch.Tensor) -> float:
        optimizer.zero_grad()
        loss: torch.Tensor = loss_of(model(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    for count, (x, y) in enumerate(loader):  # warm up: first calls allocate and choose kernels
        step(x, y)
        if count == 10:
            break
    started = time.perf_counter()
    for x, y in loader:
        step(x, y)
    model.eval()
    with torch.inference_mode():
        for x, y in val_loader:
            (model(x).argmax(1) == y).sum().item()
    seconds = time.perf_counter() - started
    print(json.dumps({"images_per_second": len(chosen) / seconds, "seconds": seconds}))


if __name__ == "__main__":
    main()
