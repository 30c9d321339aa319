"""Splits: stratified and drawn from the seed, whatever the other options are."""

import numpy as np
import pytest

from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.data.splits import GivenSplits, kept_classes, split
from lenet.errors import InputError


def classes_of(data, indices):
    return np.bincount(data.labels[indices], minlength=len(data.classes)).tolist()


def test_per_class_is_the_number_of_training_and_validation_images():
    whole = load_dataset(DataConfig(data="digits"))
    data = load_dataset(DataConfig(data="digits", per_class=20))
    assert classes_of(data, data.train) == [18] * 10
    assert classes_of(data, data.val) == [2] * 10
    assert np.array_equal(data.test, whole.test)
    assert set(data.train) | set(data.val) <= set(whole.train) | set(whole.val)


def test_a_smaller_number_per_class_takes_a_subset():
    taken = []
    for count in (5, 20, 100):
        data = load_dataset(DataConfig(data="digits", per_class=count))
        taken.append(set(data.train) | set(data.val))
    assert taken[0] < taken[1] < taken[2]


def test_images_are_drawn_class_by_class_from_one_stream_of_random_numbers():
    labels = np.random.default_rng(1).integers(0, 300, 2000)
    given = GivenSplits("x", tuple(map(str, range(300))), labels, np.arange(2000), None, None)
    drawn = split(given, val_fraction=0.1, seed=3, strict=False)
    generator, pool = np.random.default_rng([3, 1]), np.arange(2000)
    first = {number: generator.permutation(pool[labels == number]) for number in range(300)}
    taken = np.bincount(labels[drawn.test], minlength=300)
    assert drawn.test.tolist() == sorted(index for number in range(300) for index in first[number][: taken[number]])


def test_another_split_seed_takes_other_images():
    one, other = (load_dataset(DataConfig(data="digits", per_class=5, split_seed=seed)) for seed in (0, 1))
    assert set(one.train) != set(other.train)


def test_too_few_images_of_a_class_are_refused():
    with pytest.raises(InputError, match="per-class 161 is too high: class '0' of digits has 160 training"):
        load_dataset(DataConfig(data="digits", per_class=161))


def test_only_the_named_classes_are_kept_in_the_datasets_order():
    whole = load_dataset(DataConfig(data="digits"))
    data = load_dataset(DataConfig(data="digits", classes="7,5,9"))
    assert data.classes == ("5", "7", "9")
    assert np.array_equal(data.images, whole.images[np.isin(whole.labels, [5, 7, 9])])
    assert data.labels.tolist() == [{5: 0, 7: 1, 9: 2}[k] for k in whole.labels.tolist() if k in (5, 7, 9)]
    assert len(data.train) + len(data.val) + len(data.test) == len(data.labels)
    assert data.sha256 != whole.sha256


@pytest.mark.parametrize(
    ("keep", "said"),
    [(("5", "fve"), "no class 'fve' in digits"), (("5",), "name at least two"), (("5", "5"), "name at least two")],
)
def test_wrong_classes_are_refused(keep, said):
    with pytest.raises(InputError, match=said):
        load_dataset(DataConfig(data="digits", classes=",".join(keep)))


def test_a_class_whose_name_has_a_comma_cannot_be_chosen():
    with pytest.raises(InputError, match="no class 'a' in photos: a class with a comma in its name cannot be chosen"):
        kept_classes(("a,b", "c"), ("a", "b"), "photos")


def test_classes_of_a_folder_can_be_chosen(tmp_path):
    from PIL import Image

    for name in ("ant", "bee", "cow"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(5):
            Image.new("L", (20, 20), 40 * k).save(tmp_path / "set" / name / f"{k}.png")
    data = load_dataset(DataConfig(data=str(tmp_path / "set"), classes="ant,cow"))
    assert data.classes == ("ant", "cow")
    assert data.files is not None
    assert {name.split("/")[0] for name in data.files} == {"ant", "cow"}
    assert len(data.files) == len(data.labels) == 10


def test_a_note_says_that_channels_were_converted():
    assert load_dataset(DataConfig(data="digits", channels=3)).notes == ("grey images, the same in all three channels",)
    assert load_dataset(DataConfig(data="digits", channels=1)).notes == ()
