"""Archives of published datasets, unpacked safely and completely or not at all."""

import gzip
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from lenet.errors import InputError, one_line

_ASIDE = ".unpack-"  # opens the name of a folder that is being written


def unpack(archive: Path, into: Path, folder: str, skip: tuple[str, ...] = ()) -> Path:
    """Unpack the folder `folder` of a .tar.gz file to `into`, completely except for the files `skip`, or not at all.

    Raises InputError, and writes nothing, for a member outside that folder (absolute, ../), a link or a device.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            for member in members:
                _check_member(archive, member, folder)
            into.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=into))
            try:
                # Only bytes are copied: no owner, mode or time in the archive is applied, in any version of Python.
                (aside / folder).mkdir()
                for member in members:
                    if PurePosixPath(member.name).name in skip:
                        continue
                    if source := tar.extractfile(member):
                        (aside / member.name).parent.mkdir(parents=True, exist_ok=True)
                        with source, (aside / member.name).open("wb") as file:
                            shutil.copyfileobj(source, file)
                (aside / folder).rename(into / folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"cannot unpack {archive} ({one_line(error)}): replace it by a whole one") from None
    except OSError as error:
        if (into / folder).is_dir():  # another process was first, on a file system without locks
            return into / folder
        raise unwritable(f"unpack {archive.name} to", into, error) from None
    return into / folder


def move_together(files: dict[str, Path], into: Path, folder: str) -> None:
    """Move the files, by their new names, to the folder `folder` of `into`, which appears when it is complete."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=into))
        try:
            aside.chmod(0o755)
            for name, file in files.items():
                file.rename(aside / name)
            (into / folder).parent.mkdir(parents=True, exist_ok=True)
            aside.rename(into / folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        if not (into / folder).is_dir():  # another process was first, on a file system without locks
            raise unwritable("download to", into, error) from None


def _check_member(archive: Path, member: tarfile.TarInfo, folder: str) -> None:
    parts = PurePosixPath(member.name).parts
    wrong = None
    if not (member.isreg() or member.isdir()):
        wrong = "a link or a device"
    elif "\\" in member.name or ".." in parts or parts[:1] != (folder,):
        wrong = f"outside {folder}/"
    if wrong:
        raise InputError(
            f"{archive} is refused: its member '{member.name}' is {wrong}; nothing was written; replace the archive"
        )


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes were unpacking into this folder, of which the caller holds the lock."""
    for path in folder.glob(f"{_ASIDE}*"):
        shutil.rmtree(path, ignore_errors=True)


def unwritable(doing: str, place: Path, error: OSError) -> InputError:
    """The error for a data folder that cannot be written."""
    return InputError(
        f"cannot {doing} {place} ({error.strerror or error}): free some room or give another folder with --data-dir"
    )
