"""Figures in words."""

import pytest

from lenet.evaluation.scores import mean_sd
from lenet.report.text import clock, percent


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (12.2, "12 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (185, "3:05"),
        (3600, "1:00:00"),
        (86_399, "23:59:59"),
    ],
)
def test_clock(seconds, said):
    assert clock(seconds) == said


def test_percent_has_its_spread_where_there_are_several():
    assert percent(mean_sd([0.7541])) == "75.4%"
    assert percent(mean_sd([0.75, 0.76])) == "75.5% ± 0.7 (n = 2)"
