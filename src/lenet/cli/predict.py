"""The command predict: classes of one image or of a million, as a table, CSV or JSON."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import Parameter

from lenet.cli.flags import RunFolder, Whole
from lenet.cli.interrupt import loading
from lenet.errors import InputError, similar
from lenet.report.console import PlainConsole

Format = Literal["table", "csv", "jsonl"]
_SUMMARY_FROM = 10  # images; fewer are counted at a glance
_BAR_FROM = 500
_NAMED_AT_MOST = 5  # images that cannot be read, in the last line
_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".json": "json"}


def predict(
    run: RunFolder, images: Annotated[list[Path], Parameter(negative="", name="IMAGE")], /, *,
    top: Whole | None = None, network: Whole | None = None, format: Format | None = None,
    uncalibrated: Annotated[bool, Parameter(negative="")] = False, reject_error: str | None = None,
    reject_unlike: str = "auto",
    json_: Annotated[bool, Parameter(name="json", negative="")] = False, out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:  # fmt: skip
    """Print the most probable classes of images.

    If images cannot be read, they are named at the end and the exit code is 2.
    With --out, or for 10 or more images, the number of images per predicted class
    is printed too; to standard error if CSV or JSON goes to standard output.

    Parameters
    ----------
    images
        Image files of any size, folders (all images below them, sorted by name) or patterns such as 'photos/*.jpg'.
    top
        Number of classes for each image. Default: 5; 1 in CSV.
    network
        Number of the network to use: 0, 1, ... Default: the one with the best validation score, by the run's --select.
    format
        table, csv (for spreadsheets; names are changed if they hold control characters or look like a formula) or
        jsonl (one JSON object per line, with exact names). Default: by the name of --out, otherwise table.
    uncalibrated
        Print the network's own probabilities. Default: calibrated ones, by the temperature fitted on validation images.
    reject_error
        Answer "unknown" to uncertain images, so that at most this fraction of the other answers is wrong, such as 5%.
        It holds with 95% confidence for images like the validation images. Default: answer always.
    reject_unlike
        Answer "unknown" to images that look less like the training images than all but this fraction of the validation
        images, such as 5%. auto: 1%, or the lowest possible with few validation images; none: answer always.
    json_
        Print JSON: a list with one entry per image.
    out
        File to write instead of standard output. Its ending sets the format: .csv, .jsonl or .json.
    overwrite
        Replace an existing file.
    """
    chosen = _chosen_format(format, json_, out, overwrite)
    with loading():
        from lenet.commands.predict import load, predict_files
        from lenet.data.image_files import image_files
        from lenet.data.progress import progress
        from lenet.evaluation.likeness import FEWEST_VALIDATION
        from lenet.report.predictions import Counts, coverage, writer
        from lenet.runs.predictor import Predictor

    if top is None:
        top = 1 if chosen == "csv" else 5
    checkpoint = load(run)
    predictor = Predictor.of(
        checkpoint,
        top=top,
        network=network,
        calibrated=not uncalibrated,
        reject_error=reject_error,
        reject_unlike=reject_unlike,
    )
    predictions = predict_files(predictor, image_files(map(str, images)))
    total = sum(1 for _ in image_files(map(str, images)))
    counts = Counts(checkpoint.classes)
    to_terminal = out is None and sys.stdout is not None and sys.stdout.isatty()  # lines are progress enough there
    with _opened(out) as file, progress(
        "predicting", total, in_bytes=False, hidden=to_terminal or total < _BAR_FROM
    ) as advance, writer(chosen, file, min(top, len(checkpoint.classes))) as write:  # fmt: skip
        for one in predictions:
            write(one)
            counts.add(one)
            advance(1)
    console = PlainConsole(stderr=out is None and chosen != "table")
    if counts.predicted and (out is not None or total >= _SUMMARY_FROM):
        console.print(counts.table())
    number = predictor.number
    if checkpoint.likeness[number] is None and reject_unlike == "auto":
        console.lines(f"note    --reject-unlike is off: the run has fewer than {FEWEST_VALIDATION} validation images")
    console.lines(*coverage(counts, predictor.limits, checkpoint.acceptance[number], checkpoint.likeness[number]))
    if out is not None:
        console.lines(f"files   {out}: {counts.total:,} image{'' if counts.total == 1 else 's'}")
    if counts.failed:
        more = f"; and {counts.failed - _NAMED_AT_MOST:,} more" if counts.failed > _NAMED_AT_MOST else ""
        first = "; ".join(counts.errors[:_NAMED_AT_MOST])
        if counts.total == 1:
            raise InputError(first)
        raise InputError(f"{counts.failed:,} of {counts.total:,} images cannot be read: {first}{more}")


def _chosen_format(format: Format | None, json_: bool, out: Path | None, overwrite: bool) -> str:
    """The format that the flags ask for. Raises InputError if they contradict each other or `out` cannot be written."""
    if format and json_:
        raise InputError(f"--json and --format {format} exclude each other: give one of them")
    chosen = format or ("json" if json_ else None)
    if out is None:
        return chosen or "table"
    suffix = out.suffix.lower()
    if chosen is None and suffix not in _SUFFIXES:
        raise InputError(f"--out {out}: the name does not tell the format; end it in .csv, .jsonl or .json, or give "
                         f"--format{similar(suffix, _SUFFIXES)}")  # fmt: skip
    if chosen == "table":
        raise InputError(f"--out {out}: a table is for the terminal; give --format csv or --format jsonl")
    from lenet.data.folders import EXTENSIONS
    from lenet.files import check_new_file
    from lenet.runs.kinds import check_not_of_a_run

    if suffix in EXTENSIONS:
        raise InputError(f"--out {out} has the name of an image: predictions would replace it; choose another name")
    check_not_of_a_run(out)
    check_new_file(out, overwrite)
    return chosen or _SUFFIXES[suffix]


@contextmanager
def _opened(out: Path | None) -> Iterator[TextIO]:
    """Standard output, or the file, which appears when it is complete. Raises InputError if the former is closed."""
    if out is None:
        if sys.stdout is None:
            raise InputError("standard output is closed: give --out FILE")
        yield sys.stdout
        return
    from lenet.files import expanded, text_written_whole

    with text_written_whole(expanded(out)) as file:
        yield file
