"""The command line: one line for whatever cannot work, help that fits, and output that programs can read."""

import csv
import errno
import json
import os
import pickle
import platform
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet.cli.app import app
from lenet.cli.flags import NO_FLAGS
from lenet.config import Config
from lenet.config.keywords import AUDIT_LACKS
from lenet.runs.run import Run

COMMANDS = (
    *(
        "train",
        "audit",
        "eval",
        "predict",
        "export",
        "report",
        "runs",
        "compare",
        "transfer",
        "tune",
        "study",
        "models",
        "recipes",
        "doctor",
        "data",
    ),
)

# What the run that a transfer starts from decides.
TRANSFER_LACKS = (
    "data",
    "data-sha256",
    "start",
    "start-sha256",
    "teacher-sha256",
    "model",
    "maps",
    "fc",
    "kernel",
    "padding",
    "norm",
    "dropout",
    "activation",
    "pool",
    "pool-sizes",
    "batch-norm",
    "size",
    "channels",
)


def refused(outcome, *parts, code=2):
    """One line on standard error that has these parts, exit code 2, no traceback."""
    assert outcome.code == code, outcome
    assert outcome.err.startswith("lenet: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    assert "Traceback" not in outcome.err + outcome.out
    for part in parts:
        assert part in outcome.err, outcome.err


def picture(path, seed=0, size=(20, 24), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,)}[mode]
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8)).save(path)
    return path


def photos(folder, classes=("cat", "dog"), each=12):
    for number, name in enumerate(classes):
        for seed in range(each):
            picture(folder / name / f"{seed}.png", 100 * number + seed)
    return folder


# ---- words that are wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("trian", ["trian", "train"]),
        ("train cifar1", ["no dataset or folder 'cifar1', did you mean 'cifar10'"]),
        ("train photos/none", ["no file or folder 'photos/none'"]),
        ("train --recipe cifar10-lennet", ["no recipe 'cifar10-lennet', did you mean 'cifar10-lenet'"]),
        ("train --recipe none.toml", ["no recipe file none.toml"]),
        ("train digits --model lenet6", ["no model 'lenet6', did you mean 'lenet5'"]),
        ("train digits --epocs 3", ["--epocs", "--epochs"]),
        ("train digits more", ["more"]),
        ("train digits --epochs", ["--epochs"]),
        ("train digits --epochs 0", ["epochs must lie between 1 and 100,000, not 0"]),
        ("train digits --epochs many", ["--epochs: 'many' is not a whole number"]),
        ("train digits --epochs 2.5", ["--epochs: '2.5' is not a whole number"]),
        ("train digits --maps 6 7.5", ["--maps: '7.5' is not a whole number"]),
        ("train digits --lr nan", ["lr must lie between"]),
        ("train digits --lr=-1", ["lr must lie between"]),
        ("train digits --schedule cosin", ["--schedule", "cosin", "cosine"]),
        ("train digits --maps 6", ["maps takes 2 numbers for lenet5-modern, such as 6 16, not 1"]),
        ("train digits --maps 6 0", ["maps must lie between"]),
        ("train digits --size 8", ["size must lie between 16 and 96, not 8"]),
        ("train digits --channels 2", ["--channels", "1, 3"]),
        ("train digits --batch-size 0", ["batch-size must lie between"]),
        ("train digits --dropout 1", ["dropout must lie between 0 and 0.95"]),
        ("train digits --seeds 0", ["seeds must lie between"]),
        ("train digits --engine tensorflow", ["--engine", "tensorflow", "torch"]),
        ("train digits --device tpu", ["no device 'tpu'", "cpu, cuda"]),
        ("models --size 8", ["16"]),
        ("models --channels 2", ["channels"]),
        ("eval", ["RUN"]),
        ("eval none", ["no run at none"]),
        ("predict none image.png", ["no run at none"]),
        ("recipes --all", ["--all"]),
    ],
)
def test_a_wrong_word_is_one_line(lenet, words, parts):
    refused(lenet(*words.split()), *parts)
    assert not list(Path.cwd().rglob("*.toml"))  # no run was started


