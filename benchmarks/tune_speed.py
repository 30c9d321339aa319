"""A search by us and by a plain Ray Tune script: seconds a trial-epoch, start-up included, and the ratio.

    python benchmarks/tune_speed.py [--data-dir DIR] [--trials 10 64] [--epochs 10] [--workers 2]

CIFAR-10, the study's network and recipe, the same seeded list of settings, ASHA with grace 1 and factor 2. The plain
script runs its first 10 settings once. ASHA stops other trials in every run, so that the batch sizes of the
trial-epochs differ, and small batches take several times longer: the weighted figures give both the plain script's mix.
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
    """A search: wall seconds, (batch size, seconds) of each trial-epoch, the best validation accuracy."""

    seconds: float
    epochs: list[tuple[int, float]]
    best: float
    workers: int

    @property
    def by_batch(self) -> dict[int, list[float]]:
        """Seconds of the trial-epochs by batch size."""
        found = defaultdict(list)
        for batch, seconds in self.epochs:
            found[batch].append(seconds)
        return found

    def shares(self) -> dict[int, float]:
        """Each batch size's share of the trial-epochs."""
        return {batch: len(each) / len(self.epochs) for batch, each in self.by_batch.items()}

    def an_epoch(self, shares: dict[int, float] | None = None) -> float:
        """Wall seconds a trial-epoch, at these shares of the batch sizes (else at its own)."""
        overhead = (self.seconds * self.workers - sum(seconds for _, seconds in self.epochs)) / len(self.epochs)
        means = {batch: sum(each) / len(each) for batch, each in self.by_batch.items()}
        known = {batch: share for batch, share in (shares or self.shares()).items() if batch in means}
        work = sum(share * means[batch] for batch, share in known.items()) / sum(known.values())
        return (work + overhead) / self.workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="where CIFAR-10 lies (else $LENET_DATA, ./data, the user cache)")
    parser.add_argument("--trials", type=int, nargs="+", default=[10, 64], help="of our searches, one after another")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    where = ["--data-dir", options.data_dir] if options.data_dir else []
    with tempfile.TemporaryDirectory(prefix="lenet-bench-") as name:
        folder = Path(name)
        ours = {count: our_search(folder / f"ours-{count}", count, options, where) for count in options.trials}
        first = folder / f"ours-{max(options.trials)}"
        plain = plain_search(folder, first, options, where)
        report(ours, plain, folder, options)


def our_search(folder: Path, count: int, options: argparse.Namespace, where: list[str]) -> Measured:
    """`lenet tune`, in a process of its own."""
    words = ["tune", "cifar10", *where, "--trials", str(count), "--epochs", str(options.epochs), "--confirm", "0",
             "--workers", str(options.workers), "--seed", str(options.seed), "--out", str(folder)]  # fmt: skip
    seconds = timed([sys.executable, "-m", "lenet.cli", *words])[0]
    with (folder / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    epochs = [(int(line["batch_size"]), float(line["train_seconds"]) + float(line["val_seconds"])) for line in lines]
    return Measured(seconds, epochs, max(float(line["val_accuracy"]) for line in lines), options.workers)


def plain_search(folder: Path, ours: Path, options: argparse.Namespace, where: list[str]) -> Measured:
    """The plain script on the first settings of ours."""
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
    """The figures side by side, then where our seconds went."""
    mix = plain.shares()
    rows = []
    for name, one in [("plain", plain), *((f"ours, {count} trials", one) for count, one in ours.items())]:
        ratio = plain.an_epoch(mix) / one.an_epoch(mix)
        rows.append(
            {
                "search": name,
                "seconds": one.seconds,
                "trial-epochs": len(one.epochs),
                "s/epoch": one.seconds / len(one.epochs),
                "s/epoch, weighted": one.an_epoch(mix),
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
        facts = json.loads((folder / f"ours-{count}" / "result.json").read_text())["search"]
        seconds = facts["seconds"]
        whole, after = one.seconds * one.workers, seconds["search"] * one.workers
        work = seconds["train"] + seconds["validation"]
        rows.append(
            {
                "where ours went": f"{count} trials",
                "start-up": f"{seconds['start']:.1f} s, {100 * seconds['start'] * one.workers / whole:.0f}%",
                "training": f"{100 * seconds['train'] / whole:.0f}%",
                "validation": f"{100 * seconds['validation'] / whole:.0f}%",
                "Ray, once started": f"{100 * (after - work) / whole:.0f}%",
                "the end": f"{100 * (1 - (seconds['start'] + seconds['search']) / one.seconds):.0f}%",
            }
        )
    print(table(rows))


if __name__ == "__main__":
    main()
