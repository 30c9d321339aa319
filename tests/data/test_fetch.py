"""Finding, verifying and downloading the published archives, on small ones made here."""

import errno
import hashlib
import http.server
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from lenet.data import catalog, download, fetch
from lenet.errors import InputError

LAYOUT = catalog.CIFAR10.layouts[0]
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # of Python 3.12 and later


pytestmark = pytest.mark.usefixtures("hidden")


def described(content, urls=("http://127.0.0.1:9/none",)):
    """The catalog's CIFAR-10, with `content` as its published archive."""
    archive = replace(
        LAYOUT.archive,
        bytes=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(content).hexdigest(),
        urls=tuple(urls),
    )
    return replace(catalog.CIFAR10, layouts=(replace(LAYOUT, archive=archive), catalog.CIFAR10.layouts[1]))


@pytest.fixture
def content(tmp_path, make_tar):
    return make_tar(tmp_path / "made.tar.gz").read_bytes()


def leftovers(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_folders_are_searched_in_order_and_the_cache_last(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "env"))
    assert fetch.places("given") == [Path("given"), tmp_path / "env", Path("data"), tmp_path / "cache"]
    for place in reversed(fetch.places(str(tmp_path / "given"))):
        folder = place / LAYOUT.folder
        folder.mkdir(parents=True)
        for file in (LAYOUT.train[0], LAYOUT.test[0]):
            (folder / file).touch()
        found = fetch.find_published(catalog.CIFAR10, str(tmp_path / "given"))
        assert found == (LAYOUT, folder)
    assert fetch.find_published(catalog.CIFAR10, str(tmp_path / "given" / LAYOUT.folder))[1] == folder


def test_a_verified_archive_is_unpacked_beside_itself_and_then_found_unpacked(tmp_path, content):
    published = described(content)
    (tmp_path / LAYOUT.archive.file).write_bytes(content)
    layout, folder = fetch.get_published(published, str(tmp_path), download=False)
    assert folder == tmp_path / layout.folder
    assert (folder / "test_batch").read_bytes() == b"test_batch"
    assert leftovers(folder) == sorted([*LAYOUT.train, *LAYOUT.test, LAYOUT.meta])
    (tmp_path / LAYOUT.archive.file).write_bytes(b"changed since")
    assert fetch.get_published(published, str(tmp_path), download=False)[1] == folder


def test_an_archive_in_a_folder_that_cannot_be_written_is_unpacked_to_the_cache_once(monkeypatch, tmp_path, content):
    published, place = described(content), tmp_path / "locked"
    place.mkdir()
    (place / LAYOUT.archive.file).write_bytes(content)
    monkeypatch.setattr(fetch.os, "access", lambda path, mode: Path(path) != place)
    assert fetch.get_published(published, str(place), download=False)[1] == tmp_path / "cache" / LAYOUT.folder
    monkeypatch.setattr(download, "verify", lambda *_: pytest.fail("hashed again"))
    assert fetch.get_published(published, str(place), download=False)[1] == tmp_path / "cache" / LAYOUT.folder


def test_an_archive_with_another_checksum_is_refused_with_both_named(tmp_path, content):
    published = described(content)
    path = tmp_path / LAYOUT.archive.file
    path.write_bytes(content + b"!")
    found = hashlib.md5(content + b"!", usedforsecurity=False).hexdigest()
    expected = published.layouts[0].archive.md5
    with pytest.raises(
        InputError, match=f"{path.name} is not the published .*{found}, expected {expected}.*download it again"
    ):
        fetch.get_published(published, str(tmp_path), download=True)
    assert not (tmp_path / LAYOUT.folder).exists()


