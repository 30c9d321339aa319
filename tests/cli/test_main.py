"""The command line: help that fits, flags that stay, output that programs can read, and its processes."""

import csv
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lenet.cli.app import app
from lenet.cli.flags import NO_FLAGS
from lenet.config import Config
from lenet.config.keywords import AUDIT_LACKS
from lenet.runs.run import Run

COMMANDS = ("train", "audit", "eval", "predict", "export", "report", "runs", "compare", "transfer", "tune", "study",
            "models", "recipes", "doctor", "data")  # fmt: skip

# What the run that a transfer starts from decides.
TRANSFER_LACKS = ("data", "data-sha256", "start", "start-sha256", "teacher-sha256", "model", "minutes", "maps", "fc",
                  "kernel", "padding", "norm", "dropout", "activation", "pool", "pool-sizes", "batch-norm",
                  "channels")  # fmt: skip


# ---- what is printed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--help"], *([command, "--help"] for command in COMMANDS)])
def test_help_fits_80_columns(lenet, words):
    outcome = lenet(*words)
    assert outcome.code == 0
    assert outcome.err == ""
    assert outcome.out.startswith("Usage: lenet")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "\x1b" not in outcome.out


def test_help_texts_of_several_lines_in_a_docstring_are_wrapped_as_one():
    from lenet.cli.flags import unwrapped

    def command():
        """Do this.

        In two
        lines.

        Parameters
        ----------
        one
            A text of
            two lines.
        other
            Another.
        """

    lines = ["Do this.", "", "In two", "lines.", "", "Parameters", "----------"]
    lines += ["one", "    A text of two lines.", "other", "    Another."]
    assert unwrapped(command).__doc__.splitlines() == lines


def test_help_names_every_command_and_flag(lenet):
    assert set(re.findall(r"^│ (\w+) ", lenet("--help").out, re.MULTILINE)) == set(COMMANDS)
    flags = {name.replace("_", "-") for name in (field.name for field in fields(Config))}
    assert set(re.findall(r"--([\w-]+)", lenet("train", "--help").out)) >= flags - {
        name.replace("_", "-") for name in NO_FLAGS
    }


def test_the_flags_are_those_of_the_last_version(lenet):
    # A flag that goes away breaks somebody's script: change this list on purpose alone.
    def flags(command):
        arguments = app[command].assemble_argument_collection(parse_docstring=False)
        return {name for argument in arguments if argument.parse for name in argument.names} - {"*"}

    options = {f"--{field.name.replace('_', '-')}" for field in fields(Config)}  # pinned in config/test_options.py
    assert flags("train") == options - {"--data", "--data-sha256", "--start-sha256", "--teacher-sha256"} | {
        *("DATA", "--recipe", "--out", "--resume", "--overwrite", "--report", "--track", "--no-nesterov"),
    }
    assert flags("report") == {"RUN", "FILE", "--card", "--overwrite", "--data", "--data-dir"}
    assert flags("runs") == {"DIR", "--sort", "--data", "--model", "--state", "--json"}
    assert flags("eval") == {"RUN", "DATA", "--data-dir", "--network", "--split", "--augment", "--out"}
    assert flags("transfer") == options - {"--" + name for name in TRANSFER_LACKS} | {
        *("RUN", "DATA", "--recipe", "--out", "--resume", "--overwrite", "--report", "--no-nesterov"),
    }
    assert flags("audit") == options - {f"--{name.replace('_', '-')}" for name in ("data", *AUDIT_LACKS)} | {
        *("DATA", "--folds", "--out", "--resume", "--overwrite", "--no-nesterov"),
    }
    assert flags("compare") == {"RUN", "--out", "--markdown"}
    assert flags("study") == {"STUDY", "--out", "--seeds", "--data-dir", "--engine"}
    assert flags("predict") == {
        "RUN",
        "IMAGE",
        "--top",
        "--network",
        "--reject-error",
        "--reject-unlike",
        "--overwrite",
        "--uncalibrated",
        "--format",
        "--json",
        "--out",
    }
    assert flags("models") == {"--size", "--channels", "--classes", "--layers"}
    assert flags("recipes") == set()
    assert flags("doctor") == {"--data-dir", "--json"}


