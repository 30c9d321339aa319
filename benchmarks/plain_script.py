"""A plain PyTorch training script, for comparison.

A Dataset of PIL images, the usual transforms for each image (random crop with 4 pixels of padding, flip, ToTensor,
Normalize), a DataLoader and an eager model. Run as a script, it times training and prints one line of JSON.
"""

import json
import random
import time

import numpy as np
import torch
from comparison import arguments
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from lenet.config import DataConfig
from lenet.data.dataset import load_dataset
from lenet.models import SHAPES, Normalize, network_of


class Images(TorchDataset[tuple[torch.Tensor, int]]):
    """uint8 [N, H, W, C] images, transformed one by one; items are (float32 [C, H, W], label).

    shift, flip: augmentation of training images: the largest shift in pixels, and whether half of them are mirrored
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, train: bool, *, shift: int = 4, flip: bool = True
    ) -> None:
        self.images, self.labels = images, labels
        self.shift, self.flip = (shift, flip) if train else (0, False)
        self.mean, self.std = torch.full((images.shape[3], 1, 1), 0.47), torch.full((images.shape[3], 1, 1), 0.25)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.images[index].squeeze())
        if self.shift:
            side = picture.width
            padded = ImageOps.expand(picture, self.shift)
            left, top = random.randint(0, 2 * self.shift), random.randint(0, 2 * self.shift)
            picture = padded.crop((left, top, left + side, top + side))
        if self.flip and random.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = np.array(picture).reshape(picture.height, picture.width, -1)
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float().div(255)
        return tensor.sub_(self.mean).div_(self.std), int(self.labels[index])


class PlainScript:
    """A network and its optimizer. `optimizer` is "sgd" or "adam"."""

    def __init__(self, network: nn.Sequential, batch_size: int, optimizer: str) -> None:
        self.model = nn.Sequential(*[layer for layer in network if not isinstance(layer, Normalize)])
        self.batch_size, self.loss_of = batch_size, nn.CrossEntropyLoss()
        self.optimizer: torch.optim.Optimizer
        if optimizer == "sgd":
            self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
        else:
            self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def train(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Train for one epoch on uint8 [N, H, W, C] images and int64 [N] labels."""
        self.model.train()
        for x, y in DataLoader(Images(images, labels, train=True), self.batch_size, shuffle=True):
            self.optimizer.zero_grad()
            loss: torch.Tensor = self.loss_of(self.model(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            loss.item()

    def validate(self, images: np.ndarray, labels: np.ndarray) -> int:
        """Number of images classified correctly."""
        self.model.eval()
        with torch.inference_mode():
            loader = DataLoader(Images(images, labels, train=False), self.batch_size)
            return sum(int((self.model(x).argmax(1) == y).sum()) for x, y in loader)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--validate", type=int, default=0, help="number of validation images, included in the time")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    data = load_dataset(DataConfig(data="cifar10", data_dir=options.data_dir), download=False)
    images, labels = data.images[data.train[: options.images]], data.labels[data.train[: options.images]]
    held = data.val[: options.validate]
    script = PlainScript(network_of(SHAPES[options.model], (32, 32, 3), 10), options.batch_size, options.optimizer)
    warm = 10 * options.batch_size
    script.train(images[:warm], labels[:warm])  # the first call allocates memory and selects kernels
    started = time.perf_counter()
    script.train(images, labels)
    if options.validate:
        script.validate(data.images[held], data.labels[held])
    seconds = time.perf_counter() - started
    print(json.dumps({"images_per_second": len(images) / seconds, "seconds": seconds}))


if __name__ == "__main__":
    main()
