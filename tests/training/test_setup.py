"""Settings that cannot be trained are refused before anything is written."""

from dataclasses import replace

import numpy as np
import pytest

import lenet
from lenet.config import Config
from lenet.errors import InputError
from lenet.training import checks
from lenet.training.setup import make_setup, resolved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batch_size": 1},
            r"--batch-size 1: layer 11 \(BatchNorm1d\) cannot train on a single image; use 2 or more",
        ),
        ({"maps": (4096, 4096)}, "the network has 420,060,438 parameters; lenet trains at most 50,000,000"),
        ({"fc": (65536, 65536)}, "the network has 4,297,067,074 parameters"),
    ],
)
def test_untrainable_settings_are_refused_before_folder_is_made(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        lenet.train("digits", out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_batch_size_1_trains_without_trained_batch_norm(tmp_path):
    options = {"batch_size": 1, "epochs": 1, "per_class": 4, "classes": "0,1"}
    assert lenet.train("digits", model="lenet5", out=tmp_path / "plain", **options).result
    run = lenet.train("digits", model="lenet5-tuned", epochs=1, out=tmp_path / "body")
    frozen = lenet.transfer(run, "digits", out=tmp_path / "head", **options)  # batch norm is frozen
    assert frozen.result


def test_training_that_needs_more_than_free_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "free_memory", lambda: 100 << 20)
    with pytest.raises(InputError, match=r"needs at least 0\.\d GiB and 0\.1 GiB are free: use a smaller --batch-size"):
        lenet.train("digits", batch_size=4096, out=tmp_path / "run")
    with pytest.raises(InputError, match="use a smaller network or fewer seeds"):
        lenet.train("digits", fc=(1000, 1000), seeds=50, out=tmp_path / "run")
    monkeypatch.setattr(checks, "free_memory", lambda: 800 << 20)  # enough without Muon's matrices of 6,000 rows
    with pytest.raises(InputError, match=r"needs at least 1\.0 GiB and 0\.8 GiB are free"):
        lenet.train("digits", fc=(6000, 6000), optimizer="muon", out=tmp_path / "run")


def grey_images(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 16, 16, channels), np.uint8)
    return pixels, np.arange(40) % 2


def test_auto_flips_and_shifts_images_but_not_digits(tmp_path):
    def chosen(data, **options):
        seen = []
        lenet.train(
            data, epochs=1, out=tmp_path / "run", overwrite=True, watch=lambda *now: seen.append(now), **options
        )
        return seen[0][0].config.augment, list(seen[0][0].notes)

    assert chosen("digits", per_class=4) == ("none", [])
    assert chosen(grey_images(3)) == ("flip-shift", [])
    augment, notes = chosen(grey_images(1))
    assert augment == "flip-shift"
    assert notes == ["training images are flipped: if they are characters, give --augment shift"]
    assert chosen(grey_images(1), augment=["shift", "rotate"]) == ("shift-rotate", [])
    unused = "max-rotation changes nothing: --augment has no rotate"
    assert chosen(grey_images(3), augment="flip", max_rotation=30) == ("flip", [unused])
    unused = "patience changes nothing: --select last trains all epochs"
    assert chosen("digits", per_class=4, select="last", patience=2) == ("none", [unused])


def test_options_that_change_nothing_are_named(few_digits):
    def notes(dataset=few_digits, **options):
        return list(make_setup(Config(**options), dataset).notes)

    assert notes(teacher_weight=0.2) == ["teacher-weight and teacher-temperature change nothing without --teacher"]
    assert notes(unfreeze_after=3) == ["unfreeze-after changes nothing without --freeze"]
    never = "unfreeze-after changes nothing: the network trains for 5 epochs"
    assert notes(freeze="3", unfreeze_after=5, epochs=5) == [never]
    assert notes(freeze="3", unfreeze_after=4, epochs=5) == []
    assert notes(optimizer="adam", nesterov=False) == ["momentum and nesterov change nothing with --optimizer adam"]
    assert notes(optimizer="adam", momentum=0.5) == ["momentum and nesterov change nothing with --optimizer adam"]
    assert notes(optimizer="muon", momentum=0.5) == []
    assert notes(val_fraction=0.2, split_seed=1) == []
    own_val, own_both = replace(few_digits, has_val=True), replace(few_digits, has_val=True, has_test=True)
    fraction, seed = (
        f"{name} changes nothing: the data has splits of its own" for name in ("val-fraction", "split-seed")
    )
    assert notes(own_val, val_fraction=0.2, split_seed=1) == [fraction]
    assert notes(own_both, val_fraction=0.2, split_seed=1) == [seed, fraction]
    assert notes(own_both, val_fraction=0.2, split_seed=1, per_class=4) == [fraction]


@pytest.mark.parametrize(
    ("name", "augment"),
    [("mnist", "shift"), ("fashion_mnist", "flip-shift"), ("mine", "flip-shift"), ("digits", "none")],
)
def test_written_digits_are_not_mirrored_by_default(few_digits, name, augment):
    assert resolved(Config(data=name), replace(few_digits, name=name, files=None)).augment == augment
