"""The table of several runs, in each width of a terminal."""

import copy
import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from lenet.report.comparison import table_of


@pytest.fixture
def runs(digits_run):
    """A function that makes two runs, the second with another balanced accuracy than its accuracy, if `uneven`."""

    def make(uneven):
        results = [copy.deepcopy(digits_run.result) for _ in range(2)]
        for result in results:
            result["test_balanced_accuracy"] = copy.deepcopy(result["test_accuracy"])
        if uneven:
            results[1]["test_balanced_accuracy"]["mean"] -= 0.02
        return {f"runs/000{n}": SimpleNamespace(finished_result=lambda r=r: r) for n, r in enumerate(results, 1)}

    return make


def shown(runs, width):
    written = io.StringIO()
    Console(file=written, width=width).print(table_of(runs, width))
    return written.getvalue().splitlines()


def test_scores_by_class_are_shown_only_if_test_classes_have_different_sizes(runs):
    even, uneven = (shown(runs(uneven), 120)[0].split() for uneven in (False, True))
    assert uneven == ["run", "data", "parameters", "epochs", "n", "valid.", "%", "test", "%", "balanced", "F1", "time"]
    assert even == ["run", "data", "parameters", "epochs", "n", "valid.", "%", "test", "%", "time"]


@pytest.mark.parametrize(
    ("width", "gone"),
    [(120, set()), (80, {"epochs"}), (70, {"epochs", "parameters"}), (60, {"epochs", "parameters", "F1"})],
)
def test_columns_are_left_out_of_a_narrow_table_for_scores_by_class(runs, width, gone):
    lines = shown(runs(True), width)
    assert {"epochs", "parameters", "F1"} - set(lines[0].split()) == gone
    assert "balanced" in lines[0]
    assert len(lines) == 3
    assert "…" not in "".join(lines)
