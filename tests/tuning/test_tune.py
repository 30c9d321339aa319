"""`lenet tune` and lenet.tune with real Ray: what a search returns and writes, and what it refuses."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from torch import nn

import lenet as package
from lenet.commands.train import Interrupted
from lenet.config import resolve
from lenet.errors import InputError
from lenet.runs.run import Run
from lenet.tuning.display import result_lines
from lenet.tuning.folder import confirmation_of

needs_ray = pytest.mark.skipif(
    not (find_spec("ray") and find_spec("optuna")), reason='Ray or Optuna is missing: pip install "lenet[tune]"'
)
SPACE = {"batch_size": "choice(16, 32)", "lr": "loguniform(1e-3, 1e-1)", "dropout": "uniform(0.2, 0.5, 0.05)"}
FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module")
def search(tuned):
    """Six trials of at most four epochs with ASHA, the best confirmed; `watched`: what `watch` saw."""
    watched = []

    def watch(setup, trials):
        watched.append([(trial.status, trial.epoch) for trial in trials])

    found = tuned(space=SPACE, trials=6, epochs=4, confirm=2, keep=2, seed=5, schedule="one-cycle", workers=2,
                  watch=watch)  # fmt: skip
    return found, watched


def test_a_search_returns_and_writes_its_trials(search):
    search, watched = search
    facts = search.result["search"]
    assert {trial["status"] for trial in search.trials} >= {"stopped", "finished"}
    assert [trial["number"] for trial in search.trials] == list(range(6))
    assert facts["trial_epochs"] == sum(len(trial["rows"]) for trial in search.trials)
    assert facts["best"]["val_accuracy"] == max(row["val_accuracy"] for row in search.best["rows"])
    assert facts["scheduler"] == "asha, grace 1, factor 2"
    assert len(search.result_grid) == 6
    assert json.loads((search.path / "result.json").read_text()) == json.loads(json.dumps(search.result))
    assert {path.stem for path in (search.path / "plots").iterdir()} == {"trials", "values"}
    assert watched[0] == []
    assert watched[-1] == [(trial["status"], len(trial["rows"])) for trial in search.trials]


def test_a_trials_recipe_repeats_it_bit_identically(search, tmp_path):
    search, _ = search
    stopped = next(trial for trial in search.trials if trial["status"] == "stopped")
    for trial in (stopped, search.best):
        config = resolve(search.path / "trials" / f"{trial['number']}.toml")
        assert trial["values"] == {name: getattr(config, name) for name in SPACE}
        run = package.train(
            recipe=search.path / "trials" / f"{trial['number']}.toml", out=tmp_path / str(trial["number"])
        )
        rows = [tuple(getattr(row, name) for name in FIGURES) for row in run.rows()]
        assert len(rows) == 4, "the epochs that were asked for, not those that the trial trained"
        assert rows[: len(trial["rows"])] == [tuple(row[name] for name in FIGURES) for row in trial["rows"]]
    kept = package.load(search.path / "keep" / str(search.best["number"])).networks[0].state_dict()
    alone = Run(tmp_path / str(search.best["number"])).checkpoint().networks[0].state_dict()
    assert all(np.array_equal(kept[name].numpy(), alone[name].numpy()) for name in kept)


def test_the_best_values_are_confirmed_with_seeds_that_no_trial_had(search):
    search, _ = search
    confirmed = search.confirmed.result
    assert (confirmed["members"], confirmed["epochs"]) == (2, 4)
    assert not {confirmed["seed"], confirmed["seed"] + 1} & {trial["seed"] for trial in search.trials}
    for name in ("val_accuracy", "test_accuracy", "test_loss", "test_images_seen", "val_images", "val_images_seen"):
        assert search.result[name] == confirmed[name]
    lines = "\n".join(result_lines(search.path, search.result | {"test_images_seen": 3}))
    assert f"3 of the {confirmed['test_images']} test images were used to train" in lines
    assert resolve(search.path / "best.toml") == resolve(search.path / "trials" / f"{search.best['number']}.toml")
    assert search.confirmed.config().threads is None, "the confirmation uses all cores"


def test_only_the_best_trials_keep_their_weights(search):
    search, _ = search
    kept = sorted(search.result["search"]["kept"])
    assert len(kept) == 2
    for folder in ("keep", "state"):
        assert sorted(int(path.stem) for path in (search.path / folder).glob("[0-9]*")) == kept


def test_a_finished_search_is_returned_again_and_trials_are_added_to_it(search, tuned, tmp_path):
    search, _ = search
    again = tuned(resume=True, out=search.path)
    assert (again.result, again.trials, again.result_grid) == (search.result, search.trials, None)
    path = shutil.copytree(search.path, tmp_path / "more")  # the folder of the others' search stays as it is
    more = tuned(resume=True, out=path, trials=8, confirm=0)
    assert more.trials[:6] == search.trials
    assert len({trial["seed"] for trial in more.trials}) == 8
    assert len({trial["values"]["lr"] for trial in more.trials}) == 8


@pytest.mark.parametrize(
    ("raised", "expected", "words"),
    [
        (Interrupted("stopped after epoch 1"), Interrupted, "stopped while trial"),
        (InputError("the loss is no longer finite"), InputError, "the loss is no longer finite; this was the confirma"),
    ],
)
def test_a_confirmation_that_ends_early_tells_how_to_finish_the_search(
    search, tuned, tmp_path, monkeypatch, raised, expected, words
):
    path = tmp_path / "run"
    shutil.copytree(search[0].path, path)

    def ended(*given, **options):
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr("lenet.commands.tune.train", ended)
        with pytest.raises(expected, match=words) as caught:
            tuned(resume=True, out=path, confirm=3)
    assert f"lenet tune --resume --out {path}" in str(caught.value)
    assert ("--confirm 0" in str(caught.value)) == (expected is InputError)
    assert tuned(resume=True, out=path, confirm=0).confirmed is None


def test_weights_that_were_deleted_cannot_be_kept_afterwards(search, tuned, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(search[0].path, path)
    (path / "state" / "clock.json").write_text('{"loop": 5000, "total": 9000}')
    more = tuned(resume=True, out=path, keep=4, confirm=0)
    assert more.result["seconds"]["total"] >= 9000, "the time of earlier sessions is missing"
    facts = more.result["search"]
    assert (facts["seconds"]["search"], facts["workers"], facts["ray_share"]) == (5000, None, None)
    assert Run(path).clock().total == more.result["seconds"]["total"]
    assert sorted(more.result["search"]["kept"]) == sorted(search[0].result["search"]["kept"])
    assert "kept    the weights of 2 trials; those of 2 more were deleted" in "\n".join(result_lines(path, more.result))


def test_a_confirmation_is_found_when_some_of_its_networks_diverged(tmp_path):
    result = {"members": 1, "failed": [7]}
    assert confirmation_of(tmp_path, 3, result) == tmp_path / "confirm" / "trial-3-x2"
    assert confirmation_of(tmp_path, 3, {"members": 0, "failed": []}) is None


def test_trials_that_fail_are_named_and_the_search_continues(tuned):
    space = {"batch_size": [1, 16], "lr": [1e-2, 100]}
    search = tuned(space=space, search="grid", epochs=2, optimizer="sgd", scheduler="none")
    status = {(t["values"]["batch_size"], t["values"]["lr"]): (t["status"], t["error"]) for t in search.trials}
    for lr in (1e-2, 100):
        assert status[1, lr][0] == "failed"
        assert "--batch-size 1: layer" in status[1, lr][1]
    assert status[16, 1e-2] == ("finished", "")
    assert "no longer finite" in status[16, 100][1]
    assert set(search.result["search"]["failed"]) == {str(t["number"]) for t in search.trials if t["error"]}
    lines = (search.path / "trials.csv").read_text().splitlines()
    assert sum("--batch-size 1" in line for line in lines) == 2
    again = tuned(resume=True, out=search.path, confirm=1)
    assert repr(again.trials) == repr(search.trials)  # NaN is not equal to itself


@pytest.mark.slow
def test_a_trial_whose_worker_always_dies_is_retried_a_bounded_number_of_times(tuned, ray_workers, monkeypatch):
    monkeypatch.setattr("lenet.tuning.tuner._RETRIES", 1)
    killed = set()

    def watch(setup, trials):
        for one in ray_workers(os.getpid()):
            killed.add(one.pid)
            one.kill()

    with pytest.raises(InputError, match=r"the only trial failed \(trial 0: its worker died 2 times.*: use --resume"):
        tuned(space={"lr": [0.01]}, search="grid", epochs=1000, batch_size=8, watch=watch)
    assert len(killed) >= 2


@pytest.mark.slow
def test_a_network_of_the_users_own_is_searched_with_other_asha_settings_and_score(tuned, tmp_path):
    own = nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 10))
    weights = {str(digit): 1.0 + digit for digit in range(10)}
    search = tuned(model=own, space={"dropout": "choice(0.0, 0.3, 0.6)"}, trials=4, epochs=4, batch_size=32, confirm=1,
                   grace_period=2, reduction_factor=3, class_weights=weights, select="balanced")  # fmt: skip
    assert min(len(trial["rows"]) for trial in search.trials) >= 2
    facts, best = search.result["search"], search.best
    assert facts["scheduler"] == "asha, grace 2, factor 3"
    assert "grace_period = 2" in (search.path / "search.toml").read_text()
    run = package.train(recipe=search.path / "best.toml", model=own, out=tmp_path / "alone")
    assert [row.val_loss for row in run.rows()][: len(best["rows"])] == [row["val_loss"] for row in best["rows"]]

    scores = [max(row["val_balanced_accuracy"] for row in trial["rows"]) for trial in search.trials]
    assert best["number"] == scores.index(max(scores))
    assert (facts["metric"], facts["best"]["val_balanced_accuracy"]) == ("val_balanced_accuracy", max(scores))
    kept = search.path / "keep" / str(best["number"])
    assert package.load(kept).networks[0][4].p == best["values"]["dropout"]
    found = package.evaluate(kept, "digits", split="val").scores[0].balanced_accuracy
    assert found == pytest.approx(max(scores), abs=0.001)

    assert tuned(resume=True, out=search.path).result == search.result
    other = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(256, 10))
    with pytest.raises(InputError, match="started with another network"):
        tuned(resume=True, out=search.path, model=other, trials=5)


@needs_ray
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": "2"}, "workers must be a whole number between 1 and 100,000, not '2'"),
        ({"workers": [2]}, r"workers must be a whole number between 1 and 100,000, not \[2\]"),
        ({"trials": "5"}, "trials must be a whole number between 1 and 100000, not '5'"),
        ({"gpus_per_trial": "half"}, "gpus-per-trial must be a fraction .*, not 'half'"),
        ({"address": 6379}, "address takes auto or HOST:PORT, not 6379"),
        ({"space": 3}, "space takes a dict"),
        ({"out": ["a"]}, "a path must be text or a pathlib.Path, not list"),
        ({"watch": "progress"}, "watch takes a function, not 'progress'"),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_type_are_one_line_and_make_no_folder(options, message, tmp_path):
    with pytest.raises(InputError, match=f"^{message}") as refused:
        package.tune("digits", **{"out": tmp_path / "run", "recipe": "none"} | options)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@needs_ray
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], "trials must be a whole number between 1"),
        (["--trials", "2.5"], "'2.5' is not a whole number"),
        (["--metric", "val_acc"], 'Did you mean "val_accuracy"?'),
        (["--space", "lrr=choice(1)"], "did you mean 'lr'?"),
        (["--search", "grid"], "cannot try all of lr"),
        (["--workers", "0"], "workers must be"),
        (["--workers", "9999"], "workers need about"),
        (["--gpus-per-trial", "1.5"], "gpus-per-trial"),
        (["--device", "cuda"], "--gpus-per-trial 0.25"),
        (["--address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["--address", "there"], "takes auto or HOST:PORT"),
        (["--address", "localhost:²"], "takes auto or HOST:PORT"),
        (["--address", "a..b:6379"], "no Ray cluster answers at a..b:6379"),
        (["--address", "[::1]:1"], "(Connection refused)"),
        (["--address", "127.0.0.1:99999"], "no Ray cluster answers at 127.0.0.1:99999"),
        (["--seeds", "2"], "one network"),
        (["--trails", "3"], "Did you mean --trials"),
        (["--start", "runs/0001"], "fresh weights"),
        (["--space", "kernel=choice(3, 5)", "--model", "small-vgg"], "kernel does not change small-vgg"),
        (["--space", "maps=choice([6, 16], [4, 8, 16])", "--model", "lenet5"], "maps takes 2 numbers for lenet5"),
        (["--space", "lr=choice(0.1)", "--batch-size", "1", "--model", "lenet5-modern"], "--batch-size 1: layer"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_folder(lenet, words, message, tmp_path):
    outcome = lenet("tune", "digits", "--out", tmp_path / "run", *words)
    assert outcome.code == 2
    assert outcome.err.startswith("lenet: ")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@needs_ray
def test_a_search_among_the_images_of_its_recipe_is_refused(lenet, photos, tmp_path, refused):
    folder, recipe = photos(tmp_path / "photos"), tmp_path / "recipe.toml"
    recipe.write_text(f'data = "{folder}"\n')
    words = ("--space", "lr=choice(0.01, 0.05)", "--trials", 1, "--epochs", 1, "--confirm", 0, "--keep", 0)
    outcome = lenet("tune", "--recipe", recipe, *words, "--out", folder / "cat" / "search")
    refused(outcome, "search is in the folder of images")
    assert not (folder / "cat" / "search").exists()


@needs_ray
def test_a_folder_that_holds_something_else_is_left_alone(lenet, digits_run):
    for flag in ("--resume", "--overwrite"):
        outcome = lenet("tune", "digits", "--out", digits_run.path, flag)
        assert outcome.code == 2
        assert "is not a run" in outcome.err


def test_without_ray_the_message_says_how_to_install_it(lenet, monkeypatch):
    monkeypatch.setattr("lenet.tuning.session.find_spec", lambda name: None)
    outcome = lenet("tune", "digits")
    assert (outcome.code, outcome.err) == (2, 'lenet: a search needs ray: pip install "lenet[tune]"\n')


def test_only_a_search_imports_ray_and_optuna():
    words = "import sys, lenet.cli.app, lenet.commands.tune; print({'ray', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.slow
@needs_ray
def test_a_worker_does_not_import_optuna():
    from lenet.tuning.tuner import Trial

    words = f"import sys, {Trial.__module__}; print({{'optuna', 'matplotlib', 'scipy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


@needs_ray
def test_a_ray_that_does_not_start_is_one_line():
    words = """
