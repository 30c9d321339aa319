"""Files are written whole or not at all, and read only if regular, of limited size and well-formed."""

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from lenet.errors import InputError
from lenet.files import (
    check_new_file,
    expanded,
    is_left_over,
    locked,
    made_for,
    make_folder,
    read_json,
    read_regular,
    read_toml,
    temporary,
    write_whole,
)  # fmt: skip

forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # of Python 3.12 and later


def full_disk(monkeypatch, number=errno.ENOSPC):
    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


def unwritable_folder(tmp_path):
    """A folder that nobody can write to, not even root."""
    if os.geteuid() == 0:
        return Path("/proc")
    tmp_path.chmod(0o500)
    return tmp_path


@pytest.mark.parametrize("content", [b"\x00\xff", "± ü\n"])
def test_write_whole_writes_and_replaces(tmp_path, content):
    path = tmp_path / "file"
    path.write_text("old and longer than the new")
    write_whole(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_file_and_says_how_to_go_on(tmp_path, monkeypatch, number):
    path = tmp_path / "file"
    path.write_text("old")
    full_disk(monkeypatch, number)
    with pytest.raises(
        InputError, match=r"no space left on the disk for .*file: free some, then try again \(runs: with --resume\)"
    ):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_synced_before_it_replaces_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    seen = []
    sync = os.fsync

    def fsync(descriptor):
        seen.append((os.fstat(descriptor).st_size, path.read_text()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "newer")
    assert seen == [(5, "old")]
    assert path.read_text() == "newer"


@forks
def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def killed(descriptor):
        os._exit(9)

    if (child := os.fork()) == 0:
        monkeypatch.setattr(os, "fsync", killed)
        write_whole(path, "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_text() == "old"
    assert [is_left_over(each) for each in sorted(tmp_path.iterdir())] == [True, False]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    folder = unwritable_folder(tmp_path)
    with pytest.raises(InputError, match=rf"cannot write {folder}/new \(.+\): choose another folder or name"):
        write_whole(folder / "new", "text")
    with pytest.raises(InputError, match=f"cannot write {folder}/new"):
        make_folder(folder / "new")


def test_make_folder_makes_parents_and_keeps_existing_files(tmp_path):
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "kept").touch()
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "kept").exists()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a" / "b", exist_ok=False)


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="a is a file, not a folder"):
        make_folder(tmp_path / "a")
    with pytest.raises(InputError, match=r"cannot write .*b"):
        make_folder(tmp_path / "a" / "b")


@pytest.fixture(params=["pipe", "socket", "folder", "device"])
def irregular(request, tmp_path):
    """The path of something that is not a regular file."""
    path = tmp_path / "odd"
    if request.param == "pipe":
        os.mkfifo(path)
    elif request.param == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif request.param == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    return path


@pytest.mark.parametrize("read", [lambda path: read_regular(path, 10), lambda path: read_json(path, "x"), read_toml])
def test_irregular_files_are_refused_before_they_are_opened(irregular, read):
    with pytest.raises(InputError, match=f"cannot read {irregular} \\((not a regular file|Is a directory)\\)"):
        read(irregular)


def test_a_file_above_the_limit_is_refused(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="large is too large: lenet reads at most 1,000 bytes"):
        read_regular(path, 1000)
    with pytest.raises(InputError, match="too large"):
        read_json(path, "restore it")
    path.write_bytes(b"x" * 1000)
    assert len(read_regular(path, 1000)) == 1000


def test_a_missing_file_and_a_name_with_a_nul_are_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*none \(No such file"):
        read_regular(tmp_path / "none", 10)
    with pytest.raises(InputError, match="cannot read"):
        read_regular(Path("a\0b"), 10)


HOSTILE_JSON = {
    "nested": b"[" * 100_000,
    "nested and closed": b"[" * 500 + b"]" * 500,
    "a long number": b"1" * 5000,
    "a number beyond 64 bits": b'{"a": [1' + b"0" * 30 + b"]}",
    "a NUL": rb'{"a": "x\u0000y"}',
    "a NUL in a name": rb'{"x\u0000y": 1}',
    "half a file": b'{"a": ',
    "not UTF-8": b'"\xff"',
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_invalid_json_is_one_line(tmp_path, name):
    path = tmp_path / "model.json"
    path.write_bytes(HOSTILE_JSON[name])
    with pytest.raises(InputError) as refused:
        read_json(path, "restore it")
    assert re.fullmatch(rf"{re.escape(str(path))} is damaged \(not JSON: .{{1,200}}\): restore it", str(refused.value))


HOSTILE_TOML = {
    "nested": b"a = " + b"[" * 2000,
    "nested and closed": b"a = " + b"[" * 300 + b"]" * 300,
    "a long number": b"a = " + b"1" * 5000,
    "a number beyond 64 bits": b"a = 1" + b"0" * 30,
    "a NUL": rb'a = "x\u0000y"',
    "a NUL in a name": rb'"x\u0000y" = 1',
    "not UTF-8": b'a = "\xff"',
}


@pytest.mark.parametrize("name", HOSTILE_TOML)
def test_invalid_toml_is_one_line(tmp_path, name):
    path = tmp_path / "mine.toml"
    path.write_bytes(HOSTILE_TOML[name])
    with pytest.raises(InputError) as refused:
        read_toml(path)
    assert re.fullmatch(rf"{re.escape(str(path))} is not TOML: .{{1,200}}", str(refused.value))


def test_plain_files_are_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, 2.5, null, true, "ü"], "b": {"c": -9223372036854775808}}')
    assert read_json(tmp_path / "a.json", "x") == {"a": [1, 2.5, None, True, "ü"], "b": {"c": -(2**63)}}
    (tmp_path / "a.toml").write_text('a = [1, "ü"]\r\n[b]\nc = 1.5\n', newline="")
    assert read_toml(tmp_path / "a.toml") == {"a": [1, "ü"], "b": {"c": 1.5}}


