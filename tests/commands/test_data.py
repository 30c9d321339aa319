"""lenet data list and lenet data clear."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lenet.commands.data import clear_data, list_data
from lenet.config import DataConfig
from lenet.data import catalog, load_dataset


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """A data folder with CIFAR-10 of 60 images and a part of a download, and an empty cache."""
    published = replace(catalog.CIFAR10, train_count=50, test_count=10)
    monkeypatch.setitem(catalog.SETS, "cifar10", published)
    layout = published.layouts[1]
    folder = tmp_path / "data" / layout.folder
    folder.mkdir(parents=True)
    for file in (*layout.train, *layout.test):
        rows = np.zeros((10, 3073), dtype=np.uint8)
        rows[:, 0] = range(10)
        (folder / file).write_bytes(rows.tobytes())
    (tmp_path / "data" / f".{catalog.STL10.layouts[0].archive.file}.part").write_bytes(bytes(1234))
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_datasets_decoded_images_and_unfinished_downloads_are_listed(folders):
    load_dataset(DataConfig(data="cifar10"))
    listing = list_data()
    assert listing.datasets == {
        "cifar10": str(folders / "data" / "cifar-10-batches-bin"),
        **dict.fromkeys(("cifar100", "stl10", "mnist", "fashion_mnist")),
        "digits": "embedded",
    }
    assert listing.cache_folder == folders / "cache"
    assert [entry.shape for entry in listing.decoded] == [(60, 32, 32, 3)]
    assert listing.unfinished == [folders / "data" / ".stl10_binary.tar.gz.part"]


def test_clear_removes_decoded_images_and_unfinished_downloads_and_nothing_else(folders):
    load_dataset(DataConfig(data="cifar10"))
    assert clear_data() > 60 * 32 * 32 * 3 + 1234
    listing = list_data()
    assert (listing.decoded, listing.unfinished) == ([], [])
    assert listing.datasets["cifar10"]
    assert clear_data(downloads=True) == 0
    assert list_data().datasets["cifar10"], "a dataset outside the cache folder was removed"


def test_clear_downloads_removes_datasets_in_the_cache_folder(folders):
    (folders / "data" / "cifar-10-batches-bin").rename(folders / "cache-set")
    (folders / "cache").mkdir()
    (folders / "cache-set").rename(folders / "cache" / "cifar-10-batches-bin")
    clear_data()
    assert list_data().datasets["cifar10"]
    assert clear_data(downloads=True) == 60 * 3073
    assert list_data().datasets["cifar10"] is None


def test_data_commands_print_datasets_and_cache(lenet, folders):
    load_dataset(DataConfig(data="cifar10"))
    out = lenet("data", "list").out
    assert re.search(r"cifar10 +/.*cifar-10-batches-bin\n", out)
    assert "stl10         not on disk" in out
    assert re.search(r"cifar10 +60 +32x32x3 +0\.2", out)
    assert "unfinished" in out
    assert lenet("data", "clear").out == "removed 0.2 MB\n"
    assert "cifar10    60" not in lenet("data", "list").out
    assert "$LENET_CACHE" in lenet("data", "--help").out
