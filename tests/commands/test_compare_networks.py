"""lenet compare: one network, several networks, and networks that diverged."""

import json
import shutil

import pytest

import lenet as api
from lenet.evaluation.comparison import Paired
from lenet.report.comparison import said


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """A run of one network with a low accuracy."""
    folder = tmp_path_factory.mktemp("single") / "run"
    return api.train("digits", lr=1e-6, epochs=1, out=folder)


def changed(run, folder, **values):
    """A copy of a finished run with these values in result.json."""
    shutil.copytree(run.path, folder)
    path = folder / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_run_with_one_network_gets_no_verdict(lenet, digits_run, single):
    outcome = lenet("compare", single.path, digits_run.path)
    assert outcome.code == 0, outcome
    assert f"not decidable with one network: {single.path} and {digits_run.path}" in outcome.out
    assert "; without run-to-run variation)" in outcome.out
    assert "do not include run-to-run variation" in outcome.out
    assert "is better" not in outcome.out


def test_one_network_has_no_standard_deviation(lenet, single, digits_run, tmp_path):
    assert single.result["test_accuracy"]["sd"] is None
    assert single.result["val_accuracy"]["n"] == 1
    figure = single.result["test_accuracy"]
    other = changed(single, tmp_path / "other", test_accuracy={**figure, "sd": 0.0})
    out = lenet("compare", single.path, other, digits_run.path, "--out", tmp_path / "made").out
    table = out.split("not decidable with one network:")[0]
    assert table.count("±") == 2  # validation and test of the run of two networks
    assert json.loads((tmp_path / "made" / "comparison.json").read_text())["pairs"][0]["covers_seeds"] is False


def test_compare_names_networks_that_diverged(lenet, digits_run, tmp_path):
    lost = changed(digits_run, tmp_path / "lost", failed=[3])
    more = changed(digits_run, tmp_path / "more", failed=[3, 5])
    outcome = lenet("compare", digits_run.path, lost, more, "--out", tmp_path / "made")
    assert outcome.code == 0, outcome
    assert f"{lost}: 1 of 3 networks diverged and is not in the mean: seed 3\n" in outcome.out
    assert f"{more}: 2 of 4 networks diverged and are not in the mean: seeds 3, 5\n" in outcome.out
    assert f"{digits_run.path}: " not in outcome.out
    assert " 2 of 3 " in outcome.out  # the column n
    found = json.loads((tmp_path / "made" / "comparison.json").read_text())["runs"]
    assert [run["failed"] for run in found.values()] == [[], [3], [3, 5]]


def test_only_remaining_network_is_shown_with_n_of_1(lenet, single, tmp_path):
    left = changed(single, tmp_path / "left", failed=[1])
    outcome = lenet("train", "--resume", "--out", left)
    assert "failed  1 of 2 networks diverged and is not in the mean: seed 1" in outcome.out
    assert outcome.out.count("% (n = 1)") == 2


def test_text_of_a_paired_difference():
    shown = Paired(0.0123, 0.001, 0.0236, (3, 5), 1000, 92, 84, 0.55)
    assert said(shown, "a", "b") == [
        "b is better than a: 1.23 points (95%: 0.10 to 2.36)",
        "  only a correct: 92 images; only b correct: 84; McNemar p = 0.550",
    ]
    turned = Paired(-0.0123, -0.0236, -0.001, (3, 5), 1000, 1, 0, 0.0001)
    assert said(turned, "a", "b") == [
        "a is better than b: 1.23 points (95%: 0.10 to 2.36)",
        "  only a correct: 1 image; only b correct: 0; McNemar p < 0.001",
    ]
    single = Paired(-0.0123, -0.0236, -0.001, (1, 5), 1000, 0, 7, 0.02)
    assert said(single, "a", "b")[0] == (
        "not decidable with one network: a and b: b -1.23 points (95%: -2.36 to -0.10; without run-to-run variation)"
    )
