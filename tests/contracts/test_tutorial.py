"""docs/tutorial.md: its commands run one after another, and the images and networks are those that it shows."""

import re
import shlex
from pathlib import Path

import pytest


def blocks(root, kind):
    text = (root / "docs/tutorial.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(root):
    """The commands on the digits, with one epoch and two networks; searches have tests of their own."""
    for block in blocks(root, "sh"):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if "cifar10" in line or words[1] == "tune":
                continue
            if words[1] in ("train", "transfer"):
                if "--seeds" in words:
                    words[words.index("--seeds") + 1] = "2"
                words += ["--epochs", "1"]
            yield words


@pytest.mark.usefixtures("no_data")
def test_the_commands_of_the_tutorial_run(root, lenet):
    said = ""
    for program, *words in commands(root):
        assert program == "lenet"
        outcome = lenet(*words)
        assert (outcome.code, outcome.err) == (0, ""), words
        said += outcome.out
    shown = [line for block in blocks(root, "text") for line in block.splitlines() if re.match("images|model", line)]
    assert len(shown) >= 2
    assert set(shown) <= set(said.splitlines())
    for name in re.findall(r"`(runs/\w+/[\w/.]+)`", (root / "docs/tutorial.md").read_text(encoding="utf-8")):
        assert "cifar10" in name or name.startswith("runs/digits/plots/") or Path(name).exists(), name
