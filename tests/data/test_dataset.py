"""load_dataset: names, folders, splits and the cache; on real images where $LENET_DATA has them."""

import os
from pathlib import Path

import numpy as np
import pytest

from lenet.config import DataConfig
from lenet.data import cache, catalog, find_auto, load_dataset, reading
from lenet.data.fit import fit_array
from lenet.data.reading import default_size
from lenet.errors import InputError

REAL = Path(os.environ.get("LENET_DATA", "no LENET_DATA")).absolute()
on_real_images = pytest.mark.skipif(
    not (REAL / "cifar-10-batches-py").is_dir() or not (REAL / "cifar-100-python").is_dir(),
    reason="CIFAR-10 and CIFAR-100 are not in $LENET_DATA",
)


pytestmark = pytest.mark.usefixtures("hidden")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """A test that downloads fails."""
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("the network was asked"))


def test_digits_are_embedded_and_split_by_class(check):
    data = load_dataset(DataConfig(data="digits"))
    check(data)
    assert (data.name, data.source, data.files) == ("digits", "embedded", None)
    assert data.images.shape == (1797, 16, 16, 1)
    assert (len(data.train), len(data.val), len(data.test)) == (1437, 180, 180)
    for part in (data.val, data.test):
        assert set(np.bincount(data.labels[part])) <= {17, 18, 19}
    assert data.classes == tuple("0123456789")


def test_the_test_split_depends_on_the_split_seed_alone():
    data = load_dataset(DataConfig(data="digits"))
    wider = load_dataset(DataConfig(data="digits", val_fraction=0.3, size=20, fit="pad"))
    np.testing.assert_array_equal(wider.test, data.test)
    assert len(wider.val) == 539
    other = load_dataset(DataConfig(data="digits", split_seed=1))
    assert len(np.intersect1d(other.test, data.test)) < 60
    assert len(np.intersect1d(other.val, data.val)) < 60
    np.testing.assert_array_equal(load_dataset(DataConfig(data="digits")).val, data.val)


def test_a_published_dataset_is_read_split_and_cached(monkeypatch, small_cifar, tmp_path, check):
    data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    check(data)
    assert data.source == str(small_cifar / "cifar-10-batches-bin")
    assert (len(data.train), len(data.val), len(data.test)) == (180, 20, 40)
    assert np.bincount(data.labels[data.val]).tolist() == [2] * 10
    assert data.test.tolist() == list(range(200, 240))
    assert data.classes == catalog.CIFAR10.classes
    monkeypatch.setattr(reading, "read_published", lambda *_: pytest.fail("read again"))
    monkeypatch.setattr(cache, "digest", lambda *_: pytest.fail("hashed again"))
    again = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), split_seed=3))
    check(again)
    assert again.sha256 == data.sha256
    base = again.images
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap), "not mapped, but read"


def test_a_published_dataset_is_resized_as_images_are(small_cifar, check):
    plain = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    for size, fit in ((20, "crop"), (48, "squash")):
        data = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar), size=size, fit=fit))
        check(data)
        np.testing.assert_array_equal(data.images, fit_array(plain.images, size, fit))
    assert (default_size("cifar10"), default_size("digits"), default_size("some/folder")) == (32, 16, 32)


def test_a_substitute_says_why_the_digits_take_the_place_of_other_images(small_cifar):
    assert load_dataset(DataConfig(data="digits")).substitute == ""
    assert "CIFAR-10 is not on disk" in load_dataset(DataConfig(data="auto")).substitute
    data = load_dataset(DataConfig(data="cifar10"), download=False, or_digits=True)
    assert (data.name, data.images.shape[1:]) == ("digits", (32, 32, 3))
    assert "cifar10 is not on disk" in data.substitute
    assert load_dataset(DataConfig(data="auto", data_dir=str(small_cifar))).substitute == ""


def test_a_folder_whose_path_is_not_utf8_is_refused(tmp_path, photographs):
    photographs(tmp_path / "caf\udce9", {"a": 3, "b": 3})
    (tmp_path / "link").symlink_to(tmp_path / "caf\udce9")
    with pytest.raises(InputError, match=r"the path of folder .* is not UTF-8: rename it"):
        load_dataset(DataConfig(data=str(tmp_path / "link")))


def test_auto_is_cifar10_if_it_is_on_disk_and_otherwise_digits(monkeypatch, small_cifar):
    assert find_auto() == "digits"
    assert load_dataset(DataConfig(data="auto")).name == "digits"
    assert find_auto(str(small_cifar)) == "cifar10"
    monkeypatch.setenv("LENET_DATA", str(small_cifar))
    assert find_auto() == "cifar10"
    assert load_dataset(DataConfig(data="auto")).name == "cifar10"


