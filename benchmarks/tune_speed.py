"""A search by lenet and by a plain Ray Tune script: seconds per trial epoch, start-up included, and their ratio.

    python benchmarks/tune_speed.py [--data-dir DIR] [--trials 10 64] [--epochs 10] [--workers 2]

CIFAR-10, the study's network and recipe, the same seeded list of settings, ASHA with grace period 1 and reduction
factor 2. The plain script runs the first 10 settings once. ASHA stops other trials in every run, so the batch sizes of
the trial epochs differ, and small batches take several times longer: the weighted figures use the plain script's batch
sizes for both.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from comparison import HERE, machine, table

_PLAIN_TRIALS = 10


@dataclass(frozen=True)
class Measured:
    """A search: wall seconds, (batch size, seconds) of each trial epoch, the best validation accuracy."""

    seconds: float
    epochs: list[tuple[int, float]]
    best: float
    workers: int

    @property
    def by_batch(self) -> dict[int, list[float]]:
        """Seconds of the trial epochs by batch size."""
        found = defaultdict(list)
        for batch, seconds in self.epochs:
            found[batch].append(seconds)
        return found

    def fractions(self) -> dict[int, float]:
        """Each batch size's fraction of the trial epochs."""
        return {batch: len(each) / len(self.epochs) for batch, each in self.by_batch.items()}

    def per_epoch(self, fractions: dict[int, float] | None = None) -> float:
        """Wall seconds per trial epoch, with these fractions of the batch sizes (default: its own)."""
        overhead = (self.seconds * self.workers - sum(seconds for _, seconds in self.epochs)) / len(self.epochs)
        means = {batch: sum(each) / len(each) for batch, each in self.by_batch.items()}
        known = {batch: part for batch, part in (fractions or self.fractions()).items() if batch in means}
        work = sum(part * means[batch] for batch, part in known.items()) / sum(known.values())
        return (work + overhead) / self.workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with CIFAR-10 (default: $LENET_DATA, ./data, then the user cache)")
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 64], help="numbers of trials of lenet's searches")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    where = ["--data-dir", options.data_dir] if options.data_dir else []
    with tempfile.TemporaryDirectory(prefix="lenet-bench-") as name:
        folder = Path(name)
        ours = {count: our_search(folder / f"lenet-{count}", count, options, where) for count in options.trials}
        first = folder / f"lenet-{max(options.trials)}"
        plain = plain_search(folder, first, options, where)
        report(ours, plain, folder, options)


def our_search(folder: Path, count: int, options: argparse.Namespace, where: list[str]) -> Measured:
    """`lenet tune` in its own process."""
    words = ["tune", "cifar10", *where, "--trials", str(count), "--epochs", str(options.epochs), "--confirm", "0",
             "--workers", str(options.workers), "--seed", str(options.seed), "--out", str(folder)]  # fmt: skip
    seconds = timed([sys.executable, "-m", "lenet.cli", *words])[0]
    with (folder / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    epochs = [(int(line["batch_size"]), float(line["train_seconds"]) + float(line["val_seconds"])) for line in lines]
    return Measured(seconds, epochs, max(float(line["val_accuracy"]) for line in lines), options.workers)


def plain_search(folder: Path, ours: Path, options: argparse.Namespace, where: list[str]) -> Measured:
    """The plain script with the first settings of lenet's search."""
    settings = {}
    with (ours / "trials.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            names = ("batch_size", "lr", "dropout")
            settings[int(line["trial"])] = {name: json.loads(line[name]) for name in names}
    chosen = [settings[number] for number in sorted(settings)[:_PLAIN_TRIALS]]
    (folder / "settings.json").write_text(json.dumps(chosen))
    words = [str(folder / "settings.json"), "--storage", str(folder / "plain"), *where]
    words += ["--epochs", str(options.epochs), "--workers", str(options.workers)]
    seconds, out = timed([sys.executable, str(HERE / "plain_tune.py"), *words])
    said = json.loads(out.splitlines()[-1])
    return Measured(seconds, [(batch, took) for batch, took in said["epochs"]], said["best"], options.workers)


def timed(command: list[str]) -> tuple[float, str]:
    """(seconds, standard output) of a process."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - started, done.stdout


def report(ours: dict[int, Measured], plain: Measured, folder: Path, options: argparse.Namespace) -> None:
    """Both searches side by side, then what lenet's time was spent on."""
    mix = plain.fractions()
    rows = []
    for name, one in [("plain", plain), *((f"lenet, {count} trials", one) for count, one in ours.items())]:
        ratio = plain.per_epoch(mix) / one.per_epoch(mix)
        rows.append(
            {
                "search": name,
                "seconds": one.seconds,
                "trial epochs": len(one.epochs),
                "s/epoch": one.seconds / len(one.epochs),
                "s/epoch, weighted": one.per_epoch(mix),
                "ratio": (plain.seconds / len(plain.epochs)) / (one.seconds / len(one.epochs)),
                "ratio, weighted": ratio,
                "best": f"{100 * one.best:.1f}%",
            }
        )
    print(f"{machine()}, {options.workers} workers, at most {options.epochs} epochs")
    print(table(rows))
    print()
    rows = []
    for count, one in ours.items():
        facts = json.loads((folder / f"lenet-{count}" / "result.json").read_text())["search"]
        seconds = facts["seconds"]
        whole, after = one.seconds * one.workers, seconds["search"] * one.workers
        work = seconds["train"] + seconds["validation"]
        rows.append(
            {
                "time of lenet": f"{count} trials",
                "start-up": f"{seconds['start']:.1f} s, {100 * seconds['start'] * one.workers / whole:.0f}%",
                "training": f"{100 * seconds['train'] / whole:.0f}%",
                "validation": f"{100 * seconds['validation'] / whole:.0f}%",
                "Ray, after start-up": f"{100 * (after - work) / whole:.0f}%",
                "plots and files": f"{100 * (1 - (seconds['start'] + seconds['search']) / one.seconds):.0f}%",
            }
        )
    print(table(rows))


if __name__ == "__main__":
    main()
