"""The report of a run: its sections, and the network itself."""

import shlex
from typing import Any

import numpy as np

from lenet.errors import counted
from lenet.exports.page import live_parts, source_text
from lenet.report.contents import Contents
from lenet.report.figures import curves_section, filters_section, network_line, reliability_section, seeds_section
from lenet.report.markup import command_block, definitions, escaped, hint, left_out, section, table
from lenet.report.matrix import confident_section, confusion_section, mistakes_json, shown_mistakes, sprite_style
from lenet.report.page import SOURCE, framed
from lenet.report.text import clock, diverged, interval, percent, plus_minus, seen_images

_MOST_BYTES = 4_400_000  # of the live network and the images
_MOST_IMAGES = 2_200_000  # of the PNG


def report_bytes(contents: Contents) -> bytes:
    """The HTML file, of at most about 5 MB."""
    live = live_parts(contents.network, contents.checks, "h3") if contents.network else {}
    room = (_MOST_BYTES - sum(map(len, live.values()))) * 3 // 4  # base64
    shown = shown_mistakes(contents, max(0, min(room, _MOST_IMAGES)))
    title = f"{contents.data.name}: {contents.model}"
    sections = [
        result_section(contents),
        seeds_section(contents),
        curves_section(contents),
        confusion_section(contents, shown),
        confident_section(contents, shown),
        per_class_section(contents),
        f'<div class="stack">{reliability_section(contents)}\n{filters_section(contents)}</div>',
        _live_section(contents, live),
        data_section(contents),
        repeat_section(contents),
    ]
    return framed(
        title, f"Report of {contents.path}", sections,
        style=[live.get("STYLE", ""), sprite_style(shown)],
        data=f'<script type="application/json" id="mistakes">{mistakes_json(contents, shown)}</script>',
        script=source_text(SOURCE / "report.js"), after=live.get("SCRIPTS", ""),
    )  # fmt: skip


def result_section(contents: Contents) -> str:
    """The figures of the run."""
    result = contents.result
    rows: list[tuple[str, str]] = []
    if result is None:  # a trial that a search kept
        headline, said = (
            f"{100 * contents.best_accuracy:.1f}%",
            "Validation accuracy. The network was not evaluated on test images.",
        )
    elif contents.split == "val":
        headline, said = percent(result["val_accuracy"]), "Validation accuracy. The run did not use test images."
    else:
        count = len(result["test_accuracy"]["each"])
        headline = percent(result["test_accuracy"]) + interval(result.get("test_interval"))
        said = f"Test accuracy on {result['test_images']:,} images, which were evaluated once. "
        said += "In parentheses: 95% confidence interval." if count == 1 else (
            f"Mean ± sample standard deviation over n = {count} seeds."
        )  # fmt: skip
        rows.append(("validation", escaped(percent(result["val_accuracy"]))))
    if result:
        rows += _figures(result)
    rows.append(("network", network_line(contents)))
    notes = [note for note in (diverged(result), *seen_images(result)) if note] if result else []
    missing = [f'<p class="missing">{escaped(note[0].upper() + note[1:])}.</p>' for note in notes]
    return section(
        "result", "Result", f'<p class="headline">{escaped(headline)}</p>', hint(said), *missing, definitions(rows)
    )


def _figures(result: Any) -> list[tuple[str, str]]:
    rows = []
    for name, key, scale, digits in (
        ("balanced accuracy", "test_balanced_accuracy", 100, 1), ("macro F1", "test_macro_f1", 100, 1),
        ("loss", "test_loss", 1, 3), ("calibration error", "test_calibration_error", 100, 1),
    ):  # fmt: skip
        if values := result.get(key):
            unit = "%" if scale == 100 else ""
            rows.append((name, escaped(plus_minus(values, scale=scale, digits=digits, unit=unit))))
    epochs = result["best_epoch"]
    best = str(epochs[0]) if len(set(epochs)) == 1 else f"{min(epochs)} to {max(epochs)}"
    rows.append(("saved epoch", f"{best} of {result['epochs']}"))
    seconds, engine = result["seconds"], escaped(result.get("engine") or "")
    speed = f"{result['images_per_second']:,.0f} training images/s"
    rows.append(("time", f"{clock(seconds['total'])}, {speed}{f', engine {engine}' if engine else ''}"))
    return rows


