"""The public names and their parameters, the cost of importing lenet, and the examples in README."""

import inspect
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
from lenet.config import SHAPING, Config, DataConfig, options, resolve
from lenet.data import load_dataset
from lenet.data.catalog import SETS
from lenet.models import SHAPES, network_of, parameter_count, shape_named

# Removing or renaming a parameter breaks scripts: change this list only on purpose. Options are in test_options.py.
RUN = "out resume overwrite verbose watch"
PARAMETERS = {
    "audit": f"data model folds {RUN}",
    "augment": "data out overwrite",
    "check": "data data_dir near",
    "compare": "runs out verbose",
    "evaluate": "run data data_dir network split augment",
    "export": "run file network overwrite input int8 data_dir",
    "list_runs": "folder sort data model state",
    "load": "run",
    "predict": "run images top network calibrated reject_error reject_unlike",
    "study": "name out verbose watch",
    "train": f"data model recipe {RUN} or_digits track",
    "transfer": f"run data recipe {RUN}",
    "tune": "data model space trials metric scheduler grace_period reduction_factor search recipe confirm keep workers "
    "gpus_per_trial address out resume overwrite watch verbose",
    "write_report": "run file card overwrite data data_dir",
}


def test_public_names_have_not_changed():
    assert set(package.__all__) == {"Images", "InputError", "Normalize", "Residual", *PARAMETERS}
    for name in package.__all__:
        assert getattr(package, name).__doc__, name
        assert name in dir(package)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = package.trian


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_have_not_changed(name):
    wanted = PARAMETERS[name].split()
    parameters = inspect.signature(getattr(package, name)).parameters
    assert [one for one in parameters if one in wanted or one not in options()] == wanted


def test_no_module_has_the_name_of_a_public_function():
    # Importing lenet.xyz sets the attribute xyz of the package to that module, which would hide a function xyz.
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not modules & set(package.__all__)


@pytest.mark.parametrize("what", ["import lenet", "import lenet.cli", "import lenet.config"])
def test_importing_lenet_does_not_import_torch(what):
    heavy = "{'torch', 'matplotlib', 'PIL', 'ray'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys; {what}; print({heavy})"], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def readme_blocks(root, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", (root / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def readme_commands(root):
    """The lines of README's shell blocks that run lenet, except those marked "# needs", searches and studies.

    Searches and studies train many networks; their own tests run small ones. test_study.py runs main.py.
    """
    for block in readme_blocks(root, "sh"):
        for line in block.splitlines():
            if re.match("lenet (?!study|tune)", line) and "# needs" not in line:
                yield line


def shortened(words):
    """The same command with one epoch and one network, of CIFAR-10 on 1,000 images."""
    if words[0] == "audit":
        return [*words, "--epochs", "1", "--seeds", "1"]
    if words[0] not in ("train", "transfer"):
        return words
    words = list(words)
    for flag in ("--epochs", "--seeds"):
        if flag in words:
            words[words.index(flag) + 1] = "1"
    if "cifar10" in words:
        words += ["--per-class", "100"]
    return words if "--epochs" in words or "--resume" in words else [*words, "--epochs", "1"]


@pytest.fixture
def workplace(digits_run):
    """Writes the files that README's commands name into the working directory."""
    random = np.random.default_rng(0)
    for name in [*(f"photos/{kind}/{n}.jpg" for kind in ("cat", "dog") for n in range(10)), "cat.png", "dog.png"]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(name)
    digits = load_dataset(DataConfig(data="digits"))
    Image.fromarray(digits.images[digits.labels == 7][0, :, :, 0]).save("seven.png")
    shutil.copytree(digits_run.path, "runs/0001")


def cifar10_is_on_disk():
    return Path(os.environ.get("LENET_DATA", "/nowhere"), "cifar-10-batches-py").is_dir()


@pytest.mark.usefixtures("workplace")
def test_commands_in_readme_run(root, tmp_path, lenet, monkeypatch):
    commands = list(readme_commands(root))
    assert len(commands) > 25
    for line in commands:
        words = shortened(shlex.split(line, comments=True)[1:])
        with monkeypatch.context() as here:
            if "cifar10" not in words:
                here.setenv("LENET_DATA", str(tmp_path / "none"))  # so that auto means digits, which train fast
            elif not cifar10_is_on_disk():
                continue
            outcome = lenet(*words)
        assert (outcome.code, outcome.err) == (0, ""), line


def test_parameters_in_readme(root):
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| ([\d,]+) \|", (root / "README.md").read_text(), re.MULTILINE)
    recipes = 0
    for name, count in rows:
        config = resolve(name) if name not in SHAPES else Config(data="cifar10", model=name)
        recipes += name not in SHAPES
        published = SETS[config.data]
        shape = shape_named(config.model, **{option: getattr(config, option) for option in SHAPING})
        side = config.size or published.train_size or published.size
        network = network_of(shape, (side, side, published.channels), len(published.classes))
        assert parameter_count(network) == int(count.replace(",", "")), name
    assert {name for name, _ in rows} >= set(SHAPES)
    assert recipes >= 15


@pytest.mark.usefixtures("workplace", "no_data")
def test_python_in_readme_runs(root):
    blocks = readme_blocks(root, "python")
    assert blocks
    for block in blocks:
        exec(re.sub(r"epochs=\d+", "epochs=1", block), {"__name__": "__main__"})
