"""Report: a finished run as one HTML page, or as a model card in Markdown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lenet.commands.contents import contents_of
from lenet.data.memory import Images, in_memory
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError
from lenet.files import check_new_file, read_regular, write_whole
from lenet.report.card import CARD, card_text
from lenet.report.html import MADE_BY, REPORT, report_bytes
from lenet.runs.run import Run

_LOOKED_AT = 1 << 26  # bytes of an existing file, of which the first are read


@dataclass(frozen=True)
class Written:
    """A written report: its size in bytes, and the parts that it lacks, with the reason."""

    file: Path
    bytes: int
    missing: dict[str, str]


def write_report(
    run: str | Path | Run,
    file: str | Path | None = None,
    *,
    card: bool = False,
    overwrite: bool = False,
    data: str | Path | Images | Any = None,
    data_dir: str | Path | None = None,
) -> Written:
    """Write a finished run as one HTML page, which needs no network access and no other file.

    file: by default RUN/report.html, or RUN/MODEL_CARD.md with `card`
    card: write a model card in Markdown instead, with the metadata that the Hugging Face Hub reads
    overwrite: replace an existing file; a RUN/report.html that lenet wrote is always replaced
    data: the run's images, if they have moved or were passed from Python; by default where the run found them
    data_dir: folder in which the run's dataset is found; by default the run's. Nothing is downloaded

    Parts whose images or weights are missing are left out, and the file says so.

    Raises InputError if the run does not exist or is not finished, or if the file exists or cannot be written.
    """
    with preserved_torch():
        run = run if isinstance(run, Run) else Run(run)
        run.check_exists()
        target = _target(run, file, card, overwrite)
        memory = in_memory(data)
        contents = contents_of(run, memory, None if memory or data is None else str(data), data_dir)
        content = card_text(contents).encode() if card else report_bytes(contents)
        write_whole(target, content)
        return Written(target, len(content), dict(contents.missing))


def _target(run: Run, file: str | Path | None, card: bool, overwrite: bool) -> Path:
    """The file to write. Raises InputError if it cannot be written or must not be replaced."""
    default = run.path / (CARD if card else REPORT)
    target = default if file is None else Path(file)
    endings = (".md",) if card else (".html", ".htm")
    if target.suffix.lower() not in endings:
        other = " (a model card, .md, needs --card)" if target.suffix.lower() == ".md" else ""
        raise InputError(f"{target}: the file's name must end in {endings[0]}{other}")
    check_new_file(target, overwrite or (target == default and not card and target.is_file() and _is_ours(target)))
    return target


def _is_ours(path: Path) -> bool:
    """Whether lenet wrote this page."""
    return MADE_BY.encode() in read_regular(path, _LOOKED_AT)[:2000]
