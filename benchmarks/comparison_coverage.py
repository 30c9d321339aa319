"""How often an interval finds one of two equally good runs better: a simulation of several confidence intervals.

A network classifies an image correctly if the image's difficulty, a normal variable, is below the network's ability.
Difficulty is the sum of a part common to all networks, a part per run and a part per network; ability varies by seed.
Both runs have the same accuracy over all images and seeds, so every "better" is wrong. A last table shows the power:
how often a true difference is found. Prints Markdown; `--draws 2000` takes about 3 minutes on one core.
"""

import argparse
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from lenet.evaluation.comparison import half_width

Array = NDArray[Any]
Cells = dict[tuple[object, ...], dict[str, float]]  # rates by interval, of each cell
ACCURACIES = (0.3, 0.75, 0.95)
SEED_SDS = (0.0, 0.5, 1.0, 1.5, 2.0)  # in percentage points
SPREADS = [(sd, sd) for sd in SEED_SDS] + [(2.0, 0.0), (0.0, 2.0), (2.0, 0.5), (0.5, 2.0), (1.0, 0.5), (0.5, 1.0)]
NETWORKS = ((2, 2), (3, 3), (5, 5), (10, 10), (2, 5), (3, 10), (2, 10))
IMAGES = (100, 1_000, 10_000)
COMMON, NETWORK = (
    0.6,
    0.3,
)  # fractions of the difficulty's variance, as for 20 networks on CIFAR-100; the rest: run
MOST, BATCH, RESAMPLES = 10, 100, 500
GAINS = (0.0, 1.0, 2.0)  # true difference in percentage points; those other than 0 give the power, at seed sd 0.5
NORMAL = NormalDist()


def simulate(draws: int, accuracy: float, gains: tuple[float, ...], seed: int) -> dict[int, tuple[Array, Array]]:
    """For each number of images: covariances [draws, rows, rows] of being correct, and accuracies [draws, rows].

    A row is a network: MOST networks for each seed sd of the first run, then of the second run for each gain.
    """
    rng = np.random.default_rng(seed)
    runs = [(0, sd, 0.0) for sd in SEED_SDS] + [(1, sd, gain) for gain in gains for sd in SEED_SDS]
    rows = len(runs) * MOST
    found = {n: (np.empty((draws, rows, rows), np.float32), np.empty((draws, rows))) for n in IMAGES}
    for draw in range(draws):
        parts = [rng.standard_normal(shape, np.float32) for shape in ((1, IMAGES[-1]), (2, 1, IMAGES[-1]))]
        own = rng.standard_normal((2, MOST, IMAGES[-1]), np.float32)
        difficulty = COMMON**0.5 * parts[0] + (1 - COMMON - NETWORK) ** 0.5 * parts[1] + NETWORK**0.5 * own
        luck = rng.standard_normal((2, MOST, 1), np.float32)
        right = np.empty((len(runs), MOST, IMAGES[-1]), np.float32)
        for row, (run, sd, gain) in enumerate(runs):
            point = NORMAL.inv_cdf(accuracy + gain / 100)
            ability = sd / 100 / NORMAL.pdf(NORMAL.inv_cdf(accuracy))
            right[row] = difficulty[run] < point * (1 + ability**2) ** 0.5 + ability * luck[run]
        flat = right.reshape(rows, -1)
        for count, (covariance, mean) in found.items():
            mean[draw] = flat[:, :count].mean(axis=1, dtype=np.float64)
            centred = flat[:, :count] - mean[draw, :, None].astype(np.float32)
            covariance[draw] = centred @ centred.T / (count - 1)
    return found


