"""Plots of a search, and what they compare."""

import pytest

from lenet.runs.metrics import EpochRow
from lenet.tuning.space import parse_space
from lenet.tuning.trials import Trials

pytest.importorskip("optuna", reason='no optuna here: pip install "lenet[tune]"')

SPACE = parse_space(["lr=loguniform(1e-4,1e-1)", "maps=choice([6,16],[4,8])", "dropout=uniform(0,0.5,0.1)",
                     "batch_size=uniform(4,8)"])  # fmt: skip


def searched(count=16, metric="val_accuracy"):
    """Trials whose accuracy follows lr alone; each second one ends after epoch 1."""
    trials = Trials(SPACE.names, metric, 4)
    for number in range(count):
        trial = trials.trial(number)
        lr = 10 ** (-4 + 3 * number / (count - 1))
        trial.values = {"lr": lr, "maps": [(6, 16), (4, 8)][number % 3 == 0], "dropout": number % 5 / 10,
                       "batch_size": 4 + number % 4}  # fmt: skip
        trial.status = "stopped" if number % 2 else "finished"
        for epoch in range(1, 2 if number % 2 else 5):
            accuracy = 0.2 + 0.5 * number / count + 0.05 * epoch
            trial.rows.append(
                EpochRow(0, epoch, "torch", 1.0, 0.5, 2 - accuracy, accuracy, 1.0, 0.1, None, accuracy, accuracy)
            )
    return trials


def test_optuna_compares_the_trials_at_the_last_epoch_that_all_reached():
    from lenet.tuning.plots import study_of

    trials = searched()
    epoch, study = study_of(trials, SPACE)
    assert epoch == 1
    assert [one.value for one in study.trials] == [100 * trial.at(1).val_accuracy for trial in trials]
    for trial in trials:
        trial.rows = [
            EpochRow(0, epoch, "torch", 1.0, 0.5, 1.0, epoch / 10, 1.0, 0.1, None, 0.5, 0.5) for epoch in (1, 2, 3)
        ]
    trials.trial(0).status, trials.trial(0).rows = "failed", trials.trial(0).rows[:1]
    epoch, study = study_of(trials, SPACE)
    assert (epoch, len(study.trials)) == (3, 15)


def test_steps_may_end_below_the_highest_value():
    from lenet.tuning.plots import study_of

    trials = Trials(("batch_size",), "val_accuracy", 1)
    for number in range(3):
        trials.trial(number).values, trials.trial(number).status = {"batch_size": 16 + 7 * number}, "finished"
        trials.trial(number).rows = [EpochRow(0, 1, "torch", 1.0, 0.5, 1.0, 0.5, 1.0, 0.1, None, 0.5, 0.5)]
    _, study = study_of(trials, parse_space(["batch_size=uniform(16,64,7)"]))  # a warning is an error here
    assert [one.params["batch_size"] for one in study.trials] == [16, 23, 30]


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss", "val_macro_f1"])
def test_the_learning_rate_is_the_most_important(metric):
    import optuna

    from lenet.tuning.plots import study_of

    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    importances = optuna.importance.get_param_importances(study_of(searched(64, metric), SPACE)[1], evaluator=evaluator)
    assert max(importances, key=importances.get) == "lr"


def test_each_trial_is_drawn_at_its_best_epoch():
    from lenet.tuning.plots import courses_figure, values_figure

    trials = searched(6)
    dots = values_figure(trials, SPACE).axes[0].collections[0]
    best = [trial.best("val_accuracy") for trial in trials]
    assert [y for _, y in dots.get_offsets().tolist()] == pytest.approx([100 * row.val_accuracy for row in best])
    assert dots.get_array().tolist() == [trial.epoch for trial in trials] == [4, 1, 4, 1, 4, 1]
    drawn = {(line.get_marker(), *map(float, point)) for line in courses_figure(trials).axes[0].lines
             for point in line.get_xydata()}  # fmt: skip
    for row in best:
        assert any(
            mark == "o" and x == row.epoch and y == pytest.approx(100 * row.val_accuracy) for mark, x, y in drawn
        )
    assert sum(mark == "x" for mark, *_ in drawn) == 3, "each stopped trial has a cross"


def test_one_diverged_trial_leaves_the_axes_readable():
    from lenet.tuning.plots import courses_figure, study_of, values_figure

    trials = searched(12, "val_loss")
    trials.trial(3).rows = [EpochRow(0, 1, "torch", 1.0, 0.5, 1e6, 0.1, 1.0, 0.1, None, 0.1, 0.1)]
    for figure in (courses_figure(trials), values_figure(trials, SPACE)):
        assert figure.axes[0].get_ylim()[1] < 3
    assert max(trial.value for trial in study_of(trials, SPACE)[1].trials) < 3


@pytest.mark.parametrize(("count", "names"), [
    (32, {"trials", "values", "parallel", "importance"}),
    (4, {"trials", "values"}),
])  # fmt: skip
def test_plots_are_drawn_if_there_are_enough_trials_and_leave_pyplot_alone(tmp_path, count, names):
    import matplotlib.pyplot as plt

    from lenet.tuning.plots import draw_search

    style, figures = dict(plt.rcParams), plt.get_fignums()
    draw_search(searched(count), SPACE, tmp_path / "plots")
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == names
    assert (dict(plt.rcParams), plt.get_fignums()) == (style, figures)


def test_plots_of_one_option_and_failed_trials(tmp_path):
    from lenet.tuning.plots import draw_search

    space = parse_space(["schedule=choice(cosine, constant)"])
    trials = Trials(space.names, "val_accuracy", 2)
    for number in range(12):
        trial = trials.trial(number)
        trial.values, trial.status = {"schedule": ["cosine", "constant"][number % 2]}, "finished"
        trial.rows = [
            EpochRow(0, 1, "torch", 1.0, 0.5, 1.0, number / 20, 1.0, 0.1, 3 if number == 5 else None, 0.5, 0.5)
        ]
    trials.trial(11).status, trials.trial(11).rows, trials.trial(11).values = "failed", [], {}
    draw_search(trials, space, tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"trials", "values", "parallel", "importance"}
