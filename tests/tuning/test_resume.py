"""Whatever is killed, whenever: a search goes on to the same figures, and leaves nothing of Ray's behind."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from lenet.files import is_left_over
from lenet.runs.checkpoint import read_tensors
from lenet.tuning.search import read_search
from lenet.tuning.table import Table

WORDS = ("tune", "digits", "--recipe", "none", "--augment", "none", "--space", "lr=loguniform(1e-3,1e-1)", "--trials",
         "4", "--epochs", "40", "--batch-size", "8", "--scheduler", "none", "--confirm", "0")  # fmt: skip


@pytest.fixture(autouse=True)
def _needs_ray():
    pytest.importorskip("ray", reason='no ray here: pip install "lenet[tune]"')


@pytest.fixture(scope="module")
def uninterrupted(tuned):
    """The same search, left alone."""
    return tuned(space=["lr=loguniform(1e-3,1e-1)"], trials=4, epochs=40, batch_size=8, scheduler="none")


def wait_for(what, running, seconds=60):
    until = time.monotonic() + seconds
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def of_ray(above: int) -> list[tuple[int, str]]:
    """(pid, name) of Ray's processes below `above`."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except (OSError, ValueError):
            continue
    below = {above}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return [(pid, names[pid]) for pid in below - {above}]


def alive(pids):
    return [pid for pid, name in pids if (path := Path(f"/proc/{pid}/cmdline")).exists() and path.read_text()]


def half_way(path, running):
    """Until both trials that run first have states, in the midst of their epochs."""
    wait_for(lambda: len(list((path / "state").glob("[0-9]*"))) >= 2, running)
    time.sleep(0.3)


def figures(trials):
    return [[(row["train_loss"], row["val_loss"], row["val_accuracy"]) for row in trial["rows"]] for trial in trials]


def all_is_whole(path):
    """Every file under a final name can be read."""
    search = read_search(path / "search.toml")
    for state in (path / "state").glob("*.safetensors"):
        if not is_left_over(state):
            assert "history:json" in read_tensors(state)
    if (path / "trials.csv").exists():
        Table(search.space.names, search.metric, search.config.epochs).read(path / "trials.csv")


def test_all_killed_at_once(process, tuned, uninterrupted, tmp_path):
    path = tmp_path / "run"
    running = process(*WORDS, "--out", path)
    half_way(path, running)
    others = of_ray(running.pid)
    for pid in (running.pid, *(pid for pid, _ in others)):
        os.kill(pid, signal.SIGKILL)
    running.communicate()
    all_is_whole(path)
    before = {int(file.stem): file.stat().st_size for file in (path / "state").glob("[0-9]*.safetensors")}
    assert before
    search = tuned(resume=True, out=path)
    assert figures(search.trials) == figures(uninterrupted.trials)
    assert search.best["number"] == uninterrupted.best["number"]
    assert len(list((path / "state").iterdir())) == 4  # what was left aside is gone


def test_a_worker_killed(process, uninterrupted, tuned, tmp_path):
    path = tmp_path / "run"
    running = process(*WORDS, "--out", path)
    half_way(path, running)
    workers = [pid for pid, name in of_ray(running.pid) if name.startswith("ray::") and "Trainable" in name]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert err == ""
    assert figures(tuned(resume=True, out=path).trials) == figures(uninterrupted.trials)


def test_ctrl_c_leaves_no_process_and_says_how_to_go_on(process, uninterrupted, tuned, tmp_path):
    path = tmp_path / "run"
    running = process(*WORDS, "--out", path)
    half_way(path, running)
    others = of_ray(running.pid)
    assert others
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.splitlines() == [f"lenet: stopped after 0 of 4 trials; go on with: lenet tune --resume --out {path}"]
    assert alive(others) == []
    home = Path(os.environ["HOME"])
    assert list(home.iterdir()) == [], "Ray wrote into the home folder"
    all_is_whole(path)
    assert figures(tuned(resume=True, out=path).trials) == figures(uninterrupted.trials)


def cut_short(folder, pattern):
    for file in folder.glob(pattern):
        file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize("cut", ["experiment_state-*", "tuner.pkl", "basic-variant-*"])
def test_a_snapshot_cut_short_is_made_up_for(tuned, uninterrupted, tmp_path, cut):
    path = tmp_path / "run"
    shutil.copytree(uninterrupted.path, path)
    for name in ("result.json", "trials.csv"):
        (path / name).unlink()
    cut_short(path / "ray" / "0", cut)
    search = tuned(resume=True, out=path)
    assert figures(search.trials) == figures(uninterrupted.trials)


def test_a_searcher_that_learns_is_told_what_it_tried(tuned):
    options = {"search": "tpe", "trials": 4, "epochs": 1, "batch_size": 64}
    first = tuned(space={"lr": "loguniform(1e-3,1e-1)"}, **options)
    for name in ("result.json", "trials.csv"):
        (first.path / name).unlink()
    times = {state: state.stat().st_mtime_ns for state in (first.path / "state").iterdir()}
    cut_short(first.path / "ray" / "0", "experiment_state-*")
    again = tuned(resume=True, out=first.path)
    assert [trial["values"] for trial in again.trials] == [trial["values"] for trial in first.trials]
    assert {state: state.stat().st_mtime_ns for state in times} == times, "a finished trial was run again"


def test_a_state_that_cannot_be_written_ends_the_search_in_one_line(process, tuned, tmp_path):
    path = tmp_path / "run"
    first = tuned(space={"lr": "choice(0.01, 0.02)"}, trials=1, epochs=1, batch_size=64, out=path)
    shutil.rmtree(path / "state")
    (path / "state").write_text("where a folder should be")
    running = process("tune", "--resume", "--out", path, "--trials", "3")
    _, err = running.communicate(timeout=120)
    assert running.returncode == 2
    assert err.splitlines() == [f"lenet: {path / 'state'} is a file, not a folder: choose another name"]
    assert first.result["search"]["trials"] == 1
