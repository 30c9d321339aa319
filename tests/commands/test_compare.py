"""lenet compare: the table, and paired differences of runs with the same test images."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lenet as api
from lenet.runs.run import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits_run):
    """Two runs on the digits, one with a high and one with a low accuracy, and one on three of the digits."""
    folder = tmp_path_factory.mktemp("runs")
    settings = {"epochs": 1, "batch_size": 32}
    poor = api.train("digits", lr=1e-6, seeds=2, **settings, out=folder / "poor")
    other = api.train("digits", classes="1,2,3", **settings, out=folder / "other")
    return digits_run, poor, other


def test_compare_names_the_better_run(lenet, runs, tmp_path):
    good, poor, _ = runs
    outcome = lenet("compare", poor.path, good.path, "--out", tmp_path / "made")
    assert outcome.code == 0, outcome
    text = " ".join(outcome.out.split())
    assert f"{good.path} is better than {poor.path}" in text
    assert "95%: confidence interval over test images and seeds." in text
    found = json.loads((tmp_path / "made" / "comparison.json").read_text())
    assert [pair["better"] for pair in found["pairs"]] == ["second"]
    assert found["pairs"][0]["low"] > 0
    pair = found["pairs"][0]
    accuracy = [run.result["test_accuracy"]["mean"] for run in (poor, good)]
    assert pair["difference"] == pytest.approx(accuracy[1] - accuracy[0])
    kept = [run.predictions() for run in (poor, good)]
    right = [one["predictions"][run.result["best_network"]] == one["labels"]
             for one, run in zip(kept, (poor, good), strict=True)]  # fmt: skip
    assert pair["only_first"] == int((right[0] & ~right[1]).sum())
    assert pair["only_second"] == int((~right[0] & right[1]).sum())
    assert pair["images"] == 180
    assert (tmp_path / "made" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_compare_of_identical_runs_shows_no_difference(lenet, runs, tmp_path):
    good = runs[0]
    shutil.copytree(good.path, tmp_path / "twin")
    outcome = lenet("compare", good.path, tmp_path / "twin")
    assert outcome.code == 0
    assert "no difference shown" in outcome.out
    assert "+0.00 points" in outcome.out


def test_run_on_other_images_is_in_the_table_without_paired_difference(runs, capsys):
    good, poor, other = runs
    comparison = api.compare([good, poor, other], verbose=True)
    assert list(comparison.pairs) == [(str(good.path), str(poor.path))]
    assert list(comparison.runs) == [str(run.path) for run in runs]
    assert "have different images or labels: no paired difference" in capsys.readouterr().out


def test_runs_with_different_splits_are_not_paired(runs, tmp_path, capsys):
    good = runs[0]
    moved = api.train("digits", split_seed=1, epochs=1, out=tmp_path / "moved")
    assert not api.compare([good, moved], verbose=True).pairs
    assert "were tested on different images" in capsys.readouterr().out


def test_corrected_labels_of_training_images_leave_the_test_images_comparable(photos, tmp_path, capsys):
    photos(tmp_path / "photos", each=12, classes=("a", "b"), seed=1)
    plain = api.train(tmp_path / "photos", epochs=1, size=16, out=tmp_path / "plain")
    kept, digests = plain.predictions(), plain.split.digests(plain.predictions()["indices"])
    assert len(digests) == len(kept["labels"])
    checkpoint_files = sorted(path.relative_to(tmp_path / "photos") for path in (tmp_path / "photos").rglob("*.png"))
    tested = {checkpoint_files[index] for index in kept["indices"]}
    (trained,) = [one for one in checkpoint_files if one not in tested][:1]
    (tested_one,) = sorted(tested)[:1]
    for name, file in (("train", trained), ("test", tested_one)):
        (tmp_path / f"{name}.csv").write_text(f"file,label\n{file},{'b' if file.parts[0] == 'a' else 'a'}\n")
        api.train(tmp_path / "photos", labels=tmp_path / f"{name}.csv", epochs=1, size=16, out=tmp_path / name)
    assert len(api.compare([plain, tmp_path / "train"], verbose=True).pairs) == 1
    assert not api.compare([plain, tmp_path / "test"], verbose=True).pairs
    assert "were tested on different images or labels: no paired difference" in capsys.readouterr().out


def test_saved_predictions_give_the_test_accuracy(runs):
    for run in runs:
        kept = run.predictions()
        right = (kept["predictions"] == kept["labels"]).mean(axis=1)
        assert right.tolist() == pytest.approx(run.result["test_accuracy"]["each"])
        assert kept["predictions"].shape == (run.result["members"], run.result["test_images"])
        assert np.array_equal(np.unique(kept["indices"]), kept["indices"])


def test_table_fits_80_columns(lenet, runs):
    for name, run in zip("abc", runs, strict=True):
        Path(name).symlink_to(run.path)
    table = [line for line in lenet("compare", *"abc").out.splitlines() if line.startswith(("run ", "a ", "b ", "c "))]
    assert len(table) >= 4
    assert max(map(len, table[:4])) <= 80


def test_a_search_is_replaced_by_its_confirmation(lenet, runs, search_folder, refused):
    poor, folder = runs[1], search_folder()
    comparison = api.compare([poor, folder])
    ((_, confirmed),) = comparison.pairs
    assert confirmed == str(folder / "confirm" / "trial-11-x2")
    result = json.loads((folder / "result.json").read_text())
    without = {"members": 0, "test_accuracy": None, "parameters": None}
    (folder / "result.json").write_text(json.dumps(result | without))
    refused(lenet("compare", poor.path, folder), "is a search without confirmation, which has no test result")
    refused(lenet("compare", poor.path, search_folder("cut", finished=False)), "lenet tune --resume --out")


def test_a_search_in_place_of_a_run_is_named(lenet, search_folder, refused):
    folder = search_folder()
    for command, *words in (("eval",), ("predict", "a.png"), ("export", "net.c"), ("transfer", "digits")):
        refused(
            lenet(command, folder, *words),
            f"{folder} is a search: give the run that confirms its best trial, in {folder}/confirm",
        )


def test_a_resumed_search_is_repeated_by_a_command_with_its_settings(lenet, search_folder):
    folder = search_folder()
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"command": "lenet tune --resume --out x"}))
    outcome = lenet("compare", "--markdown", folder)
    assert outcome.code == 0
    assert "| `lenet tune digits --recipe none --epochs 3 --space" in outcome.out
    text = (folder / "search.toml").read_text().replace('data = "digits"', 'data = "memory"')
    (folder / "search.toml").write_text(text)
    assert f"| `lenet train --recipe {folder}/best.toml` |" in lenet("compare", "--markdown", folder).out


def test_compare_refuses_missing_unfinished_or_damaged_runs(lenet, runs, tmp_path, refused):
    good = runs[0].path
    refused(lenet("compare", good), "at least two")
    refused(lenet("compare", good, good), "given twice")
    refused(lenet("compare", good, good.with_name("runn")), "no run at", f"did you mean '{good}'")
    shutil.copytree(good, tmp_path / "cut")
    (tmp_path / "cut" / "result.json").unlink()
    refused(lenet("compare", good, tmp_path / "cut"), "is not finished", "--resume")
    shutil.copytree(good, tmp_path / "older")
    (tmp_path / "older" / "predictions.safetensors").unlink()
    refused(lenet("compare", good, tmp_path / "older"), "has no predictions.safetensors")
    shutil.copytree(good, tmp_path / "torn")
    (tmp_path / "torn" / "metrics.csv").write_text("seed,epoch\n1,x\n")
    refused(lenet("compare", good, tmp_path / "torn", "--out", tmp_path / "o"), "metrics.csv is damaged")


@pytest.mark.parametrize("given", ["runs/0001", Path("runs/0001"), b"runs", Run("runs/1"), 3, None])
def test_compare_takes_a_list_of_runs(given):
    with pytest.raises(api.InputError, match=r"^compare takes a list of at least two runs, not ") as error:
        api.compare(given)
    assert "\n" not in str(error.value)


def test_compare_takes_any_number_of_runs_in_any_iterable(runs):
    good, poor, _ = runs
    found = api.compare(run for run in (good, str(poor.path)))
    assert list(found.runs) == [str(good.path), str(poor.path)]
    for given in ([], (good,), {good.path}, [good.path, 3], ["a\0b", good]):
        with pytest.raises(api.InputError):
            api.compare(given)


def test_compare_prints_one_run_or_runs_on_different_images_as_markdown(lenet, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good, poor, other = runs
    one = lenet("compare", good.path, "--markdown")
    assert one.code == 0, one
    assert "(n = 2)" in one.out
    assert "test set 2 times" in one.out
    several = lenet("compare", good.path, poor.path, other.path, "--markdown")
    table = several.out.split("\n\n")[0].splitlines()
    assert [line.count("|") for line in table] == [7] * 5
    accuracy = poor.result["test_accuracy"]
    assert f"| {100 * accuracy['mean']:.1f}% ± {100 * accuracy['sd']:.1f} (n = 2) |" in table[3]
    assert "test set 5 times" in several.out
    assert not list(tmp_path.iterdir())
    missing = lenet("compare", tmp_path / "none", "--markdown")
    assert missing.code == 2
    assert missing.err.count("\n") == 1


def test_files_of_others_are_not_replaced(lenet, runs, refused):
    good, poor, _ = runs
    refused(lenet("compare", good.path, poor.path, "--out", good.path / "state"), "has files that no comparison made")
    refused(lenet("compare", good.path, "--markdown", "--out", "made"), "--markdown writes no files")


def test_runs_at_other_sizes_are_told_apart_from_runs_on_other_images(photos, tmp_path):
    folder = photos(tmp_path / "photos")
    small, large = (api.train(folder, epochs=1, size=size, out=tmp_path / str(size)) for size in (16, 20))
    assert "converted their images to different sizes" in api.compare([small, large]).notes[0]


def test_a_long_name_of_the_data_leaves_the_runs_names_readable(runs, lenet, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    names = []
    for number, run in enumerate(runs[:2]):
        copy = shutil.copytree(run.path, tmp_path / f"0{number}")
        result = json.loads((copy / "result.json").read_text()) | {"data": "garbage_classification_v2_sorted"}
        (copy / "result.json").write_text(json.dumps(result))
        names.append(copy.name)
    lines = lenet("compare", *names).out.splitlines()
    assert lines[0].startswith("run ")
    assert "time" in lines[0]
    assert lines[1].startswith("00 ")