@forks
def test_a_lock_on_a_folder_keeps_other_processes_out_and_leaves_nothing(tmp_path):
    reading, writing = os.pipe()
    with locked(tmp_path) as alone:
        assert alone
        if (child := os.fork()) == 0:
            with locked(tmp_path):
                os.write(writing, b"child")
            os._exit(0)
        os.write(writing, b"parent ")
    os.waitpid(child, 0)
    assert os.read(reading, 100) == b"parent child"
    assert list(tmp_path.iterdir()) == []
    os.close(reading)
    os.close(writing)


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with locked(tmp_path) as alone:
        assert not alone


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, there):
    (tmp_path / "store").mkdir()
    target, link = tmp_path / "store" / "target", tmp_path / "link"
    link.symlink_to("store/target")
    if there:
        target.write_text("old")
        with pytest.raises(InputError, match="link exists: give --overwrite"):
            check_new_file(link, overwrite=False)
    check_new_file(link, overwrite=True)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(tmp_path.rglob("*")) == [link, target.parent, target]


def test_a_link_that_leads_nowhere_exists(tmp_path):
    link = tmp_path / "link"
    link.symlink_to("none")
    with pytest.raises(InputError, match="link exists: give --overwrite to replace it, or another name"):
        check_new_file(link, overwrite=False)
    link.unlink()
    link.symlink_to("no/where")
    with pytest.raises(InputError, match=f"no folder {tmp_path}/no for link"):
        check_new_file(link, overwrite=True)
    link.unlink()
    link.symlink_to("link")
    with pytest.raises(InputError, match="link is not a regular file"):
        check_new_file(link, overwrite=True)


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("linked", [True, False])
def test_what_is_not_a_regular_file_is_not_replaced(tmp_path, overwrite, linked):
    path = tmp_path / "odd"
    os.mkfifo(path)
    if linked:
        path = tmp_path / "link"
        path.symlink_to("odd")
    with pytest.raises(InputError, match=f"{path} is not a regular file: give another name"):
        check_new_file(path, overwrite)


@pytest.mark.parametrize("name", ["a" * 300, "ü" * 128, "a\0b", "a\ud800", b"bytes", None, 3], ids=ascii)
def test_names_that_no_file_can_have_are_refused(name):
    for overwrite in (True, False):
        with pytest.raises(InputError) as refused:
            check_new_file(Path(name) if isinstance(name, str) else name, overwrite)
        words = ("has a name of more than 255 bytes", "is no file's name (", "must be text or a pathlib.Path, not")
        assert sum(one in str(refused.value) for one in words) == 1
        assert "\n" not in str(refused.value)


def test_a_path_that_is_too_long_is_refused():
    with pytest.raises(InputError, match=r"^'a/a/.*\.\.\.' has more than 4,095 bytes: give a shorter path$"):
        expanded("a/" * 3000)
    assert expanded("a/" * 2000) == Path("a/" * 2000)


@pytest.mark.parametrize("path", [3, 2.5, None, True, b"bytes", ["runs/1"], {"a": 1}], ids=repr)
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match=f"^a path must be text or a pathlib.Path, not {type(path).__name__}$"):
        expanded(path)


def test_a_folder_with_a_nul_in_its_name_is_refused():
    with pytest.raises(InputError, match="is no folder's name"):
        make_folder(Path("a\0b"))


@pytest.mark.parametrize("name", ["a" * 255, "a" * 217, "ü" * 127, "a" + "\U0001f600" * 63], ids=ascii)
def test_names_of_up_to_255_bytes_can_be_written(tmp_path, name):
    path = tmp_path / name
    check_new_file(path, overwrite=False)
    write_whole(path, "text")
    assert path.read_text() == "text"
    aside = temporary(path)
    assert is_left_over(aside)
    assert len(os.fsencode(aside.name)) <= 255
    assert name.startswith(made_for(aside).name)


def test_a_temporary_name_tells_for_which_file_it_was_made(tmp_path):
    assert made_for(temporary(tmp_path / "net.c")) == tmp_path / "net.c"
    assert made_for(tmp_path / "net.c") == tmp_path / "net.c"
