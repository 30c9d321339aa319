"""STL-10's layout: planes column by column, labels from 1, folds; and the errors for damaged files."""

import os
from pathlib import Path

import numpy as np
import pytest

from lenet.config import DataConfig
from lenet.data import catalog, load_dataset
from lenet.data.fit import fit_array
from lenet.data.published import AGAIN
from lenet.data.stl10 import read_folds, read_stl10
from lenet.errors import InputError

REAL = Path(os.environ.get("LENET_DATA", "no LENET_DATA")).absolute()
SIDE = 16
TRAIN, TEST = 100, 40


@pytest.fixture
def published(small_stl10):
    """What the catalog says of it."""
    return catalog.SETS["stl10"]


@pytest.fixture
def folder(small_stl10):
    """Its files."""
    return small_stl10


def read(published, folder):
    return read_stl10(published, published.layouts[0], folder)


def test_planes_are_stored_column_by_column_and_labels_count_from_one(published, folder, stl10_images):
    arrays = read(published, folder)
    assert np.array_equal(arrays.images, stl10_images)
    assert arrays.labels.tolist() == [k % 10 for k in range(TRAIN)] + [k % 10 for k in range(TEST)]
    assert arrays.train_count == TRAIN
    assert arrays.classes == published.classes


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("train_X.bin", lambda content: content[:-1], "truncated: 76,799 bytes, 76,800 expected"),
        ("test_X.bin", lambda content: content + b"x", "too long"),
        ("train_y.bin", lambda content: b"\x00" + content[1:], "label 0 at image 0, out of range 1 to 10"),
        ("test_y.bin", lambda content: content[:-1] + b"\x0b", "label 11 at image 39"),
        ("class_names.txt", lambda content: b"bird\ncar\n", "names 2 classes, expected 10"),
    ],
)
def test_a_wrong_file_is_named(published, folder, file, change, said):
    path = folder / file
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError) as error:
        read(published, folder)
    assert str(path) in str(error.value)
    assert said in str(error.value)
    assert AGAIN in str(error.value)


@pytest.mark.parametrize("file", ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"])
def test_a_missing_file_is_named(published, folder, file):
    (folder / file).unlink()
    with pytest.raises(InputError, match=f"{file} is missing"):
        read(published, folder)


def test_the_unlabelled_images_and_the_class_names_may_be_missing(published, folder):
    (folder / "class_names.txt").unlink()
    assert read(published, folder).classes == published.classes


def change_line(text, line):
    lines = text.splitlines()
    lines[3] = line
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: change_line(text, "1 2 100"), "names image 100 in fold 4, but the training images are 0 to 99"),
        (lambda text: change_line(text, "1 -2"), "names image -2 in fold 4"),
        (lambda text: change_line(text, "1 99999999999999999999"), "must list whole numbers"),
        (lambda text: change_line(text, "1 2.5"), "must list whole numbers"),
        (lambda text: change_line(text, "1 2 1"), "names image 1 twice in fold 4"),
        (lambda text: "1 2\n3 4\n", "lists 2 folds, expected 10"),
        (lambda text: "", "lists 0 folds"),
        (lambda text: "é", "must list whole numbers"),
    ],
)
def test_a_wrong_fold_file_is_refused(folder, change, said):
    path = folder / "fold_indices.txt"
    path.write_text(change(path.read_text()), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_folds(folder, TRAIN)


def test_the_official_split(folder):
    data = load_dataset(DataConfig(data="stl10", data_dir=str(folder.parent), size=SIDE))
    assert (len(data.train), len(data.val), len(data.test), data.folds) == (90, 10, TEST, ())
    assert data.test.tolist() == list(range(TRAIN, TRAIN + TEST))


def test_each_fold_has_its_own_training_and_validation_images(folder):
    data = load_dataset(DataConfig(data="stl10", data_dir=str(folder.parent), size=SIDE, protocol="folds"))
    folds = read_folds(folder, TRAIN)
    assert len(data.folds) == 10
    for number, ((train, val), fold) in enumerate(zip(data.folds, folds, strict=True)):
        assert np.array_equal(np.sort(np.concatenate([train, val])), fold)
        assert len(val) in (10, len(fold) // 10)  # at least one a class
        own = data.for_network(number)
        assert np.array_equal(own.train, train)
        assert np.array_equal(own.val, val)
        assert np.array_equal(own.test, data.test)
    assert data.test.tolist() == list(range(TRAIN, TRAIN + TEST))


def test_the_study_protocol_draws_its_test_images_from_the_training_images(folder):
    data = load_dataset(DataConfig(data="stl10", data_dir=str(folder.parent), size=SIDE, protocol="study"))
    assert np.bincount(data.labels[data.test]).tolist() == [2] * 10
    assert np.bincount(data.labels[np.concatenate([data.train, data.val])]).tolist() == [8] * 10
    assert max(data.train.max(), data.val.max(), data.test.max()) < TRAIN
    assert len(np.unique(np.concatenate([data.train, data.val, data.test]))) == TRAIN
    again = load_dataset(
        DataConfig(data="stl10", data_dir=str(folder.parent), size=SIDE, protocol="study", split_seed=1)
    )
    assert not np.array_equal(data.test, again.test)


def test_folds_hold_only_images_of_the_chosen_classes(folder):
    data = load_dataset(
        DataConfig(data="stl10", data_dir=str(folder.parent), size=SIDE, protocol="folds", classes="bird,dog")
    )
    whole = load_dataset(DataConfig(data="stl10", data_dir=str(folder.parent), size=SIDE))
    chosen = np.flatnonzero(np.isin(whole.labels, [1, 5]))
    assert data.classes == ("bird", "dog")
    assert np.array_equal(data.images, whole.images[chosen])
    for (train, val), fold in zip(data.folds, read_folds(folder, TRAIN), strict=True):
        assert set(chosen[np.concatenate([train, val])]) == set(fold) & set(chosen.tolist())


def test_a_protocol_is_for_stl10_alone(tmp_path):
    for protocol in ("folds", "study"):
        with pytest.raises(InputError, match=f"--protocol {protocol} is for stl10, not for digits"):
            load_dataset(DataConfig(data="digits", protocol=protocol))


@pytest.mark.skipif(not (REAL / "stl10_binary").is_dir(), reason="STL-10 is not in $LENET_DATA")
def test_real_stl10_is_read_and_resized():
    published = catalog.STL10
    arrays = read(published, REAL / "stl10_binary")
    assert arrays.images.shape == (13_000, 96, 96, 3)
    assert np.bincount(arrays.labels[:5000]).tolist() == [500] * 10
    assert np.bincount(arrays.labels[5000:]).tolist() == [800] * 10
    assert arrays.classes == published.classes
    # Neighbouring pixels are similar, so rows and columns are not confused with planes.
    wide = arrays.images[:50].astype(int)
    assert np.abs(np.diff(wide, axis=1)).mean() < 20
    assert np.abs(np.diff(wide, axis=2)).mean() < 20
    assert all(len(fold) == 1000 for fold in read_folds(REAL / "stl10_binary", 5000))
    few = fit_array(arrays.images[:3], 32, "crop")
    # Antialiased: a 32x32 pixel is about the mean of 3x3 original pixels.
    means = arrays.images[:3].reshape(3, 32, 3, 32, 3, 3).mean(axis=(2, 4))
    assert np.abs(few - means).mean() < 6
