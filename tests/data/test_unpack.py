"""Unpacking: completely or not at all, and never outside the folder."""

import errno
import shutil
import tarfile
from pathlib import Path

import pytest

from lenet.data import catalog
from lenet.data.unpack import unpack
from lenet.errors import InputError

LAYOUT = catalog.CIFAR10.layouts[0]


def leftovers(folder):
    return sorted(path.name for path in Path(folder).iterdir())


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
def test_a_member_outside_the_folder_is_refused_and_nothing_is_written(tmp_path, make_tar, member):
    archive = make_tar(tmp_path / "evil.tar.gz", {f"{LAYOUT.folder}/good": b"good", member: b""})
    into = tmp_path / "a" / "b"
    into.mkdir(parents=True)
    with pytest.raises(InputError, match=r"is refused: its member '.*' is (outside|a link)"):
        unpack(archive, into, LAYOUT.folder)
    assert leftovers(into) == []
    assert leftovers(tmp_path / "a") == ["b"]


def test_a_damaged_archive_and_a_full_disk_leave_nothing(monkeypatch, tmp_path, make_tar):
    content = make_tar(tmp_path / "made.tar.gz").read_bytes()
    into = tmp_path / "into"
    broken = tmp_path / "broken.tar.gz"
    for part in (content[:-30], content[: len(content) // 2], b"", b"no archive"):
        broken.write_bytes(part)
        with pytest.raises(InputError, match=r"cannot unpack .*broken\.tar\.gz \(.+\): replace it") as error:
            unpack(broken, into, LAYOUT.folder)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < len(str(broken)) + 150

    def full(source, target):
        target.write(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    broken.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot unpack .*No space left on device.*free some room"):
        unpack(broken, into, LAYOUT.folder)
    assert leftovers(into) == []
