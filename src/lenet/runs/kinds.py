"""What a folder is, by the files in it, and whether a lenet process is working in it."""

import shlex
from pathlib import Path
from typing import Literal

from lenet.files import locked

SEARCH_FILE, STUDY_FILE = "search.toml", "study.json"
Kind = Literal["run", "search", "study", "folder"]
_OF_A_RUN = ("config.toml", "result.json", "model.json")


def kind_of(path: Path) -> Kind:
    """A run (or a trial that a search kept), a search, a study that was finished, or any other folder."""
    if (path / SEARCH_FILE).is_file():
        return "search"
    if (path / STUDY_FILE).is_file():
        return "study"
    return "run" if any((path / name).is_file() for name in _OF_A_RUN) else "folder"


def state_of(path: Path) -> Literal["interrupted", "running"]:
    """Whether a process has the lock of an unfinished run or search, or it waits to be resumed."""
    try:
        with locked(path, wait=False):
            return "interrupted"
    except BlockingIOError:
        return "running"


def how_to_resume(path: Path, command: str = "train") -> str:
    """The command that resumes an unfinished run, search or audit; command: which of lenet's started it."""
    return f"lenet {command} --resume --out {shlex.quote(str(path))}"