def test_a_wrong_key_in_a_recipe_names_file_and_key(lenet, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("epocs = 3\n")
    refused(lenet("train", "digits", "--recipe", path), str(path), "no option 'epocs', did you mean 'epochs'")
    path.write_text("epochs = = 3\n")
    refused(lenet("train", "digits", "--recipe", path), str(path), "is not TOML", "line 1")


@pytest.mark.skipif(__import__("torch").cuda.is_available(), reason="there is a CUDA device here")
def test_no_cuda_device_is_said(lenet):
    refused(lenet("train", "digits", "--device", "cuda"), "no CUDA device here")


def test_a_shift_wider_than_the_image_is_refused(lenet):
    outcome = lenet("train", "digits", "--augment", "shift", "--max-shift", 16, "--epochs", 1)
    refused(outcome, "max-shift")


# ---- data that is wrong ---------------------------------------------------------------------------------------------


def test_an_empty_folder(lenet, tmp_path):
    refused(lenet("train", tmp_path), str(tmp_path), "no class folders")


def test_an_empty_class(lenet, tmp_path):
    (photos(tmp_path) / "eel").mkdir()
    refused(lenet("train", tmp_path), f"{tmp_path}/eel", "holds no images", "remove the folder")


def test_one_class(lenet, tmp_path):
    refused(lenet("train", photos(tmp_path, ["cat"])), "one class only, 'cat'", "add a folder")


def test_all_broken_images_are_named_at_once_before_training(lenet, tmp_path):
    photos(tmp_path)
    (tmp_path / "cat" / "empty.jpg").touch()
    whole = (tmp_path / "dog" / "1.png").read_bytes()
    (tmp_path / "dog" / "half.png").write_bytes(whole[: len(whole) // 2])
    outcome = lenet("train", tmp_path, "--out", "run")
    refused(outcome, "2 of 26 images", "cat/empty.jpg", "dog/half.png")
    assert outcome.out == ""
    assert not Path("run").exists()


def cifar10(folder, kind="py"):
    folder = folder / f"cifar-10-batches-{kind}"
    folder.mkdir(parents=True)
    end = "" if kind == "py" else ".bin"
    names = [*(f"data_batch_{number}{end}" for number in range(1, 6)), f"test_batch{end}"]
    for name in names:
        (folder / name).touch()
    return folder


def train_cifar10(lenet, folder):
    return lenet("train", "cifar10", "--data-dir", folder, "--epochs", 1)


def test_a_truncated_cifar_file(lenet, tmp_path):
    batch = cifar10(tmp_path, "bin") / "data_batch_1.bin"
    batch.write_bytes(bytes(3073 * 10_000 - 1))
    refused(train_cifar10(lenet, tmp_path), str(batch), "is truncated", "30,730,000")


def test_a_label_out_of_range(lenet, tmp_path):
    batch = cifar10(tmp_path, "bin") / "data_batch_1.bin"
    content = bytearray(3073 * 10_000)
    content[3073 * 5] = 10
    batch.write_bytes(content)
    refused(train_cifar10(lenet, tmp_path), str(batch), "label 10 at image 5, out of range 0 to 9")


def test_a_wrong_count(lenet, tmp_path):
    batch = cifar10(tmp_path) / "data_batch_1"
    batch.write_bytes(pickle.dumps({b"data": np.zeros((9, 3072), np.uint8), b"labels": [0] * 9}, protocol=3))
    refused(train_cifar10(lenet, tmp_path), str(batch), "9", "10,000")


class Hostile:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_calls_anything_else_runs_nothing(lenet, tmp_path):
    batch = cifar10(tmp_path / "data") / "data_batch_1"
    content = pickle.dumps({b"data": Hostile(tmp_path / "mark"), b"labels": []})
    batch.write_bytes(content)
    refused(train_cifar10(lenet, tmp_path / "data"), str(batch), "is refused", "system")
    assert not (tmp_path / "mark").exists()
    pickle.loads(content)
    assert (tmp_path / "mark").exists()  # which is what it would have done


def test_an_archive_that_is_not_the_published_one(lenet, tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"something else")
    refused(train_cifar10(lenet, tmp_path), "cifar-10-python.tar.gz is not the published archive", "download it again")
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


def test_no_network(lenet, no_data):
    refused(lenet("train", "cifar100"), "cannot download cifar100", "https://", "by hand", "--data-dir")


# ---- folders and files that are wrong -------------------------------------------------------------------------------


def test_a_run_that_exists(lenet, digits_run):
    refused(lenet("train", "digits", "--out", digits_run.path), f"{digits_run.path} exists", "--resume", "--overwrite")


def test_an_unwritable_folder(lenet, tmp_path):
    folder = "/proc" if os.geteuid() == 0 else str(tmp_path)
    if folder != "/proc":
        tmp_path.chmod(0o500)
    refused(lenet("train", "digits", "--out", f"{folder}/run"), f"{folder}/run", "--out")


def one_of_each(path):
    """The kinds of files that a run writes, in a pattern that the name of each matches while it is written aside."""
    return rf"/\.{re.escape(path)}\.[0-9a-f]{{32}}\.part$"


@pytest.mark.parametrize(
    "file",
    [
        *("config.toml", "layers.json", "split.safetensors", "0.safetensors", "metrics.csv"),
        *("model.safetensors", "model.json", "curves.png", "confusion.png", "result.json"),
    ],
)
def test_a_full_disk_is_one_line_and_once_there_is_room_the_run_goes_on(
    lenet, tmp_path, monkeypatch, digits_run_files, plots, file
):
    sync = os.fsync

    def fsync(descriptor):
        if re.search(one_of_each(file), os.readlink(f"/proc/self/fd/{descriptor}")):  # noqa: PTH115
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    words = ["train", "digits", "--epochs", 2, "--batch-size", 32, "--out", tmp_path / "run"]
    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", fsync)
        refused(lenet(*words), "no space left on the disk", str(tmp_path / "run"), file, "--resume")
    assert lenet(*words, "--resume").code == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == digits_run_files["model.safetensors"]
    assert not [path for path in (tmp_path / "run").rglob("*") if path.name.endswith(".part")]


@pytest.fixture(scope="session")
def digits_run_files(tmp_path_factory):
    """The files of a run that nothing disturbed, by name."""
    import lenet

    path = tmp_path_factory.mktemp("undisturbed") / "run"
    lenet.train("digits", epochs=2, batch_size=32, out=path)
    return {each.name: each.read_bytes() for each in path.rglob("*") if each.is_file()}


def copy_of(run, tmp_path):
    __import__("shutil").copytree(run.path, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_checkpoint_whose_files_contradict_each_other(lenet, tmp_path, digits_run, command):
    path = copy_of(digits_run, tmp_path)
    facts = json.loads((path / "model.json").read_text())
    facts["layers"][-1]["out_features"] = 11
    (path / "model.json").write_text(json.dumps(facts))
    words = [picture(tmp_path / "a.png")] if command == "predict" else []
    refused(lenet(command, path, *words), "11 logits for 10 classes", "restore")


@pytest.mark.parametrize("command", ["eval", "predict"])
def test_a_checkpoint_that_is_cut_short(lenet, tmp_path, digits_run, command):
    path = copy_of(digits_run, tmp_path)
    content = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(content[:-10])
    words = [picture(tmp_path / "a.png")] if command == "predict" else []
    refused(lenet(command, path, *words), "model.safetensors", "restore it or train again")


def test_a_run_that_is_not_finished(lenet, tmp_path, digits_run):
    path = copy_of(digits_run, tmp_path)
    (path / "model.json").unlink()
    refused(lenet("eval", path), "not a finished run")


def test_eval_on_other_data(lenet, tmp_path, digits_run):
    refused(lenet("eval", digits_run.path, photos(tmp_path)), "class 'cat'", "not among the classes of the model")
    refused(lenet("eval", digits_run.path, "--network", 2), "no network 2", "0 to 1")


def test_predict_on_what_is_no_image(lenet, tmp_path, digits_run):
    (tmp_path / "text.png").write_text("words")
    refused(lenet("predict", digits_run.path, tmp_path / "text.png"), "text.png", "not an image")
    refused(lenet("predict", digits_run.path, tmp_path / "none.png"), "no image at", "none.png")
    refused(lenet("predict", digits_run.path, tmp_path), str(tmp_path))
    refused(lenet("predict", digits_run.path, picture(tmp_path / "a.png"), "--network", -1), "no network -1")
    refused(
        lenet("predict", digits_run.path, picture(tmp_path / "a.png"), "--top", 0),
        "top must be a whole number",
    )


# ---- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("cifar10", "data digits -> cifar10"),
        ("--epochs 3", "epochs 2 -> 3"),
        ("--lr 0.01 --seed 1", "lr 0.005 -> 0.01, seed 0 -> 1"),
        ("--model lenet5", "model lenet5-modern -> lenet5"),
        ("--recipe cifar100-vanilla", "data digits -> cifar100"),
    ],
)
def test_resume_refuses_changed_settings_by_name(lenet, digits_run, words, named):
    refused(lenet("train", *words.split(), "--resume", "--out", digits_run.path), "other settings", named)


def test_resume_of_a_finished_run_says_its_result_again_and_changes_nothing(lenet, digits_run):
    before = {path: path.read_bytes() for path in digits_run.path.rglob("*") if path.is_file()}
    outcome = lenet("train", "--resume", "--out", digits_run.path, "--epochs", 2)
    assert outcome.code == 0
    percent = 100 * digits_run.result["test_accuracy"]["mean"]
    assert f"test    {percent:.1f}% ± " in outcome.out
    assert before == {path: path.read_bytes() for path in digits_run.path.rglob("*") if path.is_file()}


def test_resume_with_neither_words_nor_folder_takes_the_newest_run(lenet):
    assert lenet("train", "digits", "--epochs", 1, "--resume").code == 0  # there is none: it starts one
    assert lenet("train", "digits", "--epochs", 1, "--seed", 1).code == 0
    outcome = lenet("train", "--resume")
    assert outcome.code == 0
    assert "runs/0002" in outcome.out
    assert "epoch 1/1" not in outcome.out  # it was finished


def test_overwrite_starts_over(lenet, tmp_path, plots):
    words = ["train", "digits", "--epochs", 1, "--out", tmp_path / "run"]
    assert lenet(*words).code == 0
    (tmp_path / "run" / "plots" / "mark").touch()
    assert lenet(*words, "--overwrite", "--seed", 4).code == 0
    assert Run(tmp_path / "run").config().seed == 4
    assert not (tmp_path / "run" / "plots" / "mark").exists()


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

    options = {f"--{field.name.replace('_', '-')}" for field in fields(Config)}  # pinned in test_config.py
    assert flags("train") == options - {"--data", "--data-sha256", "--start-sha256", "--teacher-sha256"} | {
        *("DATA", "--recipe", "--out", "--resume", "--overwrite", "--report", "--track", "--no-nesterov"),
    }
    assert flags("report") == {"RUN", "FILE", "--card", "--overwrite", "--data", "--data-dir"}
    assert flags("runs") == {"DIR", "--json"}
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
        "--uncalibrated",
        "--format",
        "--json",
        "--out",
    }
    assert flags("models") == {"--size", "--channels", "--classes", "--layers", "--no-layers"}
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
    for line in (lines[0], lines[-1]):
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


def test_predict_prints_json_for_programs(lenet, digits_run, tmp_path):
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
    running = process("train", "digits", "--epochs", 0)
    out, err = running.communicate()
    assert (running.returncode, out) == (2, "")
    assert err == "lenet: epochs must lie between 1 and 100,000, not 0\n"


@pytest.mark.parametrize("words", ["models --layers", "--help", "train digits --epochs 1"])
def test_a_closed_pipe_ends_it_quietly(process, words):
    running = process(*words.split())
    running.stdout.close()  # as `| head -1` does, sooner or later
    running.stdout = None
    assert running.communicate()[1] == ""
    assert running.returncode == 141


def test_a_full_disk_under_the_output_is_one_line(process):
    with Path("/dev/full").open("w") as full:
        running = process("models", stdout=full)
        _, err = running.communicate()
    assert running.returncode == 2
    assert err.count("\n") == 1
    assert "No space left on device" in err


def closed(descriptor):
    return lambda: os.close(descriptor)


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_works_with_a_standard_stream_closed(process, descriptor):
    running = process("train", "digits", "--epochs", 1, "--out", "run", preexec_fn=closed(descriptor))
    _, err = running.communicate()
    assert (running.returncode, err) == (0, "")
    assert Run("run").result["test_accuracy"]["mean"] > 0.1
