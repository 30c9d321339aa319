"""The commands that say how good trained networks are: evaluate, compare."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from lenet.cli.flags import DataDirOfRun, RunFolder, Whole
from lenet.cli.interrupt import loading
from lenet.errors import InputError
from lenet.report.console import PlainConsole


def evaluate(
    run: RunFolder, data: str | None = None, /, *, data_dir: DataDirOfRun = None, network: Whole | None = None,
    split: Literal["train", "val", "test"] | None = None,
    augment: Annotated[bool, Parameter(negative="")] = False, out: Path | None = None,
) -> None:  # fmt: skip
    """Evaluate a run on labelled images: accuracy, loss, precision, recall and F1 per class, confusions.

    Parameters
    ----------
    data
        Dataset, or folder or file of images: its test images, or all if it has no test split. Labels without names
        number the run's classes. Default: the run's own data.
    network
        Number of the network to evaluate: 0, 1, ... Default: all networks of the run.
    split
        Which of the run's own images to evaluate, as the run split them. Default: test.
    augment
        Also print the accuracy with test-time augmentation: mean probabilities over views of each image, mirrored if
        the network was trained with flips, and shifted by one pixel if it was trained with shifts.
    out
        Folder for scores.json, per-class.csv, confusion.csv (up to 1,000 classes), predictions.csv (every image),
        errors.csv (wrong ones, the most confident first) and errors.png (the first of them). Names contain the split
        unless it is test. Default: RUN/eval; RUN/eval/NAME-HASH for other data.
    """
    with loading():
        from lenet.commands.evaluate import evaluate as run_evaluate
        from lenet.commands.evaluate import evaluation_folder, write_evaluation
        from lenet.data.identity import check_outside
        from lenet.files import check_made_here, expanded
        from lenet.report.evaluation import evaluation_lines, per_class_table, result_lines

    if out is not None:
        out = expanded(out)
        check_outside(out, data)
        check_made_here(out, "scores*.json", "evaluation")
    evaluation = run_evaluate(run, data, data_dir=data_dir, network=network, split=split, augment=augment)
    console, folder = PlainConsole(), out or evaluation_folder(evaluation, expanded(run))
    written = write_evaluation(evaluation, folder)
    console.lines(*evaluation_lines(evaluation))
    console.print(per_class_table(evaluation))
    console.lines(*result_lines(evaluation))
    console.lines(f"files   {folder}: {', '.join(written[:3])}{', ...' if len(written) > 3 else ''}")


def compare(
    runs: Annotated[list[Path], Parameter(negative="", name="RUN")], /, *, out: Path | None = None,
    markdown: Annotated[bool, Parameter(negative="")] = False,
) -> None:  # fmt: skip
    """Compare finished runs: a table, learning curves, and confidence intervals of the differences.

    Parameters
    ----------
    runs
        Folders of the runs. Each is compared with the first where both were evaluated on the same images.
    out
        Folder for comparison.json and curves.png. Default: comparison.
    markdown
        Print a Markdown table of the runs instead, one or more: commands, networks, accuracies, times. No files.
    """
    with loading():
        from lenet.commands.compare import compare as run_compare
        from lenet.commands.compare import markdown as run_markdown

    if markdown:
        if out is not None:
            raise InputError("--markdown writes no files: leave --out out, or redirect the output")
        PlainConsole().lines(*run_markdown(runs).split("\n"))
        return
    run_compare(runs, out=out or Path("comparison"), verbose=True)
