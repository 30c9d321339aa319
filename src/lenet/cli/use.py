"""The commands that use trained networks: evaluate, predict, compare."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from lenet.cli.flags import DataDir, Network, RunFolder, Whole
from lenet.cli.interrupt import loading
from lenet.report.console import PlainConsole, visible

if TYPE_CHECKING:
    from lenet.evaluation.scores import Scores

_PER_CLASS = ("precision", "recall", "f1")


def evaluate(
    run: RunFolder, data: str | None = None, /, *, data_dir: DataDir = None, member: Network = None,
    out: Path | None = None,
) -> None:  # fmt: skip
    """Evaluate a run on labelled images: accuracy, loss, precision, recall and F1 per class, confusions.

    Parameters
    ----------
    data
        Dataset or folder of images: its test images, or all where it has no test split. Default: the run's own data.
    out
        Folder for scores.json, per-class.csv and confusion.csv. Default: RUN/eval; RUN/eval/NAME-HASH for other data.
    """
    with loading():
        from lenet.commands.evaluate import evaluate as run_evaluate
        from lenet.evaluation.scores import mean_sd
        from lenet.report.text import percent, plus_minus

    evaluation = run_evaluate(run, data, data_dir=data_dir, member=member)
    console, folder = PlainConsole(), out or evaluation.folder(run)
    written = evaluation.write(folder)
    many = len(evaluation) > 1
    for line in evaluation.lines():
        console.print(line, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right", no_wrap=True)
    first = evaluation[0]
    for number, name in enumerate(first.classes):
        means = [sum(getattr(one, what)[number] for one in evaluation) / len(evaluation) for what in _PER_CLASS]
        count = f"{first.confusion[number].sum():,}"
        table.add_row(visible(name), *(f"{100 * mean:.1f}%" for mean in means), count)
    console.print(table)
    of = f" (means of {len(evaluation)} networks)" if many else ""
    accuracy, loss = (mean_sd([getattr(one, what) for one in evaluation]) for what in ("accuracy", "loss"))
    console.print(f"accuracy {percent(accuracy)}, loss {plus_minus(loss, digits=3)}; {first.images:,} images{of}",
                  soft_wrap=True)  # fmt: skip
    _print_confusions(console, first, "of network 0 " if many else "")
    console.print(f"files   {folder}: {', '.join(written[:3])}{', ...' if len(written) > 3 else ''}", soft_wrap=True)


def _print_confusions(console: PlainConsole, scores: "Scores", of: str, most: int = 5) -> None:
    """Print the pairs of classes that are confused most often."""
    pairs = [
        (int(scores.confusion[true, predicted]), visible(scores.classes[true]), visible(scores.classes[predicted]))
        for true in range(len(scores.classes))
        for predicted in range(len(scores.classes))
        if true != predicted and scores.confusion[true, predicted]
    ]
    worst = sorted(pairs, reverse=True)[:most]
    if worst:
        listed = ", ".join(f"{true} as {predicted} {count}" for count, true, predicted in worst)
        console.print(f"most confused {of}(true as predicted): {listed}", soft_wrap=True)


def predict(
    run: RunFolder, images: Annotated[list[Path], Parameter(negative="", name="IMAGE")], /, *, top: Whole = 5,
    member: Whole | None = None, json_: Annotated[bool, Parameter(name="json", negative="")] = False,
) -> None:  # fmt: skip
    """Print the most probable classes of images.

    Parameters
    ----------
    images
        Image files of any size.
    top
        Number of classes to print for each image. Default: 5.
    member
        Number of one of the run's networks: 0, 1, ... Default: the one with the highest validation accuracy.
    json_
        Print JSON: a list with one entry per image.
    """
    with loading():
        from dataclasses import asdict

        from lenet.commands.predict import predict as run_predict

    found = run_predict(run, images, top=top, member=member)
    if json_:
        text = json.dumps([asdict(one) for one in found], indent=1)
        print(text.replace("\x7f", "\\u007f"))  # the one control character that JSON does not escape
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    for one in found:
        for place, (name, probability) in enumerate(zip(one.classes, one.probabilities, strict=True)):
            table.add_row(visible(one.image) if place == 0 else "", visible(name), f"{100 * probability:.1f}%")
    PlainConsole().print(table)


def compare(
    runs: Annotated[list[Path], Parameter(negative="", name="RUN")], /, *, out: Path = Path("comparison")
) -> None:
    """Compare finished runs: a table, learning curves, and confidence intervals of the differences.

    Parameters
    ----------
    runs
        Folders of the runs. Each is compared with the first where both were evaluated on the same images.
    out
        Folder for comparison.json and curves.png. Default: comparison.
    """
    with loading():
        from lenet.commands.compare import compare as run_compare

    run_compare(runs, out=out, console=PlainConsole())
