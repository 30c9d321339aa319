"""What others build on: the public names, how lenet is imported, and the commands that README shows."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lenet as package
from lenet.config import DataConfig
from lenet.data import load_dataset


def test_public_names_are_those_of_the_last_version():
    assert sorted(package.__all__) == [
        *("InputError", "Normalize", "compare", "evaluate", "load", "predict", "study", "train", "transfer", "tune"),
    ]
    for name in package.__all__:
        thing = getattr(package, name)
        assert thing.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = package.trian


def test_no_module_takes_the_place_of_a_public_name():
    # Importing lenet.xyz anywhere sets the attribute xyz of the package to that module, over what __init__ gives.
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not modules & set(package.__all__)


@pytest.mark.parametrize("what", ["import lenet", "import lenet.cli", "import lenet.config"])
def test_torch_is_not_imported_before_it_is_needed(what):
    heavy = "{'torch', 'matplotlib', 'PIL', 'ray'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys; {what}; print({heavy})"], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def readme_blocks(root, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def readme_commands(root):
    """Each line of README's shell that runs lenet, but for those that say what else they need.

    Searches and studies are many trainings: their own tests run small ones. test_study.py runs main.py.
    """
    for block in readme_blocks(root, "sh"):
        for line in block.splitlines():
            if re.match("lenet (?!study|tune)", line) and "# needs" not in line:
                yield line


def shortened(words):
    """The same command, of one epoch and one member."""
    if words[0] not in ("train", "transfer"):
        return words
    words = list(words)
    for flag in ("--epochs", "--seeds"):
        if flag in words:
            words[words.index(flag) + 1] = "1"
    return words if "--epochs" in words or "--resume" in words else [*words, "--epochs", "1"]


@pytest.fixture
def workplace(digits_run):
    """A folder with the things that README's commands speak of."""
    random = np.random.default_rng(0)
    for name in [*(f"photos/{kind}/{n}.jpg" for kind in ("cat", "dog") for n in range(10)), "cat.png", "dog.png"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(name)
    digits = load_dataset(DataConfig(data="digits"))
    Image.fromarray(digits.images[digits.labels == 7][0, :, :, 0]).save("seven.png")
    shutil.copytree(digits_run.path, "runs/0001")


def cifar10_is_here():
    return Path(os.environ.get("LENET_DATA", "/nowhere"), "cifar-10-batches-py").is_dir()


@pytest.mark.usefixtures("workplace")
def test_readmes_commands_run(root, tmp_path, lenet, monkeypatch):
    for line in readme_commands(root):
        words = shortened(shlex.split(line, comments=True)[1:])
        with monkeypatch.context() as here:
            if "cifar10" not in words:
                here.setenv("LENET_DATA", str(tmp_path / "none"))  # auto is the digits: an epoch takes no time
            elif not cifar10_is_here():
                continue
            outcome = lenet(*words)
        assert (outcome.code, outcome.err) == (0, ""), line


@pytest.mark.usefixtures("workplace")
def test_readmes_python_runs(root, tmp_path):
    for block in readme_blocks(root, "python"):
        environment = os.environ | {"LENET_DATA": str(tmp_path / "none")}
        code = re.sub(r"epochs=\d+", "epochs=1", block)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
