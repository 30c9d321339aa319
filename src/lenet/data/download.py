"""The download of one archive of a published dataset, resumed and verified."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lenet.data.progress import progress
from lenet.data.published_set import Archive
from lenet.errors import InputError

if TYPE_CHECKING:
    from hashlib import _Hash

_TIMEOUT = 10.0  # seconds without an answer or a byte
_CHUNK = 1 << 18


class NetworkError(Exception):
    """What failed, as the end of a sentence about the address."""


def download(url: str, archive: Archive, file: BinaryIO) -> None:
    """Append to `file` what it lacks of the archive, and verify all of it.

    Raises NetworkError; what has arrived stays in `file`, unless it is of another file than the published one. The
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
                    raise NetworkError(f"sent more than the {archive.bytes:,} bytes of the published file")
                for digest in digests:
                    digest.update(chunk)
                file.write(chunk)
                advance(len(chunk))
    if received < archive.bytes:
        raise NetworkError(f"ended after {received:,} of {archive.bytes:,} bytes")
    md5, sha256 = (digest.hexdigest() for digest in digests)
    if (md5, sha256) != (archive.md5, archive.sha256 or sha256):
        file.truncate(0)
        if begin:  # the earlier part may be the damaged one
            download(url, archive, file)
            return
        raise NetworkError(f"sent another file (MD5 {md5}, published {archive.md5})")


def _answer(url: str, archive: Archive, begin: int) -> http.client.HTTPResponse:
    """The response to a request for the archive from byte `begin` on; or for all of it, if the server cannot resume."""
    request = urllib.request.Request(url, headers={"User-Agent": "lenet"})
    if begin:
        request.add_header("Range", f"bytes={begin}-")
    try:
        response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NetworkError(_network_reason(error)) from None
    sent = response.headers.get("Content-Range")
    if (
        response.status == http.HTTPStatus.PARTIAL_CONTENT
        and sent != f"bytes {begin}-{archive.bytes - 1}/{archive.bytes}"
    ):
        response.close()
        raise NetworkError(f"has another file ({sent}; the published one has {archive.bytes:,} bytes)")
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NetworkError(_network_reason(error)) from None


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
