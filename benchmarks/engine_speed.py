"""Training speed of the native engine, compared with other ways of training the same network.

    python benchmarks/engine_speed.py [--data-dir DIR] [--batches 4 8 16 32 64 128] [--repeats 5]

A row is a network and a batch size. The candidates take turns on the same images, on one core unless the column says
otherwise. The table shows medians of images per second, and of the ratios within each round. At --full-batch,
torch.compile and JAX take part too (they compile for every size), and a second table includes validation on one image
for every nine trained on.

plain     plain PyTorch script: a PIL image, ToTensor and Normalize per image, a DataLoader, an eager model
eager     eager PyTorch on images in memory as one tensor; deep networks channels last, which is faster for them
compile   the same, the model by torch.compile
torch     lenet's torch engine
jax       all steps compiled into one function, if JAX is installed
native    lenet's native engine on one core
x plain   native divided by plain; x eager, x torch: by these
limit     native as a percentage of the limit of dense arithmetic: the speed of a large fp32 matrix product on this core
          divided by the network's multiply-adds per image, forward and backward
gflops    the speed of that matrix product
cores     native, one network on all cores
nets      native, as many networks as cores at the same time, one core each
eval      logits of the native engine
"""

import argparse
import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from comparison import machine, table
from plain_script import PlainScript

from lenet.config import Augmentation, DataConfig, TrainingConfig
from lenet.cores import usable_cores
from lenet.data.dataset import load_dataset
from lenet.data.plan import epoch_plan
from lenet.engine import native as native_engine
from lenet.engine import torch as torch_engine
from lenet.engine.base import OptimizerState, Settings
from lenet.layers.lenet import LeNet
from lenet.models import SHAPES, Shape, layer_costs, network_of, shape_named

_SLICE = 1.0  # least duration of a measurement, in seconds: about that of a call in training
_BLOCK = 256  # measurements use a multiple of this many images, rounded up to whole batches
_VALIDATED = 9  # number of training images per validation image
_NORMS: tuple[Literal["before-pool", "after-pool"], ...] = ("before-pool", "after-pool")


@dataclass(frozen=True)
class Row:
    """A network to measure, on the images of CIFAR-10 or the digits."""

    name: str
    shape: Shape
    classes: int = 10
    optimizer: Literal["sgd", "adam"] = "sgd"
    data: str = "cifar10"


ROWS = [
    Row("cifar10-lenet", SHAPES["lenet-dropout"]),
    Row("cifar100-vanilla", SHAPES["lenet5"], classes=100, optimizer="adam"),
    Row("cifar100-tuned", SHAPES["lenet5-tuned"], classes=100, optimizer="adam"),
    Row("max pool alone", shape_named("lenet5-tuned", fc=(120, 84), batch_norm="none")),
    Row("default", SHAPES["lenet5-modern"]),
    Row("digits", SHAPES["lenet5-modern"], data="digits"),
    Row("wide (64, 128)", shape_named("lenet5-modern", maps=(64, 128))),
    *(
        Row(f"{a}-{b} {norm}", shape_named("lenet5-modern", maps=(a, b), fc=(), norm=norm))
        for a, b in ((32, 56), (64, 128))
        for norm in _NORMS
    ),
    Row("small-vgg", SHAPES["small-vgg"]),
    Row("resnet8", SHAPES["resnet8"]),
]


