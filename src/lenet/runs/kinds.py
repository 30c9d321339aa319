"""What a folder is, by the files in it, what belongs to it, and whether a lenet process is working in it."""

import shlex
from pathlib import Path
from typing import Literal

from lenet.data.source import MEMORY
from lenet.errors import InputError
from lenet.files import followed, given_file, locked, read_toml

SEARCH_FILE, STUDY_FILE, AUDIT_FILE = "search.toml", "study.json", "audit.toml"
Kind = Literal["run", "search", "study", "folder"]
_OF_A_RUN = ("config.toml", "result.json", "model.json")
# What lenet reads again, and what cannot be computed again without training. Reports, plots and eval/ can.
_KEPT = {
    *(*_OF_A_RUN, "layers.json", "split.safetensors", "labels.csv", "metrics.csv"),
    *("model.safetensors", "predictions.safetensors"),
    *(SEARCH_FILE, "trials.csv", "best.toml"),
    *(STUDY_FILE, "settings.json"),
    *(AUDIT_FILE, "audit.json", "audit.csv"),
}
_KEPT_FOLDERS = ("state", "trials")  # every file in them


def kind_of(path: Path) -> Kind:
    """A run (or a trial that a search kept), a search, a study that was finished, or any other folder."""
    if (path / SEARCH_FILE).is_file():
        return "search"
    if (path / STUDY_FILE).is_file():
        return "study"
    return "run" if any((path / name).is_file() for name in _OF_A_RUN) else "folder"


def check_not_of_a_run(file: str | Path) -> None:
    """Raises InputError for a file that a run, search, study or audit keeps, or a link to one.

    A command that writes a file of the user's choice would damage it, with --overwrite or by writing it first.
    """
    file = given_file(file)
    for path in (file, followed(file)):
        folders = [path.parent] if path.name in _KEPT else []
        folders += [path.parent.parent] if path.parent.name in _KEPT_FOLDERS else []
        for folder in folders:
            kind = "audit" if (folder / AUDIT_FILE).is_file() else kind_of(folder)
            if kind != "folder":
                raise InputError(f"{file} belongs to the {kind} in {folder}: choose another name")


def state_of(path: Path) -> Literal["interrupted", "running"]:
    """Whether a process has the lock of an unfinished run or search, or it waits to be resumed."""
    try:
        with locked(path, wait=False):
            return "interrupted"
    except BlockingIOError:
        return "running"


def how_to_resume(path: Path, command: Literal["train", "tune", "audit"] = "train") -> str:
    """The command that resumes an unfinished run, search or audit; command: which of lenet's started it."""
    settings = path / {"train": "config.toml", "tune": SEARCH_FILE, "audit": AUDIT_FILE}[command]
    values = read_toml(settings) if settings.is_file() else {}
    options = values["config"] if isinstance(values.get("config"), dict) else values
    if options.get("data") == MEMORY:  # the command line has no such images
        return f"lenet.{command}(DATA, resume=True, out={str(path)!r})"
    named = f"./{path}" if str(path).startswith("-") else str(path)  # no option
    return f"lenet {command} --resume --out {shlex.quote(named)}"
