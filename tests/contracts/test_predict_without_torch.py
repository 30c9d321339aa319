"""A prediction of a network that the native engine supports does not load PyTorch, and equals PyTorch's.

docs/ship.md names the packages that it needs. What other commands need may then be missing.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions

import numpy as np
import pytest
from PIL import Image

from lenet import extension
from lenet.engine import native

pytestmark = pytest.mark.skipif(native.available() is not None, reason=str(native.available()))

_PREDICT = """
import sys
from lenet.cli import main
code = main(sys.argv[1:])
print(code, *{"torch", "scipy", "matplotlib"} & set(sys.modules), file=sys.stderr)
"""


@pytest.fixture
def images(digits):
    """Paths of three digits, a grey rectangle and a damaged file."""
    for number in range(3):
        Image.fromarray(digits.images[number][:, :, 0]).save(f"{number}.png")
    Image.fromarray(np.full((30, 50, 3), 90, np.uint8)).save("grey.png")
    with open("damaged.png", "wb") as file:  # noqa: PTH123
        file.write(b"no image")
    return ["0.png", "1.png", "2.png", "grey.png", "damaged.png"]


@pytest.fixture
def by_pytorch(lenet, monkeypatch):
    """A function that predicts, as a command does, where the native engine is not installed."""

    def predict(*words):
        with monkeypatch.context() as patched:
            patched.setattr(extension, "module", None)
            return lenet("predict", *words)

    return predict


def predicted(*words):
    """Exit code, standard output and error, and which slow libraries were loaded."""
    command = [sys.executable, "-c", _PREDICT, "predict", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *loaded = done.stderr.splitlines()[-1].split()
    return int(code), done.stdout, done.stderr.splitlines()[:-1], loaded


@pytest.mark.parametrize(
    "options", [(), ("--network", "1", "--reject-unlike", "none"), ("--uncalibrated", "--reject-unlike", "5%")]
)
def test_the_native_engine_predicts_what_pytorch_predicts_without_loading_it(digits_run, images, options, by_pytorch):
    code, out, err, loaded = predicted(digits_run.path, *images, *options)
    assert (code, loaded) == (2, [])
    assert "damaged.png" in err[-1]
    other = by_pytorch(digits_run.path, *images, *options)
    assert (other.code, other.out, other.err.splitlines()) == (2, out, err)


def test_probabilities_differ_by_rounding_alone(digits_run, images, lenet, by_pytorch):
    found = []
    words = (digits_run.path, *images[:4], "--format", "jsonl", "--top", "10")
    outputs = lenet("predict", *words).out, by_pytorch(*words).out
    assert outputs[0] != outputs[1]  # of two engines
    for out in outputs:
        found.append([json.loads(line) for line in out.splitlines() if line.startswith("{")])
    for one, other in zip(*found, strict=True):
        assert (one["image"], one["unknown"], one["reason"]) == (other["image"], other["unknown"], other["reason"])
        pairs = [dict(zip(each["classes"], each["probabilities"], strict=True)) for each in (one, other)]
        assert pairs[0] == pytest.approx(pairs[1], abs=1e-6)


def test_a_layer_that_the_native_engine_lacks_is_computed_by_pytorch(digits_run, images, tmp_path):
    shutil.copytree(digits_run.path, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "model.json").read_text())
    for layer in facts["layers"]:
        if layer["kind"] == "ReLU":
            layer.update(kind="GELU", approximate="none")
    (tmp_path / "run" / "model.json").write_text(json.dumps(facts))
    code, out, _, loaded = predicted(tmp_path / "run", *images[:3])
    assert (code, loaded) == (0, ["torch"])
    assert out.startswith("image")


_ALONE = """
import sys
from lenet.cli import main
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def alone(root):
    """A function that runs a command where only the packages that docs/ship.md names for predictions are installed."""
    text = (root / "docs" / "ship.md").read_text(encoding="utf-8")
    (named,) = re.findall(r"pip install --no-deps dist/lenet-\*\.whl\npip install (.+)\n", text)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    others = {re.split(r"[^\w-]", one)[0] for one in project["dependencies"]} - set(named.split())
    assert "torch" in others
    missing = {module for module, (package, *_) in packages_distributions().items() if package.lower() in others}

    def run(*words):
        command = [sys.executable, "-c", _ALONE.replace("MISSING", repr(missing | {"tomli_w"})), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True)

    return run


def test_the_packages_that_the_documentation_names_are_enough(alone, digits_run, images, by_pytorch):
    for options in (("--format", "csv", "--out", "found.csv"), ("--reject-unlike", "5%")):
        done = alone("predict", digits_run.path, *images[:4], *options)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    other = by_pytorch(digits_run.path, *images[:4], "--reject-unlike", "5%")
    assert (other.code, other.out) == (0, done.stdout)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "digits"),
        ("eval", "RUN"),
        ("export", "RUN", "net.onnx"),
        ("tune", "digits"),
        ("predict", "RUN", "0.png", "--reject-error", "10%"),
    ],
)
def test_a_command_that_needs_more_says_so_in_one_line(alone, digits_run, images, words):
    done = alone(*(digits_run.path if word == "RUN" else word for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    line = r"lenet: this command needs \w+, which is not installed: 'pip install lenet' installs it\n"
    assert re.fullmatch(line, done.stderr), done.stderr


def test_a_network_that_the_native_engine_lacks_needs_pytorch(alone, digits_run, images, tmp_path):
    shutil.copytree(digits_run.path, tmp_path / "run")
    text = (tmp_path / "run" / "model.json").read_text()
    (tmp_path / "run" / "model.json").write_text(
        text.replace('"kind": "ReLU"', '"kind": "GELU", "approximate": "none"')
    )
    done = alone("predict", tmp_path / "run", *images[:1])
    assert (done.returncode, "this command needs torch, which is not installed" in done.stderr) == (2, True), (
        done.stderr
    )