def test_version_names_the_engine_or_why_there_is_none(lenet, monkeypatch):
    from importlib.metadata import version

    from lenet import extension

    first, second = lenet("--version").out.splitlines()
    assert first == f"lenet {version('lenet')} (Python {platform.python_version()}, torch {version('torch')})"
    if extension.available() is None:
        assert second == f"native engine: {extension.described(extension.level())}"
    monkeypatch.setattr(extension, "module", None)
    assert "no native engine: the native engine is not installed" in lenet("--version").out


def test_version_and_the_level_do_not_load_torch():
    code = (
        "import sys\n"
        "from lenet.cli import main\n"
        "main(['--version'])\n"
        "print({'torch', 'numpy', 'matplotlib', 'PIL', 'ray'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.endswith("\nset()\n"), done


@pytest.mark.parametrize(
    "words", ["models --layers", "recipes", "data list", "data check digits --no-near", "data check digits"]
)
def test_only_a_search_for_near_duplicates_loads_torch(words, tmp_path):
    code = (
        "import sys\n"
        "from lenet.cli import main\n"
        f"main({words.split()})\n"
        "print({'torch', 'scipy', 'matplotlib'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == ("{'torch'}" if words == "data check digits" else "set()"), done


def test_training_into_a_pipe_prints_plain_lines(lenet, no_data):
    outcome = lenet("train", "digits", "--epochs", 3, "--seeds", 2)
    assert outcome.code == 0
    assert outcome.err == ""
    assert not re.search("[\x1b\r\b]", outcome.out)
    assert outcome.out.startswith("data    digits (embedded)")
    for seed in (0, 1):
        for epoch in (1, 2, 3):
            figures = r"loss [\d.]+  acc [\d.]+%  val loss [\d.]+  acc [\d.]+%  .+ left"
            assert len(re.findall(rf"^seed {seed} epoch {epoch}/3  {figures}$", outcome.out, re.MULTILINE)) == 1
    figures = r"[\d.]+% ± [\d.]+ \(n = 2\), loss [\d.]+ ± [\d.]+; 180 images, evaluated once"
    assert re.search(rf"^test    {figures}$", outcome.out, re.MULTILINE)


def test_auto_says_first_and_last_what_it_took_and_how_to_get_the_other(lenet, no_data):
    outcome = lenet("train", "--epochs", 1, "--out", "run")
    lines = outcome.out.splitlines()
    for line in (lines[1], lines[-1]):
        assert "CIFAR-10 is not on disk" in line
        assert "lenet train cifar10" in line
    assert "digits" in lines[0]
    config = (Run("run").path / "config.toml").read_text()
    assert "CIFAR-10 is not on disk" in config
    assert 'data = "digits"' in config


def test_eval_prints_a_table_and_writes_it_too(lenet, digits_run, tmp_path):
    outcome = lenet("eval", digits_run.path, "--out", tmp_path / "csv")
    assert outcome.code == 0
    assert not re.search("[\x1b\r]", outcome.out)
    accuracy = digits_run.result["test_accuracy"]
    assert f"accuracy {100 * accuracy['mean']:.1f}% ± {100 * accuracy['sd']:.1f} (n = 2), loss " in outcome.out
    with (tmp_path / "csv" / "per-class-1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == list("0123456789")
    assert sum(int(row["images"]) for row in rows) == 180
    with (tmp_path / "csv" / "confusion-0.csv").open() as file:
        confusion = np.array([[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]])
    assert confusion.trace() / confusion.sum() == pytest.approx(accuracy["each"][0])


def test_eval_of_one_network(lenet, digits_run, tmp_path):
    outcome = lenet("eval", digits_run.path, "--network", 1, "--out", tmp_path)
    accuracy = f"{100 * digits_run.result['test_accuracy']['each'][1]:.1f}%"
    assert re.search(rf"^accuracy {accuracy} \(95%: [\d.]+ to [\d.]+\), loss ", outcome.out, re.MULTILINE)
    assert re.search(r"^balanced accuracy [\d.]+%, macro F1 [\d.]+%$", outcome.out, re.MULTILINE)
    files = {f"{name}-1.csv" for name in ("per-class", "confusion", "predictions", "errors")}
    assert {path.name for path in tmp_path.iterdir()} == {"scores-1.json", "errors-1.png", *files}


def test_predict_prints_json_for_programs(lenet, digits_run, tmp_path, picture):
    images = [picture(tmp_path / name, number, mode=mode) for number, (name, mode) in
              enumerate([("a.png", "L"), ("b c.jpg", "RGB"), ("[bold]ü.bmp", "RGB")])]  # fmt: skip
    outcome = lenet("predict", digits_run.path, *images, "--json", "--top", 3)
    assert outcome.code == 0
    found = json.loads(outcome.out)
    assert [one["image"] for one in found] == [str(image) for image in images]
    for one in found:
        assert len(one["classes"]) == len(one["probabilities"]) == 3
        assert one["probabilities"] == sorted(one["probabilities"], reverse=True)
        assert 0 < sum(one["probabilities"]) <= 1.000001
    table = lenet("predict", digits_run.path, *images, "--top", 3)
    assert table.code == 0
    assert f"{100 * found[0]['probabilities'][0]:.1f}%" in table.out
    rows = "".join(line[: line.find("  ")] for line in table.out.splitlines())  # long names are folded
    assert "[bold]ü.bmp" in rows


def test_models_lists_shapes_with_their_cost(lenet):
    out = lenet("models", "--layers").out
    assert "lenet5  62,006 parameters, 651,720 multiply-adds" in out
    for name in ("lenet-dropout", "lenet5-tuned", "lenet5-modern"):
        assert f"\n{name}  " in out
    assert out.count("Added by lenet") == 3
    assert max(map(len, lenet("models").out.splitlines())) <= 80


def test_recipes_lists_names_with_their_command(lenet):
    out = lenet("recipes").out
    for name in ("cifar10-fast", "cifar10-lenet", "cifar100-vanilla", "cifar100-tuned"):
        assert f"{name}\n  lenet train" in out


# ---- processes ------------------------------------------------------------------------------------------------------


def test_an_error_of_a_process_is_one_line_too(process):
    running = process("models", "--classes", 1)
    out, err = running.communicate()
    assert (running.returncode, out) == (2, "")
    assert err == "lenet: size must lie between 16 and 96, channels must be 1 or 3, and classes 2 to 100,000\n"


@pytest.mark.parametrize("words", ["--help", "train digits --epochs 1"])
def test_a_closed_pipe_ends_it_quietly(process, words):
    running = process(*words.split())
    running.stdout.close()  # as `| head -1` does, sooner or later
    running.stdout = None
    assert running.communicate()[1] == ""
    assert running.returncode == 141


def test_a_full_disk_under_the_output_is_one_line(process):
    with Path("/dev/full").open("w") as full:
        running = process("recipes", stdout=full)
        _, err = running.communicate()
    assert running.returncode == 2
    assert err.count("\n") == 1
    assert "No space left on device" in err


@pytest.mark.parametrize("closed", [(0, 1), (2,)])
def test_works_with_standard_streams_closed(process, closed):
    close = partial(os.closerange, closed[0], closed[-1] + 1)
    running = process("train", "digits", "--epochs", 1, "--out", "run", preexec_fn=close)
    _, err = running.communicate()
    assert (running.returncode, err) == (0, "")
    assert Run("run").result["test_accuracy"]["mean"] > 0.1


def test_a_backend_of_notebooks_that_is_not_installed_changes_nothing(process, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://not_installed.backend")
    running = process("train", "digits", "--epochs", "1", "--out", tmp_path / "run")
    _, err = running.communicate(timeout=300)
    assert (running.returncode, err) == (0, "")
    assert (tmp_path / "run" / "plots" / "curves.png").is_file()
