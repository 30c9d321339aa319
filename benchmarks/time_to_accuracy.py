"""Seconds from the command to a test accuracy on CIFAR-10, by lenet and by the same recipe as a plain PyTorch script.

    python benchmarks/time_to_accuracy.py [--targets 60 65 70 73] [--seeds 5] [--peer-epochs 1] [--out DIR]

Each target has its own schedule (SCHEDULES below), chosen by validation accuracy. lenet is timed as a process, from its
start to its exit: imports, data, training, the test set, plots and files; one seed after another, mean of the seeds. A
target is reached if the mean test accuracy is at least as high. The plain script (plain_recipe.py) has the same
network, optimizer, learning rates and augmentation, and writes no files; it is timed over --peer-epochs epochs of one
seed, and the others are extrapolated from them. Both use the same --cores cores, and find CIFAR-10 in lenet's cache.

DIR receives time_to_accuracy.json, rewritten after each target, and time_to_accuracy.png. Targets that the file already
has from this machine, with the same options, are kept: the long ones can be measured another time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from comparison import HERE, machine, table
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from lenet.config import DataConfig, resolve
from lenet.config.options import SHAPING, Config
from lenet.config.recipes import recipe_values, to_toml
from lenet.data.dataset import load_dataset

# Maps 16 and 32, 96 hidden units, batch norm after the pool, 2 epochs of Muon to 0.02, flips.
_BASE = "cifar10-fast"
_ALIKE = {"flips": "random"}  # as the plain script draws them
_WIDE = {"model": "lenet-62k", "maps": [31, 63], "fc": [], "weight_decay": 1e-3}

# By target in per cent: what the schedule changes in the recipe _BASE.
SCHEDULES: dict[int, dict[str, Any]] = {
    60: {"fc": [], "epochs": 1, "optimizer": "sgd", "lr": 0.05, "weight_decay": 1e-3},
    65: {"fc": [], "epochs": 1, "weight_decay": 1e-3},
    70: {"fc": [], "epochs": 2, "weight_decay": 1e-3},
    73: {},
    75: {"maps": [20, 40], "fc": [64], "epochs": 3},
    78: {**_WIDE, "epochs": 4},
    80: {**_WIDE, "epochs": 7, "augment": "flip-shift"},
}


@dataclass(frozen=True)
class Measured:
    """One target. target, accuracies: in per cent; seconds: of the whole command.

    seconds, accuracies: lenet's, one per seed
    peer_seconds: the plain script's, scaled to all epochs if peer_timed, the number it trained, is less
    """

    target: int
    network: str
    epochs: int
    settings: dict[str, Any]
    seconds: list[float]
    accuracies: list[float]
    peer_seconds: float | None
    peer_timed: int

    @property
    def reached(self) -> bool:
        """Whether the mean accuracy is the target's or higher."""
        return mean(self.accuracies) >= self.target

    @property
    def scaled(self) -> bool:
        """Whether the plain script's time is extrapolated."""
        return self.peer_timed < self.epochs

    def row(self) -> dict[str, str]:
        """Its line of the printed table."""
        short = "" if self.reached else " missed"
        peer = "" if self.peer_seconds is None else f"{self.peer_seconds:,.0f}{'*' if self.scaled else ''}"
        ratio = "" if self.peer_seconds is None else f"{self.peer_seconds / mean(self.seconds):.1f}"
        return {
            "target": f"{self.target}%{short}",
            "network": self.network,
            "epochs": str(self.epochs),
            "test %": spread([round(value, 2) for value in self.accuracies]),
            "lenet s": spread(self.seconds),
            "plain s": peer,
            "ratio": ratio,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--targets", type=int, nargs="+", choices=sorted(SCHEDULES), default=sorted(SCHEDULES))
    parser.add_argument("--seeds", type=int, default=5, help="number of lenet's runs per target")
    parser.add_argument("--peer-epochs", type=int, default=1, help="epochs the plain script is timed over; 0: no peer")
    parser.add_argument(
        "--peer-workers",
        type=int,
        help="processes that prepare the plain script's images (default: one per core; 0 on one)",
    )
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(), help="folder of the results (default: this one)")
    options = parser.parse_args()
    if options.seeds < 1 or options.peer_epochs < 0 or options.cores < 1:
        parser.error("--seeds and --cores start at 1, --peer-epochs at 0")

    cores = keep_to(options.cores)
    where = ["--data-dir", options.data_dir] if options.data_dir else []
    load_dataset(DataConfig(data="cifar10", data_dir=options.data_dir), download=False)  # writes the cache if need be
    options.out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": machine(), "cores": cores, "seeds": options.seeds, "peer_epochs": options.peer_epochs}
    file = options.out / "time_to_accuracy.json"
    by_target = {one.target: one for one in kept(file, facts)}
    for target in sorted(set(options.targets)):
        one = by_target[target] = measured(target, options, cores, where)
        print(f"{target}%: {mean(one.seconds):.1f} s, test {mean(one.accuracies):.1f}%", flush=True)
        found = [by_target[target] for target in sorted(by_target)]
        written = facts | {"targets": [asdict(one) | {"reached": one.reached} for one in found]}
        file.write_text(json.dumps(written, indent=1) + "\n")
    print(f"\n{machine()}, {cores} core{'s' * (cores > 1)}, lenet: {options.seeds} seed{'s' * (options.seeds > 1)}")
    print(table([one.row() for one in found]))
    print("\n".join(notes(found, options.peer_epochs)))
    drawn(found, cores).savefig(options.out / "time_to_accuracy.png", dpi=130)
    print(f"files   {options.out}: time_to_accuracy.json, time_to_accuracy.png")


