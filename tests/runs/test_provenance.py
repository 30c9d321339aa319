"""The facts that result.json records about the process."""

import sys
from importlib.metadata import version

import pytest

from lenet.runs.provenance import command, versions


def test_versions_list_python_and_libraries():
    python = ".".join(map(str, sys.version_info[:3]))
    assert versions().items() >= {"python": python, "torch": version("torch"), "numpy": version("numpy")}.items()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/usr/bin/lenet", "train", "my photos"], "lenet train 'my photos'"),
        (["/lib/lenet/cli/__main__.py", "train"], "lenet train"),
        (["/home/me/package/__main__.py", "--sweep", "3"], "python -m package --sweep 3"),
        (["/home/me/main.py", "--epochs", "3"], "python main.py --epochs 3"),
        ([""], ""),
        (["-"], ""),
        (["-c", "digits"], ""),
        (["/lib/ipykernel_launcher.py", "-f", "kernel.json"], ""),
    ],
)
def test_command_is_the_command_line_quoted_for_a_shell(monkeypatch, arguments, expected):
    monkeypatch.setattr(sys, "argv", arguments)
    assert command() == expected