def verdicts(
    covariance: Array, mean: Array, n: tuple[int, int], count: int, rng: np.random.Generator
) -> dict[str, int]:
    """Number of draws whose interval excludes 0, by interval. covariance, mean: those of the n[0] + n[1] networks."""
    a, b = n
    sides = (slice(None, a), slice(a, None))
    weights = np.concatenate([np.full(a, -1 / a), np.full(b, 1 / b)])
    gap = mean @ weights
    images = np.maximum(np.einsum("i,dij,j->d", weights, covariance, weights, optimize=True), 0)
    added = (images * (count - 1) + 2 + gap**2 * 2 * count / (count + 2)) / (count + 1) / (count + 2)
    images = images / count
    seeds = [mean[:, side].var(axis=1, ddof=1) / k for side, k in zip(sides, n, strict=True)]
    interaction = np.zeros(len(gap))
    for side, k in zip(sides, n, strict=True):
        block = covariance[:, side, side]
        residual = (np.trace(block, axis1=1, axis2=2) - block.sum(axis=(1, 2)) / k) / (k - 1)
        interaction += np.maximum(residual, 0) / k / count
    both, z = seeds[0] + seeds[1], 1.96
    with np.errstate(invalid="ignore"):
        freedom = both**2 / (seeds[0] ** 2 / (a - 1) + seeds[1] ** 2 / (b - 1))
    t = stdtrit(np.clip(np.nan_to_num(freedom, nan=1.0), min(a, b) - 1, a + b - 2), 0.975)
    safe = seeds[0] * stdtrit(a - 1, 0.975) ** 2 + seeds[1] * stdtrit(b - 1, 0.975) ** 2
    halves = {
        "Welch": t * np.sqrt(both + images),
        "Welch, images by z": np.sqrt(t**2 * both + z**2 * images),
        "t of min(n) - 1": stdtrit(min(a, b) - 1, 0.975) * np.sqrt(both + images),
        "Banerjee, interaction twice": np.sqrt(safe + z**2 * images),
        "lenet": half_width(added, seeds, interaction, n, count),
    }
    # Bootstrap over n - 1 of n networks and over images; given the networks, the means over images are normal.
    drawn = [rng.multinomial(k - 1, np.full(k, 1 / k), RESAMPLES) / (k - 1) for k in n]
    resampled = np.concatenate([-drawn[0], drawn[1]], axis=1).astype(np.float32)
    noise = np.maximum(np.einsum("drj,rj->dr", resampled @ covariance, resampled), 0)
    values = mean @ resampled.T + np.sqrt(noise / count) * rng.standard_normal(noise.shape, np.float32)
    low, high = np.quantile(values, (0.025, 0.975), axis=1)
    return {"bootstrap": int(((low > 0) | (high < 0)).sum())} | {
        name: int((np.abs(gap) > half).sum()) for name, half in halves.items()
    }


def table(title: str, cells: Cells, heads: tuple[str, ...], wrong: bool = True) -> None:
    """Print a row for each number of networks and images with the highest rate of its cells.

    wrong: also list the cells above 6%
    """
    keys = list(dict.fromkeys(cell[: len(heads)] for cell in cells))
    names = list(next(iter(cells.values())))
    print(f"\n{title}\n\n| {' | '.join((*heads, *names))} |\n|{' --- |' * (len(heads) + len(names))}")
    for key in keys:
        rates = [rate for cell, rate in cells.items() if cell[: len(heads)] == key]
        highest = [f"{100 * max(rate[name] for rate in rates):.1f}%" for name in names]
        print(f"| {' | '.join(map(str, (*key, *highest)))} |")
    if wrong:
        over = ", ".join(f"{name} {sum(rate[name] > 0.06 for rate in cells.values())}" for name in names)
        print(f"\nNumber of cells above 6%, of {len(cells)}: {over}")
        for cell, rate in cells.items():
            if rate["lenet"] > 0.06:
                print(f"lenet {100 * rate['lenet']:.1f}%: networks, images, accuracy, seed sds {cell}")


def main() -> None:
    """Simulate in batches and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="simulated pairs of runs per cell (default: 2000)")
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    same: Cells = {}
    other: Cells = {}
    power: Cells = {}
    for start, accuracy in product(range(0, draws, BATCH), ACCURACIES):
        gains = GAINS if accuracy == 0.75 else (0.0,)
        found = simulate(min(BATCH, draws - start), accuracy, gains, seed=start)
        for count, n, (number, gain), sds in product(IMAGES, NETWORKS, enumerate(gains), SPREADS):
            if gain and (sds != (0.5, 0.5) or count == IMAGES[0]):
                continue
            starts = (SEED_SDS.index(sds[0]), len(SEED_SDS) * (1 + number) + SEED_SDS.index(sds[1]))
            rows = np.concatenate([MOST * row + np.arange(k) for row, k in zip(starts, n, strict=True)])
            covariance, mean = found[count]
            counts = verdicts(covariance[:, rows][:, :, rows], mean[:, rows], n, count, rng)
            where = (f"{n[0]} v {n[1]}", f"{count:,}")
            cells = power if gain else same if sds[0] == sds[1] else other
            key = (*where, f"{gain:g}") if gain else (*where, accuracy, *sds)
            cell = cells.setdefault(key, dict.fromkeys(counts, 0.0))
            for name, value in counts.items():
                cell[name] += value / draws
    heads, of = ("networks", "images"), f"highest rate over accuracies and seed sds, {draws} draws each"
    table(f"Wrong 'better' if both runs have the same seed sd: {of}.", same, heads)
    table(f"Wrong 'better' if the seed sds differ: {of}.", other, heads)
    table(
        "Power: correct 'better' at 75% accuracy, seed sd 0.5 points.",
        power,
        (*heads, "points"),
        wrong=False,
    )


if __name__ == "__main__":
    main()