class Candidates:
    """One row at one batch size: `run` has, for each candidate, a function that trains on a given number of images."""

    def __init__(self, row: Row, batch_size: int, images: np.ndarray, labels: np.ndarray, full: bool) -> None:
        torch.manual_seed(0)
        self.row, self.batch_size, self.images, self.labels = row, batch_size, images, labels % row.classes
        self.block = -(-_BLOCK // batch_size) * batch_size
        height, width, channels = images.shape[1:]
        self.network = network_of(row.shape, (height, width, channels), row.classes)
        cores = usable_cores()
        self.run: dict[str, Callable[[int], None]] = {
            "plain": self._plain(),
            "eager": self._eager(),
            "torch": self._engine(torch_engine, 1),
            "native": self._engine(native_engine, 1),
            "cores": self._engine(native_engine, cores),
            "nets": self._networks(cores),
            "eval": self._evaluation(),
        }
        if full:
            script = PlainScript(copy.deepcopy(self.network), self.batch_size, self.row.optimizer)
            self.run["plain, whole"] = lambda count: self._plain_epoch(script, count)
            self.run["cores, whole"] = self._engine(native_engine, cores, validated=True)
            self.run["nets, whole"] = self._networks(cores, validated=True)
            self.run["compile"] = self._eager(compiled=True)
        if full and _has_jax():
            self.run["jax"] = self._jax()

    def multiply_adds(self) -> int:
        """Multiply-adds per image, forward and backward; the first layer needs no gradient of its input."""
        height, width, channels = self.images.shape[1:]
        each = [layer.multiply_adds for layer in layer_costs(self.network, (height, width, channels))]
        return 3 * sum(each) - next(adds for adds in each if adds)

    def _plain(self) -> Callable[[int], None]:
        script = PlainScript(copy.deepcopy(self.network), self.batch_size, self.row.optimizer)
        return lambda count: script.train(self.images[:count], self.labels[:count])

    def _plain_epoch(self, script: PlainScript, count: int) -> None:
        script.train(self.images[:count], self.labels[:count])
        script.validate(self.images[: count // _VALIDATED], self.labels[: count // _VALIDATED])

    def _eager(self, compiled: bool = False) -> Callable[[int], None]:
        script = PlainScript(copy.deepcopy(self.network), self.batch_size, self.row.optimizer)
        layout = torch.contiguous_format if isinstance(self.row.shape, LeNet) else torch.channels_last
        script.model.to(memory_format=layout)  # type: ignore[call-overload]
        model: Any = torch.compile(script.model) if compiled else script.model
        x = torch.from_numpy(self.images).permute(0, 3, 1, 2).float().div(255).sub(0.47).div(0.25)
        x = x.contiguous(memory_format=layout)
        y = torch.from_numpy(self.labels)

        def train(count: int) -> None:
            model.train()
            order = torch.randperm(count)
            for begin in range(0, count, self.batch_size):
                some = order[begin : begin + self.batch_size]
                script.optimizer.zero_grad()
                loss = script.loss_of(model(x[some]), y[some])
                loss.backward()
                script.optimizer.step()
                loss.item()

        return train

    def _engine(self, engine: Any, threads: int, validated: bool = False) -> Callable[[int], None]:
        model, settings = copy.deepcopy(self.network), self._settings(threads)
        state: OptimizerState = {}

        def train(count: int) -> None:
            engine.train(model, state, self.images, self.labels, self._plan(count), settings)
            if validated:
                engine.logits(model, self.images[: count // _VALIDATED], settings)

        return train

    def _networks(self, cores: int, validated: bool = False) -> Callable[[int], None]:
        each = [self._engine(native_engine, 1, validated) for _ in range(cores)]

        def train(count: int) -> None:
            threads = [threading.Thread(target=one, args=(count // cores,)) for one in each]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return train

    def _evaluation(self) -> Callable[[int], None]:
        settings = self._settings(1)
        return lambda count: void(native_engine.logits(self.network, self.images[:count], settings))

    def _jax(self) -> Callable[[int], None]:
        from jax_peer import jax_trainer

        height, width, channels = self.images.shape[1:]
        train = jax_trainer(self.network, (height, width, channels), self.batch_size, self.block)

        def several(count: int) -> None:
            for _ in range(count // self.block):
                train(self.images[: self.block], self.labels[: self.block])

        return several

    def _settings(self, threads: int) -> Settings:
        training = TrainingConfig(optimizer=self.row.optimizer, nesterov=False, weight_decay=5e-4)
        return Settings(training, threads=threads)

    def _plan(self, count: int) -> Any:
        drawn = Augmentation() if self.row.data == "digits" else Augmentation(flips="random", max_shift=2)
        return epoch_plan(np.arange(count), seed=0, epoch=0, epochs=1, batch_size=self.batch_size, learning_rate=1e-3,
                          drop_single=True, augment=drawn)  # fmt: skip


class Rounds:
    """Images per second of each candidate in each round; "gflops" is the speed of a large matrix product in GFLOP/s."""

    def __init__(self, rounds: list[dict[str, float]]) -> None:
        self._rounds = rounds

    def rate(self, name: str) -> float:
        """The median; NaN if the candidate was not measured."""
        return median(round.get(name, float("nan")) for round in self._rounds)

    def times(self, name: str, other: str) -> float:
        """The median over rounds of the ratio of two candidates, since the machine's speed varies over time."""
        return median(round[name] / round[other] for round in self._rounds)


def measure(candidates: Candidates, repeats: int) -> Rounds:
    """Measure all candidates in turn, `repeats` times."""
    counts = {}
    block = candidates.block
    most = len(candidates.images) // block * block
    for name, run in candidates.run.items():
        run(count := block)  # the first call allocates memory and selects kernels
        while (seconds := _seconds(run, count)) < _SLICE and count < most:
            wanted = max(2 * count, round(1.2 * count * _SLICE / max(seconds, 1e-6)))
            count = min(most, wanted // block * block)
        counts[name] = count
    rounds = []
    for _ in range(repeats):
        rates = {}
        for name, run in candidates.run.items():
            rates[name] = counts[name] / _seconds(run, counts[name])
            if name == "native":
                rates["gflops"] = _dense_gflops()
        rounds.append(rates)
    return Rounds(rounds)


def _seconds(run: Callable[[int], None], count: int) -> float:
    torch.set_num_threads(1)
    started = time.perf_counter()
    run(count)
    return time.perf_counter() - started


def _dense_gflops(size: int = 1024) -> float:
    a, b = torch.ones(size, size), torch.ones(size, size)
    a @ b
    started = time.perf_counter()
    for _ in range(4):
        a @ b
    return 8 * size**3 / (time.perf_counter() - started) / 1e9


def void(_: object) -> None:
    """Discard a result."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128])
    parser.add_argument("--rows", nargs="+", default=[row.name for row in ROWS], choices=[row.name for row in ROWS])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--full-batch", type=int, default=8)
    options = parser.parse_args()

    print(f"{machine()}; {usable_cores()} cores; native {native_engine.level()}; medians of {options.repeats} rounds")
    whole, header = [], ""
    for row in (row for row in ROWS if row.name in options.rows):
        data = load_dataset(DataConfig(data=row.data, data_dir=options.data_dir), download=False)
        images = np.ascontiguousarray(data.images[data.train[:16384]])
        labels = data.labels[data.train[:16384]]
        for batch in options.batches:
            candidates = Candidates(row, batch, images, labels, full=batch == options.full_batch)
            rounds = measure(candidates, options.repeats)
            trainers = ("plain", "eager", "compile", "torch", "jax", "native")
            line = {name: f"{rounds.rate(name):,.0f}" for name in trainers}
            line |= {f"x {name}": f"{rounds.times('native', name):.1f}" for name in ("plain", "eager", "torch")}
            limit = 1e9 / (2 * candidates.multiply_adds())
            line["limit"] = f"{100 * rounds.times('native', 'gflops') / limit:.0f}%"
            line |= {name: f"{rounds.rate(name):,.0f}" for name in ("gflops", "cores", "nets", "eval")}
            if not header:
                header = f"{'network':>16} {'batch':>5} " + " ".join(f"{name:>7}" for name in line)
                print(header)
            # Printed row by row: the whole table takes 15 minutes.
            print(f"{row.name:>16} {batch:>5} " + " ".join(f"{value:>7}" for value in line.values()), flush=True)
            if batch == options.full_batch:
                plain, cores, nets = "plain, whole", "cores, whole", "nets, whole"
                facts = {"with validation": row.name, "batch": batch, "plain": rounds.rate(plain)}
                facts |= {"cores": rounds.rate(cores), "x plain": rounds.times(cores, plain)}
                whole.append(facts | {"nets": rounds.rate(nets), " x plain": rounds.times(nets, plain)})
    if whole:
        print("\n" + table(whole))


def _has_jax() -> bool:
    try:
        import jax

        return bool(jax.devices("cpu"))
    except (ImportError, RuntimeError):
        return False


if __name__ == "__main__":
    main()
