"""Large arrays lie in files, small ones in memory, and what has room in neither is refused."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest

from lenet.config import DataConfig
from lenet.data import allocation, load_dataset
from lenet.data.allocation import allocate, contiguous
from lenet.errors import InputError


def is_mapped(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return isinstance(array, np.memmap)


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Arrays of more than 100 bytes are large; the cache folder is tmp_path/cache."""
    monkeypatch.setattr(allocation, "LARGE", 100)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))


def test_large_arrays_lie_in_a_file_without_a_name(small, tmp_path):
    assert not is_mapped(allocate((10, 10)))
    large = allocate((3, 7, 5), dtype=np.float32)
    assert is_mapped(large)
    assert large.flags.c_contiguous
    assert large.flags.writeable
    large[...] = np.arange(105, dtype=np.float32).reshape(3, 7, 5)
    assert large[2, 6, 4] == 104
    assert list((tmp_path / "cache" / "arrays").iterdir()) == []


def test_a_contiguous_array_is_not_copied_and_another_is(small):
    array = np.arange(600, dtype=np.uint8).reshape(10, 3, 20)
    assert contiguous(array) is array
    turned = contiguous(array.transpose(0, 2, 1))
    assert is_mapped(turned)
    np.testing.assert_array_equal(turned, array.transpose(0, 2, 1))


@pytest.mark.parametrize("fault", ["little room", "disk full", "no folder"])
def test_without_room_in_the_cache_folder_a_large_array_lies_in_memory(small, monkeypatch, tmp_path, fault):
    if fault == "little room":
        monkeypatch.setattr(allocation.shutil, "disk_usage", lambda _: SimpleNamespace(free=399))
    elif fault == "disk full":

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", full)
    else:
        (tmp_path / "cache").touch()
    assert not is_mapped(allocate((200,)))
    monkeypatch.setattr(allocation, "free_memory", lambda: 199)
    monkeypatch.setattr(allocation, "_CHECKED", 0)
    with pytest.raises(InputError, match=r"the images in x take .* or make room for them twice in .*cache"):
        allocate((200,), "x")


@pytest.mark.parametrize(
    "kind", ["npz", "packed", "turned", "floats", "fortran", "parts", "folder", "classes", "colour"]
)
def test_what_is_read_into_files_equals_what_is_read_into_memory(kind, photos, monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (60, 20, 20, 3), dtype=np.uint8), np.arange(60) % 3
    path, options = tmp_path / "a.npz", {}
    if kind == "folder":
        path = photos(tmp_path / "photos")
    elif kind == "parts":
        np.savez(path, x_train=images[:40, ..., :1], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    elif kind == "packed":
        np.savez_compressed(path, images=images, labels=labels)
    elif kind == "floats":
        np.savez(path, images=images / np.float32(255), labels=labels)
    elif kind == "fortran":
        np.savez(path, images=np.asfortranarray(images), labels=labels)
    elif kind == "turned":
        np.savez(path, images=images.transpose(0, 3, 1, 2), labels=labels)
    else:
        np.savez(path, images=images[..., : 1 if kind == "colour" else 3], labels=labels)
        options = {"channels": 3} if kind == "colour" else {"classes": "0,2"}
    config = DataConfig(data=str(path), size=24 if kind == "packed" else None, **options)
    in_memory = load_dataset(config)
    monkeypatch.setattr(allocation, "LARGE", 100)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    data = load_dataset(config)
    assert is_mapped(data.images)
    assert data.sha256 == in_memory.sha256
    np.testing.assert_array_equal(data.images, in_memory.images)
    for name in ("labels", "train", "val", "test"):
        np.testing.assert_array_equal(getattr(data, name), getattr(in_memory, name))
    assert list(data.files) == list(in_memory.files)
