"""Test images that a start's or a teacher's network was trained on: said wherever the test accuracy is shown."""

import numpy as np
import pytest
from PIL import Image

import lenet
from lenet.data import load_dataset
from lenet.data.memory import in_memory
from lenet.runs.run import Run

OPTIONS = {"epochs": 1, "maps": (2, 4), "fc": (), "batch_size": 16}
SEEN = "test images were used to train or validate the networks that this run starts from or learns from"


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (120, 16, 16, 1), np.uint8), np.arange(120) % 3


@pytest.fixture
def first(data, tmp_path):
    return lenet.train(data, out=tmp_path / "first", **OPTIONS).path


def seen_of(run):
    """The test images, by index, that the first run trained or validated on, and the count in result.json."""
    run = Run(run)
    seen = run.split.seen()["test"].tolist()
    assert run.result["test_images_seen"] == len(seen)
    return seen


@pytest.mark.parametrize("role", ["start", "teacher"])
def test_another_split_of_the_same_images(data, first, tmp_path, role, lenet):
    from lenet import train

    shape = {} if role == "teacher" else {"freeze": "all-but-last"}
    options = (OPTIONS if role == "teacher" else {"epochs": 1, "batch_size": 16}) | shape
    given = {role: (str(first),) if role == "teacher" else str(first)}
    other = train(data, out=tmp_path / "other", split_seed=1, **given, **options)
    tested = other.predictions()["indices"]
    used = set(range(120)) - set(Run(first).predictions()["indices"].tolist())
    assert seen_of(other.path) == sorted(used & set(tested.tolist()))
    assert len(seen_of(other.path)) > 6
    for words in (("compare", first, other.path), ("report", other.path), ("report", other.path, "--card")):
        outcome = lenet(*words)
        assert outcome.code == 0
    assert SEEN in lenet("compare", first, other.path).out
    assert SEEN in (other.path / "report.html").read_text(encoding="utf-8")
    same = train(data, out=tmp_path / "same", **given, **options)
    assert seen_of(same.path) == []


def test_a_resumed_run_remembers_when_its_start_is_gone(data, first, tmp_path, interrupt_after):
    options = {"start": str(first), "split_seed": 1, "epochs": 2, "batch_size": 16, "out": tmp_path / "other"}
    with interrupt_after(1), pytest.raises(KeyboardInterrupt):
        lenet.train(data, **options)
    before = Run(tmp_path / "other").split.seen()["test"].tolist()
    first.rename(tmp_path / "moved")
    run = lenet.train(data, resume=True, **options)
    assert seen_of(run.path) == before
    assert before


def test_images_added_to_a_folder(tmp_path, lenet):
    from lenet import train

    rng = np.random.default_rng(1)

    def add(count, begin=0):
        for name in "ab":
            (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
            for number in range(begin, begin + count):
                picture = Image.fromarray(rng.integers(0, 256, (16, 16), np.uint8))
                picture.save(tmp_path / "photos" / name / f"{number:03}.png")

    add(20)
    folder = str(tmp_path / "photos")
    one = train(folder, size=16, out=tmp_path / "one", **OPTIONS)
    add(20, 100)
    other = train(folder, size=16, teacher=(str(one.path),), split_seed=3, out=tmp_path / "other", **OPTIONS)
    assert seen_of(other.path)
    outcome = lenet("eval", other.path)
    assert f"{len(seen_of(other.path))} of these" in outcome.out


def test_the_same_images_at_another_size(tmp_path):
    rng = np.random.default_rng(2)
    for name in "ab":
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(40):
            Image.fromarray(rng.integers(0, 256, (24, 24), np.uint8)).save(tmp_path / "photos" / name / f"{number}.png")
    small = {"epochs": 1, "batch_size": 16}
    one = lenet.train(tmp_path / "photos", size=16, model="small-vgg", maps=(2, 4, 4), out=tmp_path / "one", **small)
    same = lenet.transfer(one, tmp_path / "photos", size=20, out=tmp_path / "same", **small)
    assert seen_of(same.path) == []
    other = lenet.transfer(one, tmp_path / "photos", size=20, split_seed=1, out=tmp_path / "other", **small)
    tested = set(other.predictions()["indices"].tolist())
    assert seen_of(other.path) == sorted(tested - set(one.predictions()["indices"].tolist()))
    assert seen_of(other.path)


def test_the_same_images_in_memory_at_another_size_and_other_classes_of_a_dataset(data, tmp_path):
    small = {"epochs": 1, "batch_size": 16}
    options = {"model": "small-vgg", "maps": (2, 4, 4), **small}
    one = lenet.train(data, out=tmp_path / "one", **options)
    other = lenet.transfer(one, data, size=20, split_seed=1, out=tmp_path / "other", **small)
    tested = set(other.predictions()["indices"].tolist())
    assert seen_of(other.path) == sorted(tested - set(one.predictions()["indices"].tolist()))
    assert seen_of(other.path)
    low = lenet.train("digits", classes="0,1,2", out=tmp_path / "low", **options)
    every = lenet.transfer(low, "digits", size=20, split_seed=5, out=tmp_path / "every", **small)
    labels = every.predictions()["labels"][np.isin(every.predictions()["indices"], seen_of(every.path))]
    tested = every.predictions()["labels"]
    assert set(labels.tolist()) == {0, 1, 2}
    assert 0.7 * (tested < 3).sum() < len(labels) <= (tested < 3).sum()


def test_validation_images_on_which_the_teacher_was_trained(data, first, tmp_path, lenet):
    from lenet import train

    same = train(data, out=tmp_path / "same", teacher=str(first), **OPTIONS)
    assert same.result["val_images_seen"] == 0
    fewer = train(data, out=tmp_path / "fewer", teacher=str(first), val_fraction=0.3, **OPTIONS)
    kept = Run(first).split.applied(load_dataset(fewer.config(), memory=in_memory(data)))
    again = fewer.split.applied(load_dataset(fewer.config(), memory=in_memory(data)))
    expected = np.intersect1d(kept.train, again.val)
    assert fewer.split.seen()["val"].tolist() == expected.tolist()
    assert fewer.result["val_images_seen"] == len(expected) > 10
    note = f"{len(expected)} of the {len(again.val)} validation images were used to train the networks"
    assert note in lenet("compare", same.path, fewer.path).out
