"""--select: the score that chooses epoch and network, in what a run writes, and when resumed."""

import numpy as np
import pytest

import lenet as api
from lenet.runs.metrics import METRICS, SELECT
from lenet.runs.run import Run

OPTIONS = {"epochs": 5, "batch_size": 16, "seeds": 3, "augment": "none", "class_weights": "balanced", "model": "lenet5"}
SCORES = [select for select in SELECT if select != "last"]
NEW = ("val_balanced_accuracy", "val_macro_f1")


@pytest.fixture(scope="module")
def uneven(digits):
    """Ten digits, of which the last is rare: training images, and fewer for validation and test."""
    parts, begin = {}, 0
    for split, counts in (("train", (40,) * 9 + (6,)), ("val", (20,) * 9 + (5,)), ("test", (20,) * 9 + (5,))):
        chosen = [np.flatnonzero(digits.labels == k)[begin : begin + count] for k, count in enumerate(counts)]
        begin += max(counts)
        parts[split] = digits.images[np.concatenate(chosen)], digits.labels[np.concatenate(chosen)]
    return parts


@pytest.mark.parametrize("select", SCORES)
def test_epoch_and_network_are_the_best_by_the_selected_score(uneven, tmp_path, select):
    run = api.train(uneven, select=select, out=tmp_path / "run", **OPTIONS)
    metric, result = SELECT[select], run.result
    sign = METRICS[metric]
    best = []
    for number in range(3):
        values = [sign * getattr(row, metric) for row in run.rows() if row.seed == number]
        best.append(max(values))
        assert result["best_epoch"][number] == values.index(max(values)) + 1
        assert result[metric]["each"][number] == sign * max(values)
    assert run.checkpoint().best == result["best_network"] == best.index(max(best))
    # The saved weights are those of that epoch.
    scores = api.evaluate(run, uneven, split="val").scores
    found = [
        {"accuracy": s.accuracy, "balanced": s.balanced_accuracy, "loss": s.loss, "f1": s.macro_f1} for s in scores
    ]
    assert [one[select] for one in found] == pytest.approx(result[metric]["each"], rel=1e-4)


def test_last_saves_the_last_epoch_of_each_network_and_takes_the_first(uneven, tmp_path, lenet, refused):
    run = api.train(uneven, select="last", out=tmp_path / "run", **OPTIONS, lr=0.5, schedule="constant")
    assert run.result["best_epoch"] == [5, 5, 5]
    assert run.checkpoint().best == run.result["best_network"] == 0
    ends = [row.val_accuracy for row in run.rows() if row.epoch == 5]
    assert run.result["val_accuracy"]["each"] == ends
    assert [one.accuracy for one in api.evaluate(run, uneven, split="val").scores] == ends
    highest = [max(row.val_accuracy for row in run.rows() if row.seed == seed) for seed in range(3)]
    assert ends != highest, "the last epochs are also the best, so the test shows nothing"
    assert lenet("report", run.path).code == 0
    assert "The last epoch is saved." in (run.path / "report.html").read_text()
    refused(lenet("tune", "digits", "--select", "last"), "a search chooses by a validation score")


def test_scores_disagree_so_that_the_test_above_can_fail(uneven, tmp_path):
    chosen = {
        select: api.train(uneven, select=select, out=tmp_path / select, **OPTIONS).result["best_epoch"]
        for select in ("accuracy", "balanced", "loss")
    }
    assert len({tuple(epochs) for epochs in chosen.values()}) > 1, chosen


def test_resumed_run_with_weights_and_a_selected_score_is_bit_identical(tmp_path, lenet, interrupt_after, refused):
    words = ("train", "digits", "--epochs", 4, "--seeds", 2, "--batch-size", 32, "--class-weights", "balanced",
             "--select", "f1", "--patience", 2)  # fmt: skip
    whole = lenet(*words, "--out", tmp_path / "whole")
    assert whole.code == 0
    assert "\n        chosen by macro F1: " in whole.out
    with interrupt_after(3):
        assert lenet(*words, "--out", tmp_path / "cut").code == 130
    refused(lenet("train", "--resume", "--select", "loss", "--out", tmp_path / "cut"), "select f1 -> loss")
    assert lenet("train", "--resume", "--out", tmp_path / "cut").code == 0
    for name in ("model.safetensors", "model.json", "predictions.safetensors", "config.toml"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    one, other = (Run(tmp_path / name).result for name in ("whole", "cut"))
    for name in ("best_epoch", "best_network", "val_macro_f1", "class_weights", "test_accuracy"):
        assert one[name] == other[name]


def test_early_stopping_counts_epochs_without_a_better_selected_score(uneven, tmp_path):
    options = {"epochs": 40, "patience": 3, "lr": 0.3, "schedule": "constant"}
    for select in SCORES:
        run = api.train(uneven, out=tmp_path / select, select=select, model="lenet5", augment="none", **options)
        values = [METRICS[SELECT[select]] * getattr(row, SELECT[select]) for row in run.rows()]
        best = values.index(max(values)) + 1
        assert len(values) == min(40, best + 3)


def test_a_score_that_is_none_of_them_is_refused(lenet, tmp_path, refused):
    words = ("train", "digits", "--out", tmp_path / "run", "--select")
    outcome = lenet(*words, "balance")
    assert outcome.code == 2
    assert "balanced" in outcome.err
    with pytest.raises(api.InputError, match="select cannot be 'acuracy', did you mean 'accuracy'"):
        api.train("digits", select="acuracy")
