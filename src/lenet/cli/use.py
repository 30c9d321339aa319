"""The commands that use trained networks: evaluate, predict, compare."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from lenet.cli.flags import DataDir, RunFolder, Whole
from lenet.cli.interrupt import loading
from lenet.errors import InputError
from lenet.report.console import PlainConsole, visible


def evaluate(
    run: RunFolder, data: str | None = None, /, *, data_dir: DataDir = None, network: Whole | None = None,
    out: Path | None = None,
) -> None:  # fmt: skip
    """Evaluate a run on labelled images: accuracy, loss, precision, recall and F1 per class, confusions.

    Parameters
    ----------
    data
        Dataset, or folder or file of images: its test images, or all if it has no test split. Default: the run's own
        data.
    network
        Number of the network to evaluate: 0, 1, ... Default: all networks of the run.
    out
        Folder for scores.json, per-class.csv and confusion.csv. Default: RUN/eval; RUN/eval/NAME-HASH for other data.
    """
    with loading():
        from lenet.commands.evaluate import evaluate as run_evaluate
        from lenet.commands.evaluate import evaluation_folder, write_evaluation
        from lenet.report.evaluation import evaluation_lines, per_class_table, result_lines

    evaluation = run_evaluate(run, data, data_dir=data_dir, network=network)
    console, folder = PlainConsole(), out or evaluation_folder(evaluation, run)
    written = write_evaluation(evaluation, folder)
    console.lines(*evaluation_lines(evaluation))
    console.print(per_class_table(evaluation))
    console.lines(*result_lines(evaluation))
    console.lines(f"files   {folder}: {', '.join(written[:3])}{', ...' if len(written) > 3 else ''}")


def predict(
    run: RunFolder, images: Annotated[list[Path], Parameter(negative="", name="IMAGE")], /, *, top: Whole = 5,
    network: Whole | None = None, json_: Annotated[bool, Parameter(name="json", negative="")] = False,
) -> None:  # fmt: skip
    """Print the most probable classes of images.

    Parameters
    ----------
    images
        Image files of any size.
    top
        Number of classes to print for each image. Default: 5.
    network
        Number of the network to use: 0, 1, ... Default: the one with the highest validation accuracy.
    json_
        Print JSON: a list with one entry per image.
    """
    with loading():
        from dataclasses import asdict

        from lenet.commands.predict import predict as run_predict

    found = run_predict(run, images, top=top, network=network)
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
    if failed := [one.error for one in found if one.error]:
        raise InputError(f"{len(failed)} of {len(found)} images cannot be read: {'; '.join(failed)}")


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

    run_compare(runs, out=out, verbose=True)
