"""load_dataset: names, folders, splits and the cache; on real images where $LENET_DATA has them."""

import hashlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet.config import DataConfig
from lenet.data import cache, catalog, dataset, default_size, find_auto, load_dataset
from lenet.data.fit import fit_array
from lenet.errors import InputError

REAL = Path(os.environ.get("LENET_DATA", "no LENET_DATA")).absolute()
on_real_images = pytest.mark.skipif(
    not (REAL / "cifar-10-batches-py").is_dir() or not (REAL / "cifar-100-python").is_dir(),
    reason="CIFAR-10 and CIFAR-100 are not in $LENET_DATA",
)


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """No data or cache of this machine's user is seen, and nothing can be downloaded."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv("LENET_DATA", raising=False)
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the network was asked"))


@pytest.fixture
def small_cifar(monkeypatch, tmp_path):
    """CIFAR-10 of 200 training and 40 test images, in its binary version; gives the folder that holds it."""
    published = replace(catalog.CIFAR10, train_count=200, test_count=40)
    monkeypatch.setitem(catalog.SETS, "cifar10", published)
    layout = published.layouts[1]
    (tmp_path / "store" / layout.folder).mkdir(parents=True)
    generator = np.random.default_rng(0)
    for file in (*layout.train, *layout.test):
        rows = generator.integers(0, 256, (40, 3073), dtype=np.uint8)
        rows[:, 0] = np.arange(40) % 10
        (tmp_path / "store" / layout.folder / file).write_bytes(rows.tobytes())
    return tmp_path / "store"


def photographs(root, counts, seed=0):
    """A coloured picture of noise for each of counts[folder] in root/folder."""
    generator = np.random.default_rng(seed)
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{index:03}.png")
    return str(root)


def check(data):
    """What holds of every Dataset."""
    parts = (data.train, data.val, data.test)
    everything = np.concatenate(parts)
    assert len(np.unique(everything)) == len(everything) == len(data.images) == len(data.labels)
    for part in parts:
        assert (np.diff(part) > 0).all()
        assert part.dtype == np.int64
    assert data.images.dtype == np.uint8
    assert data.images.ndim == 4
    assert data.labels.dtype == np.int64
    assert data.labels.min() >= 0
    assert data.labels.max() < len(data.classes)
    assert not data.images.flags.writeable
    assert not data.labels.flags.writeable
    content = repr(data.images.shape).encode() + data.images.tobytes() + data.labels.astype("<i8").tobytes()
    assert data.sha256 == hashlib.sha256(content).hexdigest()


def test_digits_are_at_hand_and_split_by_class():
    data = load_dataset(DataConfig(data="digits"))
    check(data)
    assert (data.name, data.source, data.files) == ("digits", "embedded", None)
    assert data.images.shape == (1797, 16, 16, 1)
    assert (len(data.train), len(data.val), len(data.test)) == (1437, 180, 180)
    for part in (data.val, data.test):
        assert set(np.bincount(data.labels[part])) <= {17, 18, 19}
    assert data.classes == tuple("0123456789")


def test_the_test_split_hangs_on_the_split_seed_alone():
    data = load_dataset(DataConfig(data="digits"))
    wider = load_dataset(DataConfig(data="digits", val_fraction=0.3, size=20, fit="pad"))
    np.testing.assert_array_equal(wider.test, data.test)
    assert len(wider.val) == 539
    other = load_dataset(DataConfig(data="digits", split_seed=1))
    assert len(np.intersect1d(other.test, data.test)) < 60
    assert len(np.intersect1d(other.val, data.val)) < 60
    np.testing.assert_array_equal(load_dataset(DataConfig(data="digits")).val, data.val)


def test_a_published_set_is_read_split_and_kept_in_the_cache(monkeypatch, small_cifar, tmp_path):
    data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(data)
    assert data.source == str(small_cifar / "cifar-10-batches-bin")
    assert (len(data.train), len(data.val), len(data.test)) == (180, 20, 40)
    assert np.bincount(data.labels[data.val]).tolist() == [2] * 10
    assert data.test.tolist() == list(range(200, 240))
    assert data.classes == catalog.CIFAR10.classes
    monkeypatch.setattr(dataset, "read_published", lambda *_: pytest.fail("read again"))
    monkeypatch.setattr(cache, "digest", lambda *_: pytest.fail("hashed again"))
    again = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), split_seed=3))
    check(again)
    assert again.sha256 == data.sha256
    base = again.images
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap), "not mapped, but read"


def entries(tmp_path):
    return sorted(path for path in (tmp_path / "cache" / "arrays").iterdir())


def test_the_cache_notices_changed_files_sizes_and_fits_and_drops_stale_entries(small_cifar, tmp_path):
    first = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), size=16))
    load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), size=16, fit="pad"))
    assert len(entries(tmp_path)) == 3
    victim = small_cifar / "cifar-10-batches-bin" / "data_batch_1.bin"
    content = bytearray(victim.read_bytes())
    content[1] ^= 255
    victim.write_bytes(content)
    os.utime(victim, ns=(1, 1))
    changed = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(changed)
    assert changed.sha256 != first.sha256
    assert len(entries(tmp_path)) == 3
    check(first)  # its map outlives the dropped entry


@pytest.mark.parametrize("damage", ["truncate", "header", "no about", "odd about", "labels", "empty"])
def test_a_damaged_cache_entry_is_made_anew(small_cifar, tmp_path, damage):
    sha256 = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar))).sha256
    (entry,) = entries(tmp_path)
    images = (entry / "images.npy").read_bytes()
    if damage == "truncate":
        (entry / "images.npy").write_bytes(images[:-1])
    elif damage == "header":
        (entry / "images.npy").write_bytes(b"PK\3\4" + images[4:])
    elif damage == "no about":
        (entry / "about.json").unlink()
    elif damage == "odd about":
        (entry / "about.json").write_text(json.dumps([1]))
    elif damage == "labels":
        np.save(entry / "labels.npy", np.full(240, 10))
    else:
        shutil.rmtree(entry)
        entry.mkdir()
    data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(data)
    assert data.sha256 == sha256
    assert len(entries(tmp_path)) == 1


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, small_cifar, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "file"))
    check(load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar))))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "full"))
    monkeypatch.setattr(np, "save", full)
    check(load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar))))
    assert list((tmp_path / "full" / "arrays").iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_size_and_fit_go_through_the_one_resize(small_cifar):
    plain = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    for size, fit in ((20, "crop"), (48, "squash")):
        data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), size=size, fit=fit))
        check(data)
        np.testing.assert_array_equal(data.images, fit_array(plain.images, size, fit))
    assert (default_size("cifar10"), default_size("digits"), default_size("some/folder")) == (32, 16, 32)


def test_auto_is_cifar10_where_it_is_on_disk_and_digits_elsewhere(monkeypatch, small_cifar):
    assert find_auto() == "digits"
    assert load_dataset(DataConfig(data="auto")).name == "digits"
    assert find_auto(str(small_cifar)) == "cifar10"
    monkeypatch.setenv("LENET_DATA", str(small_cifar))
    assert find_auto() == "cifar10"
    assert load_dataset(DataConfig(data="auto")).name == "cifar10"


def test_a_flat_folder_is_split_in_three(tmp_path):
    root = photographs(tmp_path / "flowers", {"rose": 30, "aster": 50})
    data = load_dataset(DataConfig(data=root))
    check(data)
    assert data.name == "flowers"
    assert data.source == root
    assert data.classes == ("aster", "rose")
    assert data.images.shape == (80, 32, 32, 3)
    assert [len(part) for part in (data.train, data.val, data.test)] == [64, 8, 8]
    assert np.bincount(data.labels[data.test]).tolist() == [5, 3]
    assert data.files[0] == "aster/000.png"
    assert data.files[-1] == "rose/029.png"
    assert [note for note in data.notes if note.startswith("no train folder")]
    np.testing.assert_array_equal(load_dataset(DataConfig(data=root, val_fraction=0.4)).test, data.test)
    again = load_dataset(DataConfig(data=root))
    check(again)
    assert (again.files, again.sha256, again.notes) == (data.files, data.sha256, data.notes)


def test_what_a_folder_lacks_comes_out_of_its_training_images_and_what_it_has_stays(tmp_path):
    counts = {"train/a": 40, "train/b": 20, "test/a": 3, "test/b": 2}
    data = load_dataset(DataConfig(data=photographs(tmp_path / "no val", counts)))
    check(data)
    assert data.test.tolist() == [60, 61, 62, 63, 64]
    assert np.bincount(data.labels[data.val]).tolist() == [4, 2]
    counts = {"train/a": 40, "train/b": 20, "valid/b": 2}
    data = load_dataset(DataConfig(data=photographs(tmp_path / "no test", counts)))
    check(data)
    assert data.val.tolist() == [60, 61]
    assert data.labels[data.val].tolist() == [1, 1]
    assert np.bincount(data.labels[data.test]).tolist() == [4, 2]
    assert "no test folder: 10% of the training images held out" in data.notes
    assert [note for note in data.notes if "no val images of 'a'" in note]


def test_few_images_give_each_split_one_and_fewer_are_named(tmp_path):
    data = load_dataset(DataConfig(data=photographs(tmp_path / "three", {"a": 3, "b": 3, "c": 4})))
    check(data)
    for part in (data.val, data.test):
        assert np.bincount(data.labels[part]).tolist() == [1, 1, 1]
    too_few = photographs(tmp_path / "two", {"a": 5, "b": 2})
    with pytest.raises(InputError, match=r"class 'b' of .* has 2 training image.*give it at least 3"):
        load_dataset(DataConfig(data=too_few))
    with pytest.raises(InputError, match=r"class 'b' of .* has 1 training image.*training and validation.* at least 2"):
        load_dataset(DataConfig(data=photographs(tmp_path / "one", {"train/a": 5, "train/b": 1, "test/a": 1})))
    single = load_dataset(
        DataConfig(data=photographs(tmp_path / "enough", {"train/a": 1, "train/b": 1, "val/a": 1, "test/b": 1}))
    )
    check(single)
    check(load_dataset(DataConfig(data=too_few), classes=("a", "b")))


def test_every_class_keeps_training_images_at_any_fraction(tmp_path):
    root = photographs(tmp_path / "x", {"a": 20, "b": 4})
    for fraction in (0.01, 0.5, 0.89):
        data = load_dataset(DataConfig(data=root, val_fraction=fraction))
        check(data)
        for part in (data.train, data.val, data.test):
            assert (np.bincount(data.labels[part], minlength=2) > 0).all()


def test_other_data_is_numbered_by_the_models_classes_and_given_its_channels(small_cifar, tmp_path):
    root = photographs(tmp_path / "other", {"test/b": 2, "test/c": 1})
    data = load_dataset(DataConfig(data=root, channels=1), classes=("a", "b", "c"))
    check(data)
    assert data.classes == ("a", "b", "c")
    assert data.labels.tolist() == [1, 1, 2]
    assert data.images.shape == (3, 32, 32, 1)
    assert (len(data.train), len(data.val), len(data.test)) == (0, 0, 3)
    with pytest.raises(InputError, match=r"class 'c' .* is not among the classes of the model"):
        load_dataset(DataConfig(data=root), classes=("a", "b"))
    plain = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    turned = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)), classes=catalog.CIFAR10.classes[::-1])
    check(turned)
    np.testing.assert_array_equal(turned.labels, 9 - plain.labels)
    with pytest.raises(InputError, match=r"class 'airplane' of the data"):
        load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)), classes=("cat", "dog"))


def test_a_broken_photograph_ends_it_before_anything_is_kept(tmp_path):
    root = photographs(tmp_path / "x", {"a": 4, "b": 4})
    (tmp_path / "x" / "b" / "002.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1 of 8 images .* b/002\.png \(not an image\)"):
        load_dataset(DataConfig(data=root))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name_or_path": "cifar1O"}, "no data set or folder 'cifar1O', did you mean 'cifar10'"),
        ({"name_or_path": "no/where"}, "no folder 'no/where': check the path"),
        ({"name_or_path": "digits", "size": 8}, "size 8 is out of range: give 16 to 96"),
        ({"name_or_path": "digits", "size": 97}, "size 97 is out of range"),
        ({"name_or_path": "digits", "fit": "stretch"}, "no fit 'stretch'"),
        ({"name_or_path": "digits", "val_fraction": 0.0}, "fraction 0.0 is out of range"),
        ({"name_or_path": "digits", "val_fraction": 0.9}, "fraction 0.9 is out of range"),
        ({"name_or_path": "digits", "val_fraction": float("nan")}, "fraction nan is out of range"),
        ({"name_or_path": "digits", "split_seed": -1}, "split seed -1 is out of range"),
        ({"name_or_path": "cifar10", "download": False}, "cifar10 is not on disk"),
    ],
)
def test_wrong_words_are_named(options, message):
    with pytest.raises(InputError, match=message) as error:
        load_dataset(**options)
    assert "\n" not in str(error.value)


def test_a_published_sets_folder_given_as_a_folder_is_recognised(small_cifar):
    for path in (small_cifar, small_cifar / "cifar-10-batches-bin"):
        with pytest.raises(InputError, match=f"cifar10: say cifar10 with --data-dir '{path}'"):
            load_dataset(DataConfig(data=str(path)))
    file = small_cifar / "cifar-10-batches-bin" / "test_batch.bin"
    with pytest.raises(InputError, match="is a file, not a folder"):
        load_dataset(DataConfig(data=str(file)))


@on_real_images
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_cifar_loads_fast_once_cached(name):
    data = load_dataset(DataConfig(data=name, data_dir=str(REAL)))
    check(data)
    assert data.images.shape == (60_000, 32, 32, 3)
    assert (len(data.train), len(data.val), len(data.test)) == (45_000, 5_000, 10_000)
    assert data.classes == catalog.SETS[name].classes
    each = 6_000 if name == "cifar10" else 600
    assert set(np.bincount(data.labels)) == {each}
    assert set(np.bincount(data.labels[data.val])) == {each // 12}
    # The known means of the training images, whatever their order.
    means = (0.4914, 0.4822, 0.4465) if name == "cifar10" else (0.5071, 0.4865, 0.4409)
    np.testing.assert_allclose(data.images[:50_000].mean((0, 1, 2)) / 255, means, atol=5e-4)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        assert load_dataset(DataConfig(data=name, data_dir=str(REAL))).sha256 == data.sha256
        seconds.append(time.perf_counter() - begin)
    assert min(seconds) < 0.5
