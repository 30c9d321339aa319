"""Opening a run folder: a new one, one to resume, or one to overwrite; one process at a time."""

import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from lenet.data.identity import check_outside
from lenet.errors import InputError
from lenet.files import expanded, followed, is_left_over, locked, make_folder, temporary, unwritable
from lenet.runs.run import Run

RUNS = Path("runs")


@contextmanager
def opened_run(
    out: str | Path | None, *, data: object = None, resume: bool = False, overwrite: bool = False,
    marker: str = "config.toml", read: Iterable[str | Path | None] = (),
) -> Iterator[Run]:  # fmt: skip
    """The run of `open_run`, locked for this process. A folder that was made for it is removed if it stays empty.

    data: what the run will train on; a new run may not be in a folder of images
    overwrite: the run in the folder is deleted at the end, or put back if no new one was begun: a command that fails at
        a mistyped option or missing data leaves it as it was
    read: files and folders that the run reads, which may not be in a folder that is overwritten

    Raises InputError as `open_run` does, if both `resume` and `overwrite` are set, and if another process uses the
    folder.
    """
    if resume and overwrite:
        raise InputError("--resume continues a run and --overwrite deletes it: give one of them")
    place = RUNS if out is None else expanded(out)
    if not resume:
        check_outside(place, data)
    if overwrite and out is not None:
        _check_not_in(place, filter(None, read))
    was_there = out is not None and place.is_dir()
    run = open_run(out, resume=resume, overwrite=overwrite, marker=marker)
    with _alone_in(run.path):  # two processes that train in one folder would overwrite each other's files
        try:
            with _set_aside(run.path, marker) if overwrite else nullcontext():
                yield run
        finally:
            if not was_there and run.path.is_dir() and not any(run.path.iterdir()):
                with suppress(OSError):  # an error of the block says more
                    run.path.rmdir()


def open_run(
    out: str | Path | None, *, resume: bool = False, overwrite: bool = False, marker: str = "config.toml"
) -> Run:
    """The folder that a run writes to: exactly `out`, or a new numbered one under runs/.

    resume: use the existing run at `out`; without `out`, the newest run
    overwrite: the folder may have a run, which is to be replaced
    marker: the file by which a run of this kind is recognised: "config.toml" of a training, "search.toml" of a search

    Raises InputError if the folder exists and is neither resumed nor overwritten, is not a run, is used by another
    process, or cannot be written.
    """
    if out is None:
        newest = _newest(marker) if resume else None
        return open_run(newest.path, resume=True, marker=marker) if newest else _fresh()
    if str(out).strip() == "" or "\0" in str(out):
        raise InputError(f"out {str(out)!r} is not the path of a folder: give another one, or leave it out")
    path = expanded(out)
    found = list(path.iterdir()) if path.is_dir() else []
    if found and not (resume or overwrite):
        raise InputError(f"{path} exists: use --resume to continue it, --overwrite to start over, or another --out")
    if not (path / marker).is_file() and not all(map(is_left_over, found)):
        raise InputError(
            f"{path} is not a run: lenet does not write into folders that it did not make; choose another --out"
        )
    if resume and marker == "config.toml" and Run(path).is_kept_trial:
        raise InputError(f"{path} is a trial that a search kept, which was trained to its end: use another --out")
    make_folder(path)
    if found:
        with _alone_in(path):
            _put_back_killed(path, marker)
            for old in list(filter(is_left_over, path.rglob("*"))):
                _delete(old)
    return Run(path)


def _check_not_in(folder: Path, read: Iterable[str | Path]) -> None:
    for path in read:
        place = followed(expanded(path))
        if followed(folder) in (place, *place.parents):
            raise InputError(f"--overwrite would delete {path}, which the run needs: choose another --out")


@contextmanager
def _set_aside(path: Path, marker: str) -> Iterator[None]:
    """Takes the files out of the run's way; deletes them at the end, or puts them back if no new run was begun."""
    found, aside = list(path.iterdir()), temporary(path / "replaced")
    make_folder(aside)
    try:
        for old in found:
            old.rename(aside / old.name)
    except OSError as error:
        _put_back(aside)
        raise unwritable(path, error) from None
    try:
        yield
    finally:
        if aside.is_dir() and not (path / marker).exists():
            for new in path.iterdir():
                if new != aside:
                    _delete(new)
            _put_back(aside)
        shutil.rmtree(aside, ignore_errors=True)  # it is gone where the user deleted the folder meanwhile


def _put_back_killed(path: Path, marker: str) -> None:
    """Puts back the run that an --overwrite had set aside which was killed before it began a new one."""
    for aside in path.glob(".replaced.*"):
        if (aside / marker).is_file() and not (path / marker).is_file():
            _put_back(aside)


def _put_back(aside: Path) -> None:
    for old in aside.iterdir():
        old.rename(aside.parent / old.name)
    aside.rmdir()


def _delete(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@contextmanager
def _alone_in(path: Path) -> Iterator[None]:
    """Locks the folder for this process. Raises InputError if another process has the lock."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, wait=False))
        except BlockingIOError:
            raise InputError(
                f"{path} is in use by another lenet process: wait for it or choose another --out"
            ) from None
        except OSError as error:
            raise unwritable(path, error) from None
        yield


def _fresh() -> Run:
    number = max((int(path.name) for path in _numbered()), default=0) + 1
    while True:
        path = RUNS / f"{number:04d}"
        try:
            make_folder(path, exist_ok=False)
            return Run(path)
        except FileExistsError:  # another process made it meanwhile
            number += 1


def _newest(marker: str) -> Run | None:
    """The newest run of this kind. A folder without finished files, left by a kill, counts for both kinds."""
    found = [path for path in _numbered() if (path / marker).is_file() or _is_left(path)]
    newest = max(found, key=lambda path: int(path.name), default=None)
    return Run(newest) if newest else None


def _is_left(path: Path) -> bool:
    """Whether the folder holds temporary files alone, as a process that was killed at its start leaves it."""
    found = list(path.iterdir())
    return bool(found) and all(map(is_left_over, found))


def _numbered() -> list[Path]:
    numbered = (path for path in RUNS.glob("*") if re.fullmatch(r"\d+", path.name)) if RUNS.is_dir() else ()
    return [path for path in numbered if path.is_dir()]