import ray
from lenet.errors import InputError
from lenet.tuning.session import ray_session

def failing(**options):
    raise Exception("The current node timed out during startup.\\nMore of it.")

ray.init = failing
try:
    with ray_session(None, 1, 0):
        pass
except InputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout.startswith("Ray did not start (The current node timed out during startup.): the"), done.stderr
    assert done.stdout.count("\n") == 1


def test_main_py_trains_on_the_images_of_the_recipe(lenet, tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    found = package.train("digits", model=network, epochs=1, out=tmp_path / "found")
    from lenet.cli.script import train_main

    assert train_main(network, ["--recipe", str(tmp_path / "found/config.toml"), "--out", str(tmp_path / "again")]) == 0
    again = Run(tmp_path / "again").result
    assert (again["data"], again["data_sha256"]) == ("digits", found.result["data_sha256"])
    assert again["test_accuracy"] == found.result["test_accuracy"]


@needs_ray
def test_tuning_py_searches_the_network_in_model_py(root, monkeypatch, lenet, tmp_path):
    called = {}
    monkeypatch.setattr("lenet.commands.tune.tune", lambda data, **options: called.update(options, data=data))

    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    from lenet.cli.script import search_main

    assert search_main(network, ["--trials", "3", "--lr", "0.1"]) == 0
    assert (called["model"], called["trials"], called["lr"], called["data"]) == (network, 3, 0.1, None)
    assert "lenet.cli.script import search_main" in (root / "tuning.py").read_text()
