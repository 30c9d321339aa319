"""Finished runs as a Markdown table."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from lenet.report.markdown import network_of, repeating


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("lenet train --recipe cifar10-fast --out runs/x --overwrite", "lenet train --recipe cifar10-fast"),
        ("lenet train --out=/tmp/x --data-dir=/data cifar10", "lenet train cifar10"),
        ("python main.py --out '/tmp/a b' --epochs 3", "python main.py --epochs 3"),
        ("lenet train --resume --out /tmp/x", "lenet train --recipe runs/7/config.toml"),
        ("lenet train digits --track mlflow --report --seeds 2", "lenet train digits --seeds 2"),
    ],
)
def test_the_command_that_repeats_a_run(command, expected):
    assert repeating(command, SimpleNamespace(path=Path("runs/7"))) == expected


def test_a_network_by_what_its_run_set():
    config = {"maps": [16, 32], "fc": [], "norm": "after-pool", "dropout": None}
    figures = {"config": config, "model": "lenet5-modern", "epochs": 1}
    assert network_of(figures) == "lenet5-modern, maps 16 32, fc none, norm after-pool, 1 epoch"
