"""What is shown while networks are trained, in each width of a terminal."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

import lenet as package
from lenet.engine.base import Metrics
from lenet.errors import InputError
from lenet.report.console import PlainConsole
from lenet.report.progress import Printer, combined, fitted, table_of
from lenet.runs.metrics import EpochRow

SEED = {"epoch": "seed 12 100/100", "loss": "0.123", "acc": "99.9%", "val loss": "0.987", "val acc": "75.4%"}
RUNNING = SEED | {"img/s": "123,456", "left": "1:02:03"}
FAILED = SEED | {"img/s": "best 100", "left": "diverged"}
ALL = ["epoch", "", "loss", "acc", "val loss", "val acc", "img/s", "left"]
FIGURES = [name for name in ALL if name]


@pytest.mark.parametrize(
    ("width", "columns", "bar"),
    [
        (120, ALL, 16),
        (86, ALL, 16),
        (80, ALL, 10),  # the bar gets narrower first
        (74, ALL, 4),
        (73, FIGURES, 0),  # then it goes
        (68, FIGURES, 0),
        (67, ["epoch", "loss", "acc", "val loss", "val acc", "left"], 0),
        (57, ["epoch", "loss", "val loss", "val acc", "left"], 0),
        (50, ["epoch", "val loss", "val acc", "left"], 0),
        (43, ["epoch", "val loss", "val acc"], 0),
        (5, ["epoch", "val loss", "val acc"], 0),
    ],
)
def test_the_bar_gets_narrower_before_figures_are_left_out(width, columns, bar):
    found, found_bar = fitted([RUNNING, FAILED], width)
    assert found == columns
    assert "" not in found or found_bar == bar


@pytest.mark.parametrize("width", range(34, 130))
def test_no_figure_is_ever_cut(width):
    written = io.StringIO()
    Console(file=written, width=width).print(table_of([(0.5, RUNNING), (1.0, FAILED)], width))
    lines = written.getvalue().splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    assert "…" not in written.getvalue()
    for name in fitted([RUNNING, FAILED], width)[0]:
        for cells in ({name: name}, RUNNING, FAILED):
            assert not name or cells[name] in written.getvalue()


def test_all_figures_of_one_network_fit_60_columns():
    cells = RUNNING | {"epoch": "12/20", "img/s": "23,456", "left": "3:05"}
    assert fitted([cells], 60) == (ALL, 6)


def test_the_bar_shows_the_fraction_of_the_epoch_without_colours():
    written = io.StringIO()
    Console(file=written, width=100).print(table_of([(0.25, RUNNING), (1.0, FAILED)], 100))
    _, half, whole = written.getvalue().splitlines()
    assert "━" * 4 + "─" * 12 in half
    assert "━" * 16 in whole
    assert "─" not in whole


def training(seed, rows, *, epochs=3, images=0, failed=False, select="accuracy"):
    return SimpleNamespace(
        seed=seed, history=rows, epoch=len(rows), config=SimpleNamespace(epochs=epochs, select=select), failed=failed,
        finished=failed or len(rows) == epochs, dataset=SimpleNamespace(train=range(100), folds=()),
        so_far=Metrics(images=images), best=rows[0] if rows else None,
    )  # fmt: skip


def row(seed, epoch, failed_step=None):
    return EpochRow(seed, epoch, "torch", 0.5, 0.25, 0.75, 0.6, 1.0, 0.1, failed_step, 0.55, 0.5)


@pytest.fixture
def printer(monkeypatch):
    """A printer into a pipe, and a function that returns its lines."""
    monkeypatch.setattr("lenet.report.progress.opening_lines", lambda setup, trainings: ["opening"])
    console = PlainConsole()
    console.file = io.StringIO()
    return Printer(console), lambda: console.file.getvalue().splitlines()


def test_a_pipe_gets_one_line_per_epoch(printer):
    watch, lines = printer
    setup, one, other = object(), training(0, [row(0, 1)]), training(1, [])  # of the first, an epoch was done before
    with watch:
        watch(setup, [one, other])
        assert lines() == ["opening"]
        other.history.append(row(1, 1))
        watch(setup, [one, other])
        watch(setup, [one, other])
        one.history += [row(0, 2), row(0, 3, failed_step=4)]
        watch(setup, [one, other])
    figures = "loss 0.500  acc 25.0%  val loss 0.750  acc 60.0%"
    assert [line.partition("60.0%")[0] + "60.0%" for line in lines()[1:3]] == [
        f"seed 1 epoch 1/3  {figures}",
        f"seed 0 epoch 2/3  {figures}",
    ]
    assert lines()[3:] == ["seed 0 epoch 3/3  diverged: the loss is not finite at step 5"]


def test_the_line_of_an_epoch_fits_80_columns(printer):
    watch, lines = printer
    networks = [training(seed, [], epochs=99) for seed in (0, 1)]
    watch("setup", networks)
    networks[1].history.append(row(1, 1))
    watch._started -= 3700  # as if it had taken that long
    watch("setup", networks)
    assert lines()[1].startswith("seed 1 epoch 1/99  loss 0.500  acc 25.0%  val loss 0.750  acc 60.0%  ")
    assert len(lines()[1]) <= 80


@pytest.mark.parametrize(
    ("select", "shown"),
    [("balanced", "bal 55.0%"), ("f1", "F1 50.0%"), ("loss", "acc 60.0%"), ("accuracy", "acc 60.0%")],
)
def test_the_score_that_chooses_the_epoch_is_shown(printer, select, shown):
    watch, lines = printer
    network = training(0, [], select=select)
    watch("setup", [network])
    network.history.append(row(0, 1))
    watch("setup", [network])
    assert f"  val loss 0.750  {shown}  " in lines()[1]
    _, cells = watch._row(network)
    assert cells[f"val {shown.split()[0]}"] == shown.split()[1]
    assert f"val {shown.split()[0]}" in fitted([cells], 80)[0]


def test_every_watch_is_called():
    called = []
    watch = combined(None, lambda *given: called.append(given), lambda *given: called.append(given))
    watch("setup", [])
    assert called == [("setup", [])] * 2
    with pytest.raises(InputError, match=r"^watch takes a function, not 3$"):
        combined(None, 3)


@pytest.mark.usefixtures("no_data")
@pytest.mark.parametrize("command", [package.train, package.audit])
def test_a_watch_that_is_no_function_leaves_no_run(command, tmp_path):
    with pytest.raises(InputError, match=r"^watch takes a function, not 3$"):
        command("digits", epochs=1, out=tmp_path / "run", watch=3)
    assert not (tmp_path / "run").exists()