def per_class_section(contents: Contents) -> str:
    """Accuracy, precision and F1 of each class."""
    if not contents.scores:
        return section("per-class", "Classes", left_out(contents.missing.get("scores", "")))
    several = len(contents.scores) > 1
    counts = contents.scores[0].counts
    header = ["class", "accuracy", "precision", "F1", contents.images_named.replace(" ", "\u00a0")]
    own = contents.data.per_class
    header += [] if own is None else ["training\u00a0images"]
    lines = []
    for number, name in enumerate(contents.classes):
        recall = np.array([one.recall[number] for one in contents.scores])
        means = [np.mean([getattr(one, what)[number] for one in contents.scores]) for what in ("precision", "f1")]
        accuracy = f"{100 * recall.mean():.1f}%" + (f" ± {100 * recall.std(ddof=1):.1f}" if several else "")
        trained = [] if own is None else [f"{own[number]:,}"]
        if not counts[number]:
            lines.append([name, "–", "–", "–", "0", *trained])
            continue
        lines.append([name, accuracy, *(f"{100 * mean:.1f}%" for mean in means), f"{counts[number]:,}", *trained])
    said = "Accuracy of a class is its recall. "
    said += f"Mean of {len(contents.scores)} networks, and standard deviation. " if several else ""
    return section(
        "per-class", "Classes", table(header, lines, sortable=True), hint(f"{said}Click a column's name to sort.")
    )


def _live_section(contents: Contents, live: dict[str, str]) -> str:
    if not live:
        return section("live", "Live network", left_out(contents.missing.get("live", "")), wide=True)
    side, _, channels = contents.network.input_shape if contents.network else (0, 0, 0)
    kind = "grey" if channels == 1 else "colour"
    said = (
        f"The network{contents.with_seed} runs in this page; images stay in it. It takes {kind} images of "
        f"{side}×{side} pixels; others are resized (fit: {contents.fit}). An image of anything else is "
        "assigned to one of its classes too."
    )
    return section("live", "Live network", hint(said), f'<div class="live">{live["LIVE"]}</div>', wide=True)


def data_section(contents: Contents) -> str:
    """Source, licence, splits and copies of the images."""
    data = contents.data
    rows = [("name", escaped(data.name)), ("source", escaped(data.source))]
    if data.homepage:
        link = escaped(data.homepage)
        rows.append(("homepage", f'<a href="{link}" rel="noreferrer">{link}</a>'))
    rows.append(("licence", escaped(data.licence or "not known to lenet: images of your own")))
    if data.citation:
        rows.append(("citation", escaped(data.citation)))
    folds = f"; {counted(data.folds, 'fold')}, the first of which is given here" if data.folds else ""
    rows.append(("splits", escaped(data.sizes + folds)))
    too_many = "There are too many images to compare."
    rows.append(("copies", escaped(data.copies) or left_out(contents.missing.get("copies", too_many))))
    rows.append(("classes", f"{len(contents.classes)}"))
    if contents.input_shape:
        height, width, channels = contents.input_shape
        rows.append(("input", escaped(f"{height}×{width}×{channels}, fit {contents.fit}")))
    if data.sha256:
        rows.append(("SHA-256", f"<code>{escaped(data.sha256)}</code>"))
    return section("data", "Data", definitions(rows))


def repeat_section(contents: Contents) -> str:
    """The command that repeats the run, its settings and the versions."""
    recipe = f"lenet train --recipe {shlex.quote(f'{contents.path}/config.toml')}"
    parts = []
    if contents.command:
        parts.append(command_block(contents.command))
    if contents.config:
        text = "With the settings below as a file, in every detail:" if contents.command else "From its settings:"
        parts.append(hint(text))
        parts.append(command_block(recipe))
        lines = "\n".join(map(escaped, contents.config.split("\n")))
        parts.append(f"<details><summary>config.toml</summary><pre><code>{lines}</code></pre></details>")
    versions = ", ".join(f"{name} {number}" for name, number in contents.versions.items())
    return section("repeat", "Repeating the run", *parts, hint(f"Versions: {versions}") if versions else "")