def test_an_archive_needs_the_published_sha256_too(tmp_path, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    archive = replace(described(content).layouts[0].archive, sha256="0" * 64)
    with pytest.raises(InputError, match="SHA256"):
        download.verify(path, archive)


def test_a_download_goes_to_the_data_dir_verified_and_unpacked(server, tmp_path, content):
    server.files["/a"] = 200, content, len(content)
    published = described(content, [f"{server.url}/a", f"{server.url}/mirror"])
    _, folder = fetch.get_published(published, str(tmp_path / "new" / "dir"), download=True)
    assert folder == tmp_path / "new" / "dir" / LAYOUT.folder
    assert leftovers(folder.parent) == [LAYOUT.folder]
    assert server.asked == ["/a"]
    fetch.get_published(published, str(tmp_path / "new" / "dir"), download=True)
    assert server.asked == ["/a"], "what is on disk is not asked for"


def test_downloads_go_to_lenet_data_or_else_the_cache(monkeypatch, server, tmp_path, content):
    server.files["/a"] = 200, content, len(content)
    published = described(content, [f"{server.url}/a"])
    assert fetch.get_published(published, None, download=True)[1].parent == tmp_path / "cache"
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "env"))
    assert fetch.get_published(published, None, download=True)[1].parent == tmp_path / "env"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("404", "HTTP 404"),
        ("short", "ended after"),
        ("long", "sent more than"),
        ("changed", "sent another file"),
        ("cut off", r"IncompleteRead|ended after"),
        ("refused", "Connection refused"),
    ],
)
def test_the_mirror_is_asked_if_the_publisher_fails(server, tmp_path, content, fault, words):
    changed = content[:-1] + bytes([content[-1] ^ 1])
    answers = {
        "404": (404, b"", 0),
        "short": (200, content[:-5], len(content) - 5),
        "long": (200, content + b"more", len(content) + 4),
        "changed": (200, changed, len(content)),
        "cut off": (200, content[:50], len(content)),
    }
    server.files = {"/first": answers.get(fault), "/mirror": (200, content, len(content))}
    first = "http://127.0.0.1:9/closed" if fault == "refused" else f"{server.url}/first"
    layout = described(content, [first, f"{server.url}/mirror"]).layouts[0]
    archive = fetch.fetch("cifar10", layout, str(tmp_path / "new"))
    assert archive.read_bytes() == content
    assert leftovers(archive.parent) == [archive.name]
    archive.unlink()
    with pytest.raises(InputError, match=f"cannot download cifar10 .*{first}: .*({words})"):
        fetch.fetch("cifar10", described(content, [first]).layouts[0], str(tmp_path / "new"))


def test_if_every_address_fails_one_line_says_how_to_download_by_hand(server, tmp_path, content):
    urls = [f"{server.url}/first", f"{server.url}/mirror"]
    with pytest.raises(InputError) as error:
        fetch.get_published(described(content, urls), str(tmp_path / "new"), download=True)
    message = str(error.value)
    for part in ("cifar10", *urls, "HTTP 404", LAYOUT.archive.file, str(tmp_path / "new"), "--data-dir"):
        assert part in message
    assert "\n" not in message
    assert leftovers(tmp_path / "new") == []


def test_without_permission_to_download_nothing_is_asked(server, tmp_path, content):
    published = described(content, [f"{server.url}/a"])
    with pytest.raises(InputError, match=r"cifar10 is not on disk \(searched 'there', .*--data-dir"):
        fetch.get_published(published, "there", download=False)
    assert server.asked == []


def test_a_server_that_does_not_answer_is_given_up(monkeypatch, tmp_path, content):
    monkeypatch.setattr(download, "_TIMEOUT", 0.1)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as silent:  # accepts, is mute
        url = f"http://127.0.0.1:{silent.server_address[1]}/a"
        with pytest.raises(InputError, match=r"no answer within 0\.1 s"):
            fetch.fetch("cifar10", described(content, [url]).layouts[0], str(tmp_path))


def test_a_full_disk_or_an_unwritable_folder_ends_the_download_at_once(monkeypatch, server, tmp_path, content):
    server.files["/a"] = 200, content, len(content)
    layout = described(content, [f"{server.url}/a", f"{server.url}/a"]).layouts[0]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot download cifar10 to .*file.*--data-dir"):
        fetch.fetch("cifar10", layout, str(tmp_path / "file"))

    def full(url, archive, file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "download", full)
    with pytest.raises(InputError, match=r"cannot download cifar10 to .*No space left on device.*free some room"):
        fetch.fetch("cifar10", layout, str(tmp_path / "new"))
    assert leftovers(tmp_path / "new") == []


def cut_off(server, content, place, sent=50):
    """Start a download that ends after so many bytes; returns the dataset."""
    server.files["/a"] = 200, content[:sent], len(content)
    published = described(content, [f"{server.url}/a"])
    with pytest.raises(
        InputError, match=r"cannot download cifar10 .*; \d+ bytes are kept, and the same command continues"
    ):
        fetch.get_published(published, str(place), download=True)
    server.files["/a"] = 200, content, len(content)
    server.ranges.clear()
    return published


