"""A search that is killed, or whose workers are, resumes to identical figures, and leaves no process of Ray's."""

import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from lenet.files import is_left_over
from lenet.runs.tensors import read_tensors
from lenet.tuning.search import read_search
from lenet.tuning.trials import Trials

WORDS = ("tune", "digits", "--recipe", "none", "--augment", "none", "--space", "lr=loguniform(1e-3,1e-1)", "--trials",
         "4", "--epochs", "40", "--batch-size", "8", "--scheduler", "none", "--confirm", "0")  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(tuned):
    """The same search without interruption."""
    return tuned(space=["lr=loguniform(1e-3,1e-1)"], trials=4, epochs=40, batch_size=8, scheduler="none")


def wait_for(what, running, seconds=300):
    until = time.monotonic() + seconds
    while not what():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def half_way(path, running):
    """Wait until the first two trials have trained some of their epochs."""
    wait_for(lambda: len(list((path / "state").glob("[0-9]*"))) >= 2, running)
    time.sleep(0.3)


def figures(trials):
    return [[(row["train_loss"], row["val_loss"], row["val_accuracy"]) for row in trial["rows"]] for trial in trials]


def check_files(path):
    """Every file under a final name can be read."""
    search = read_search(path / "search.toml")
    for state in (path / "state").glob("*.safetensors"):
        if not is_left_over(state):
            assert "history:json" in read_tensors(state)
    if (path / "trials.csv").exists():
        Trials(search.space.names, search.metric, search.config.epochs).read(path / "trials.csv")


def test_a_search_that_is_killed_resumes_to_identical_figures(process, tuned, uninterrupted, tmp_path):
    path = tmp_path / "run"
    running = process(*WORDS, "--out", path)
    half_way(path, running)
    below = psutil.Process(running.pid).children(recursive=True)
    for one in (psutil.Process(running.pid), *below):
        one.kill()
    running.communicate()
    check_files(path)
    assert list((path / "state").glob("[0-9]*.safetensors"))
    search = tuned(resume=True, out=path)
    assert figures(search.trials) == figures(uninterrupted.trials)
    assert search.best["number"] == uninterrupted.best["number"]
    assert not any(map(is_left_over, path.rglob("*")))


def test_a_killed_worker_is_replaced_and_ctrl_c_leaves_no_process(process, ray_workers, uninterrupted, tuned, tmp_path):
    path = tmp_path / "run"
    running = process(*WORDS, "--out", path)
    half_way(path, running)
    workers = []
    wait_for(lambda: workers or workers.extend(ray_workers(running.pid)), running)
    workers[0].kill()
    wait_for(lambda: len(list((path / "state").glob("[0-9]*"))) >= 4, running)  # all trials have begun
    others = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130
    over = sum(trial["status"] == "finished" for trial in tuned_trials(path))
    assert err == f"lenet: stopped after {over} of 4 trials; resume with: lenet tune --resume --out {path}\n"
    assert psutil.wait_procs(others, timeout=10)[1] == []
    assert list(Path(os.environ["HOME"]).iterdir()) == [], "Ray wrote into the home folder"
    check_files(path)
    assert figures(tuned(resume=True, out=path).trials) == figures(uninterrupted.trials)


def tuned_trials(path):
    from dataclasses import asdict

    from lenet.tuning.folder import read_trials

    return [asdict(trial) for trial in read_trials(path, read_search(path / "search.toml"))]


def test_a_lost_table_of_trials_is_made_again(tuned, uninterrupted, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(uninterrupted.path, path)
    for name in ("result.json", "trials.csv"):
        (path / name).unlink()
    assert figures(tuned(resume=True, out=path).trials) == figures(uninterrupted.trials)


def test_tpe_is_told_the_values_and_results_of_the_trials_that_ended(tuned):
    options = {"search": "tpe", "epochs": 1, "batch_size": 64}
    first = tuned(space={"lr": "loguniform(1e-3,1e-1)"}, trials=3, **options)
    more = tuned(resume=True, out=first.path, trials=5)
    assert more.trials[:3] == first.trials
    assert [trial["number"] for trial in more.trials] == [0, 1, 2, 3, 4]
    assert len({trial["values"]["lr"] for trial in more.trials}) == 5
    assert len(more.result_grid) == 5


def test_a_state_that_cannot_be_written_ends_the_search(tuned, tmp_path):
    from lenet.errors import InputError

    path = tmp_path / "run"
    tuned(space={"lr": "choice(0.01, 0.02)"}, trials=1, epochs=1, batch_size=64, out=path)
    shutil.rmtree(path / "state")
    (path / "state").write_text("a file where the folder should be")
    with pytest.raises(InputError, match="state is a file, not a folder: choose another name"):
        tuned(resume=True, out=path, trials=3)
