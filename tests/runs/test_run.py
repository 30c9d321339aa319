"""The run folder: which folder a run gets, and what it contains."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lenet
from lenet.config import Config, resolve
from lenet.errors import InputError
from lenet.files import locked, temporary
from lenet.models import SHAPES, build, describe, network_of
from lenet.runs.metrics import EpochRow
from lenet.runs.opening import open_run, opened_run
from lenet.runs.run import Run
from lenet.runs.tensors import save_state, saved_state


def started(path):
    """A run in this folder that has written its config."""
    run = open_run(path)
    run.write_config(Config(), "")
    return run


def test_out_is_exactly_the_run_folder(tmp_path):
    run = open_run(tmp_path / "a" / "b")
    assert run.path == tmp_path / "a" / "b"
    assert run.path.is_dir()
    assert open_run(str(tmp_path / "c")).path == tmp_path / "c"


def test_empty_folder_may_be_used(tmp_path):
    assert open_run(tmp_path).path == tmp_path


def test_folders_are_numbered_without_out():
    assert [open_run(None).path for _ in range(3)] == [Path("runs/0001"), Path("runs/0002"), Path("runs/0003")]
    Path("runs/0041").mkdir()
    Path("runs/mine").mkdir()
    Path("runs/0100.txt").touch()
    assert open_run(None).path == Path("runs/0042")
    Path("runs/9999").mkdir()
    assert open_run(None).path == Path("runs/10000")


def test_existing_run_is_refused(tmp_path):
    path = started(tmp_path / "mine").path
    with pytest.raises(InputError, match=rf"{path} exists: use --resume to continue it, --overwrite to start over"):
        open_run(path)


def test_resume_opens_existing_run_or_new_folder(tmp_path):
    run = started(tmp_path / "mine")
    assert open_run(run.path, resume=True).config() == Config()
    fresh = open_run(tmp_path / "none", resume=True)
    assert fresh.path.is_dir()
    assert fresh.config() is None


def test_resume_without_out_opens_run_with_highest_number():
    assert open_run(None, resume=True).path == Path("runs/0001")  # without any run, a new one
    for number in (9, 10, 100):
        started(Path(f"runs/{number:04d}"))
    Path("runs/0200").mkdir()  # the user's own, as is the file
    Path("runs/0300").touch()
    assert open_run(None, resume=True).path == Path("runs/0100")
    Path("runs/0201").mkdir()
    Path(f"runs/0201/.config.toml.{'0a' * 16}.part").touch()  # a run that was killed at its start
    assert open_run(None, resume=True).path == Path("runs/0201")


def test_a_folder_of_the_users_is_not_removed_and_an_error_in_it_is_the_one_that_is_shown(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    for out in (".", tmp_path / "mine", tmp_path / "mine" / "new"):
        with pytest.raises(InputError, match="no such data"), opened_run(out):
            raise InputError("no such data")
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("out", ["", " ", "a\0b", "x" * 300])
def test_a_path_that_cannot_be_a_folder_is_refused(out):
    with pytest.raises(InputError, match=r"is not the path of a folder|has a name of more than 255 bytes"):
        open_run(out)


def test_paths_of_runs_may_begin_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert started("~/mine").path == Run("~/mine").path == tmp_path / "mine"


def test_overwrite_deletes_the_run_in_the_folder(tmp_path):
    run = started(tmp_path / "mine")
    (run.path / "state").mkdir()
    (run.path / "state" / "0.safetensors").touch()
    with opened_run(run.path, overwrite=True) as fresh:
        assert (fresh.path, fresh.config()) == (run.path, None)
        fresh.write_config(Config(epochs=3), "")
    assert [path.name for path in run.path.iterdir()] == ["config.toml"]
    assert run.config() == Config(epochs=3)


@pytest.mark.parametrize("options", [{"resume": True}, {"overwrite": True}])
def test_a_run_comes_back_whose_overwriting_was_killed_before_a_new_one_began(options, tmp_path):
    run = started(tmp_path / "mine")
    aside = temporary(run.path / "replaced")
    aside.mkdir()
    (run.path / "config.toml").rename(aside / "config.toml")
    assert open_run(run.path, **options).config() == Config()
    assert [path.name for path in run.path.iterdir()] == ["config.toml"]


def test_overwrite_puts_the_run_back_if_no_new_one_was_begun(tmp_path):
    run = started(tmp_path / "mine")
    (run.path / "state").mkdir()
    (run.path / "state" / "0.safetensors").touch()

    def fail():
        with opened_run(run.path, overwrite=True) as fresh:
            fresh.make_state_folder()
            raise InputError("no such data")

    with pytest.raises(InputError, match="no such data"):
        fail()
    assert {str(path.relative_to(run.path)) for path in run.path.rglob("*")} == {
        "config.toml", "state", "state/0.safetensors",
    }  # fmt: skip
    with opened_run(tmp_path / "new", overwrite=True):
        pass
    assert not (tmp_path / "new").exists()
    with opened_run(run.path, overwrite=True):
        shutil.rmtree(run.path)  # as a user may do meanwhile
    assert not run.path.exists()


@pytest.mark.parametrize("how", ["resume", "overwrite"])
def test_a_run_that_another_process_trains_is_left_alone(tmp_path, how):
    run = started(tmp_path / "mine")
    written_now = run.path / f".metrics.csv.{'0a' * 16}.part"
    written_now.touch()
    with locked(run.path, wait=False):
        with pytest.raises(InputError, match="in use by another lenet process"):
            open_run(run.path, **{how: True})
        assert {path.name for path in run.path.iterdir()} == {"config.toml", written_now.name}
    open_run(run.path, **{how: True})
    assert not written_now.exists()


@pytest.mark.parametrize("resume", [False, True])
def test_overwrite_never_deletes_folder_that_is_not_a_run(tmp_path, resume):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="is not a run: lenet does not write into folders that it did not make"):
        open_run(tmp_path, overwrite=True, resume=resume)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_resume_refuses_folder_that_is_not_a_run(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not a run"):
        open_run(tmp_path, resume=True)


def test_temporary_files_of_killed_run_are_removed(tmp_path):
    # A folder with only a temporary file, left by a kill during the first write, can be used again.
    (tmp_path / f".config.toml.{'0a' * 16}.part").touch()
    assert open_run(tmp_path, resume=True).config() is None
    assert list(tmp_path.iterdir()) == []
    run = started(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / f".0.safetensors.{'0a' * 16}.part").touch()
    (tmp_path / ".mine.part").touch()
    open_run(tmp_path, resume=True)
    assert {path.name for path in tmp_path.rglob("*")} == {"config.toml", "state", ".mine.part"}
    assert run.config() == Config()


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}])
def test_file_instead_of_folder_is_refused(tmp_path, how):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file, not a folder"):
        open_run(tmp_path / "file", **how)


def test_config_toml_is_a_recipe_of_the_same_config(tmp_path):
    config = Config(data="digits", epochs=3, maps=(4, 8), size=16, augment="none", weight_decay=1e-4)
    run = open_run(tmp_path)
    assert run.config() is None
    run.write_config(config, "CIFAR-10 is not on disk: ...\nsecond line")
    assert run.config() == config
    assert resolve(tmp_path / "config.toml") == config
    assert (tmp_path / "config.toml").read_text().startswith("# CIFAR-10 is not on disk: ...\n# second line\n")


def test_layers_state_and_metrics_are_read_as_written(tmp_path):
    run = open_run(tmp_path)
    assert (run.layers(), saved_state(run, 3), run.result) == (None, None, None)
    network = network_of(SHAPES["lenet5-modern"], (16, 16, 1), 10)
    run.write_layers(network)
    assert describe(build(run.layers())) == describe(network)
    run.make_state_folder()
    save_state(run, 3, {"model:weight": torch.arange(4.0)})
    assert torch.equal(saved_state(run, 3)["model:weight"], torch.arange(4.0))
    assert saved_state(run, 4) is None
    rows = [EpochRow(seed, 1, "torch", 0.5, 0.25, 0.75, 1 / 3, 1.5, 0.5, None, 0.25, 0.2) for seed in (0, 1)]
    run.write_metrics([*rows, replace(rows[1], epoch=2, failed_step=7, val_loss=float("nan"))])
    read = run.metrics()
    assert [(row["seed"], row["epoch"], row["failed_step"]) for row in read] == [
        (0, 1, None),
        (1, 1, None),
        (1, 2, 7),
    ]
    assert read[0]["val_accuracy"] == 1 / 3


def test_error_names_damaged_result(tmp_path):
    (tmp_path / "result.json").write_text('{"members": ')
    with pytest.raises(InputError, match=r"result.json is damaged .*: delete it and run again with --resume"):
        _ = Run(tmp_path).result


def test_error_names_damaged_layers_or_split(tmp_path, few_digits):
    (tmp_path / "layers.json").write_text("[{")
    with pytest.raises(InputError, match=r"layers\.json"):
        Run(tmp_path).layers()
    (tmp_path / "split.safetensors").write_text("?")
    with pytest.raises(InputError, match=r"split\.safetensors cannot be read"):
        Run(tmp_path).split.keep(few_digits)


def test_split_is_saved_at_the_start(tmp_path, digits, few_digits):
    run = open_run(tmp_path)
    assert run.split.keep(few_digits) is not None
    kept = Run(tmp_path).split.keep(digits)  # the same images with another split
    for name in ("train", "val", "test"):
        assert np.array_equal(getattr(kept, name), getattr(few_digits, name))


def test_changed_images_are_refused(tmp_path, few_digits):
    run = open_run(tmp_path)
    run.split.keep(few_digits)
    with pytest.raises(InputError, match=r"the images of digits are not those .* was started with"):
        run.split.keep(replace(few_digits, sha256="00" * 32))


def test_checkpoint_of_missing_or_unfinished_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"no run at .*none"):
        Run(tmp_path / "none").checkpoint()
    with pytest.raises(InputError, match="not a finished run"):
        started(tmp_path / "half").checkpoint()


def test_finished_run_has_all_its_files_but_plots(digits_run):
    there = {path.relative_to(digits_run.path).as_posix() for path in digits_run.path.rglob("*") if path.is_file()}
    assert there >= {
        *("config.toml", "metrics.csv", "result.json", "model.safetensors", "model.json"),
        *("state/0.safetensors", "state/1.safetensors"),
    }
    assert not [name for name in there if name.endswith(".part")]


def test_metrics_of_finished_run_are_ordered_by_network_and_epoch(digits_run):
    assert [(row.seed, row.epoch) for row in digits_run.rows()] == [(0, 1), (0, 2), (1, 1), (1, 2)]


def test_images_per_second_counts_only_the_steps_before_a_network_diverged(tmp_path):
    options = {"model": "lenet-dropout", "optimizer": "sgd", "batch_size": 8, "seeds": 8, "epochs": 1}
    run = lenet.train("digits", lr=4, out=tmp_path / "run", **options)
    failed = [row.failed_step for row in run.rows() if row.failed_step is not None]
    assert 0 < len(failed) < 8
    images = (8 - len(failed)) * run.split.sizes()["train"] + 8 * sum(failed)
    assert run.result["images_per_second"] * run.result["seconds"]["train"] == pytest.approx(images)


def test_result_has_all_its_keys(digits_run):
    result = json.loads((digits_run.path / "result.json").read_text())
    assert result.keys() >= {
        *("command", "data", "data_sha256", "model", "parameters", "members", "engine", "epochs", "seconds"),
        *("images_per_second", "val_accuracy", "test_accuracy", "best_epoch", "seed", "config", "versions"),
    }
    assert result["seconds"].keys() >= {"train", "validation", "total"}
    assert (result["data"], result["members"], result["epochs"]) == ("digits", 2, 2)
    images = 2 * 2 * digits_run.split.sizes()["train"]
    assert result["images_per_second"] * result["seconds"]["train"] == pytest.approx(images)
    spent = [sum(getattr(row, f"{what}_seconds") for row in digits_run.rows()) for what in ("train", "val")]
    assert result["seconds"]["train"] / result["seconds"]["validation"] == pytest.approx(spent[0] / spent[1], rel=1e-3)
    for which in ("val_accuracy", "test_accuracy"):
        each = result[which]["each"]
        assert len(each) == 2
        assert result[which]["mean"] == np.mean(each)
        assert result[which]["sd"] == np.std(each, ddof=1)
        assert min(each) > 0.5  # the networks learned
    assert result["versions"].keys() >= {"lenet", "torch", "numpy", "python"}
    assert result["config"]["augment"] == "none"
