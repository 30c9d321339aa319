"""Files that are whole or not there."""

import errno
import os
from pathlib import Path

import pytest

from lenet.errors import InputError
from lenet.files import is_left_over, make_folder, write_whole


def full_disk(monkeypatch, number=errno.ENOSPC):
    def fsync(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)


def unwritable_folder(tmp_path):
    """A folder nobody may write to, root neither."""
    if os.geteuid() == 0:
        return Path("/proc")
    tmp_path.chmod(0o500)
    return tmp_path


@pytest.mark.parametrize("content", [b"\x00\xff", "± ü\n"])
def test_writes_and_replaces(tmp_path, content):
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
    with pytest.raises(InputError, match=r"no space left on the disk for .*file: free some, then go on with --resume"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_it_is_synced_before_it_takes_the_name(tmp_path, monkeypatch):
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
    with pytest.raises(InputError, match=rf"cannot write {folder}/new \(.+\): choose another folder with --out"):
        write_whole(folder / "new", "text")
    with pytest.raises(InputError, match=f"cannot write {folder}/new"):
        make_folder(folder / "new")


def test_make_folder_makes_parents_and_leaves_what_is_there(tmp_path):
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "kept").touch()
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "kept").exists()
    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "a" / "b", exist_ok=False)


def test_a_file_in_the_folders_place_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(InputError, match="a is a file, not a folder"):
        make_folder(tmp_path / "a")
    with pytest.raises(InputError, match=r"cannot write .*b"):
        make_folder(tmp_path / "a" / "b")
