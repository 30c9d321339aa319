"""The files of an evaluation that name images: predictions.csv, errors.csv and errors.png; evaluation of a split."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import lenet as package
from lenet.errors import InputError


@pytest.fixture(scope="module")
def trained(tmp_path_factory, photos):
    """A run of two networks on a flat folder: 48 training, 6 validation and 6 test images, of hostile class names."""
    folder = photos(tmp_path_factory.mktemp("errors") / "photos", each=30, classes=("=cat", "dog\nx"))
    return package.train(folder, size=16, epochs=1, seeds=2, out=folder.parent / "run")


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_every_confusion_cell_can_be_traced_to_its_files(trained, lenet, tmp_path, split):
    assert lenet("eval", trained.path, "--split", split, "--out", tmp_path).code == 0
    infix = "" if split == "test" else f"-{split}"
    for number in (0, 1):
        rows = read(tmp_path / f"predictions{infix}-{number}.csv")
        cells = read(tmp_path / f"confusion{infix}-{number}.csv")
        names = list(cells[0])[1:]
        assert names == ["'=cat", r"dog\nx"]
        for cell in cells:
            for name in names:
                matching = [row for row in rows if (row["true"], row["predicted"]) == (cell["true \\ predicted"], name)]
                assert len(matching) == int(cell[name])
        wrong = read(tmp_path / f"errors{infix}-{number}.csv")
        assert sorted(map(str, wrong)) == sorted(str(row) for row in rows if row["true"] != row["predicted"])
        confidences = [float(row["confidence"]) for row in wrong]
        assert confidences == sorted(confidences, reverse=True)


def test_files_that_no_evaluation_made_are_kept(trained, lenet, refused, tmp_path):
    (tmp_path / "predictions.csv").write_text("mine")
    refused(lenet("eval", trained.path, "--out", tmp_path), "has files that no evaluation made")
    assert (tmp_path / "predictions.csv").read_text() == "mine"
    for _ in range(2):
        assert lenet("eval", trained.path, "--out", tmp_path / "new").code == 0


def test_files_and_confidences_are_those_of_prediction(trained, lenet, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    shutil.copytree(trained.path, run)
    facts = json.loads((run / "model.json").read_text())
    (run / "model.json").write_text(json.dumps(facts | {"temperature": [1, 2]}))  # both are calibrated
    assert lenet("eval", run, "--network", 1, "--out", out).code == 0
    data = package.evaluate(trained).source
    for row in read(out / "predictions-1.csv"):
        name = row["file"].replace("'", "").replace("\\n", "\n")
        (one,) = package.predict(run, f"{data}/{name}", network=1)
        assert one.probabilities[0] == pytest.approx(float(row["confidence"]), abs=1e-5)
        assert row["predicted"].strip("'").replace("\\n", "\n") == one.classes[0]
        assert name.startswith(row["true"].strip("'").replace("\\n", "\n") + "/")


def test_splits_are_the_runs_own_and_have_files_of_their_own(trained, lenet):
    counted = {}
    for split, words in (("train", "training"), ("val", "validation"), ("test", "test")):
        outcome = lenet("eval", trained.path, "--split", split)
        infix = "" if split == "test" else f"-{split}"
        facts = json.loads((trained.path / "eval" / f"scores{infix}.json").read_text())
        assert facts["split"] == split
        assert f"the run's {words} split, {facts['images']} images" in outcome.out
        assert ("the run used these images" in outcome.out) == (split != "test")
        assert facts["trained_on"] == (0 if split == "test" else facts["images"])
        counted[split] = {row["file"] for row in read(trained.path / "eval" / f"predictions{infix}-0.csv")}
    assert sum(map(len, counted.values())) == len(set.union(*counted.values())) == 60


def test_validation_accuracy_is_that_of_training(trained):
    found = package.evaluate(trained, split="val")
    assert [one.accuracy for one in found.scores] == pytest.approx(trained.result["val_accuracy"]["each"])
    assert found.best == package.load(trained).best


def test_a_split_of_other_data_is_refused(trained, photos, tmp_path, lenet, refused):
    photos(tmp_path / "other", seed=1, classes=("=cat", "dog\nx"))
    with pytest.raises(InputError, match="--split is for the run's own data"):
        package.evaluate(trained, tmp_path / "other", split="val")
    refused(lenet("eval", trained.path, "--split", "tset"), "--split", "tset")
    with pytest.raises(InputError, match="split must be 'train', 'val' or 'test', not 'tset', did you mean 'test'"):
        package.evaluate(trained, split="tset")


def test_a_published_dataset_names_images_by_index(digits_run, digits, lenet, tmp_path):
    assert lenet("eval", digits_run.path, "--out", tmp_path).code == 0
    rows = read(tmp_path / "predictions-0.csv")
    assert [int(row["index"]) for row in rows] == digits.test.tolist()
    assert [int(row["true"]) for row in rows] == digits.labels[digits.test].tolist()


def test_the_contact_sheet_shows_the_errors_of_the_best_network(digits_run, lenet, tmp_path):
    assert lenet("eval", digits_run.path, "--out", tmp_path).code == 0
    best = package.load(digits_run).best
    assert [path.name for path in tmp_path.glob("*.png")] == [f"errors-{best}.png"]
    with Image.open(tmp_path / f"errors-{best}.png") as sheet:
        assert np.asarray(sheet).std() > 10
