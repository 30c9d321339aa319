"""Report: a run, a search, a study or a folder of runs as one HTML page; a run also as a model card in Markdown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lenet.commands.runs import list_runs
from lenet.data.memory import Images, in_memory
from lenet.engine.preserved import preserved_torch
from lenet.errors import InputError
from lenet.files import check_new_file, given_file, read_regular, write_whole
from lenet.report.card import CARD, card_text
from lenet.report.gathering import contents_of
from lenet.report.html import report_bytes
from lenet.report.index import index_page
from lenet.report.markdown import as_given
from lenet.report.markup import link_to
from lenet.report.page import MADE_BY, REPORT
from lenet.report.study import study_page
from lenet.runs.kinds import Kind, check_not_of_a_run, kind_of
from lenet.runs.run import Run
from lenet.runs.study import read_study_result
from lenet.tuning.contents import search_contents
from lenet.tuning.report import search_page

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
    """Write one HTML page, which needs no network access and no other file.

    run: a finished run, or the folder of a search, a study or several runs. A search need not be finished; a folder
        gets an index of its runs, with links to the reports that they have
    file: by default RUN/report.html, or RUN/MODEL_CARD.md with `card`
    card: write a model card in Markdown instead, with the metadata that the Hugging Face Hub reads
    overwrite: replace an existing file; a RUN/report.html that lenet wrote is always replaced
    data: the run's images, if they have moved or were passed from Python; by default where the run found them
    data_dir: folder in which the run's dataset is found; by default the run's. Nothing is downloaded

    Parts whose images or weights are missing are left out, and the file says so.

    Raises InputError if the run does not exist or is not finished, if the folder has no runs, if a file that is read is
    damaged, or if the file exists or cannot be written.
    """
    with preserved_torch():
        run = run if isinstance(run, Run) else Run(run)
        run.check_exists()
        kind, missing = kind_of(run.path), dict[str, str]()
        if kind != "run":
            _check_is_of_a_run(run.path, kind, {"--card": card, "--data": data, "--data-dir": data_dir})
        target = _target(run, file, card, overwrite)
        if kind == "run":
            memory = in_memory(data)
            contents = contents_of(run, memory, None if memory or data is None else str(data), data_dir)
            content = card_text(contents).encode() if card else report_bytes(contents)
            missing = dict(contents.missing)
        else:
            content, missing = _PAGES[kind](run.path, target)
        write_whole(target, content)
        return Written(target, len(content), missing)


def _check_is_of_a_run(path: Path, kind: Kind, options: Mapping[str, Any]) -> None:
    for flag, value in options.items():
        if value is not None and value is not False:
            what = "a folder of runs" if kind == "folder" else f"a {kind}"
            raise InputError(f"{flag} is for a run, and {path} is {what}: leave {flag} out, or give a run in {path}")


_Page = tuple[bytes, dict[str, str]]  # and the reasons for what it lacks


def _search(path: Path, page: Path) -> _Page:
    found = search_contents(path, page)
    return search_page(found), found.missing


def _study(path: Path, page: Path) -> _Page:
    study = read_study_result(path)
    try:
        study = replace(study, command=as_given(study.command))
    except ValueError:  # not quoted as a shell has it
        study = replace(study, command="")
    links = {name: link_to(name, path / name / REPORT, page) for name in study.runs}
    return study_page(study, str(path), links), {}


def _index(path: Path, page: Path) -> _Page:
    listing = list_runs(path)
    if not (listing.runs or listing.groups or listing.damaged):
        raise InputError(f"{path} has no runs in it: give a run, a search, a study or a folder of runs")
    names = [*(run.path.name for run in listing.runs), *listing.groups]
    return index_page(listing, {name: link_to(name, path / name / REPORT, page) for name in names}), {}


_PAGES: Mapping[Kind, Callable[[Path, Path], _Page]] = {"search": _search, "study": _study, "folder": _index}


def _target(run: Run, file: str | Path | None, card: bool, overwrite: bool) -> Path:
    """The file to write. Raises InputError if it cannot be written or must not be replaced."""
    default = run.path / (CARD if card else REPORT)
    target = default if file is None else given_file(file)
    endings = (".md",) if card else (".html", ".htm")
    if target.suffix.lower() not in endings:
        other = " (a model card, .md, needs --card)" if target.suffix.lower() == ".md" else ""
        raise InputError(f"{target}: the file's name must end in {endings[0]}{other}")
    check_not_of_a_run(target)  # a link to one: no such file has this ending
    check_new_file(target, overwrite or (target == default and not card and target.is_file() and _is_ours(target)))
    return target


def _is_ours(path: Path) -> bool:
    """Whether lenet wrote this page."""
    return MADE_BY.encode() in read_regular(path, _LOOKED_AT)[:2000]
