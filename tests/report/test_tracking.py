"""lenet train --track: the figures of metrics.csv for TensorBoard and MLflow, also of a resumed run."""

import csv
import struct
import sys
from pathlib import Path

import pytest

import lenet
from lenet.errors import InputError
from lenet.report.tracking import Tracker

SMALL = {"epochs": 3, "seeds": 2, "batch_size": 64}


def events(folder):
    """{(tag, epoch): value} of all event files of a folder; a value that is there twice is an error."""
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    found = {}
    for path in folder.glob("events.out.tfevents.*"):
        content = path.read_bytes()
        while content:  # a record: length (8 bytes), checksum (4), data, checksum (4)
            (length,) = struct.unpack("<Q", content[:8])
            event = event_pb2.Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for value in event.summary.value:
                assert (value.tag, event.step) not in found
                found[value.tag, event.step] = value.simple_value
    return found


def rows(run, seed):
    with (run.path / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["seed"] == str(seed)]


def assert_same(run, seed, found):
    wanted = rows(run, seed)
    assert {epoch for _, epoch in found} == {int(row["epoch"]) for row in wanted}
    for row in wanted:
        epoch = int(row["epoch"])
        assert found["validation/accuracy", epoch] == pytest.approx(float(row["val_accuracy"]))
        assert found["train/loss", epoch] == pytest.approx(float(row["train_loss"]))


@pytest.mark.usefixtures("no_data")
def test_tensorboard_has_the_rows_of_metrics_csv():
    pytest.importorskip("tensorboardX")
    run = lenet.train("digits", **SMALL, out="run", track="tensorboard")
    for seed in (0, 1):
        assert_same(run, seed, events(run.path / "tensorboard" / f"seed-{seed}"))
    assert "track" not in (run.path / "config.toml").read_text()


@pytest.mark.usefixtures("no_data")
def test_a_resumed_run_has_every_epoch_once(interrupt_after):
    pytest.importorskip("tensorboardX")
    with interrupt_after(3), pytest.raises(KeyboardInterrupt):
        lenet.train("digits", **SMALL, out="run", track="tensorboard")
    run = lenet.train("digits", **SMALL, out="run", resume=True, track="tensorboard")
    for seed in (0, 1):
        assert_same(run, seed, events(run.path / "tensorboard" / f"seed-{seed}"))


@pytest.mark.usefixtures("no_data")
def test_a_finished_run_that_was_not_tracked_is_not_tracked_afterwards():
    pytest.importorskip("tensorboardX")
    run = lenet.train("digits", epochs=1, out="run")
    with pytest.raises(InputError, match=r"run is finished, and was not tracked: .* --recipe run/config\.toml --track"):
        lenet.train("digits", out="run", resume=True, track="tensorboard")
    assert not (run.path / "tensorboard").exists()
    tracked = {"epochs": 1, "out": "tracked", "track": "tensorboard"}
    first = lenet.train("digits", **tracked)
    assert lenet.train("digits", **tracked, resume=True).result == first.result


@pytest.mark.usefixtures("no_data")
def test_nothing_is_written_unless_asked_for():
    run = lenet.train("digits", epochs=1, out="run")
    assert not (run.path / "tensorboard").exists()
    assert not (run.path / "mlflow").exists()


@pytest.mark.usefixtures("no_data")
@pytest.mark.filterwarnings("ignore")  # of MLflow's dependencies
def test_mlflow_has_each_row_once_in_the_run_folder_whatever_the_environment_names(monkeypatch, interrupt_after):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with interrupt_after(3), pytest.raises(KeyboardInterrupt):
        lenet.train("digits", **SMALL, out="run", track="mlflow")
    run = lenet.train("digits", **SMALL, out="run", resume=True, track="mlflow")
    from mlflow import MlflowClient
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()
    client = MlflowClient(tracking_uri=f"sqlite:///{(run.path / 'mlflow' / 'mlflow.db').absolute()}")
    runs = client.search_runs([client.get_experiment_by_name("lenet").experiment_id])
    assert sorted(one.info.run_name for one in runs) == ["run/seed-0", "run/seed-1"]
    for one in runs:
        names = ("train/loss", "validation/accuracy")
        histories = {name: client.get_metric_history(one.info.run_id, name) for name in names}
        found = {(name, value.step): value.value for name, values in histories.items() for value in values}
        assert_same(run, int(one.info.run_name[-1]), found)
        assert [len(values) for values in histories.values()] == [3, 3]
        assert one.data.params["epochs"] == "3"
        assert one.info.status == "FINISHED"


@pytest.mark.parametrize(("track", "package"), [("tensorboard", "tensorboardX"), ("mlflow", "mlflow")])
def test_a_missing_package_is_one_line_and_leaves_no_run(lenet, refused, monkeypatch, track, package):
    monkeypatch.setitem(sys.modules, package, None)
    outcome = lenet("train", "digits", "--track", track)
    refused(outcome, f'--track {track} needs {package}: pip install "lenet[{track}]"')
    assert not Path("runs").exists()


def test_a_tracker_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="track must be tensorboard or mlflow, not 'wandb'"):
        lenet.train("digits", track="wandb")
    with pytest.raises(InputError, match=r"track must be tensorboard or mlflow, not \['mlflow'\]"):
        lenet.train("digits", track=["mlflow"])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    class Unwritable:
        path = tmp_path / "none"

    with pytest.raises(InputError, match="cannot write"):
        raise_from(Tracker("tensorboard", Unwritable()))


def raise_from(tracker):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    tracker._open = fail
    tracker(None, [None])
