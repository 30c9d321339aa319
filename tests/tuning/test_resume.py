"""A search that is killed, or whose workers are, resumes to identical figures, and leaves no process of Ray's."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from lenet.errors import InputError
from lenet.files import is_left_over
from lenet.runs.tensors import read_tensors
from lenet.tuning.folder import read_trials
from lenet.tuning.search import read_search

pytestmark = pytest.mark.slow
WORDS = ("tune", "digits", "--recipe", "none", "--augment", "none", "--space", "lr=loguniform(1e-3,1e-1)", "--trials",
         "4", "--epochs", "30", "--batch-size", "8", "--scheduler", "none", "--confirm", "0")  # fmt: skip


def wait_for(states, path, running, also=lambda: True, seconds=300):
    """Wait until this many trials have trained an epoch."""
    until = time.monotonic() + seconds
    while len(list((path / "state").glob("[0-9]*"))) < states or not also():
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def figures(search):
    return [[(row["train_loss"], row["val_loss"], row["val_accuracy"]) for row in trial["rows"]]
            for trial in search.trials]  # fmt: skip


def trials_in(path):
    """The trials of the folder, after reading every file that stands under its final name."""
    states = [state for state in (path / "state").glob("*.safetensors") if not is_left_over(state)]
    assert states
    assert all("history:json" in read_tensors(state) for state in states)
    return read_trials(path, read_search(path / "search.toml"))


def test_a_search_resumes_to_identical_figures_when_killed_when_a_worker_is_and_by_ctrl_c(
    process, ray_workers, tuned, tmp_path
):
    path = tmp_path / "run"
    running = process(*WORDS, "--out", path)
    wait_for(2, path, running)
    time.sleep(0.3)  # the first two trials have trained some of their epochs
    for one in (psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)):
        one.kill()
    running.communicate()
    trials_in(path)

    running = process("tune", "--resume", "--workers", "1", "--out", path)
    workers = []
    wait_for(3, path, running, lambda: workers.extend(ray_workers(running.pid)) or workers)
    workers[0].kill()
    wait_for(4, path, running)  # all trials have begun
    others = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130
    over = sum(trial.status == "finished" for trial in trials_in(path))
    assert err == f"lenet: stopped after {over} of 4 trials; resume with: lenet tune --resume --out {path}\n"
    assert psutil.wait_procs(others, timeout=60)[1] == []
    assert list(Path(os.environ["HOME"]).iterdir()) == [], "Ray wrote into the home folder"

    (path / "trials.csv").unlink()  # a lost table is made again
    search = tuned(resume=True, out=path)
    whole = tuned(space=["lr=loguniform(1e-3,1e-1)"], trials=4, epochs=30, batch_size=8, scheduler="none")
    assert figures(search) == figures(whole)
    assert search.best["number"] == whole.best["number"]
    assert not any(map(is_left_over, path.rglob("*")))
    for name in ("result.json", "trials.csv"):
        (path / name).unlink()
    assert figures(tuned(resume=True, out=path)) == figures(whole), "a lost table of trials was not made again"


@pytest.mark.parametrize("confirming", [False, True])
def test_sigterm_ends_a_search_as_ctrl_c_does(process, tmp_path, confirming):
    path = tmp_path / "run"
    seeds, epochs = ("5", "100") if confirming else ("0", "3000")
    running = process("tune", "digits", "--recipe", "none", "--space", "lr=choice(0.01)", "--trials", "1", "--epochs",
                      epochs, "--confirm", seeds, "--out", path)  # fmt: skip
    wait_for(1, path, running, lambda: not confirming or any(path.glob("confirm/*/metrics.csv")))
    others = psutil.Process(running.pid).children(recursive=True)
    running.terminate()
    _, err = running.communicate(timeout=300)
    assert running.returncode == 130, err
    assert err.startswith("lenet: stopped ")
    assert err.endswith(f"resume with: lenet tune --resume --out {path}\n")
    assert err.count("\n") == 1
    assert psutil.wait_procs(others, timeout=60)[1] == []


def test_tpe_is_told_the_values_and_results_of_the_trials_that_ended_on_images_in_memory(tuned):
    data = np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), np.uint8), np.arange(60) % 3
    options = {"search": "tpe", "epochs": 1, "batch_size": 16}
    first = tuned(data, space={"lr": "loguniform(1e-3,1e-1)"}, trials=3, **options)
    more = tuned(data, resume=True, out=first.path, trials=5, confirm=1)
    assert more.confirmed.config().data == "memory"
    assert {trial["status"] for trial in more.trials} == {"finished"}
    assert more.trials[:3] == first.trials
    assert [trial["number"] for trial in more.trials] == [0, 1, 2, 3, 4]
    assert len({trial["values"]["lr"] for trial in more.trials}) == 5
    assert len(more.result_grid) == 5


def test_a_state_that_cannot_be_written_ends_the_search(tuned, tmp_path):
    path = tmp_path / "run"

    def watch(setup, trials):
        if not trials:
            (path / "state").write_text("a file where the folder should be")

    with pytest.raises(InputError, match="state is a file, not a folder: choose another name"):
        tuned(space={"lr": "choice(0.01, 0.02)"}, trials=2, epochs=1, batch_size=64, out=path, watch=watch)