def test_a_flat_folder_is_split_in_three(tmp_path, check, photographs):
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


def test_missing_splits_are_drawn_from_the_training_images(tmp_path, check, photographs):
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
    assert "no test folder: 10% of the training images are the test set" in data.notes
    assert [note for note in data.notes if "no val images of 'a'" in note]


def test_three_images_give_each_split_one_and_fewer_are_refused(tmp_path, check, photographs):
    data = load_dataset(DataConfig(data=photographs(tmp_path / "three", {"a": 3, "b": 3, "c": 4})))
    check(data)
    for part in (data.val, data.test):
        assert np.bincount(data.labels[part]).tolist() == [1, 1, 1]
    too_few = photographs(tmp_path / "two", {"a": 5, "b": 2})
    with pytest.raises(
        InputError,
        match=r"has 2 training images, too few for training, validation and test: add images until it has 3",
    ):
        load_dataset(DataConfig(data=too_few))
    with pytest.raises(
        InputError, match=r"has 1 training image, too few for training and validation: add images until it has 2"
    ):
        load_dataset(DataConfig(data=photographs(tmp_path / "one", {"train/a": 5, "train/b": 1, "test/a": 1})))
    single = load_dataset(
        DataConfig(data=photographs(tmp_path / "enough", {"train/a": 1, "train/b": 1, "val/a": 1, "test/b": 1}))
    )
    check(single)
    check(load_dataset(DataConfig(data=too_few), classes=("a", "b")))


def test_every_class_keeps_training_images_at_any_fraction(tmp_path, check, photographs):
    root = photographs(tmp_path / "x", {"a": 20, "b": 4})
    for fraction in (0.01, 0.5):
        data = load_dataset(DataConfig(data=root, val_fraction=fraction))
        check(data)
        for part in (data.train, data.val, data.test):
            assert (np.bincount(data.labels[part], minlength=2) > 0).all()


def test_other_data_gets_the_models_class_numbers_and_channels(small_cifar, tmp_path, check, photographs):
    root = photographs(tmp_path / "other", {"test/b": 2, "test/c": 1})
    data = load_dataset(DataConfig(data=root, channels=1), classes=("a", "b", "c"))
    check(data)
    assert data.classes == ("a", "b", "c")
    assert data.labels.tolist() == [1, 1, 2]
    assert data.images.shape == (3, 32, 32, 1)
    assert (len(data.train), len(data.val), len(data.test)) == (0, 0, 3)
    with pytest.raises(InputError, match=r"class 'c' .* is not a class of the model"):
        load_dataset(DataConfig(data=root), classes=("a", "b"))
    plain = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)))
    turned = load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)), classes=catalog.CIFAR10.classes[::-1])
    check(turned)
    np.testing.assert_array_equal(turned.labels, 9 - plain.labels)
    with pytest.raises(InputError, match=r"class 'airplane' of the data"):
        load_dataset(DataConfig(data="cifar10", data_dir=str(small_cifar)), classes=("cat", "dog"))


def test_an_unreadable_image_is_an_error_and_nothing_is_cached(tmp_path, photographs):
    root = photographs(tmp_path / "x", {"a": 4, "b": 4})
    (tmp_path / "x" / "b" / "002.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"1 of 8 images .* b/002\.png \(not an image\)"):
        load_dataset(DataConfig(data=root))
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "cifar1O"}, "no dataset or folder 'cifar1O', did you mean 'cifar10'"),
        ({"data": "no/where"}, "no file or folder 'no/where': check the path"),
        ({"data": "digits", "size": 8}, "size 8 is out of range: give 16 to 96"),
        ({"data": "digits", "size": 97}, "size 97 is out of range"),
        ({"data": "digits", "fit": "stretch"}, "no fit 'stretch'"),
        ({"data": "cifar10"}, "cifar10 is not on disk"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(InputError, match=message) as error:
        load_dataset(DataConfig(**options), download=False)
    assert "\n" not in str(error.value)


def test_the_folder_of_a_published_dataset_is_recognised(small_cifar):
    for path in (small_cifar, small_cifar / "cifar-10-batches-bin"):
        with pytest.raises(InputError, match=f"cifar10: use cifar10 with --data-dir '{path}'"):
            load_dataset(DataConfig(data=str(path)))
    file = small_cifar / "cifar-10-batches-bin" / "test_batch.bin"
    with pytest.raises(InputError, match="is a file that lenet does not read as images"):
        load_dataset(DataConfig(data=str(file)))


@on_real_images
@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_real_cifar_has_the_published_counts_and_means(name, check):
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
