"""The table of trials, trials.csv, and what is printed of them."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from lenet.errors import InputError
from lenet.report.console import PlainConsole
from lenet.runs.metrics import EpochRow
from lenet.tuning import trials as trials_of
from lenet.tuning.display import SearchPrinter, trial_line, trials_table
from lenet.tuning.folder import prune, read_trials, write_recipe
from lenet.tuning.results import best_trial
from lenet.tuning.trial import state_path
from lenet.tuning.trials import DIED, Trials


def row(epoch, accuracy, failed=None):
    return EpochRow(seed=100, epoch=epoch, engine="native", train_loss=1.0, train_accuracy=0.5, val_loss=2 - accuracy,
                    val_accuracy=accuracy, train_seconds=1.0, val_seconds=0.1, failed_step=failed,
                    val_balanced_accuracy=0.5, val_macro_f1=0.5)  # fmt: skip


def some_trials():
    trials = Trials(["lr", "maps"], "val_accuracy", 4)
    for number, (status, accuracies) in enumerate(
        [("finished", [0.2, 0.6, 0.7, 0.65]), ("stopped", [0.3]), ("running", [0.5, 0.55]), ("failed", [])]
    ):
        trial = trials.trial(number)
        trial.status, trial.values, trial.seed = status, {"lr": 0.001 * (number + 1), "maps": (6, 16)}, 100
        trial.rows = [row(epoch, accuracy) for epoch, accuracy in enumerate(accuracies, 1)]
    trials.trial(3).error, trials.trial(3).rows = "the loss is no longer finite in step 3", [row(1, 0.1, failed=2)]
    return trials


def test_trials_are_ranked_by_the_best_epoch_of_the_metric():
    trials = some_trials()
    assert [trial.number for trial in trials.ranked()] == [0, 2, 1]
    assert trials.trial(0).best("val_accuracy").epoch == 3
    trials.metric = "train_loss"
    assert [trial.number for trial in trials.ranked()] == [0, 1, 2], "equal trials keep their order"
    assert trials.trial_epochs() == 8


def test_where_all_trials_failed_none_is_the_best():
    trials = Trials(["lr"], "val_accuracy", 4)
    for number in (0, 1):
        trials.trial(number).status, trials.trial(number).error = "failed", "the loss is no longer finite in step 3"
    with pytest.raises(InputError, match=r"all 2 trials failed \(trial 0: the loss .*\): search other values"):
        best_trial(trials)
    assert trials.all_failed(2)
    assert not trials.all_failed(3)
    trials.trial(1).error = f"{DIED} 2 times"
    assert not trials.all_failed(2), "a resumed search tries those again whose worker died"
    with pytest.raises(InputError, match=r": use --resume$"):
        best_trial(trials)


def test_trials_csv_reads_back_and_holds_plain_text(tmp_path):
    trials = some_trials()
    trials.write(tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["engine"], first["maps"], first["lr"]) == ("native", "[6, 16]", "0.001")
    again = Trials(trials.names, trials.metric, trials.epochs)
    again.read(tmp_path / "trials.csv")
    assert [(trial.status, trial.rows, trial.error) for trial in again] == [
        (trial.status, trial.rows, trial.error) for trial in trials
    ]
    (tmp_path / "trials.csv").write_text("trial,status\n0,finished\n")
    with pytest.raises(InputError, match="damaged"):
        again.read(tmp_path / "trials.csv")


def test_trials_csv_is_read_up_to_a_size(tmp_path, monkeypatch):
    path, trials = tmp_path / "trials.csv", some_trials()
    trials.write(path)
    size = path.stat().st_size
    again = Trials(trials.names, trials.metric, trials.epochs)
    monkeypatch.setattr(trials_of, "MOST_CSV", size, raising=False)
    again.read(path)
    assert len(again) == len(trials)
    monkeypatch.setattr(trials_of, "MOST_CSV", size - 1, raising=False)
    with pytest.raises(InputError, match=f"^{path} is too large: lenet reads at most {size - 1:,} bytes"):
        again.read(path)


def test_a_result_adds_one_epoch_and_a_repeated_one_replaces_it():
    trials = Trials(["lr"], "val_accuracy", 4)
    for epoch, accuracy in ((1, 0.1), (2, 0.2), (1, 0.1), (2, 0.2), (3, 0.3)):
        row_of = vars(row(epoch, accuracy))
        trials.take({"number": 0, "row": row_of, "seed": 1, "host": "here", "error": ""})
    assert [one.epoch for one in trials.trial(0).rows] == [1, 2, 3]
    trials.trial(0).status = "stopped"
    trials.take({"number": 0, "row": vars(row(4, 0.4)), "seed": 1, "host": "here", "error": ""})
    assert trials.trial(0).epoch == 3, "an ended trial does not change"


def test_a_resumed_search_runs_again_what_was_running_or_lost_its_worker(tmp_path, job_of):
    trials = some_trials()
    trials.trial(1).status, trials.trial(1).error = "failed", "its worker died 11 times (killed)"
    trials.write(tmp_path / "trials.csv")
    search = job_of({"lr": [0.1, 0.2], "maps": [(6, 16)]}).search
    with pytest.raises(InputError, match=r"trials/0\.toml does not have the values that trials.csv has for the trial"):
        read_trials(tmp_path, search, resumed=True)
    for number in (0, 1, 3):
        write_recipe(tmp_path, number, replace(search.config, **trials.trial(number).values))
    write_recipe(tmp_path, 2, replace(search.config, **trials.trial(2).values | {"lr": 0.2}))
    found = read_trials(tmp_path, search, resumed=True)
    assert [trial.status for trial in found] == ["finished", "waiting", "waiting", "failed"]
    assert [trial.epoch for trial in found] == [4, 1, 0, 1], "what ran with other values is no epoch of trial 2"
    shown = read_trials(tmp_path, search)
    assert [trial.status for trial in shown] == ["finished", "failed", "waiting", "failed"]
    assert 1 not in [trial.number for trial in shown.ranked()]


def test_only_the_best_trials_that_ended_keep_their_states(tmp_path):
    trials = some_trials()
    trials.trial(4).status, trials.trial(4).rows = "stopped", [row(1, 0.4)]
    (tmp_path / "state").mkdir()
    for trial in trials:
        state_path(tmp_path / "state", trial.number).touch()
    prune(tmp_path, trials, keep=2)
    assert sorted(path.stem for path in (tmp_path / "state").iterdir()) == ["0", "2", "4"]


def test_the_table_shows_running_trials_and_the_best_of_the_others():
    trials = some_trials()
    for number in range(10, 60):
        trials.trial(number).status, trials.trial(number).rows = "stopped", [row(1, 0.01)]
    table = trials_table(trials, 60, "5 s", height=12)
    assert table.row_count == 6
    assert {"0", "2"} <= set(table.columns[0].cells)
    console = Console(file=io.StringIO(), width=80)
    console.print(trials_table(some_trials(), 6, "5 s", height=20))
    shown = console.file.getvalue()
    assert "70.0%" in shown
    assert "…" not in shown
    assert "3 of 6 trials done, 1 running, 5 s" in shown


def test_many_searched_options_leave_the_scores_whole_on_80_columns():
    values = {"batch_size": 8, "lr": 0.001234, "dropout": 0.25, "weight_decay": 0.01234, "augment": ("flip", "shift")}
    trials = Trials(tuple(values), "val_accuracy", 2)
    for number in range(12):
        trial = trials.trial(number)
        trial.values, trial.status, trial.rows = values, "finished", [row(1, 0.3), row(2, 0.37)]
    console = Console(file=io.StringIO(), width=80)
    console.print(trials_table(trials, 12, "5 s", height=40))
    lines = console.file.getvalue().splitlines()
    assert all(name in lines[0] for name in ("trial", "epoch", "loss", "val acc", "best"))
    assert [line.split()[0] for line in lines[1:13]] == [str(number) for number in range(12)]
    assert all(line.rstrip().endswith("37.0%  37.0%  finished") and "  2/2  " in line for line in lines[1:13])


def test_a_pipe_gets_one_line_per_ended_trial(job_of, tmp_path):
    from lenet.runs.run import Run
    from lenet.tuning.setup import SearchSetup

    job = job_of({"lr": [0.1, 0.2]}, epochs=10)
    setup = SearchSetup(job.search, Run(tmp_path), job.images[()][0], job, None, None, "native", ("the images differ",))
    console = PlainConsole()
    console.file = io.StringIO()
    trials = Trials(["lr", "maps"], "val_accuracy", 4)
    with SearchPrinter(console) as printer:
        printer(setup, trials)
        opening = console.file.getvalue()
        trials.by_number = some_trials().by_number
        printer(setup, trials)
        printer(setup, trials)
    assert "note    the images differ" in opening
    assert "of at most 10 epochs; after epoch 1, 2, 4, 8 the best 1/2 continue" in opening
    lines = console.file.getvalue()[len(opening) :].splitlines()
    assert lines[0] == "trial 0  lr 0.001, maps 6-16  finished at epoch 4/4  best 70.0%"
    assert lines[2].endswith("failed at epoch 1/4: the loss is no longer finite in step 3")
    assert len(lines) == 3
    assert trial_line(trials.trial(1), trials).endswith("stopped at epoch 1/4  best 30.0%")
