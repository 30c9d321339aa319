"""Exact copies stay in one split, and what is wrong with a folder is told before training."""

import shutil

import numpy as np
import pytest
from PIL import Image

from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.data.copies import first_of_copies, image_digest, imbalance, near_constant
from lenet.data.splits import GivenSplits, split
from lenet.errors import InputError


def load(folder, **options):
    return load_dataset(DataConfig(data=str(folder), **options))


def splits_of(data):
    """The splits that each image, by its pixels, is in."""
    places = {}
    for name in ("train", "val", "test"):
        for index in getattr(data, name):
            places.setdefault(image_digest(data.images[index]), set()).add(name)
    return places


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_in_one_split_and_no_image_is_lost(photos, tmp_path, seed):
    folder = photos(tmp_path / "photos", each=20)
    for number in range(10):
        for copy in range(3):
            shutil.copy(folder / "cat" / f"{number}.png", folder / "cat" / f"copy-{number}-{copy}.png")
    data = load(folder, split_seed=seed)
    assert max(map(len, splits_of(data).values())) == 1
    assert np.array_equal(np.sort(np.concatenate([data.train, data.val, data.test])), np.arange(70))


def test_copies_are_found_by_their_pixels_in_other_formats_and_classes(photos, tmp_path):
    folder = photos(tmp_path / "photos", each=20)
    for number in range(10):
        with Image.open(folder / "cat" / f"{number}.png") as image:
            image.save(folder / "dog" / f"copy-{number}.bmp")
    data = load(folder)
    assert max(map(len, splits_of(data).values())) == 1
    assert data.notes[1:] == (
        "10 exact copies of other images, 10 images with conflicting labels",
        f"lenet data check {folder} names the images",
    )


def test_without_copies_the_split_is_the_one_that_labels_and_seed_give(photos, tmp_path):
    data = load(photos(tmp_path / "photos", each=30), split_seed=3)
    order = np.arange(60)
    plain = split(GivenSplits("x", data.classes, data.labels, order, None, None), val_fraction=0.1, seed=3)
    for name in ("train", "val", "test"):
        assert np.array_equal(getattr(data, name), getattr(plain, name))
    assert len(data.notes) == 1


def test_copies_in_the_folders_own_splits_stay_and_are_named(photos, tmp_path):
    photos(tmp_path / "photos" / "train", each=10)
    photos(tmp_path / "photos" / "val", seed=1, each=5)
    photos(tmp_path / "photos" / "test", seed=2, each=5)
    shutil.copy(tmp_path / "photos" / "train" / "cat" / "1.png", tmp_path / "photos" / "test" / "cat" / "leak.png")
    data = load(tmp_path / "photos")
    assert (len(data.train), len(data.val), len(data.test)) == (20, 10, 11)
    assert data.notes[0] == "1 exact copy of other images, 1 image in several splits"


def test_near_constant_images_and_imbalance_are_named(photos, tmp_path):
    folder = photos(tmp_path / "photos", each=8)
    photos(tmp_path / "more", seed=1, each=30, classes=("cat",))
    for path in (tmp_path / "more" / "cat").iterdir():
        path.rename(folder / "cat" / f"more-{path.name}")
    Image.new("RGB", (20, 20), (250, 90, 0)).save(folder / "dog" / "empty.png")
    notes = load(folder).notes[1:]
    assert notes[0] == "1 near-constant image"
    assert notes[1].startswith("imbalanced: ")
    assert notes[1].endswith(" of 'dog'")
    assert notes[2] == f"lenet data check {folder} names the images"


def test_a_class_without_training_images_is_not_the_smallest():
    assert imbalance(np.array([24, 0, 9])) is None
    assert imbalance(np.array([24, 0, 8])) == (0, 2)
    assert imbalance(np.array([0, 0])) is None
    assert imbalance(np.array([0, 5])) is None


def test_per_class_counts_different_images(photos, tmp_path):
    folder = photos(tmp_path / "photos", each=20)
    for number in range(20):
        shutil.copy(folder / "cat" / f"{number}.png", folder / "cat" / f"copy-{number}.png")
    data = load(folder, per_class=10)
    used = np.concatenate([data.train, data.val])
    assert np.bincount(data.labels[used]).tolist() == [10, 10]
    assert len({image_digest(data.images[index]) for index in used}) == 20
    assert not [note for note in data.notes if "several splits" in note]  # the copies are in no split


def test_a_class_of_copies_alone_is_refused(photos, tmp_path):
    folder = photos(tmp_path / "photos", each=10)
    for number in range(5):
        shutil.copy(folder / "dog" / "0.png", folder / "dog" / f"{number}.png") if number else None
    shutil.rmtree(folder / "cat")
    (folder / "cat").mkdir()
    for number in range(5):
        shutil.copy(folder / "dog" / "0.png", folder / "cat" / f"{number}.png")
    with pytest.raises(InputError, match=r"has 1 training image \(exact copies counted once\), too few"):
        load(folder)


def test_a_class_whose_images_are_all_copies_of_test_images_is_refused():
    labels = np.zeros(20, dtype=np.int64)
    drawn = split(GivenSplits("x", ("a", "b"), labels, np.arange(20), None, None), val_fraction=0.1, seed=0)
    labels, first = np.append(labels, 1), np.append(np.arange(20), drawn.test[0])
    with pytest.raises(InputError, match="class 'b' of x has only exact copies"):
        split(GivenSplits("x", ("a", "b"), labels, np.arange(21), None, None, (), first), val_fraction=0.1, seed=0)


def test_first_of_copies_is_the_lowest_index_with_the_same_digest():
    generator = np.random.default_rng(0)
    digests = generator.integers(0, 3, (500, 2), dtype=np.uint8).repeat(8, axis=1)  # they differ in one half alone
    lowest = {}
    expected = [lowest.setdefault(each.tobytes(), index) for index, each in enumerate(digests)]
    assert first_of_copies(digests).tolist() == expected
    assert first_of_copies(digests[:0]).tolist() == []


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 7, 3), (300, 300, 1)])
def test_near_constant_images_are_those_with_a_standard_deviation_below_three_in_every_channel(shape):
    generator = np.random.default_rng(0)
    images = np.stack([generator.normal(240, 2.5 + spread / 100, shape) for spread in range(100)])
    images = np.clip(images, 0, 255).astype(np.uint8)
    assert near_constant(images).tolist() == [float(image.std(axis=(0, 1)).max()) < 3 for image in images]
