"""Finding, verifying, downloading and unpacking the published archives, on small ones made here."""

import errno
import hashlib
import http.server
import io
import shutil
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lenet.data import catalog, fetch
from lenet.errors import InputError

LAYOUT = catalog.CIFAR10.layouts[0]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """No data, cache or proxy of this machine's user is seen."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def make_tar(path, members=None):
    """A .tar.gz of (name or TarInfo) to bytes; by default CIFAR-10's files, each holding its own name."""
    if members is None:
        members = {f"{LAYOUT.folder}/{file}": file.encode() for file in (*LAYOUT.train, *LAYOUT.test, LAYOUT.meta)}
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members.items():
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def described(content, urls=("http://127.0.0.1:9/none",)):
    """CIFAR-10 as if `content` were its published archive."""
    archive = replace(
        LAYOUT.archive,
        bytes=len(content),
        md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        sha256=hashlib.sha256(content).hexdigest(),
        urls=tuple(urls),
    )
    return replace(catalog.CIFAR10, layouts=(replace(LAYOUT, archive=archive), catalog.CIFAR10.layouts[1]))


@pytest.fixture
def content(tmp_path):
    return make_tar(tmp_path / "made.tar.gz").read_bytes()


@pytest.fixture
def server():
    """Serves `files`, path to (status, bytes, announced length), and lists what was asked for in `asked`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            status, body, length = self.server.files.get(self.path, (404, b"", 0))
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.files, served.asked = {}, []
    served.url = f"http://127.0.0.1:{served.server_address[1]}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def leftovers(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_places_are_searched_in_order_and_the_cache_comes_last(monkeypatch, tmp_path):
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


def test_user_cache_follows_its_variables(monkeypatch, tmp_path):
    monkeypatch.delenv("LENET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert fetch.user_cache() == tmp_path / "xdg" / "lenet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert fetch.user_cache() == tmp_path / "home" / ".cache" / "lenet"


def test_a_verified_archive_is_unpacked_beside_itself_and_then_found_unpacked(tmp_path, content):
    published = described(content)
    (tmp_path / LAYOUT.archive.file).write_bytes(content)
    layout, folder = fetch.get_published(published, str(tmp_path), download=False)
    assert folder == tmp_path / layout.folder
    assert (folder / "test_batch").read_bytes() == b"test_batch"
    assert leftovers(folder) == sorted([*LAYOUT.train, *LAYOUT.test, LAYOUT.meta])
    (tmp_path / LAYOUT.archive.file).write_bytes(b"changed since")
    assert fetch.get_published(published, str(tmp_path), download=False)[1] == folder


def test_beside_a_folder_that_cannot_be_written_it_is_unpacked_to_the_cache_once(monkeypatch, tmp_path, content):
    published, place = described(content), tmp_path / "locked"
    place.mkdir()
    (place / LAYOUT.archive.file).write_bytes(content)
    monkeypatch.setattr(fetch.os, "access", lambda path, mode: Path(path) != place)
    assert fetch.get_published(published, str(place), download=False)[1] == tmp_path / "cache" / LAYOUT.folder
    monkeypatch.setattr(fetch, "verify", lambda *_: pytest.fail("hashed again"))
    assert fetch.get_published(published, str(place), download=False)[1] == tmp_path / "cache" / LAYOUT.folder


def test_an_archive_with_another_checksum_is_refused_with_both_named(tmp_path, content):
    published = described(content)
    path = tmp_path / LAYOUT.archive.file
    path.write_bytes(content + b"!")
    found = hashlib.md5(content + b"!", usedforsecurity=False).hexdigest()
    expected = published.layouts[0].archive.md5
    with pytest.raises(InputError, match=f"{path.name} is not the published .*{found}, expected {expected}.*again"):
        fetch.get_published(published, str(tmp_path), download=True)
    assert not (tmp_path / LAYOUT.folder).exists()


def test_md5_alone_does_not_pass(tmp_path, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    archive = replace(described(content).layouts[0].archive, sha256="0" * 64)
    with pytest.raises(InputError, match="SHA256"):
        fetch.verify(path, archive)


def info(name, **fields):
    member = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(member, field, value)
    return member


@pytest.mark.parametrize(
    "member",
    [
        info("../evil"),
        info(f"{LAYOUT.folder}/../../evil"),
        info("/tmp/evil"),
        info("evil"),
        info(f"{LAYOUT.folder}/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info(f"{LAYOUT.folder}/hard", type=tarfile.LNKTYPE, linkname="../../evil"),
        info(f"{LAYOUT.folder}/pipe", type=tarfile.FIFOTYPE),
        info(f"{LAYOUT.folder}/device", type=tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type.decode()}",
)
def test_a_tar_that_reaches_out_is_refused_and_nothing_is_written(tmp_path, member):
    archive = make_tar(tmp_path / "evil.tar.gz", {f"{LAYOUT.folder}/good": b"good", member: b""})
    into = tmp_path / "a" / "b"
    into.mkdir(parents=True)
    with pytest.raises(InputError, match=r"is refused: its member '.*' is (outside|a link)"):
        fetch.unpack(archive, into, LAYOUT.folder)
    assert leftovers(into) == []
    assert leftovers(tmp_path / "a") == ["b"]


def test_a_broken_archive_and_a_full_disk_leave_nothing(monkeypatch, tmp_path, content):
    into = tmp_path / "into"
    broken = tmp_path / "broken.tar.gz"
    for part in (content[:-30], content[: len(content) // 2], b"", b"no archive"):
        broken.write_bytes(part)
        with pytest.raises(InputError, match=r"cannot unpack .*broken\.tar\.gz"):
            fetch.unpack(broken, into, LAYOUT.folder)

    def full(source, target):
        target.write(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    broken.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot unpack .*No space left on device.*free some room"):
        fetch.unpack(broken, into, LAYOUT.folder)
    assert leftovers(into) == []


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
def test_the_mirror_is_asked_where_the_publisher_fails(server, tmp_path, content, fault, words):
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
    assert leftovers(archive.parent) == [layout.archive.file]
    with pytest.raises(InputError, match=f"cannot download cifar10 .*{first}: .*({words})"):
        fetch.fetch("cifar10", described(content, [first]).layouts[0], str(tmp_path / "new"))


def test_where_nothing_answers_one_line_says_how_to_fetch_it_by_hand(server, tmp_path, content):
    urls = [f"{server.url}/first", f"{server.url}/mirror"]
    with pytest.raises(InputError) as error:
        fetch.get_published(described(content, urls), str(tmp_path / "new"), download=True)
    message = str(error.value)
    for part in ("cifar10", *urls, "HTTP 404", LAYOUT.archive.file, str(tmp_path / "new"), "--data-dir"):
        assert part in message
    assert "\n" not in message
    assert leftovers(tmp_path / "new") == []


def test_without_leave_to_download_nothing_is_asked(server, tmp_path, content):
    published = described(content, [f"{server.url}/a"])
    with pytest.raises(InputError, match=r"cifar10 is not on disk \(searched 'there', .*--data-dir"):
        fetch.get_published(published, "there", download=False)
    assert server.asked == []


def test_a_silent_server_is_given_up(monkeypatch, tmp_path, content):
    monkeypatch.setattr(fetch, "_TIMEOUT", 0.1)
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as silent:  # accepts, is mute
        url = f"http://127.0.0.1:{silent.server_address[1]}/a"
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"no answer within 0\.1 s"):
            fetch.fetch("cifar10", described(content, [url]).layouts[0], str(tmp_path))
        assert time.monotonic() - begin < 2


def test_a_full_disk_or_an_unwritable_place_ends_the_download_at_once(monkeypatch, server, tmp_path, content):
    server.files["/a"] = 200, content, len(content)
    layout = described(content, [f"{server.url}/a", f"{server.url}/a"]).layouts[0]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot download cifar10 to .*file.*--data-dir"):
        fetch.fetch("cifar10", layout, str(tmp_path / "file"))

    def full(url, archive, write):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "_stream", full)
    with pytest.raises(InputError, match=r"cannot download cifar10 to .*No space left on device.*free some room"):
        fetch.fetch("cifar10", layout, str(tmp_path / "new"))
    assert leftovers(tmp_path / "new") == []


def test_the_bar_is_for_terminals_only(monkeypatch, capsys):
    with fetch.progress("x", 10) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    with fetch.progress("some file", 10) as advance:
        advance(10)
        monkeypatch.undo()
