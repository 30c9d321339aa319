"""Datasets are identified by their content hash, and saved settings find them from any directory."""

import shutil
from pathlib import Path

import pytest

import lenet as package
from lenet.runs.run import Run

WORDS = ("--epochs", 1, "--batch-size", 16, "--size", 16)


@pytest.fixture
def places(tmp_path, monkeypatch, photos):
    """Two directories, each with different images in `photos`; the first is the working directory."""
    for name, seed in (("here", 0), ("there", 1)):
        photos(tmp_path / name / "photos", seed)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here", tmp_path / "there"


@pytest.fixture
def trained(places, lenet):
    """A run on the first directory's `photos`, given as a relative path."""
    assert lenet("train", "photos", *WORDS, "--out", places[0] / "run").code == 0
    return places[0] / "run"


def test_config_holds_absolute_path_and_hash_of_images(places, trained):
    run = Run(trained)
    assert run.config().data == str(places[0] / "photos")
    assert run.config().data_sha256 == run.result["data_sha256"] == run.checkpoint().config["data_sha256"]
    assert run.result["data"] == "photos"


def test_config_holds_absolute_data_dir(small_stl10, lenet, monkeypatch):
    monkeypatch.chdir(small_stl10.parent.parent)
    assert lenet("train", "stl10", *WORDS, "--data-dir", small_stl10.parent.name, "--out", "run").code == 0
    assert (Run("run").config().data, Run("run").config().data_dir) == ("stl10", str(small_stl10.parent))


def test_eval_and_recipe_read_same_images_from_another_directory(places, trained, lenet, monkeypatch):
    accuracy = Run(trained).result["test_accuracy"]["each"]
    monkeypatch.chdir(places[1])  # whose `photos` are different images
    assert [one.accuracy for one in package.evaluate(trained).scores] == accuracy
    outcome = lenet("train", "--recipe", trained / "config.toml", "--out", "again")
    assert outcome.code == 0
    assert "differ" not in outcome.out
    again = Run("again")
    assert again.result["data_sha256"] == Run(trained).result["data_sha256"]
    assert (again.path / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


@pytest.mark.parametrize("spelled", [None, "photos", "photos/", "./photos", "../here/photos", "absolute", "link"])
def test_run_is_resumed_however_path_of_images_is_written(places, trained, lenet, spelled):
    Path("link").symlink_to("photos")
    (trained / "result.json").unlink()
    before = (trained / "config.toml").read_bytes()
    given = {None: [], "absolute": [places[0] / "photos"]}.get(spelled, [spelled])
    assert lenet("train", *given, "--resume", "--out", trained).code == 0
    assert lenet("train", *given, "--resume", "--out", trained).code == 0  # once more, now that it is finished
    assert (trained / "config.toml").read_bytes() == before


def test_run_is_resumed_from_another_directory_and_with_moved_images(places, trained, lenet, monkeypatch, refused):
    (trained / "result.json").unlink()
    monkeypatch.chdir(places[1])
    assert lenet("train", "--resume", "--out", trained).code == 0
    (trained / "result.json").unlink()
    (places[0] / "photos").rename(places[0] / "moved")
    refused(lenet("train", "--resume", "--out", trained), f"no file or folder '{places[0]}/photos'")
    assert lenet("train", places[0] / "moved", "--resume", "--out", trained).code == 0
    assert Run(trained).config().data == str(places[0] / "moved")
    assert lenet("eval", trained).code == 0


@pytest.mark.parametrize("finished", [False, True])
def test_run_is_not_resumed_on_other_images(places, trained, lenet, monkeypatch, finished, refused):
    if not finished:
        (trained / "result.json").unlink()
    monkeypatch.chdir(places[1])
    refused(lenet("train", "photos", "--resume", "--out", trained), str(places[1] / "photos"), str(trained), "restore")
    shutil.copy(places[1] / "photos" / "cat" / "0.png", places[0] / "photos" / "cat" / "0.png")
    if not finished:
        (trained / "split.safetensors").unlink()
        refused(lenet("train", "--resume", "--out", trained), str(places[0] / "photos"), str(trained), "restore")
    refused(lenet("eval", trained), str(places[0] / "photos"), "trained on", "restore")


def test_recipe_on_other_images_trains_with_a_note(places, trained, lenet):
    outcome = lenet("train", places[1] / "photos", "--recipe", trained / "config.toml", "--out", "other")
    assert outcome.code == 0
    assert f"note    the images differ from those of {trained}/config.toml\n" in outcome.out
    assert Run("other").config().data_sha256 == Run("other").result["data_sha256"]
    outcome = lenet("train", "digits", "--recipe", trained / "config.toml", "--channels", 1, "--out", "digits")
    assert outcome.code == 0
    assert "differ" not in outcome.out, "no note if the user asks for other data and channels"


def test_train_refuses_images_that_do_not_match_data_sha256(places, trained, lenet):
    from lenet.errors import InputError

    quiet = {"epochs": 1, "size": 16}
    sha256 = Run(trained).result["data_sha256"]
    package.train("photos", data_sha256=sha256, **quiet)
    with pytest.raises(InputError, match=r"the images of photos are not those of data_sha256 .*there/photos"):
        package.train(str(places[1] / "photos"), data_sha256=sha256, **quiet)


def test_folder_named_like_a_dataset_is_not_taken_for_the_dataset(tmp_path, monkeypatch, lenet, refused, photos):
    photos(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert lenet("train", "digits", *WORDS, "--out", "set").code == 0
    assert lenet("train", "./digits", *WORDS, "--out", "folder").code == 0
    assert (Run("set").config().data, Run("folder").config().data) == ("digits", str(tmp_path / "digits"))
    assert lenet("eval", "folder").code == 0
    (Path("set") / "result.json").unlink()
    refused(lenet("train", "./digits", "--resume", "--out", "set"), "other settings (data digits -> ./digits)")
