"""Fixtures: finished runs, a study and a search on the digits."""

import shutil
from dataclasses import replace

import pytest


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A finished run of two networks on the digits. Tests must not change it."""
    import lenet

    path = tmp_path_factory.mktemp("finished") / "run"
    settings = {"epochs": 2, "seeds": 2, "batch_size": 32, "optimizer": "adam", "lr": 0.005}
    return lenet.train("digits", **settings, out=path)


@pytest.fixture(scope="session")
def low_run(tmp_path_factory):
    """A finished run of two networks on the digits 0 to 4. Tests must not change it."""
    import lenet

    path = tmp_path_factory.mktemp("finished") / "low"
    settings = {
        "epochs": 2,
        "seeds": 2,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 0.005,
        "model": "lenet5-tuned",
    }
    return lenet.train("digits", classes="0,1,2,3,4", **settings, out=path)


@pytest.fixture(scope="session")
def runs_of_study():
    """Four runs on digits, with transfers, as the end of a study's file; lenet gives them the settings of [all]."""
    return """
[runs.low]
classes = "0,1,2,3,4"
[runs.last]
transfer = "low"
label = "last layer"
classes = "5,6,7,8,9"
vary = { per_class = [10, 20] }
[runs.scratch-10]
label = "from scratch"
classes = "5,6,7,8,9"
per_class = 10
"""


@pytest.fixture(scope="session")
def small_study(runs_of_study, tmp_path_factory):
    """The folder of a finished study of four runs on digits, with transfers. Tests must not change it."""
    import lenet

    folder = tmp_path_factory.mktemp("studied")
    (folder / "small.toml").write_text(
        """
title = "Small & <b>"
compare = [["scratch-10", "last-10"], ["low", "last-10"], ["last-20", "last-10"]]
[all]
data = "digits"
batch_size = 32
epochs = 1
optimizer = "adam"
"""
        + runs_of_study
    )
    lenet.study(folder / "small.toml", out=folder / "made", seeds=2)
    return folder / "made"


@pytest.fixture
def search_folder(digits_run, tmp_path):
    """A function that writes the folder of a search of 12 trials, as lenet.tune does, without Ray.

    finished: with a confirmation, a copy of `digits_run`; else it was interrupted after `over` trials
    """
    from lenet.config import Config
    from lenet.runs.metrics import EpochRow
    from lenet.tuning.folder import confirmation_path, write_recipe
    from lenet.tuning.search import Search
    from lenet.tuning.space import parse_space
    from lenet.tuning.trials import Trials

    def write(name="search", *, finished=True, over=12, **changes):
        folder = tmp_path / name
        folder.mkdir()
        space = parse_space(
            ["lr=loguniform(1e-4,1e-1)", "schedule=choice(constant,cosine)", "dropout=uniform(0.1,0.5,0.1)"]
        )
        device = changes.pop("device", "cpu")
        config = Config(data="digits", epochs=3, maps=(4, 8), nesterov=False, batch_size=16, device=device)
        search = Search(config, space, **{"trials": 12, "confirm": 2} | changes)
        (folder / "search.toml").write_text(search.text())
        trials = Trials(space.names, search.metric, 3)
        for number in range(over):
            trial = trials.trial(number)
            values = {
                "lr": 10 ** (-4 + number / 4),
                "schedule": ["constant", "cosine"][number % 2],
                "dropout": 0.1 * (1 + number % 5),
            }
            trial.values, trial.status, trial.seed = values, "stopped" if number % 3 else "finished", number
            trial.rows = [
                EpochRow(
                    number,
                    epoch,
                    "torch",
                    1 / epoch,
                    0.5,
                    1 / epoch,
                    0.3 + number / 40 + epoch / 50,
                    1.0,
                    0.1,
                    None,
                    0.5,
                    0.5,
                )
                for epoch in range(1, 4 if trial.status == "finished" else 2)
            ]
            write_recipe(folder, number, replace(config, **values))
        trials.trial(5).status, trials.trial(5).error, trials.trial(5).rows = "failed", "<b>no", []
        trials.write(folder / "trials.csv")
        if finished:
            result = (digits_run.path / "result.json").read_text()
            (folder / "result.json").write_text(result)
            shutil.copytree(digits_run.path, confirmation_path(folder, trials.ranked()[0].number, 2))
        return folder

    return write
