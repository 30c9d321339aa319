"""A run interrupted at any moment and resumed is bit-identical to an uninterrupted run."""

import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from lenet.runs.run import Run

# The epochs are long enough to be interrupted, and one of the two networks may be ahead of the other.
WORDS = ("train", "digits", "--epochs", "3", "--batch-size", "16", "--seeds", "2", "--dropout", "0.1",
         "--augment", "flip", "shift", "rotate", "scale", "colour", "cutout")  # fmt: skip
# PyTorch's epochs are long enough on fewer images.
ENGINE = {"native": ("--engine", "native"), "torch": ("--engine", "torch", "--per-class", "50")}
TIMES = ("train_seconds", "val_seconds")


def results(path):
    """Everything that must be identical: bytes of files, epochs and result, without times."""
    result = json.loads((path / "result.json").read_text())
    for name in ("command", "seconds", "images_per_second"):
        del result[name]
    rows = [{name: value for name, value in row.items() if name not in TIMES} for row in Run(path).metrics()]
    rows.sort(key=lambda row: (row["seed"], int(row["epoch"])))
    files = {name: (path / name).read_bytes() for name in ("config.toml", "model.safetensors", "model.json")}
    return files, rows, result


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A function that returns the `results` of an uninterrupted run by engine."""
    found = {}

    def run(engine, lenet):
        if engine not in found:
            path = tmp_path_factory.mktemp("whole") / "run"
            assert lenet(*WORDS, *ENGINE[engine], "--out", path).code == 0
            found[engine] = results(path)
        return found[engine]

    return run


# A process that has loaded what a run needs and forks for each: loading takes longer than the runs.
FORKS = """
import json, os, signal, sys
import lenet.commands.train
from lenet.cli import main
for line in sys.stdin:
    words, folder = json.loads(line)
    if child := os.fork():
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, name in enumerate(("in", "out", "err")):
        os.dup2(os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.exit(main(words))
"""


class Forked:
    """The command line in a process with a group of its own."""

    def __init__(self, server, words, folder):
        self.server, self.folder = server, folder
        server.stdin.write(json.dumps([[str(word) for word in words], str(folder)]) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    def send(self, signal):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal)

    def ended(self):
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def wait(self):
        """Exit code, standard output and standard error."""
        return int(self.server.stdout.readline()), *((self.folder / name).read_text() for name in ("out", "err"))


@pytest.fixture(scope="module")
def server():
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as it:
        yield it


@pytest.fixture
def forked(server, tmp_path_factory):
    """A function that starts the command line in a process of its own, which is killed at the end of the test."""
    started = []

    def start(*words):
        started.append(Forked(server, words, tmp_path_factory.mktemp("forked")))
        return started[-1]

    yield start
    for running in started:
        running.send(signal.SIGKILL)


def wait_for(condition, running, seconds=300):
    """Wait until the condition holds or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and not running.ended():
        assert time.monotonic() < end, f"the condition did not hold within {seconds} seconds"
        time.sleep(0.002)


def states(path):
    return list((path / "state").glob("*.safetensors"))


def test_run_resumed_after_ctrl_c_is_bit_identical_to_uninterrupted_run(forked, lenet, uninterrupted, tmp_path, engine):
    path = tmp_path / "run"
    running = forked(*WORDS, *ENGINE[engine], "--out", path)
    wait_for(lambda: states(path), running)
    running.send(signal.SIGINT)
    code, out, err = running.wait()
    with pytest.raises(ProcessLookupError):  # no process of its group is left
        os.killpg(running.pid, 0)
    assert code == 130
    assert re.fullmatch(rf"lenet: stopped after epoch [\d, ]+ of 3; resume with: .+ --resume --out {path}\n", err), err
    assert "Traceback" not in out
    assert not (path / "result.json").exists()
    command = re.search(r"resume with: lenet (.+)\n", err)[1]
    again = lenet(*command.split())
    assert again.code == 0
    assert "resumed after epoch" in again.out
    assert results(path) == uninterrupted(engine, lenet)


def test_run_interrupted_in_first_epoch_resumes_bit_identical(forked, lenet, uninterrupted, tmp_path):
    path = tmp_path / "run"
    running = forked(*WORDS, *ENGINE["torch"], "--out", path)
    wait_for(lambda: (path / "split.safetensors").exists(), running)
    running.send(signal.SIGINT)
    code, _, err = running.wait()
    assert code == 130
    assert err.count("\n") == 1
    assert lenet("train", "--resume", "--out", path).code == 0
    assert results(path) == uninterrupted("torch", lenet)


def test_run_killed_several_times_resumes_bit_identical(forked, lenet, uninterrupted, tmp_path, engine):
    path = tmp_path / "run"
    draw = random.Random()
    kills = []
    for resume in ([], ["--resume"], ["--resume"]):
        before = {state: state.stat().st_mtime_ns for state in states(path)}
        running = forked(*WORDS, *ENGINE[engine], *resume, "--out", path)
        # Kill at a random time after the first file, so that some kills hit the first files and some the training.
        wait_for(lambda: (path / "config.toml").exists() or any(path.glob(".*")), running)
        if kills:
            wait_for(lambda: any(before.get(s) != s.stat().st_mtime_ns for s in states(path)), running)  # noqa: B023
        kills.append(draw.uniform(0, 0.4))
        time.sleep(kills[-1])
        running.send(signal.SIGKILL)
        code, _, err = running.wait()
        assert code in (-signal.SIGKILL, 0), err  # 0 if the run had finished already
    outcome = lenet(*WORDS, *ENGINE[engine], "--resume", "--out", path)
    assert outcome.code == 0, (kills, outcome)
    assert results(path) == uninterrupted(engine, lenet), kills
    assert not [left for left in path.rglob("*") if left.name.endswith(".part")]


@pytest.fixture
def run_without(tmp_path, digits_run):
    """A function that copies a finished run without the files that match the given patterns."""

    def make(*gone):
        path = tmp_path / "copy"
        shutil.copytree(digits_run.path, path)
        for name in gone:
            for each in path.glob(name):
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        return path

    return make


NOTHING_BUT_CONFIG = ("[!c]*",)
RESULT_AND_MODEL = ("result.json", "model.*")


@pytest.mark.parametrize(
    "gone",
    [
        ("result.json",),
        (*RESULT_AND_MODEL, "state/1.safetensors"),
        (*RESULT_AND_MODEL, "metrics.csv"),
        ("result.json", "layers.json"),
        ("result.json", "model.json"),
    ],
)
def test_resume_from_any_subset_of_files_is_bit_identical(lenet, run_without, digits_run, gone):
    path = run_without(*gone)
    assert lenet("train", "--resume", "--out", path).code == 0
    assert results(path) == results(digits_run.path)
    assert (path / "layers.json").exists()


@pytest.mark.parametrize("gone", [NOTHING_BUT_CONFIG, RESULT_AND_MODEL])
def test_resume_without_a_model_is_bit_identical_and_draws_the_plots(lenet, run_without, digits_run, plots, gone):
    path = run_without(*gone)
    assert (path / "config.toml").exists()
    assert lenet("train", "--resume", "--out", path).code == 0
    assert results(path) == results(digits_run.path)
    assert {plot.name for plot in (path / "plots").iterdir()} == {"curves.png", "confusion.png", "reliability.png"}
    for name in ("layers.json", "split.safetensors"):
        assert (path / name).exists()


def test_resume_without_a_run_is_bit_identical_to_a_new_run(lenet, tmp_path, digits_run):
    words = ["train", "digits", "--epochs", 2, "--seeds", 2, "--batch-size", 32, "--optimizer", "adam", "--lr", 0.005]
    assert lenet(*words, "--resume", "--out", tmp_path / "none").code == 0
    assert results(tmp_path / "none") == results(digits_run.path)


def test_error_names_state_of_another_network(lenet, run_without, tmp_path):
    path = run_without("result.json")
    assert lenet("train", "digits", "--epochs", 1, "--model", "lenet5", "--out", tmp_path / "other").code == 0
    shutil.copy(tmp_path / "other" / "state" / "0.safetensors", path / "state" / "0.safetensors")
    outcome = lenet("train", "--resume", "--out", path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "state/0.safetensors is of another network" in outcome.err


def test_engine_may_change_on_resume_with_a_note(lenet, tmp_path):
    from lenet.engine import native

    if reason := native.available():
        pytest.skip(reason)
    import lenet as api

    def stop(setup, trainings):
        if trainings[0].epoch:
            raise KeyboardInterrupt

    half = tmp_path / "half"
    with pytest.raises(KeyboardInterrupt, match="resume with"):
        api.train("digits", model="lenet5", epochs=40, engine="torch", out=half, watch=stop)
    before = len(Run(half).rows())
    outcome = lenet("train", "--resume", "--engine", "native", "--out", half)
    assert outcome.code == 0
    assert re.search("results differ in their last bits", outcome.out)
    assert [row["engine"] for row in Run(half).metrics()] == ["torch"] * before + ["native"] * (40 - before)
    assert 0 < before < 40
    assert Run(half).result["engine"] == "native, torch"


def test_resume_refuses_another_number_of_threads(lenet, run_without):
    path = run_without("result.json", "state/1.safetensors")
    outcome = lenet("train", "--resume", "--threads", 7, "--out", path)
    assert outcome.code == 2
    assert "threads" in outcome.err


def test_resumed_run_keeps_early_stopping(lenet, tmp_path):
    path = tmp_path / "run"
    words = ["train", "digits", "--epochs", 9, "--patience", 2, "--lr", 1e-9, "--model", "lenet5", "--out", path]
    assert lenet(*words).code == 0
    whole = results(tmp_path / "run")
    assert len(whole[1]) == 3
    (tmp_path / "run" / "result.json").unlink()
    assert lenet("train", "--resume", "--out", tmp_path / "run").code == 0
    assert results(tmp_path / "run") == whole


def test_ctrl_c_while_the_test_set_is_evaluated_says_how_to_resume(lenet, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("lenet.commands.train.evaluate_test_set", interrupted)
        outcome = lenet("train", "digits", "--epochs", 1, "--out", tmp_path / "run")
    assert outcome.code == 130
    assert outcome.err == f"lenet: stopped after epoch 1 of 1; resume with: lenet train --resume --out {tmp_path}/run\n"
    assert lenet("train", "--resume", "--out", tmp_path / "run").code == 0
