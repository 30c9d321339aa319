"""What is printed and written of an audit."""

import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from rich.table import Table

from lenet.characters import visible
from lenet.data.source import MEMORY
from lenet.errors import counted
from lenet.evaluation.audit import Audit
from lenet.files import write_whole
from lenet.models import parameter_count
from lenet.report.console import PlainConsole
from lenet.report.contact_sheet import draw_contact_sheet
from lenet.report.progress import Printer
from lenet.report.sheet import Sheet
from lenet.report.text import clock, epochs_trained
from lenet.training.setup import Setup
from lenet.training.training import Training

_MOST_DRAWN = 64  # images on the contact sheet
_MOST_SHOWN = 10  # images in the printed table
_MOST_PAIRS = 5
_COLUMNS = ("label", "suggested", "p_wrong", "p_suggested")
_WIDTH = 80  # of the line of pairs


class AuditPrinter:
    """Prints an audit: pass it as `watch`, inside its own `with`, then call `show_result`.

    path: the folder of the audit
    """

    def __init__(self, path: Path) -> None:
        self._path, self._console = path, PlainConsole()
        self._progress = Printer(self._console, lambda setup, trainings: opening_lines(setup, trainings, path))
        self._opened = False

    def __enter__(self) -> "AuditPrinter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.__exit__(kind, error, at)

    def __call__(self, setup: Setup, trainings: Sequence[Training]) -> None:
        """Show where the trainings are now. In a pipe, a line for each epoch of each network would hide the result."""
        if self._console.redraws or not self._opened:
            self._progress(setup, trainings)
        self._opened = True

    def show_result(self, audit: Audit) -> None:
        """Print the result of a finished audit."""
        self._console.print(suspects_table(audit))
        self._console.lines(*result_lines(audit, self._path))


def opening_lines(setup: Setup, trainings: Sequence[Training], path: Path) -> list[str]:
    """What an audit starts from."""
    config, dataset, networks = setup.config, setup.dataset, len(trainings)
    height, width, channels = dataset.images.shape[1:]
    parts = len({id(train) for train, _ in dataset.folds})  # several networks share a part
    every = len(dataset.train) + len(np.setdiff1d(dataset.folds[-1][0], dataset.train))
    past = epochs_trained(trainings)
    return [
        f"data    {dataset.name} ({dataset.source})",
        f"images  {every:,} in {parts} folds; {height}x{width}x{channels}, {len(dataset.classes)} classes",
        *(f"        {line}" for line in dataset.notes),
        f"models  {networks} networks of {parameter_count(setup.networks[0]):,} parameters, {config.epochs} epochs",
        f"engine  {setup.choice.name} ({setup.choice.why})",
        f"audit   {path}",
        *([f"        resumed after epoch {past} of {config.epochs}"] if past != "0" else []),
    ]


