"""docs/own-data.md runs as it stands; images that the command line takes."""

import re
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("no_data")


def test_python_in_the_page_on_own_data_runs(root):
    blocks = re.findall(r"^```python\n(.*?)^```", (root / "docs/own-data.md").read_text(), re.MULTILINE | re.DOTALL)
    scope = {"__name__": "__main__"}
    for block in blocks:
        exec(block, scope)
    assert len(blocks) == 3
    assert scope["run"].result["test_accuracy"]["n"] == 1


def test_the_loader_in_the_page_has_fifteen_lines_at_most(root):
    text = (root / "docs/own-data.md").read_text()
    block = next(one for one in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "class " in one)
    assert len([line for line in block.splitlines() if line.strip()]) <= 15


def test_the_command_line_trains_resumes_and_evaluates_a_file(lenet):
    x, y = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8), np.arange(60) % 3
    np.savez("mine.npz", x_train=x, y_train=y, x_test=x[:12], y_test=y[:12])
    assert lenet("train", "mine.npz", "--epochs", "1", "--out", "a").code == 0
    assert f'data = "{Path.cwd() / "mine.npz"}"' in Path("a/config.toml").read_text()
    assert lenet("train", "--recipe", "a/config.toml", "--out", "b").code == 0
    assert lenet("eval", "a", "mine.npz").code == 0
    Path("mine.npz").rename("moved.npz")
    assert lenet("train", "moved.npz", "--resume", "--out", "a").code == 0
    outcome = lenet("train", "memory")
    assert outcome.code == 2
    assert "the data is 'memory': pass the same images from Python" in outcome.err
