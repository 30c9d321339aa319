"""Trials without Ray: every searched option reaches its training, recipes repeat trials, and errors end one trial."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

import lenet
from lenet.config import options
from lenet.errors import InputError
from lenet.runs.tensors import read_tensors
from lenet.training.teacher import teacher_digest
from lenet.tuning.folder import write_recipe
from lenet.tuning.space import NOT_SEARCHED
from lenet.tuning.trial import results_of, state_path, training_of, trial_seed
from lenet.tuning.trials import TrialRecord

FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")

# Two values of every option that can be searched, and the options with which it has an effect.
PAIRS = {
    "size": ((16, 20), {}),
    "channels": ((1, 3), {}),
    "fit": (("crop", "pad"), {}),
    "augment": (("none", "flip-shift"), {}),
    "flips": (("random", "alternating"), {"augment": "flip"}),
    "max_shift": ((1, 3), {"augment": "shift"}),
    "max_rotation": ((5.0, 30.0), {"augment": "rotate"}),
    "max_scale": ((0.1, 0.3), {"augment": "scale"}),
    "max_colour": ((0.1, 0.4), {"augment": "colour"}),
    "cutout_size": ((0.2, 0.5), {"augment": "cutout"}),
    "model": (("lenet5", "lenet-dropout"), {}),
    "maps": (((6, 16), (4, 8)), {}),
    "fc": (((120, 84), ()), {}),
    "kernel": ((3, 5), {}),
    "padding": ((0, 1), {}),
    "norm": (("before-pool", "after-pool"), {}),
    "dropout": ((0.0, 0.4), {}),
    "activation": (("relu", "tanh"), {}),
    "pool": (("max", "average"), {}),
    "pool_sizes": (((2, 2), (2, 4)), {"padding": 2}),
    "batch_norm": (("none", "all"), {}),
    "freeze": (("none", "all-but-last"), {}),
    "unfreeze_after": ((0, 1), {"freeze": "2", "epochs": 2}),
    "batch_size": ((8, 9), {}),
    "lr": ((0.01, 0.02), {}),
    "schedule": (("constant", "cosine"), {}),
    "optimizer": (("sgd", "adam"), {"lr": 0.005, "weight_decay": 0.0}),
    "momentum": ((0.5, 0.9), {}),
    "nesterov": ((True, False), {}),
    "weight_decay": ((0.0, 0.01), {}),
    "label_smoothing": ((0.0, 0.1), {}),
    "class_weights": (("none", json.dumps({str(digit): 1.0 + digit for digit in range(10)})), {}),
    "ema": ((0.0, 0.9), {}),
    "teacher_weight": ((0.2, 1.0), {}),
    "teacher_temperature": ((1.0, 5.0), {}),
    "patience": ((0, 1), {"epochs": 6, "lr": 1.0}),
}


def run_trial(job, values, number=0):
    """(results, weights after the last epoch) of a trial."""
    results = list(results_of(job, number, values))
    assert results[-1]["done"]
    assert not results[-1]["error"], results[-1]["error"]
    return results, weights_of(job, number)


def weights_of(job, number=0):
    """The weights after the last epoch, and their moving average if there is one."""
    state = read_tensors(state_path(job.states, number))
    return {name: tensor for name, tensor in state.items() if name.startswith(("model:", "average:"))}


def figures(results):
    return [tuple(result["row"][name] for name in FIGURES) for result in results if result["row"]]


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_every_searchable_option_has_a_test():
    assert set(PAIRS) == set(options()) - set(NOT_SEARCHED)


@pytest.mark.parametrize("name", PAIRS)
def test_trials_that_differ_in_one_option_train_differently_and_their_recipes_repeat_them(
    job_of, tmp_path, photos, digits_run, name
):
    values, others = PAIRS[name]
    oblong = (20, 28)  # so that `fit` matters
    data = {"data": str(photos(tmp_path / "photos", sides=oblong)), "size": 16} if name == "fit" else {}
    data |= {"teacher": digits_run.path} if name.startswith("teacher") else {}
    job = job_of({name: list(values)}, **data, **others)
    one = run_trial(job, {name: values[0]})[1]
    results, other = run_trial(job, {name: values[1]})  # the same number, so the same seed
    if name == "patience":
        assert len(results) < job.search.config.epochs
    else:
        assert not equal(one, other)
    write_recipe(tmp_path, 0, job.config_of(0, {name: values[1]}))
    run = lenet.train(recipe=tmp_path / "trials" / "0.toml", out=tmp_path / "alone")
    assert [tuple(getattr(row, figure) for figure in FIGURES) for row in run.rows()] == figures(results)
    state = read_tensors(state_path(job.states, 0))
    best = {name.removeprefix("best:"): tensor for name, tensor in state.items() if name.startswith("best:")}
    assert equal(dict(run.checkpoint().networks[0].state_dict()), best)


def test_a_result_holds_its_own_epoch_alone(job_of):
    results = list(results_of(job_of({"lr": [0.01, 0.02]}, epochs=3), 1, {"lr": 0.02}))
    assert [result["row"]["epoch"] for result in results] == [1, 2, 3]
    assert [result["done"] for result in results] == [False, False, True]
    assert {(result["number"], result["seed"], result["error"]) for result in results} == {(1, trial_seed(0, 1), "")}
    assert results[1]["score"] == results[1]["row"]["val_accuracy"]


@pytest.mark.parametrize("metric", ["val_loss", "train_loss"])
def test_a_lower_loss_is_a_higher_score(job_of, metric):
    result = next(results_of(job_of({"lr": [0.01]}, asked={"metric": metric}), 0, {"lr": 0.01}))
    assert result["score"] == -result["row"][metric]


def test_frozen_layers_and_large_shifts_on_few_images_are_searched(job_of):
    run_trial(job_of({"dropout": [0.2, 0.4]}, freeze="all-but-last"), {"dropout": 0.4})
    run_trial(job_of({"max_shift": [0, 15]}, augment="shift", per_class=2), {"max_shift": 15})


@pytest.mark.parametrize(
    ("space", "fixed", "message"),
    [
        ({"batch_size": 1}, {}, "batch-size 1"),
        ({"freeze": "99"}, {}, "freeze 99 is out of range"),
        ({"lr": 100.0}, {"epochs": 2}, "the loss is no longer finite in step"),
        ({"fc": (65536, 65536)}, {}, "parameters; lenet trains at most"),
    ],
)
def test_a_trial_that_cannot_train_fails_and_says_why(job_of, space, fixed, message):
    job = job_of({name: [value] for name, value in space.items()}, **fixed)
    last = list(results_of(job, 0, space))[-1]
    assert message in last["error"]
    assert last["done"]
    assert not last["fatal"]
    assert last["score"] == -1e9


def test_an_exception_of_pytorch_fails_the_trial(job_of, monkeypatch):
    from lenet.training.training import Training

    def broken(self):
        raise RuntimeError("out of memory\nTraceback")

    monkeypatch.setattr(Training, "advance", broken)
    (only,) = results_of(job_of({"lr": [0.01]}), 0, {"lr": 0.01})
    assert (only["error"], only["done"], only["fatal"]) == ("RuntimeError: out of memory", True, False)


def test_a_state_that_cannot_be_written_ends_the_search(job_of):
    job = job_of({"lr": [0.01]})
    job.states.write_text("a file where the folder should be")
    (only,) = results_of(job, 0, {"lr": 0.01})
    assert only["fatal"]
    assert "is a file, not a folder" in only["error"]


def test_a_trial_continues_from_its_state(job_of):
    job = job_of({"lr": [0.01, 0.02]}, epochs=3)
    whole, weights = run_trial(job, {"lr": 0.01})
    path = state_path(job.states, 0)
    path.unlink()
    begun = results_of(job, 0, {"lr": 0.01})
    next(begun), next(begun)
    again, after = run_trial(job, {"lr": 0.01})
    assert figures(again) == figures(whole)
    assert [result["began"] is None for result in again] == [True, True, False], "epochs were trained again"
    assert equal(weights, after)
    for damage in (path.read_bytes()[:100], b""):
        path.write_bytes(damage)
        assert figures(run_trial(job, {"lr": 0.01})[0]) == figures(whole)
    other, _ = run_trial(job, {"lr": 0.02})
    assert figures(other) != figures(whole), "the state of other values was used"


def test_a_trial_that_ended_before_repeats_its_results_without_training(job_of):
    first = list(results_of(job_of({"lr": [0.01, 0.02]}, epochs=3), 0, {"lr": 0.01}))
    from lenet.runs.metrics import EpochRow

    past = TrialRecord(0, {"lr": 0.01}, status="stopped", rows=[EpochRow(**first[0]["row"])])
    job = job_of({"lr": [0.01, 0.02]}, epochs=3, past=[past])
    state_path(job.states, 0).unlink()
    again = list(results_of(job, 0, {"lr": 0.01}))
    assert figures(again) == figures(first[:1])
    assert [result["done"] for result in again] == [True]
    assert not state_path(job.states, 0).exists()
    assert len(list(results_of(job, 0, {"lr": 0.02}))) == 3, "a trial of other values is another trial"
    failed = replace(past, rows=[], status="failed", error="batch size")
    (only,) = results_of(job_of({"lr": [0.01]}, past=[failed]), 0, {"lr": 0.01})
    assert (only["error"], only["row"], only["done"]) == ("batch size", None, True)


def test_a_search_knows_its_teachers_by_their_networks(job_of, digits_run):
    teachers = [str(digits_run.path)]
    job = job_of({"lr": [0.01]}, teacher=teachers)
    digest = teacher_digest(teachers)
    assert job.search.config.teacher_sha256 == job.config_of(0, {"lr": 0.01}).teacher_sha256 == digest
    with pytest.raises(InputError, match="are not those of teacher_sha256"):
        job_of({"lr": [0.01]}, teacher=teachers, teacher_sha256="0" * 64)


def test_dropout_is_searched_in_a_network_of_the_users_own(job_of):
    own = nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 10))
    job = job_of({"dropout": [0.0, 0.5]}, own=own)
    training = training_of(job, 0, {"dropout": 0.5})
    assert [layer.p for layer in training.model if isinstance(layer, nn.Dropout)] == [0.5]
    assert job.config_of(0, {"dropout": 0.5}).model == "own"
    assert not equal(run_trial(job, {"dropout": 0.0})[1], run_trial(job, {"dropout": 0.5})[1])
    with pytest.raises(InputError, match="no Dropout layer"):
        job_of({"dropout": [0.0, 0.5]}, own=nn.Sequential(nn.Flatten(), nn.Linear(256, 10)))
    with pytest.raises(InputError, match="maps changes named models"):
        job_of({"maps": [(6, 16)]}, own=own)


def test_defaults_that_follow_from_a_searched_option_are_those_of_training(job_of):
    job = job_of({"optimizer": "choice(sgd, adam, muon)", "freeze": "choice(none, all-but-last)"}, size=32, channels=3)
    of = lambda **values: job.config_of(0, {"optimizer": "sgd", "freeze": "none"} | values)  # noqa: E731
    for optimizer, lr, decay in (("sgd", 0.1, 5e-4), ("adam", 0.005, 0.0), ("muon", 0.02, 5e-4)):
        assert (of(optimizer=optimizer).lr, of(optimizer=optimizer).weight_decay) == (lr, decay)
    given = job_of({"optimizer": "choice(sgd, adam)"}, lr=0.3)
    assert [given.config_of(0, {"optimizer": name}).lr for name in ("sgd", "adam")] == [0.3, 0.3]