def suspects_table(audit: Audit) -> Table:
    """The images whose labels are most probably wrong."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (_named(audit), "label", "suggested"):
        table.add_column(name, overflow="fold")
    table.add_column("wrong", justify="right", no_wrap=True)
    for named, label, suggested, wrong, _ in _rows(audit, audit.errors.ranked[:_MOST_SHOWN]):
        table.add_row(visible(str(named)), visible(label), visible(suggested), _percent(wrong))
    return table


def result_lines(audit: Audit, path: Path) -> list[str]:
    """How many labels are probably wrong, of which classes, and what to do."""
    count, estimated, failed = len(audit.indices), audit.errors.estimated, len(audit.failed)
    percent = 100 * estimated / count
    share = f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
    lines = [
        *(
            [f"failed  {counted(failed, 'network')} diverged and {'is' if failed == 1 else 'are'} left out: lower --lr"]
            if failed
            else []
        ),
        f"wrong   about {estimated:,} of {count:,} labels, {share}% (estimated)",
        f"        the networks agree with {100 * audit.agreement:.1f}% of the labels",
    ]
    if pairs := _pairs(audit):
        opening = "        most frequent (label as suggested): "
        listed = [opening + ", ".join(pairs[: number + 1]) for number in range(len(pairs))]
        lines.append(max((line for line in listed if len(line) <= _WIDTH), key=len, default=listed[0]))
    return [
        *lines,
        f"time    {clock(audit.seconds)}",
        f"files   {path}: audit.csv, audit.png; labels.csv lists {counted(_listed(audit), 'image')}",
        "next    edit labels.csv (an empty label leaves the image out), then train:",
        f"        {_how_to_train(audit, path / 'labels.csv')}",
    ]


def _how_to_train(audit: Audit, labels: Path) -> str:
    data = audit.dataset.name if audit.dataset.files is None else audit.dataset.source
    chosen = {"classes": audit.config.classes, "data_dir": audit.config.data_dir, "labels": str(labels)}
    given = {name: value for name, value in chosen.items() if value is not None}
    if data == MEMORY:
        return f"lenet.train(DATA, {', '.join(f'{name}={value!r}' for name, value in given.items())})"
    flags = (word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", value))
    return shlex.join(["lenet", "train", data, *flags])


def write_audit(audit: Audit, path: Path) -> None:
    """Write audit.csv, labels.csv and audit.png into the folder. Raises InputError if a file cannot be written."""
    write_whole(path / "audit.csv", audit_csv(audit))
    write_whole(path / "labels.csv", labels_csv(audit))
    _draw(audit, path / "audit.png")


def audit_csv(audit: Audit) -> str:
    """CSV with one line per image, the most probably wrong label first; safe for spreadsheets.

    file: path relative to the dataset's folder; a dataset that is no folder of images has an index, which counts its
        training images first
    split: train (also for a validation split of the dataset's own) or test, if it has a test split of its own
    p_wrong, p_suggested: probability that the label is wrong, and that the suggested one is right
    """
    dataset, ranked, text = audit.dataset, audit.errors.ranked, io.StringIO()
    sheet = Sheet(text)
    test = set(dataset.test.tolist()) if dataset.has_test else set()
    sheet.row([_named(audit), *(["split"] if test else []), *_COLUMNS])
    for position, (name, label, suggested, *rest) in zip(ranked.tolist(), _rows(audit, ranked), strict=True):
        split = ["test" if int(audit.indices[position]) in test else "train"] if test else []
        sheet.row([name, *split, label, suggested, *(f"{each:.6f}" for each in rest)])
    return text.getvalue()


def _listed(audit: Audit) -> int:
    """The number of images in labels.csv."""
    return len(audit.dataset.corrections) + len(_new_suspects(audit))


def _new_suspects(audit: Audit) -> list[int]:
    """Positions of the suspects whose labels have not been corrected before."""
    known = set(audit.dataset.corrections)
    return [position for position in audit.suspects.tolist() if int(audit.indices[position]) not in known]


def labels_csv(audit: Audit) -> str:
    """CSV to edit, for `--labels`: the suspect images, each with its given label.

    Before them stand the corrections that the audit was made with, so that one file has all of them.
    """
    dataset, text = audit.dataset, io.StringIO()
    sheet = Sheet(text)
    sheet.row([_named(audit), *_COLUMNS])
    for index, number in dataset.corrections.items():
        label = "" if number is None else dataset.classes[number]
        sheet.row([dataset.name_of(index), label, *[""] * (len(_COLUMNS) - 1)])
    for name, label, suggested, *rest in _rows(audit, np.array(_new_suspects(audit), dtype=np.int64)):
        sheet.row([name, label, suggested, *(f"{each:.6f}" for each in rest)])
    return text.getvalue()


def _draw(audit: Audit, path: Path) -> None:
    """Draw a contact sheet of the images whose labels are most probably wrong."""
    chosen, dataset = audit.errors.ranked[:_MOST_DRAWN], audit.dataset
    captions = [
        f"{dataset.caption_of(index)}\nlabel: {label}\nsuggested: {suggested}\nwrong: {_percent(wrong)}"
        for index, (_, label, suggested, wrong, _) in zip(
            audit.indices[chosen].tolist(), _rows(audit, chosen), strict=True
        )
    ]
    title = f"{dataset.name}: the {len(chosen)} of {len(audit.indices):,} labels that are most probably wrong"
    draw_contact_sheet([dataset.images[index] for index in audit.indices[chosen]], captions, path, title)


def _rows(audit: Audit, positions: np.ndarray) -> list[tuple[str | int, str, str, float, float]]:
    """Of these images: name or index, label, suggested label, probabilities that it is wrong and that that is right."""
    dataset, errors, classes = audit.dataset, audit.errors, audit.dataset.classes
    columns = (audit.indices, audit.labels, errors.suggested, errors.wrong, errors.right)
    return [
        (dataset.name_of(index), classes[label], classes[suggested], wrong, right)
        for index, label, suggested, wrong, right in zip(*(each[positions].tolist() for each in columns), strict=True)
    ]


def _pairs(audit: Audit) -> list[str]:
    """The most frequent pairs of label and suggestion among as many images as are estimated to be wrong."""
    classes, chosen = audit.dataset.classes, audit.errors.ranked[: audit.errors.estimated]
    pairs = audit.labels[chosen] * len(classes) + audit.errors.suggested[chosen]
    found, counts = np.unique(pairs, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_MOST_PAIRS]
    return [
        f"{visible(classes[pair // len(classes)])} as {visible(classes[pair % len(classes)])} {number}"
        for pair, number in zip(found[most].tolist(), counts[most].tolist(), strict=True)
    ]


def _named(audit: Audit) -> str:
    return "index" if audit.dataset.files is None else "file"


def _percent(probability: float) -> str:
    return f"{100 * probability:.1f}%"
