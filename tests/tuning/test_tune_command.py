"""`lenet tune` as it is typed: what it refuses, what it shows, and what it says without ray."""

import io
import subprocess
import sys
from importlib.util import find_spec

import pytest
from rich.console import Console

from lenet.runs.metrics import EpochRow
from lenet.tuning.display import TrialsView
from lenet.tuning.table import Table

needs_ray = pytest.mark.skipif(
    not (find_spec("ray") and find_spec("optuna")), reason='no ray here: pip install "lenet[tune]"'
)


def row(epoch, accuracy, failed=None):
    return EpochRow(seed=0, epoch=epoch, engine="torch", train_loss=1.0, train_accuracy=0.5, val_loss=2 - accuracy,
                    val_accuracy=accuracy, train_seconds=1.0, val_seconds=0.1, failed_step=failed)  # fmt: skip


def some_trials():
    table = Table(["lr", "maps"], "val_accuracy", 4)
    for number, (status, accuracies) in enumerate(
        [("finished", [0.2, 0.6, 0.7, 0.65]), ("stopped", [0.3]), ("running", [0.5, 0.55]), ("failed", [])]
    ):
        trial = table.trial(number)
        trial.status, trial.values = status, {"lr": 0.001 * (number + 1), "maps": (6, 16)}
        trial.asked, trial.seed = trial.values, 100 + number
        trial.rows = [row(epoch, accuracy) for epoch, accuracy in enumerate(accuracies, 1)]
    table.trials[3].error = "the loss is no longer finite in step 3"
    table.trials[3].rows = [row(1, 0.1, failed=2)]
    return table


@needs_ray
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trials", "0"], "trials must be a whole number between 1"),
        (["--metric", "val_acc"], "did you mean 'val_accuracy'?"),
        (["--space", "lrr=choice(1)"], "did you mean 'lr'?"),
        (["--search", "grid"], "cannot try all of lr"),
        (["--workers", "0"], "workers must be"),
        (["--workers", "9999"], "workers need about"),
        (["--gpus-per-trial", "1.5"], "gpus-per-trial"),
        (["--device", "cuda"], "--gpus-per-trial 0.25"),
        (["--address", "127.0.0.1:1"], "no Ray cluster answers at 127.0.0.1:1"),
        (["--address", "there"], "takes auto or HOST:PORT"),
        (["--seeds", "2"], "one network"),
        (["--trails", "3"], "Did you mean --trials"),
        (["--start", "runs/0001"], "fresh weights"),
    ],
)
def test_bad_input_is_one_line(lenet, words, message, tmp_path):
    outcome = lenet("tune", "digits", "--out", tmp_path / "run", *words)
    assert outcome.code == 2
    assert outcome.err.startswith("lenet: ")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@needs_ray
def test_unknown_data_is_said_before_ray_starts(lenet):
    assert "known: auto" in lenet("tune", "nosuch").err


@needs_ray
def test_a_folder_that_holds_something_else_is_left_alone(lenet, digits_run):
    for flag in ("--resume", "--overwrite"):
        outcome = lenet("tune", "digits", "--out", digits_run.path, flag)
        assert outcome.code == 2
        assert "holds no run" in outcome.err


def test_without_ray_it_says_how_to_get_it(lenet, monkeypatch):
    monkeypatch.setattr("lenet.tuning.session.find_spec", lambda name: None)
    outcome = lenet("tune", "digits")
    assert (outcome.code, outcome.err) == (2, 'lenet: searching needs ray: pip install "lenet[tune]"\n')


def test_nothing_but_a_search_imports_ray():
    words = "import sys, lenet.cli.app, lenet.commands.train, lenet.commands.tune; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_the_table_ranks_by_the_metrics_best_epoch():
    table = some_trials()
    assert [trial.number for trial in table.ranked()] == [0, 2, 1]
    assert table.trials[0].best("val_accuracy").epoch == 3
    table.metric = "val_loss"
    assert table.ranked()[0].number == 0
    assert table.trial_epochs() == 8


def test_the_table_reads_back_what_it_wrote(tmp_path):
    table = some_trials()
    table.write(tmp_path / "trials.csv")
    again = Table(table.names, table.metric, table.epochs)
    again.read(tmp_path / "trials.csv")
    for trial in again:
        trial.asked = trial.values
        for one, other in zip(trial.rows, table.trials[trial.number].rows, strict=True):
            assert (one.epoch, one.val_accuracy, one.failed_step) == (
                other.epoch,
                other.val_accuracy,
                other.failed_step,
            )
        assert trial.status == table.trials[trial.number].status
        assert trial.values == table.trials[trial.number].values


def test_a_terminal_shows_a_line_a_trial():
    table = some_trials()
    table.trial(4).status = "running"  # and has no epoch yet
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=20)
    with TrialsView(table, 6, console):
        pass
    said = console.file.getvalue()
    assert "70.0%" in said
    assert "failed" in said
    assert "…" not in said
    assert "3 of 6 trials done, 2 running" in said


def test_more_trials_than_lines_show_the_running_and_the_best():
    table = some_trials()
    for number in range(10, 60):
        trial = table.trial(number)
        trial.status, trial.rows = "stopped", [row(1, 0.01)]
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=12)
    picture = TrialsView(table, 60, console).picture()
    assert picture.row_count == 6
    assert {"0", "2"} <= set(picture.columns[0].cells)


def test_a_pipe_gets_a_plain_line_a_trial():
    console = Console(file=io.StringIO(), width=200)
    table = Table(["lr", "maps"], "val_accuracy", 4)
    with TrialsView(table, 4, console) as view:
        view.update()
        table.trials = some_trials().trials
        view.update()
        view.update()
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "trial 0  lr 0.001, maps 6-16  finished epoch 4/4  best 70.0%"
    assert lines[2].endswith("failed in epoch 1/4: the loss is no longer finite in step 3")
