"""MNIST and Fashion-MNIST by name: found on disk packed or not, told apart by content, downloaded file by file."""

import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from lenet.config import DataConfig
from lenet.data import catalog, fetch, load_dataset
from lenet.errors import InputError

pytestmark = pytest.mark.usefixtures("hidden")

COUNTS = {"train": 60, "t10k": 20}


def contents(name):
    """The four IDX files of a small dataset whose labels open as the real one's."""
    layout = catalog.SETS[name].layouts[0]
    random = np.random.default_rng(len(name))
    found = {}
    for part, count in COUNTS.items():
        labels = np.arange(count) % 10
        labels[: len(layout.opening)] = layout.opening
        images = random.integers(0, 256, (count, 28, 28), np.uint8)
        images[:, 0, 0] = labels
        header = b"\0\0\x08\x03" + b"".join(size.to_bytes(4, "big") for size in images.shape)
        found[f"{part}-images-idx3-ubyte"] = header + images.tobytes()
        found[f"{part}-labels-idx1-ubyte"] = b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels.astype("u1").tobytes()
    return found


@pytest.fixture
def small(monkeypatch, server):
    """Small versions of both datasets in the catalog, which the server offers below /NAME/; gives it."""
    for name in ("mnist", "fashion_mnist"):
        published, packed = catalog.SETS[name], {f"{n}.gz": gzip.compress(c) for n, c in contents(name).items()}
        layout = published.layouts[0]
        described = [
            replace(
                archive,
                bytes=len(packed[archive.file]),
                md5=hashlib.md5(packed[archive.file], usedforsecurity=False).hexdigest(),
                sha256=hashlib.sha256(packed[archive.file]).hexdigest(),
                urls=(f"{server.url}/none/{archive.file}", f"{server.url}/{name}/{archive.file}"),
            )
            for archive in (layout.archive, *layout.more)
        ]
        layout = replace(layout, archive=described[0], more=tuple(described[1:]))
        monkeypatch.setitem(catalog.SETS, name, replace(published, train_count=60, test_count=20, layouts=(layout,)))
        server.files |= {f"/{name}/{file}": (200, content, len(content)) for file, content in packed.items()}
    return server


def write(folder, name, packed=False):
    folder.mkdir(parents=True)
    for file, content in contents(name).items():
        (folder / (f"{file}.gz" if packed else file)).write_bytes(gzip.compress(content) if packed else content)


def loaded(name, place, **options):
    return load_dataset(DataConfig(data=name, data_dir=str(place), **options), download=False)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_missing_dataset_is_downloaded_to_torchvisions_folder_and_read(small, tmp_path, name, check):
    dataset = load_dataset(DataConfig(data=name, data_dir=str(tmp_path / "new")))
    check(dataset)
    assert dataset.images.shape == (80, 28, 28, 1)
    assert (len(dataset.train) + len(dataset.val), len(dataset.test)) == (60, 20)
    assert dataset.images[:, 0, 0, 0].tolist() == dataset.labels.tolist()
    assert dataset.classes == catalog.SETS[name].classes
    folder = tmp_path / "new" / catalog.SETS[name].layouts[0].folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{file}.gz" for file in contents(name))
    assert [path.name for path in (tmp_path / "new").iterdir()] == [folder.parent.name]
    small.files.clear()
    assert loaded(name, tmp_path / "new").sha256 == dataset.sha256


def test_an_interrupted_download_of_several_files_continues(small, tmp_path):
    labels = "/mnist/t10k-labels-idx1-ubyte.gz"
    whole = small.files.pop(labels)
    with pytest.raises(InputError, match=r"cannot download mnist .*HTTP 404.*and the 3 files beside it by hand"):
        fetch.get_published(catalog.SETS["mnist"], str(tmp_path / "new"), download=True)
    small.files[labels] = whole
    small.asked.clear()
    fetch.get_published(catalog.SETS["mnist"], str(tmp_path / "new"), download=True)
    assert small.asked == ["/none/t10k-labels-idx1-ubyte.gz", labels]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("packed", [False, True])
def test_files_on_disk_are_found_in_their_folder_or_told_apart_by_their_labels(tmp_path, packed):
    write(tmp_path / "store" / "MNIST" / "raw", "mnist", packed)
    write(tmp_path / "bare", "fashion_mnist", packed)
    first = loaded("mnist", tmp_path / "store")
    assert first.source == str(tmp_path / "store" / "MNIST" / "raw")
    assert loaded("mnist", tmp_path / "store" / "MNIST" / "raw").sha256 == first.sha256
    assert loaded("fashion_mnist", tmp_path / "bare").labels[:3].tolist() == [9, 0, 0]
    with pytest.raises(InputError, match="mnist is not on disk"):
        loaded("mnist", tmp_path / "bare")
    with pytest.raises(InputError, match="contains mnist: use mnist with --data-dir"):
        loaded(str(tmp_path / "store"), tmp_path)
    assert loaded(str(tmp_path / "bare"), tmp_path).images.shape == (80, 28, 28, 1), "as IDX files of one's own"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("t10k-labels-idx1-ubyte", None, "t10k-labels-idx1-ubyte is missing"),
        ("t10k-labels-idx1-ubyte", b"\0\0\x08\x01\0\0\0\x01\x05", r"holds \[1\], expected \[20\]"),
        (
            "t10k-labels-idx1-ubyte",
            b"\0\0\x08\x01\0\0\0\x14" + b"\x0b" * 20,
            "label 11 at image 0, out of range 0 to 9",
        ),
        ("train-images-idx3-ubyte", b"\0\0\x08\x03\0\0\0\x3c\0\0\0\x1c\0\0\0\x1c", "is truncated"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, content, message):
    write(tmp_path / "MNIST" / "raw", "mnist")
    path = tmp_path / "MNIST" / "raw" / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        loaded("mnist", tmp_path)