def test_an_interrupted_download_continues_where_it_ended(server, tmp_path, content):
    server.resumes.add("/a")
    published = cut_off(server, content, tmp_path / "new")
    assert fetch.unfinished_downloads() == []  # of the folders searched without --data-dir
    _, folder = fetch.get_published(published, str(tmp_path / "new"), download=True)
    assert server.ranges == ["bytes=50-"]
    assert (folder / "test_batch").read_bytes() == b"test_batch"
    assert leftovers(tmp_path / "new") == [LAYOUT.folder]


def test_a_server_that_cannot_resume_sends_the_whole_file(server, tmp_path, content):
    published = cut_off(server, content, tmp_path / "new")
    fetch.get_published(published, str(tmp_path / "new"), download=True)
    assert server.ranges == ["bytes=50-"]
    assert leftovers(tmp_path / "new") == [LAYOUT.folder]


def test_the_mirror_continues_what_the_publisher_began(server, tmp_path, content):
    server.files = {"/a": (200, content[:60], len(content)), "/mirror": (200, content, len(content))}
    server.resumes.add("/mirror")
    published = described(content, [f"{server.url}/a", f"{server.url}/mirror"])
    fetch.get_published(published, str(tmp_path / "new"), download=True)
    assert server.ranges == [None, "bytes=60-"]


def test_a_damaged_part_is_discarded_and_the_whole_file_downloaded(server, tmp_path, content):
    server.resumes.add("/a")
    published = cut_off(server, content, tmp_path / "new")
    (partial,) = (tmp_path / "new").iterdir()
    partial.write_bytes(b"x" * 50)
    fetch.get_published(published, str(tmp_path / "new"), download=True)
    assert server.ranges == ["bytes=50-", None]


def test_a_download_that_was_killed_before_unpacking_is_not_repeated(server, tmp_path, content):
    published = cut_off(server, content, tmp_path / "new")
    (partial,) = (tmp_path / "new").iterdir()
    partial.write_bytes(content)
    fetch.get_published(published, str(tmp_path / "new"), download=True)
    assert server.ranges == []
    assert leftovers(tmp_path / "new") == [LAYOUT.folder]


def test_the_rest_of_a_file_of_another_size_is_refused_and_the_part_kept(server, tmp_path, content):
    published = cut_off(server, content, tmp_path / "new")
    server.resumes.add("/a")
    server.files["/a"] = 200, content + b"more", len(content) + 4
    with pytest.raises(InputError, match=r"has another file \(bytes 50-.*; 50 bytes are kept"):
        fetch.get_published(published, str(tmp_path / "new"), download=True)


@forks
def test_what_a_process_killed_while_unpacking_leaves_is_used_or_removed_by_the_next(
    monkeypatch, server, tmp_path, content
):
    place = tmp_path / "new"
    server.resumes.add("/a")
    server.files["/a"] = 200, content, len(content)
    published = described(content, [f"{server.url}/a"])

    if (child := os.fork()) == 0:
        monkeypatch.setattr(shutil, "copyfileobj", lambda source, target: os._exit(9))
        fetch.get_published(published, str(place), download=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert leftovers(place)[0].startswith(f".{LAYOUT.archive.file}")
    assert leftovers(place)[1].startswith(".unpack-")
    fetch.get_published(published, str(place), download=True)
    assert leftovers(place) == [LAYOUT.folder]
    assert server.asked == ["/a"]


@forks
def test_two_processes_download_a_dataset_once(server, tmp_path, content):
    server.files["/a"] = 200, content, len(content)
    published = described(content, [f"{server.url}/a"])
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            try:
                fetch.get_published(published, str(tmp_path / "new"), download=True)
            finally:
                os._exit(0 if (tmp_path / "new" / LAYOUT.folder / "test_batch").is_file() else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert server.asked == ["/a"]


def test_unfinished_downloads_are_found(monkeypatch, server, tmp_path, content):
    cut_off(server, content, tmp_path / "new")
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "new"))
    assert fetch.unfinished_downloads() == [tmp_path / "new" / f".{LAYOUT.archive.file}.part"]
