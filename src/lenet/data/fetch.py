"""Published datasets: where they are on disk, and their download, which is resumed, verified and unpacked."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lenet.data.cache import user_cache
from lenet.data.catalog import SETS, Archive, Layout, PublishedSet
from lenet.data.idx import idx_file, opens_with
from lenet.data.progress import progress
from lenet.data.unpack import move_together, remove_unfinished, unpack, unwritable
from lenet.errors import InputError, Unavailable
from lenet.files import locked

if TYPE_CHECKING:
    from hashlib import _Hash

_TIMEOUT = 10.0  # seconds without an answer or a byte
_CHUNK = 1 << 18


def places(data_dir: str | None) -> list[Path]:
    """The folders in which published datasets are searched for, in order."""
    named = [data_dir, os.environ.get("LENET_DATA"), "data"]
    return [Path(place).expanduser() for place in named if place] + [user_cache()]


def find_published(published: PublishedSet, data_dir: str | None = None) -> tuple[Layout, Path] | None:
    """A dataset's layout and its unpacked folder, or its archive if only that is there; None if neither is."""
    for place in places(data_dir):
        for layout in published.layouts:
            for folder in (place / layout.folder, place):
                if _has(folder, layout) and (folder != place or not layout.more or opens_with(folder, layout)):
                    return layout, folder
            if (place / layout.folder).is_dir():
                return layout, place / layout.folder  # incomplete: the reader will name the missing file
        for layout in published.layouts:
            if not layout.more and (place / layout.archive.file).is_file():
                return layout, place / layout.archive.file
    return None


def _has(folder: Path, layout: Layout) -> bool:
    """Whether training and test images are there, those of IDX files packed or not."""
    files = [folder / layout.train[0], folder / layout.test[0]]
    if layout.kind == "idx":
        files = [idx_file(folder, file.name) for file in files]
    return all(file.is_file() for file in files)


def get_published(published: PublishedSet, data_dir: str | None, download: bool) -> tuple[Layout, Path]:
    """A dataset's layout and its unpacked folder: found, unpacked from a verified archive, or downloaded.

    Raises InputError if an archive is not the published one or cannot be unpacked, Unavailable if there is none.
    """
    found = find_published(published, data_dir)
    if found and found[1].is_dir():
        return found
    layout, archive = found or (published.layouts[0], None)
    if archive is None and not download:
        searched = ", ".join(f"'{place}'" for place in places(data_dir))
        raise Unavailable(f"{published.name} is not on disk (searched {searched}): {_by_hand(layout, data_dir)}")
    into = archive.parent if archive else _download_place(data_dir)
    if archive and not os.access(into, os.W_OK):
        into = user_cache()
    with _alone_in(into, f"{'unpack' if archive else 'download'} {published.name} to"):
        folder = into / layout.folder
        if folder.is_dir():  # written by an earlier command, or by another process while this one waited
            return layout, folder
        if archive:
            verify(archive, layout.archive)
            return layout, unpack(archive, into, layout.folder, layout.archive.skip)
        if layout.more:
            fetched = {one.file: fetch(published.name, layout, data_dir, one) for one in (layout.archive, *layout.more)}
            move_together(fetched, into, layout.folder)
            return layout, folder
        partial = fetch(published.name, layout, data_dir)
        unpack(partial, into, layout.folder, layout.archive.skip)
        partial.unlink(missing_ok=True)
        return layout, folder


@contextmanager
def _alone_in(place: Path, doing: str) -> Iterator[None]:
    """Make the folder, and keep other processes of lenet from writing datasets to it while the block runs."""
    with ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            if stack.enter_context(locked(place)):
                remove_unfinished(place)
        except OSError as error:
            raise unwritable(doing, place, error) from None
        yield


def fetch(name: str, layout: Layout, data_dir: str | None, archive: Archive | None = None) -> Path:
    """Download a layout's archive, the first by default, and return the verified file, which has a temporary name.

    It goes to `data_dir`, else $LENET_DATA, else the user cache. Each address is tried, the publisher's first, and each
    continues what is there of an interrupted download. Raises Unavailable, which says what failed at each address and
    how to get the file by hand.
    """
    place = _download_place(data_dir)
    archive = archive or layout.archive
    partial, failures = _partial(place, layout, archive), []
    try:
        place.mkdir(parents=True, exist_ok=True)
        for url in archive.urls:
            try:
                with partial.open("a+b") as file:
                    _download(url, archive, file)
                return partial
            except _NetworkError as failure:
                failures.append(f"{url}: {failure}")
    except OSError as error:
        raise unwritable(f"download {name} to", place, error) from None
    finally:
        if partial.is_file() and not partial.stat().st_size:
            partial.unlink()
    kept = f"; {partial.stat().st_size:,} bytes are kept, and the same command continues" if partial.is_file() else ""
    raise Unavailable(f"cannot download {name} ({'; '.join(failures)}{kept}): {_by_hand(layout, data_dir)}")


