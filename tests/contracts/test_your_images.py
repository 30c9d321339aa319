"""docs/your-images.md: its commands run one after another, and what it says of the folder is so."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path(os.environ.get("LENET_DATA", "/nowhere"), "stl10_binary").is_dir(),
    reason="STL-10 is not on disk: set LENET_DATA to the folder that contains stl10_binary",
)


def commands(root):
    """The lines of the page's shell blocks, with one epoch and one network for each training.

    A network of one epoch is often wrong, so that more errors have to be accepted.
    """
    text = (root / "docs/your-images.md").read_text()
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            for flag, value in (("--epochs", "1"), ("--seeds", "1"), ("--reject-error", "90%")):
                if flag in words:
                    words[words.index(flag) + 1] = value
            short = words[1] in ("train", "audit") and "--epochs" not in words
            yield [*words, *(["--epochs", "1"] if short else []), *(["--seeds", "1"] if words[1] == "audit" else [])]


@pytest.mark.slow
def test_the_commands_run_and_find_what_was_planted(root, lenet):
    for program, *words in commands(root):
        if program == "lenet":
            outcome = lenet(*words)
            assert (outcome.code, outcome.err) == (0, ""), words
        elif program == "rm":
            for name in words:
                Path(name).unlink()
        else:
            assert program == "python"
            script = str(root / words[0])
            done = subprocess.run([sys.executable, script, *words[1:]], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, ""), words
    with Path("photos.planted.csv").open(newline="") as file:
        planted = list(csv.DictReader(file))
    with Path("checked/findings.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    pairs = {frozenset((row["file"], row["other_file"])) for row in found}
    for row in planted:
        if row["kind"] in ("exact copy", "near copy", "in two classes"):
            assert frozenset((row["file"], row["other"])) in pairs, row
        if row["kind"] in ("constant", "unreadable"):
            assert row["file"] in {each["file"] for each in found}, row
    with Path("checked/labels.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 110
    assert len(Path("ships.csv").read_text().splitlines()) >= 199
