"""Files that are whole or not there: written aside, synced to the disk, then renamed."""

import errno
import os
import re
import uuid
from pathlib import Path

from lenet.errors import InputError


def write_whole(path: Path, content: bytes | str) -> None:
    """Replace `path` by `content`, so that a kill at any moment leaves the old file or the new one.

    Raises InputError where the disk is full or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error) from None


def is_left_over(path: Path) -> bool:
    """Whether this is what `write_whole` leaves aside where it is killed."""
    return re.fullmatch(r"\..+\.[0-9a-f]{32}\.part", path.name) is not None


def make_folder(path: Path, *, exist_ok: bool = True) -> None:
    """Make `path` and its parents. Raises InputError where that is not allowed, FileExistsError if it must be new."""
    try:
        path.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if not exist_ok:
            raise
        raise InputError(f"{path} is a file, not a folder: choose another name") from None
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: Path, error: OSError) -> InputError:
    """The one line for a file that could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(f"no space left on the disk for {path}: free some, then go on with --resume")
    return InputError(f"cannot write {path} ({error.strerror}): choose another folder with --out")
