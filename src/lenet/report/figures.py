"""The report's figures: learning curves, spread over seeds, reliability, first-layer filters."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lenet.data.fit import as_image
from lenet.errors import counted
from lenet.evaluation.calibration import BINS
from lenet.report.contents import Contents
from lenet.report.markup import escaped, hint, left_out, png_url, section, table
from lenet.report.plots import Curves, curves_of
from lenet.report.reliability import points_of
from lenet.report.svg import Axis, Dots, Line, axis_of, bars, chart, rows
from lenet.report.text import diverged
from lenet.runs.metrics import SELECT, selected

_MOST_FILTERS = 96
_MOST_LINES = 50  # networks whose own curves are drawn
_FOLDED = 8  # from this number of seeds on, their table is folded


def curves_section(contents: Contents) -> str:
    """Loss and accuracy over epochs."""
    if not contents.rows:
        return section("curves", "Learning curves", left_out(contents.missing.get("curves", "No epochs are recorded.")))
    metric = selected(contents.options)
    figures = []
    for what, label, scale in (("loss", "cross-entropy (nats)", 1.0), ("accuracy", "accuracy (%)", 100.0)):
        train, val = (curves_of(contents.rows, f"{split}_{what}", scale, metric) for split in ("train", "val"))
        figures.append(f"<figure>{_curves(train, val, what, label)}</figure>")
    many = len({row.seed for row in contents.rows}) > 1
    said = "Thick: mean of the networks; thin: each network. " if many else ""
    chosen = {value: name for name, value in SELECT.items()}[metric]
    said += "The last epoch is saved" if chosen == "last" else f"The saved epoch is the best on validation ({chosen})"
    said += ". Training values are means over each epoch."
    return section("curves", "Learning curves", f'<div class="pair">{"".join(figures)}</div>', hint(said), wide=True)


def _curves(train: Curves, val: Curves, what: str, label: str) -> str:
    epochs = max(train.epochs + val.epochs, default=1)
    both = [value for curves in (train, val) for curve in curves.each for value in curve.values]
    most = 100.0 if what == "accuracy" else 1.02 * max(train.end, val.end)
    x = Axis("epoch", 1 if epochs > 1 else 0, max(epochs, 2), whole=True)
    y = axis_of(label, [min(value, most) for value in both], most=most)
    drawn: list[Line | Dots] = []
    for curves, kind, name in ((train, "train", "training"), (val, "val", "validation")):
        if len(curves.each) > 1:
            drawn += [
                Line(f"{kind} faint", list(zip(curve.epochs, curve.values, strict=True)))
                for curve in curves.each[:_MOST_LINES]
            ]
        drawn.append(Line(kind, list(zip(curves.epochs, curves.mean, strict=True)), name))
    best = [(curve.best, curve.values[curve.epochs.index(curve.best)]) for curve in val.each if curve.best]
    drawn.append(Dots("best", best, "saved epoch"))
    ends = [f"{name} {curves.mean[0]:.2f} to {curves.mean[-1]:.2f}"
            for curves, name in ((train, "training"), (val, "validation")) if curves.mean]  # fmt: skip
    return chart(x, y, drawn, f"{label} over {counted(epochs, 'epoch')}: {', '.join(ends)}")


def seeds_section(contents: Contents) -> str:
    """How validation and test accuracy vary from seed to seed."""
    result, seeds = contents.result or {}, contents.seeds
    test = (result.get("test_accuracy") or {}).get("each", [])
    if len(seeds) < 2 or len(contents.val_accuracy) != len(seeds):
        one = "Only one network did not diverge" if diverged(result) else "One network was trained"
        said = f"{one}, so the run does not show how accuracy varies from seed to seed. "
        return section("seeds", "Seeds", hint(f"{said}--seeds 5 trains five."))
    groups = [("validation", "val", [100 * value for value in contents.val_accuracy])]
    groups += [("test", "test", [100 * value for value in test])] if len(test) == len(seeds) else []
    x = axis_of("accuracy (%)", [value for _, _, each in groups for value in each], most=100.0)
    figure = rows(x, groups, f"Accuracy of {len(seeds)} seeds on validation and test images")
    epochs = result.get("best_epoch", [])
    lines = []
    for number, seed in enumerate(seeds):
        shown = f"{seed} (shown below)" if number == contents.best else str(seed)
        epoch = str(epochs[number]) if number < len(epochs) else ""
        accuracies = [f"{each[number]:.1f}%" for _, _, each in groups]
        lines.append([shown, epoch, *accuracies])
    listed = table(["seed", "saved epoch", *(name for name, _, _ in groups)], lines)
    if len(seeds) >= _FOLDED:
        listed = f"<details><summary>Each seed</summary>{listed}</details>"
    return section("seeds", "Seeds", f"<figure>{figure}</figure>", listed)


def reliability_section(contents: Contents) -> str:
    """Accuracy over confidence, before and after temperature scaling."""
    found = contents.calibration
    if found is None:
        return section("reliability", "Reliability", left_out(contents.missing.get("calibration", "")))
    x = Axis("confidence (%)", 0, 100)
    before, after = (
        list(zip(*map(np.ndarray.tolist, points_of(one)), strict=True)) for one in (found.before, found.after)
    )
    names = [f"uncalibrated: calibration error {100 * found.before.error:.1f}%",
             f"temperature {found.temperature:.2f}: {100 * found.after.error:.1f}%"]  # fmt: skip
    drawn = [Line("perfect", [(0, 0), (100, 100)], "perfect calibration"),
             Line("train", before, names[0], dots=True), Line("val", after, names[1], dots=True)]  # fmt: skip
    said = f"Accuracy over confidence on the {contents.images_named}; {'; '.join(names)}"
    top = chart(x, Axis("accuracy (%)", 0, 100), drawn, said)
    share = 100 * found.after.images / max(1, found.after.images.sum())
    below = bars(
        x, axis_of("images (%)", [0.0, *share.tolist()]), np.linspace(0, 100, BINS + 1).tolist(), share.tolist(),
        f"Fraction of the {contents.images_named} by confidence", 130,
    )  # fmt: skip
    text = (
        f"The {contents.images_named} in {BINS} bins of confidence, the probability of the predicted class. Below: how "
        f"many images have which confidence, calibrated.{_of_network(contents)}"
    )
    return section("reliability", "Reliability", f"<figure>{top}{below}</figure>", hint(text))


def _of_network(contents: Contents) -> str:
    return f" Of the network{contents.with_seed}, the best by validation." if contents.with_seed else ""


def filters_section(contents: Contents) -> str:
    """The first layer's weights as images."""
    filters = contents.filters
    if filters is None:
        return section("filters", "First-layer filters", left_out(contents.missing.get("filters", "")))
    shown = filters[:_MOST_FILTERS]
    images = "".join(
        f'<img src="{png_url(png)}" alt="Filter {number}" width="56" height="56">'
        for number, png in enumerate(filter_pngs(shown))
    )
    height, width, channels = filters.shape[1:]
    count = f"{len(filters)} filters" if len(shown) == len(filters) else f"The first {len(shown)} of {len(filters)}"
    zero = "Grey is zero" if channels == 3 else "Grey is zero, white positive, black negative"
    said = f"{count} of {height}×{width} pixels, each scaled by its largest weight. {zero}.{_of_network(contents)}"
    return section("filters", "First-layer filters", f'<div class="filters">{images}</div>', hint(said))


def filter_pngs(filters: NDArray[np.float32]) -> Sequence[bytes]:
    """A PNG for each filter, float [count, height, width, 1 or 3]: 128 is zero, 0 and 255 its largest weight."""
    found = []
    for one in filters:
        most = float(np.abs(one).max()) or 1.0
        pixels = np.clip(128 + 127 * np.nan_to_num(one / most), 0, 255).astype(np.uint8)
        content = io.BytesIO()
        as_image(pixels).save(content, "PNG")
        found.append(content.getvalue())
    return found


def network_line(contents: Contents) -> str:
    """The network in words, escaped."""
    parameters = f", {contents.parameters:,} parameters" if contents.parameters else ""
    return escaped(f"{contents.model}{parameters}")
