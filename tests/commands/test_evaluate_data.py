"""The data of an evaluation: the run's own images are recognised by their content; each dataset has its own files."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import lenet as package
from lenet.errors import InputError


@pytest.fixture
def trained(tmp_path, monkeypatch, lenet, photos):
    """A run of two networks on a flat folder, given as a relative path: 32 training, 4 validation, 4 test images."""
    photos(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    assert lenet("train", "photos", "--size", 16, "--epochs", 1, "--seeds", 2, "--out", "run").code == 0
    return tmp_path / "run"


@pytest.mark.parametrize("spelled", ["photos", "photos/", "./photos", "absolute", "copy", "link"])
def test_own_images_are_recognised_however_their_path_is_written(trained, lenet, spelled):
    photos = trained.parent / "photos"
    shutil.copytree(photos, trained.parent / "copy")
    (trained.parent / "link").symlink_to(photos)
    outcome = lenet("eval", trained, photos if spelled == "absolute" else spelled)
    assert outcome.code == 0
    assert "the run's test split, 4 images" in outcome.out
    written = json.loads((trained / "eval" / "scores.json").read_text())
    assert (written["images"], written["split"], written["trained_on"], written["networks"]) == (4, "test", 0, [0, 1])
    whole = json.loads((trained / "result.json").read_text())
    assert written["accuracy"]["each"] == whole["test_accuracy"]["each"]
    assert written["sha256"] == whole["data_sha256"]


def test_training_images_among_other_images_are_counted(trained, lenet, photos):
    some = trained.parent / "some"
    shutil.copytree(trained.parent / "photos", some)
    photos(trained.parent / "new", seed=1)
    for name in ("cat", "dog"):
        for image in range(5, 20):
            (some / name / f"{image}.png").unlink()
        (trained.parent / "new" / name / "0.png").rename(some / name / "new.png")
    outcome = lenet("eval", trained, some)
    assert outcome.code == 0
    own = package.evaluate(trained, str(some))
    used = json.loads((trained / "eval" / f"some-{own.sha256[:8]}" / "scores.json").read_text())["trained_on"]
    assert own.trained_on == used
    assert 6 <= used <= 10  # ten of the run's 40 images, of which up to four may be in its test split
    assert f"{used} of these 12 images" in outcome.out


def test_other_images_get_a_note_and_separate_files(trained, lenet, photos):
    for name, seed in (("one", 1), ("two", 2)):
        photos(trained.parent / name, seed)
        outcome = lenet("eval", trained, name)
        assert f"data    {name} ({trained.parent / name}): all of its 40 images" in outcome.out
        assert "note    these are not the images that the run was trained on" in outcome.out
    assert lenet("eval", trained).code == 0
    names = sorted(path.parent.name for path in (trained / "eval").rglob("scores.json"))
    assert [name.split("-")[0] for name in names] == ["eval", "one", "two"]
    for path in (trained / "eval").rglob("scores.json"):
        there = {file.name for file in path.parent.iterdir() if file.is_file()}
        assert there == {
            "scores.json",
            *(f"{name}-{n}.csv" for name in ("per-class", "confusion", "predictions", "errors") for n in (0, 1)),
            *(name for name in there if re.fullmatch(r"errors-[01]\.png", name)),  # if the best network has an error
        }


def test_each_network_has_separate_files(trained, lenet):
    for number in (0, 1):
        assert lenet("eval", trained, "--network", number).code == 0
    names = {path.name for path in (trained / "eval").iterdir()}
    assert {"scores-0.json", "scores-1.json", "per-class-0.csv", "per-class-1.csv"} <= names


def test_training_images_are_recognised_without_the_runs_folder_but_not_without_its_split(trained, lenet, photos):
    photos(trained.parent / "new", seed=1)
    shutil.rmtree(trained.parent / "photos")
    assert package.evaluate(trained, "new").trained_on == 0
    (trained / "split.safetensors").unlink()
    outcome = lenet("eval", trained, "new")
    assert outcome.code == 0
    assert "may include images that it was trained on" in outcome.out
    assert package.evaluate(trained, "new").trained_on is None


def test_own_images_are_recognised_in_data_with_more_classes(low_run):
    own = package.evaluate(low_run, "digits")
    assert own.own
    assert [one.accuracy for one in own.scores] == low_run.result["test_accuracy"]["each"]


def test_split_folder_name_may_be_capitalised(tmp_path, trained, photos):
    photos(tmp_path / "capital" / "Train", seed=3)
    photos(tmp_path / "capital" / "Test", seed=4, each=3)
    assert package.evaluate(trained, str(tmp_path / "capital")).images == 6


def test_evaluation_writes_only_into_its_folder(trained, lenet):
    before = {path for path in trained.rglob("*") if path.is_file()}
    (trained / "split.safetensors").unlink()
    assert lenet("eval", trained).code == 0
    after = {path for path in trained.rglob("*") if path.is_file() and path.parent.name != "eval"}
    assert after == before - {trained / "split.safetensors"}


def test_changed_own_images_are_refused_unless_given_as_data(trained, lenet):
    (trained.parent / "photos" / "cat" / "0.png").unlink()
    with pytest.raises(InputError, match=r"are not those .* was trained on"):
        package.evaluate(trained)
    outcome = lenet("eval", trained, "photos")
    assert outcome.code == 0
    assert "all of its 39 images" in outcome.out


def test_training_images_are_counted_when_one_image_of_the_folder_has_changed(trained, lenet):
    pixels = np.random.default_rng(9).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(pixels).save(trained.parent / "photos" / "cat" / "0.png")
    assert package.evaluate(trained, "photos").trained_on in (35, 36)  # 35 if the changed image is one of the 36
    shutil.rmtree(trained.parent / "photos" / "dog")
    assert package.evaluate(trained, "photos").trained_on < 20


def test_files_of_an_evaluation_have_plain_names(trained, lenet, photos):
    name = "odd\x1b[31m name"
    photos(trained.parent / name, seed=5)
    assert lenet("eval", trained, name).code == 0
    made = [path.name for path in (trained / "eval").iterdir()]
    assert len(made) == 1
    assert made[0].startswith("odd_31m_name-")
