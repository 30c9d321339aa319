"""Where published sets lie on disk; and, for one that lies nowhere, its download: verified, atomic, safely unpacked."""

import gzip
import hashlib
import http.client
import os
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from lenet.data.catalog import Archive, Layout, PublishedSet
from lenet.errors import InputError, Unavailable

_TIMEOUT = 10.0  # seconds without an answer or a byte
_CHUNK = 1 << 18


def user_cache() -> Path:
    """$LENET_CACHE, or lenet/ in $XDG_CACHE_HOME or ~/.cache. It need not exist."""
    if chosen := os.environ.get("LENET_CACHE"):
        return Path(chosen).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "lenet"
    try:
        return Path.home() / ".cache" / "lenet"
    except RuntimeError:  # a process without a home folder, as in some containers
        return Path(tempfile.gettempdir()) / "lenet"


def places(data_dir: str | None) -> list[Path]:
    """The folders searched for published sets, in order."""
    named = [data_dir, os.environ.get("LENET_DATA"), "data"]
    return [Path(place).expanduser() for place in named if place] + [user_cache()]


def find_published(published: PublishedSet, data_dir: str | None = None) -> tuple[Layout, Path] | None:
    """A set's layout and its extracted folder, or its archive where only that is there; None where neither is."""
    for place in places(data_dir):
        for layout in published.layouts:
            for folder in (place / layout.folder, place):
                if (folder / layout.train[0]).is_file() and (folder / layout.test[0]).is_file():
                    return layout, folder
            if (place / layout.folder).is_dir():
                return layout, place / layout.folder  # incomplete: the reader names what is missing
        for layout in published.layouts:
            if (place / layout.archive.file).is_file():
                return layout, place / layout.archive.file
    return None


def get_published(published: PublishedSet, data_dir: str | None, download: bool) -> tuple[Layout, Path]:
    """A set's layout and extracted folder: found, unpacked from a verified archive, or downloaded.

    Raises InputError where an archive is not the published one, cannot be unpacked, or cannot be had.
    """
    found = find_published(published, data_dir)
    if found and found[1].is_dir():
        return found
    if found:
        layout, archive = found
        into = archive.parent
        if not os.access(into, os.W_OK):
            into = user_cache()
            if (into / layout.folder).is_dir():  # by an earlier start
                return layout, into / layout.folder
        verify(archive, layout.archive)
        return layout, unpack(archive, into, layout.folder, layout.archive.skip)
    layout = published.layouts[0]
    if not download:
        searched = ", ".join(f"'{place}'" for place in places(data_dir))
        raise Unavailable(f"{published.name} is not on disk (searched {searched}): {_by_hand(layout, data_dir)}")
    archive = fetch(published.name, layout, data_dir)
    folder = unpack(archive, archive.parent, layout.folder, layout.archive.skip)
    archive.unlink()  # the folder holds all of it
    return layout, folder


def fetch(name: str, layout: Layout, data_dir: str | None) -> Path:
    """Downloads a layout's archive, from its publisher or else a mirror, and returns it verified.

    It goes to `data_dir`, else $LENET_DATA, else the user cache. Raises one InputError that says what failed at
    each address and how to fetch it by hand.
    """
    place = _download_place(data_dir)
    failures = []
    for url in layout.archive.urls:
        try:
            place.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=place, prefix=f".{layout.archive.file}-", suffix=".part")
        except OSError as error:
            raise InputError(_unwritable(f"download {name} to", place, error)) from None
        try:
            with os.fdopen(handle, "wb") as file:
                _stream(url, layout.archive, file.write)
            return Path(partial).replace(place / layout.archive.file)
        except _NetworkError as failure:
            failures.append(f"{url}: {failure}")
        except OSError as error:
            raise InputError(_unwritable(f"download {name} to", place, error)) from None
        finally:
            Path(partial).unlink(missing_ok=True)
    raise Unavailable(f"cannot download {name} ({'; '.join(failures)}): {_by_hand(layout, data_dir)}")


class _NetworkError(Exception):
    pass