def kept(file: Path, facts: dict[str, Any]) -> list[Measured]:
    """The targets in a file from this machine with these options and schedules; none if there is no such file."""
    written = json.loads(file.read_text()) if file.exists() else {}
    if any(written.get(name) != value for name, value in facts.items()):
        return []
    fields = Measured.__dataclass_fields__
    same = [one for one in written["targets"] if one["settings"] == settings_of(one["target"])]
    return [Measured(**{name: one[name] for name in fields}) for one in same]


def settings_of(target: int) -> dict[str, Any]:
    """The target's schedule, as the values of a recipe."""
    return recipe_values(_BASE) | _ALIKE | SCHEDULES[target]


def keep_to(cores: int) -> int:
    """Keep this process, and those that it starts, to so many of its cores. Returns how many it has then."""
    if not hasattr(os, "sched_setaffinity"):
        sys.exit("this benchmark needs Linux: it keeps both programs to the same cores")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    return len(os.sched_getaffinity(0))


def measured(target: int, options: argparse.Namespace, cores: int, where: list[str]) -> Measured:
    """The target's schedule, trained by lenet once per seed and by the plain script once."""
    settings = settings_of(target)
    with tempfile.TemporaryDirectory(prefix="lenet-bench-") as name:
        folder = Path(name)
        recipe = folder / "recipe.toml"
        recipe.write_text(to_toml(settings))
        config = resolve(recipe)
        seconds, accuracies = [], []
        for seed in range(options.seeds):
            out = folder / str(seed)
            words = ["train", "--recipe", str(recipe), "--seed", str(seed), "--out", str(out), *where]
            seconds.append(timed([sys.executable, "-m", "lenet.cli", *words])[0])
            accuracies.append(100 * json.loads((out / "result.json").read_text())["test_accuracy"]["mean"])
        peer, timed_over = None, min(options.peer_epochs, config.epochs)
        if timed_over:
            words = [str(recipe), *where, "--only", str(timed_over), "--threads", str(cores)]
            workers = (cores if cores > 1 else 0) if options.peer_workers is None else options.peer_workers
            words += ["--workers", str(workers)]
            whole, out_text = timed([sys.executable, str(HERE / "plain_recipe.py"), *words])
            each = json.loads(out_text.splitlines()[-1])["seconds"]
            peer = whole + (config.epochs - timed_over) * mean(each)
    return Measured(target, network(config), config.epochs, settings, seconds, accuracies, peer, timed_over)


def timed(command: list[str]) -> tuple[float, str]:
    """(seconds, standard output) of a process."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def network(config: Config) -> str:
    """The network in a few characters."""
    said = {name: getattr(config, name) for name in SHAPING if getattr(config, name) is not None}
    words = ["-".join(map(str, said["maps"]))]
    words += [f"fc {'-'.join(map(str, said['fc'])) or 'none'}"] if "fc" in said else []
    return " ".join([*words, *([f"pad {said['padding']}"] if said.get("padding") else [])])


def spread(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; the mean alone for one value."""
    digits = 0 if mean(values) >= 100 else 1
    return f"{mean(values):,.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def notes(found: Sequence[Measured], peer_epochs: int) -> list[str]:
    """What the table's figures are; each line fits 80 columns."""
    lines = ["Seconds of the whole command, from its start to its exit."]
    if any(len(one.seconds) > 1 for one in found):
        lines.append("Mean ± sample standard deviation over the seeds.")
    if peer_epochs:
        lines.append("plain: the same recipe as a plain PyTorch script, one run.")
    if peer_epochs and any(one.scaled for one in found):
        over = f"{peer_epochs} epoch{'s' * (peer_epochs > 1)}"
        lines.append(f"*: timed over {over}, scaled to all epochs; its accuracy was not measured.")
    for one in found:
        if not one.reached:
            lines.append(f"{one.target}% was not reached: mean test accuracy {mean(one.accuracies):.2f}%.")
    return lines


def drawn(found: Sequence[Measured], cores: int) -> Figure:
    """Test accuracy by seconds, logarithmic; targets that were missed have hollow marks."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    height = [mean(one.accuracies) for one in found]
    ours = [mean(one.seconds) for one in found]
    axes.plot(ours, height, "-", color="tab:blue")
    for x, y, one in zip(ours, height, found, strict=True):
        face = "tab:blue" if one.reached else "white"
        axes.plot([x], [y], "o", color="tab:blue", markerfacecolor=face)
        axes.annotate(f"{x:.0f} s", (x, y), (6, -11), textcoords="offset points", fontsize=8)
    axes.plot([], [], "o-", color="tab:blue", label=f"lenet, mean of {len(found[0].seconds)}")
    timed_peers = [(one.peer_seconds, y) for one, y in zip(found, height, strict=True) if one.peer_seconds is not None]
    if timed_peers:
        scaled = any(one.scaled for one in found)
        over = max(one.peer_timed for one in found)
        label = "plain PyTorch script, same recipe" + (
            f"\n(timed over {over} epoch{'s' * (over > 1)}, scaled)" * scaled
        )
        axes.plot([x for x, _ in timed_peers], [y for _, y in timed_peers], "s--", color="tab:orange", label=label)
    longest = max([*ours, *(x for x, _ in timed_peers)])
    axes.set_xscale("log")
    ticks = {5: "5 s", 10: "10 s", 30: "30 s", 60: "1 min", 180: "3 min", 600: "10 min", 1800: "30 min", 7200: "2 h"}
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_major_formatter(lambda value, _: ticks.get(round(value), ""))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(ours) / 1.5, longest * 1.5)
    axes.set_xlabel(f"time of the whole command on {cores} core{'s' * (cores > 1)}")
    axes.set_ylabel("test accuracy on CIFAR-10 in %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    return figure


if __name__ == "__main__":
    main()
