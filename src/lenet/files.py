"""Files are written whole or not at all, and read only if they are regular and not too large."""

import errno
import fcntl
import io
import json
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from lenet.errors import InputError, one_line

MOST_TEXT = 16 << 20  # bytes of a TOML or JSON file; parsed, each byte can take tens of bytes
MOST_CSV = 1 << 28  # bytes of a table of images
_DEEPEST = 64  # levels of lists and tables; functions that read them recurse
_PART = re.compile(r"\.(.+)\.[0-9a-f]{32}\.part")  # what `temporary` makes of a name
_PART_ADDS = 39  # bytes that `temporary` adds to a name
_LONGEST_NAME = 255  # bytes of a file name, on every common file system
_LONGEST_PATH = 4095  # bytes of a path, on Linux


def write_whole(path: Path, content: bytes | str, *, sync: bool = True) -> None:
    """Replace `path` by `content`, so that a kill at any moment leaves the old file or the new one.

    sync: also if the machine fails; it takes milliseconds

    Raises InputError if the disk is full or the folder cannot be written.
    """
    with written_whole(path, sync=sync) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def written_whole(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """A file that replaces `path` when the block ends, unless it raises; see `write_whole`.

    A link stays: the file replaces its target.
    """
    path = target_of(path)
    aside = temporary(path)
    try:
        try:
            with aside.open("wb") as file:
                yield file
                file.flush()
                if sync:
                    os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


@contextmanager
def text_written_whole(path: Path) -> Iterator[TextIO]:
    """As `written_whole`, for text of any length in UTF-8, whose line ends are written as they are."""
    with written_whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=False)
        try:
            yield text
        finally:
            text.flush()
            text.detach()


def temporary(path: Path) -> Path:
    """A new name beside this file, for what may be deleted once the process that uses it has ended."""
    name = path.name[:_LONGEST_NAME]
    while len(os.fsencode(name)) > _LONGEST_NAME - _PART_ADDS:  # by characters: some file systems refuse half of one
        name = name[:-1]
    return path.with_name(f".{name}.{uuid.uuid4().hex}.part")


def is_left_over(path: Path) -> bool:
    """Whether this is a `temporary` name: what has it was left by a process that was killed."""
    return _PART.fullmatch(path.name) is not None


def made_for(path: Path) -> Path:
    """The file for which `temporary` made this name (a very long one is cut short); any other path as it is."""
    made = _PART.fullmatch(path.name)
    return path.with_name(made[1]) if made else path


def make_folder(path: Path, *, exist_ok: bool = True) -> None:
    """Make `path` and its parents. Raises InputError if that is not possible, FileExistsError if it must be new."""
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if not exist_ok:
            raise
        raise InputError(f"{path} is a file, not a folder: choose another name") from None
    except OSError as error:
        raise unwritable(path, error) from None
    except ValueError as error:  # a NUL
        raise InputError(f"{str(path)!r} is no folder's name ({one_line(error)}): choose another name") from None


def check_new_file(file: Path, overwrite: bool) -> None:
    """Raises InputError if a file that the user named cannot be written, or exists and `overwrite` is not given."""
    file = given_file(file)
    target = given_file(target_of(file))
    folder = target.parent
    if not folder.is_dir():
        raise InputError(f"no folder {folder} for {file.name}: create it or check the path")
    if file.is_dir():
        raise InputError(f"{file} is a folder: give a file's name")
    # The target of a link may not exist; that of one in /proc, such as /dev/stdout, is no path.
    if (os.path.lexists(target) or file.exists()) and not file.is_file():
        raise InputError(f"{file} is not a regular file: give another name")
    if os.path.lexists(file) and not overwrite:
        raise InputError(f"{file} exists: give --overwrite to replace it, or another name")
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write to the folder {folder}: choose another one")


def given_file(file: str | os.PathLike[str]) -> Path:
    """The path of a file that the user named. Raises InputError if no file there can have this name."""
    try:
        path = expanded(file)
        path.lstat()
    except InputError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        return path
    except OSError as error:
        raise unwritable(path, error) from None
    except ValueError as error:  # a NUL, or a character that no file's name can have
        raise InputError(f"{str(file)!r} is no file's name ({one_line(error)}): choose another name") from None
    return path


