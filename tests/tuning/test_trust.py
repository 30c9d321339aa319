"""A search can be believed: trials repeat alone, values reach their training, the winner is tried again."""

import csv
import json

import numpy as np
import pytest

import lenet as package
from lenet.config import resolve
from lenet.errors import InputError
from lenet.runs.checkpoint import read_tensors

SPACE = {"batch_size": "choice(16, 32)", "lr": "loguniform(1e-3, 1e-1)", "dropout": "uniform(0.2, 0.5, 0.05)"}
FIGURES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


def figures(rows):
    return [tuple(row[name] for name in FIGURES) for row in rows]


@pytest.fixture(scope="module")
def search(tuned):
    """Six trials of at most four epochs, ASHA, one-cycle: what an epoch does hangs on how many were asked for."""
    return tuned(space=SPACE, trials=6, epochs=4, confirm=2, keep=2, seed=5, schedule="one-cycle")


def alone(search, number, tmp_path):
    """The trial's recipe, trained by itself."""
    recipe = search.path / "trials" / f"{number}.toml"
    run = package.train(recipe=recipe, out=tmp_path / f"alone-{number}")
    return run


def test_a_trials_recipe_makes_it_again_to_the_bit(search, tmp_path):
    stopped = [trial for trial in search.trials if trial["status"] == "stopped"]
    assert stopped, "ASHA stopped none of six"
    for number in {stopped[0]["number"], search.best["number"]}:
        trial, run = search.trials[number], alone(search, number, tmp_path)
        rows = [{name: float(row[name]) for name in FIGURES} for row in run.metrics()]
        assert len(rows) == 4  # the epochs asked for, not those the trial got
        assert figures(rows)[: len(trial["rows"])] == figures(trial["rows"])
    for kept in search.result["search"]["kept"]:
        trained = alone(search, kept, tmp_path / "kept").checkpoint().networks[0].state_dict()
        for name, tensor in package.load(search.path / "keep" / str(kept)).networks[0].state_dict().items():
            if search.trials[kept]["status"] == "finished":
                assert np.array_equal(tensor.numpy(), trained[name].numpy()), (kept, name)


def test_every_value_reaches_its_training(search):
    # Complaint of users elsewhere: all trials trained the same. Figures of different values must differ...
    firsts = [figures(trial["rows"])[0] for trial in search.trials]
    assert len(set(firsts)) == len(firsts)
    # ...and what the engine saw is what the recipe says.
    for trial in search.trials:
        config = resolve(search.path / "trials" / f"{trial['number']}.toml")
        assert trial["values"] == {name: getattr(config, name) for name in SPACE}
        assert trial["seed"] == config.seed


def test_trials_csv_holds_every_trial_epoch_and_value(search):
    with (search.path / "trials.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(trial["rows"]) for trial in search.trials) == search.result["search"]["trial_epochs"]
    assert {int(line["trial"]) for line in lines} == set(range(6))
    assert set(SPACE) <= set(lines[0])
    for line in lines:
        row = search.trials[int(line["trial"])]["rows"][int(line["epoch"]) - 1]
        assert float(line["val_accuracy"]) == row["val_accuracy"]


def test_the_winner_is_confirmed_over_seeds_that_no_trial_had(search):
    confirmed = search.confirmed.result
    assert confirmed["members"] == 2
    assert confirmed["epochs"] == 4
    assert not {confirmed["seed"], confirmed["seed"] + 1} & {trial["seed"] for trial in search.trials}
    assert search.result["val_accuracy"] == confirmed["val_accuracy"]
    assert search.result["test_accuracy"] == confirmed["test_accuracy"]
    best = search.result["search"]["best"]
    assert best["val_accuracy"] == max(row["val_accuracy"] for row in search.best["rows"])
    assert resolve(search.path / "best.toml") == resolve(search.path / "trials" / f"{best['trial']}.toml")


def test_only_the_best_keep_their_weights(search):
    assert sorted(int(path.name) for path in (search.path / "keep").iterdir()) == sorted(
        search.result["search"]["kept"]
    )
    assert len(search.result["search"]["kept"]) == 2
    for trial in search.trials:
        tensors = read_tensors(search.path / "state" / f"{trial['number']}.safetensors")
        whole = any(name.startswith("model:") for name in tensors)
        assert whole == (trial["number"] in search.result["search"]["kept"])


def test_the_result_is_plain_data_and_rays_own(search, tuned):
    assert json.loads((search.path / "result.json").read_text()) == json.loads(json.dumps(search.result))
    from ray.tune import ResultGrid

    assert isinstance(search.result_grid, ResultGrid)
    assert len(search.result_grid) == 6
    assert {path.stem for path in (search.path / "plots").iterdir()} >= {"trials", "values", "parallel"}
    again = tuned(resume=True, out=search.path)
    assert again.result == search.result
    assert again.trials == search.trials
    assert again.result_grid is None


def test_trials_are_added_to_a_finished_search(tuned):
    options = {"space": {"lr": "loguniform(1e-3, 1e-1)"}, "epochs": 2, "batch_size": 64}
    first = tuned(trials=2, **options)
    before = [trial["rows"] for trial in first.trials]
    more = tuned(resume=True, out=first.path, trials=5)
    assert [trial["number"] for trial in more.trials] == list(range(5))
    assert [trial["rows"] for trial in more.trials[:2]] == before
    assert len({trial["seed"] for trial in more.trials}) == 5
    assert len({trial["values"]["lr"] for trial in more.trials}) == 5
    assert len(more.result_grid) == 3
    assert more.result["search"]["trials"] == 5


def test_a_trial_without_finite_loss_ends_named_and_the_search_goes_on(tuned):
    options = {"epochs": 2, "batch_size": 16, "search": "grid", "optimizer": "sgd", "scheduler": "none"}
    search = tuned(space={"lr": [1e-2, 100]}, **options)
    assert [trial["status"] for trial in search.trials] == ["finished", "failed"]
    assert "no longer finite" in search.result["search"]["failed"]["1"]
    with pytest.raises(InputError, match="all 2 trials failed; trial 0: the loss is no longer finite"):
        tuned(space={"lr": [99, 100]}, **options)


@pytest.mark.parametrize("searcher", ["tpe", "grid"])
def test_other_searchers_number_their_trials_and_repeat_alike(tuned, tmp_path, searcher):
    space = {"maps": "choice([6,16], [4,8])", "size": [16, 20], "nesterov": [True, False]}
    search = tuned(space=space, search=searcher, trials=4 if searcher == "tpe" else None, epochs=1, batch_size=64)
    assert [trial["number"] for trial in search.trials] == list(range(4 if searcher == "tpe" else 8))
    trial = search.trials[-1]
    assert trial["values"]["maps"] in ((6, 16), (4, 8))
    row = alone(search, trial["number"], tmp_path).metrics()[0]
    assert float(row["train_loss"]) == trial["rows"][0]["train_loss"]


def test_the_metric_may_be_a_loss(tuned):
    search = tuned(space={"lr": [1e-3, 1e-2, 1e-1]}, search="grid", metric="val_loss", epochs=2, batch_size=64)
    lowest = min(min(row["val_loss"] for row in trial["rows"]) for trial in search.trials)
    assert search.result["search"]["best"]["val_loss"] == lowest