def _stream(url: str, archive: Archive, write: Callable[[bytes], object]) -> None:
    """Hands a download's chunks to `write`; _NetworkError unless all of it came and is the published archive."""
    digests = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "lenet"})
    received = 0
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _NetworkError(_network_reason(error)) from None
    with response, progress(archive.file, archive.bytes) as advance:
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise _NetworkError(_network_reason(error)) from None
            if not chunk:
                break
            received += len(chunk)
            if received > archive.bytes:
                raise _NetworkError(f"sent more than the {archive.bytes:,} bytes of the published file")
            for digest in digests:
                digest.update(chunk)
            write(chunk)
            advance(len(chunk))
    if received < archive.bytes:
        raise _NetworkError(f"ended after {received:,} of {archive.bytes:,} bytes")
    published = archive.md5, archive.sha256 or digests[1].hexdigest()
    if (digests[0].hexdigest(), digests[1].hexdigest()) != published:
        raise _NetworkError(f"sent another file (MD5 {digests[0].hexdigest()}, published {archive.md5})")


def _network_reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {_TIMEOUT:g} s"
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return " ".join(words.split()) or type(error).__name__


def verify(path: Path, archive: Archive) -> None:
    """InputError, naming the file, what was expected and what found, unless `path` is the published archive."""
    digests = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                for digest in digests:
                    digest.update(chunk)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check its permissions") from None
    for digest, published in zip(digests, (archive.md5, archive.sha256), strict=True):
        if published and digest.hexdigest() != published:
            raise InputError(
                f"{path} is not the published archive ({digest.name.upper()} {digest.hexdigest()}, expected "
                f"{published}): delete it and download it again from {archive.urls[0]}"
            )


def unpack(archive: Path, into: Path, folder: str, skip: tuple[str, ...] = ()) -> Path:
    """Unpacks the folder `folder` of a tar archive to `into`, whole but for the files `skip` or not at all.

    A member outside that folder (absolute, ../), a link or a device is an InputError, and nothing is written.
    """
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            for member in members:
                _check_member(archive, member, folder)
            into.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=".unpack-", dir=into))
            try:
                # Bytes into plain files: no owner, mode or time out of the archive is applied, on any Python.
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
        raise InputError(f"cannot unpack {archive} ({error}): delete it and download it again") from None
    except OSError as error:
        if (into / folder).is_dir():  # another process was first
            return into / folder
        raise InputError(_unwritable(f"unpack {archive.name} to", into, error)) from None
    return into / folder


def _check_member(archive: Path, member: tarfile.TarInfo, folder: str) -> None:
    parts = PurePosixPath(member.name).parts
    wrong = None
    if not (member.isreg() or member.isdir()):
        wrong = "a link or a device"
    elif "\\" in member.name or ".." in parts or parts[:1] != (folder,):
        wrong = f"outside {folder}/"
    if wrong:
        raise InputError(
            f"{archive} is refused: its member '{member.name}' is {wrong}; nothing was written: download it again"
        )


def _download_place(data_dir: str | None) -> Path:
    chosen = data_dir or os.environ.get("LENET_DATA")
    return Path(chosen).expanduser() if chosen else user_cache()


def _unwritable(doing: str, place: Path, error: OSError) -> str:
    return f"cannot {doing} {place} ({error.strerror or error}): free some room or give another folder with --data-dir"


def _by_hand(layout: Layout, data_dir: str | None) -> str:
    return (
        f"fetch {layout.archive.urls[0]} by hand, put {layout.archive.file} into {_download_place(data_dir)}, or point "
        "--data-dir at the folder that holds it"
    )


@contextmanager
def progress(label: str, total: int, *, in_bytes: bool = True, hidden: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error while the block runs, in a terminal only; yields what advances it."""
    if hidden or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich import progress as bars
    from rich.console import Console

    amount: tuple[bars.ProgressColumn, ...] = (bars.MofNCompleteColumn(),)
    if in_bytes:
        amount = (bars.DownloadColumn(), bars.TransferSpeedColumn())
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), *amount, bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(label, total=total)
        yield lambda several: shown.advance(task, several)
