"""Pictures of a search, and what they compare."""

import pytest

from lenet.runs.metrics import EpochRow
from lenet.tuning.space import parse_space
from lenet.tuning.table import Table

pytest.importorskip("optuna", reason='no optuna here: pip install "lenet[tune]"')

SPACE = parse_space(["lr=loguniform(1e-4,1e-1)", "maps=choice([6,16],[4,8])", "dropout=uniform(0,0.5,0.1)",
                     "batch_size=uniform(4,8)"])  # fmt: skip


def searched(count=16, metric="val_accuracy"):
    """Trials whose accuracy follows lr alone; each second one ends after epoch 1."""
    table = Table(SPACE.names, metric, 4)
    for number in range(count):
        trial = table.trial(number)
        lr = 10 ** (-4 + 3 * number / (count - 1))
        trial.asked = {"lr": lr, "maps": [(6, 16), (4, 8)][number % 3 == 0], "dropout": number % 5 / 10,
                       "batch_size": 4 + number % 4}  # fmt: skip
        trial.values, trial.status = trial.asked, "stopped" if number % 2 else "finished"
        for epoch in range(1, 2 if number % 2 else 5):
            accuracy = 0.2 + 0.5 * number / count + 0.05 * epoch
            trial.rows.append(EpochRow(0, epoch, "torch", 1.0, 0.5, 2 - accuracy, accuracy, 1.0, 0.1))
    return table


def test_trials_compare_at_equal_epochs_alone():
    from lenet.tuning.plots import comparable

    slices = comparable(searched())
    assert [(one.epoch, len(one.trials)) for one in slices] == [(1, 16), (2, 8), (4, 8)]
    for one in slices:
        figures = [trial.at(one.epoch).val_accuracy for trial in one.trials]
        assert one.figures.tolist() == figures
    assert comparable(searched(3)) == []


@pytest.mark.parametrize("metric", ["val_accuracy", "val_loss"])
def test_what_matters_is_found(metric):
    from lenet.tuning.plots import comparable, importance

    table = searched(64, metric)
    shares = importance(SPACE, comparable(table), 1 if metric == "val_accuracy" else -1)
    assert set(shares) == {1, 2, 4}
    assert max(shares[1], key=shares[1].get) == "lr"
    assert shares[1]["lr"] > 0.7
    assert sum(shares[1].values()) == pytest.approx(1)


@pytest.mark.parametrize(("count", "names"), [
    (32, {"trials", "values", "parallel", "importance"}),
    (4, {"trials", "values", "parallel"}),
    (2, {"trials"}),
])  # fmt: skip
def test_pictures_are_drawn_as_far_as_there_is_something_to_show(tmp_path, count, names):
    from lenet.tuning.plots import draw_search

    draw_search(searched(count), SPACE, tmp_path / "plots")
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == names


def test_one_option_and_failed_trials_have_pictures_too(tmp_path):
    from lenet.tuning.plots import draw_search

    space = parse_space(["schedule=choice(cosine, constant)"])
    table = Table(space.names, "val_accuracy", 2)
    for number in range(12):
        trial = table.trial(number)
        trial.asked = trial.values = {"schedule": ["cosine", "constant"][number % 2]}
        trial.status = "finished"
        trial.rows = [EpochRow(0, 1, "torch", 1.0, 0.5, 1.0, 0.5, 1.0, 0.1, failed_step=3 if number == 5 else None)]
    draw_search(table, space, tmp_path)
    assert (tmp_path / "values.png").is_file()