def check_made_here(folder: Path, pattern: str, what: str) -> None:
    """Raises InputError if a folder that the user named has files, but none by which `what` is recognised.

    pattern: of the names of those, such as "check.json"; what: "check", which writes into the folder
    """
    if folder.is_dir() and not all(map(is_left_over, folder.iterdir())) and not any(folder.glob(pattern)):
        raise InputError(f"{folder} has files that no {what} made: give a new or empty folder with --out")


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"no space left on the disk for {path}: free some, then try again (runs: with --resume)")
    if error.errno == errno.ENOENT and not path.parent.is_dir():
        return gone(path.parent)
    return InputError(f"cannot write {path} ({error.strerror}): choose another folder or name")


def gone(path: Path) -> InputError:
    """The error for a folder, or a file in it, that was deleted while lenet worked in the folder."""
    return InputError(f"{path} is gone: it was deleted or moved while lenet wrote to it; start again")


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with a home folder for ~ or ~user; unchanged if there is no such user, for whom pathlib would fail.

    Raises InputError for what is no path, and for one that is too long for Linux.
    """
    try:
        whole = Path(os.path.expanduser(path))  # noqa: PTH111
    except TypeError:
        raise InputError(f"a path must be text or a pathlib.Path, not {type(path).__name__}") from None
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in whole.parts):
        raise InputError(f"'{path!s:.60}...' has a name of more than {_LONGEST_NAME} bytes: give a shorter path")
    if len(os.fsencode(whole)) > _LONGEST_PATH:
        raise InputError(f"'{path!s:.60}...' has more than {_LONGEST_PATH:,} bytes: give a shorter path")
    return whole


def followed(path: str | os.PathLike[str]) -> Path:
    """The absolute path with all links followed, as far as they go: for a circle of links, pathlib would fail."""
    return Path(os.path.realpath(path))


def target_of(path: Path) -> Path:
    """The file to which a link leads, also if it does not exist yet; any other path as it is."""
    return followed(path) if os.path.islink(path) else path  # noqa: PTH114 (Path.is_symlink raises for long names)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock the folder for this process while the block runs; no lock file is left behind.

    wait: if another process has the lock, wait for it; otherwise raise BlockingIOError

    Yields False, and locks nothing, if the file system has no locks. Raises OSError if the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            yield False
        else:
            try:
                yield True
            finally:  # closing is not enough: a process forked meanwhile has the handle too
                fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file for reading. Raises OSError, also where `path` is not a regular file.

    Opening a pipe would wait for a writer, and a device may never end.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 (a path may be given as text)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return open(path, "rb")  # noqa: PTH123


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file of at most `most_bytes`.

    Raises InputError if the file is missing, not regular, too large or cannot be read.
    """
    try:
        with open_regular(path) as file:
            content = file.read(most_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path} ({reason}): check the path and its permissions") from None
    if len(content) > most_bytes:
        raise InputError(f"{path} is too large: lenet reads at most {most_bytes:,} bytes of such a file")
    return content


def write_json(path: Path, values: Any) -> None:
    """Write plain values as JSON, as `write_whole` writes text."""
    write_whole(path, json.dumps(values, indent=1) + "\n")


def read_json(path: Path, mend: str) -> Any:
    """The plain values of a JSON file: dict, list, str, int of 64 bits, float, bool, None, at most 64 levels deep.

    Raises InputError if the file cannot be read or is not such JSON; `mend` ends the message ("restore it or ...").
    The caller checks the values.
    """
    return _parsed(path, json.loads, f"is damaged (not JSON: {{}}): {mend}")


def read_toml(path: Path) -> dict[str, Any]:
    """The plain values of a TOML file; see `read_json`. Raises InputError if it is not such TOML."""
    import tomllib  # most commands need none

    values: dict[str, Any] = _parsed(path, tomllib.loads, "is not TOML: {}")
    return values


def _parsed(path: Path, parse: Callable[[str], Any], fault: str) -> Any:
    content = read_regular(path, MOST_TEXT)
    try:
        values = parse(content.decode("utf-8-sig"))
        _check_plain(values)
    except RecursionError:
        reason = f"nested more than {_DEEPEST} levels deep"
    except ValueError as error:  # the parsers' own errors, UnicodeDecodeError, and integers of thousands of digits
        reason = one_line(error)
    else:
        return values
    raise InputError(f"{path} {fault.format(reason)}")


def _check_plain(values: Any) -> None:
    """Raises ValueError for a NUL in a text or an integer beyond 64 bits, RecursionError beyond `_DEEPEST` levels."""
    level = [values]
    for _ in range(_DEEPEST + 1):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str):
                if "\0" in value:
                    raise ValueError(f"the text {value[:50]!r} holds a NUL character")
            elif isinstance(value, int) and not -(2**63) <= value < 2**64:
                raise ValueError("an integer does not fit into 64 bits")
        if not below:
            return
        level = below
    raise RecursionError