def unfinished_downloads() -> list[Path]:
    """Parts of interrupted downloads in the folders in which datasets are searched for."""
    layouts = [layout for published in SETS.values() for layout in published.layouts]
    paths = {
        _partial(place, layout, archive)
        for place in places(None)
        for layout in layouts
        for archive in (layout.archive, *layout.more)
    }
    return sorted(path for path in paths if path.is_file())


def _partial(place: Path, layout: Layout, archive: Archive) -> Path:
    of = f"{layout.folder.replace('/', '-')}-" if layout.more else ""  # several datasets have files of these names
    return place / f".{of}{archive.file}.part"


class _NetworkError(Exception):
    pass


def _download(url: str, archive: Archive, file: BinaryIO) -> None:
    """Append to `file` what it lacks of the archive, and verify all of it.

    Raises _NetworkError; what has arrived stays in `file`, unless it is of another file than the published one. The
    checksum of the whole shows that, so no ETag is compared.
    """
    file.seek(0)
    digests = _digests(file)
    begin = received = file.tell()
    if received < archive.bytes:
        with _answer(url, archive, begin) as response, progress(archive.file, archive.bytes, done=begin) as advance:
            if begin and response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends the whole file
                file.truncate(0)
                digests = _digests()
                begin = received = 0
            while chunk := _read(response):
                received += len(chunk)
                if received > archive.bytes:
                    file.truncate(0)
                    raise _NetworkError(f"sent more than the {archive.bytes:,} bytes of the published file")
                for digest in digests:
                    digest.update(chunk)
                file.write(chunk)
                advance(len(chunk))
    if received < archive.bytes:
        raise _NetworkError(f"ended after {received:,} of {archive.bytes:,} bytes")
    md5, sha256 = (digest.hexdigest() for digest in digests)
    if (md5, sha256) != (archive.md5, archive.sha256 or sha256):
        file.truncate(0)
        if begin:  # the earlier part may be the damaged one
            _download(url, archive, file)
            return
        raise _NetworkError(f"sent another file (MD5 {md5}, published {archive.md5})")


def _answer(url: str, archive: Archive, begin: int) -> http.client.HTTPResponse:
    """The response to a request for the archive from byte `begin` on; or for all of it, if the server cannot resume."""
    request = urllib.request.Request(url, headers={"User-Agent": "lenet"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _NetworkError(_network_reason(error)) from None
    sent = response.headers.get("Content-Range")
    if (
        response.status == http.HTTPStatus.PARTIAL_CONTENT
        and sent != f"bytes {begin}-{archive.bytes - 1}/{archive.bytes}"
    ):
        response.close()
        raise _NetworkError(f"has another file ({sent}; the published one has {archive.bytes:,} bytes)")
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _NetworkError(_network_reason(error)) from None


def _network_reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer within {_TIMEOUT:g} s"
    words = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return " ".join(words.split()) or type(error).__name__


def _digests(file: BinaryIO | None = None) -> "tuple[_Hash, _Hash]":
    """MD5 and SHA-256 of what is left to read of a file."""
    digests = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    while file and (chunk := file.read(_CHUNK)):
        for digest in digests:
            digest.update(chunk)
    return digests


def verify(path: Path, archive: Archive) -> None:
    """Raises InputError, with the expected and the found checksum, unless `path` is the published archive."""
    try:
        with path.open("rb") as file:
            digests = _digests(file)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check its permissions") from None
    for digest, published in zip(digests, (archive.md5, archive.sha256), strict=True):
        if published and digest.hexdigest() != published:
            raise InputError(
                f"{path} is not the published archive ({digest.name.upper()} {digest.hexdigest()}, expected "
                f"{published}): download it again from {archive.urls[0]}"
            )


def _download_place(data_dir: str | None) -> Path:
    chosen = data_dir or os.environ.get("LENET_DATA")
    return Path(chosen).expanduser() if chosen else user_cache()


def _by_hand(layout: Layout, data_dir: str | None) -> str:
    if layout.more:
        return (
            f"download {layout.archive.urls[0]} and the {len(layout.more)} files beside it by hand and put them into "
            f"{_download_place(data_dir) / layout.folder}, or give its folder with --data-dir"
        )
    return (
        f"download {layout.archive.urls[0]} by hand and put {layout.archive.file} into {_download_place(data_dir)}, or "
        "give its folder with --data-dir"
    )
