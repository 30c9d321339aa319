"""Distillation: targets that mix labels with the predictions of other networks."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import lenet
from lenet.config import Augmentation, Config
from lenet.data.augment import augmented
from lenet.data.plan import epoch_plan
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.engine.choice import Choice
from lenet.errors import InputError
from lenet.training import checks, setup
from lenet.training import teacher as module
from lenet.training.setup import make_setup
from lenet.training.teacher import read_teacher
from lenet.training.training import Training

SMALL = {"maps": (2, 4), "fc": (), "epochs": 3, "batch_size": 16, "size": 16, "channels": 1}


@pytest.fixture
def config(digits_run):
    teacher = {"teacher": (str(digits_run.path),), "teacher_weight": 0.75, "teacher_temperature": 3.0}
    return Config(augment="flip-shift", **teacher, **SMALL)


def plan_of(dataset, epoch=0):
    return epoch_plan(
        dataset.train,
        seed=3,
        epoch=epoch,
        epochs=3,
        batch_size=16,
        learning_rate=0.1,
        augment=Augmentation("random", 2),
    )


def targets_of(teacher, dataset, plan):
    return teacher.targets(dataset, plan, Settings(), lambda: None)


def test_targets_mix_labels_and_the_mean_logits_at_the_temperature(config, few_digits, digits_run):
    plan = plan_of(few_digits)
    targets = targets_of(read_teacher(config, few_digits, Settings()), few_digits, plan)
    views = torch.from_numpy(augmented(few_digits.images, plan))
    with torch.inference_mode():
        logits = torch.stack([network(views).double() for network in digits_run.checkpoint().networks]).mean(0)
    labels = torch.nn.functional.one_hot(torch.from_numpy(few_digits.labels[plan.order]), 10)
    expected = 0.25 * labels + 0.75 * (logits / 3.0).softmax(1)
    assert targets.dtype == np.float32
    assert np.abs(targets - expected.numpy()).max() < 1e-3  # logits are kept in float16
    assert np.allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_a_view_is_computed_once_and_without_a_table_every_time(config, few_digits, monkeypatch):
    seen = []
    engine = SimpleNamespace(logits=lambda *given: seen.append(len(given[1])) or torch_engine.logits(*given))
    monkeypatch.setattr(module, "choose", lambda *given: Choice("native", engine, "requested"))
    teacher, plan = read_teacher(config, few_digits, Settings()), plan_of(few_digits)
    first = targets_of(teacher, few_digits, plan)
    assert sum(seen) == 2 * len(few_digits.train)  # two networks
    assert (targets_of(teacher, few_digits, plan) == first).all()
    assert sum(seen) == 2 * len(few_digits.train)
    monkeypatch.setattr(module, "free_memory", lambda: 0)
    poor = read_teacher(config, few_digits, Settings())
    assert (targets_of(poor, few_digits, plan) == first).all()
    assert (targets_of(poor, few_digits, plan) == first).all()
    assert sum(seen) == 6 * len(few_digits.train)


def test_rotated_and_recoloured_views_are_computed_as_the_network_sees_them(config, few_digits, digits_run):
    teacher = read_teacher(config, few_digits, Settings())
    targets_of(teacher, few_digits, plan_of(few_digits))  # whose views must not be taken for the rotated ones
    plan = epoch_plan(
        few_digits.train, seed=3, epoch=0, epochs=3, batch_size=16, learning_rate=0.1, image_size=(16, 16),
        augment=Augmentation(max_rotation=30.0, max_colour=0.3, cutout_size=0.3),
    )  # fmt: skip
    targets = targets_of(teacher, few_digits, plan)
    views = torch.from_numpy(augmented(few_digits.images, plan))
    with torch.inference_mode():
        logits = torch.stack([network(views).double() for network in digits_run.checkpoint().networks]).mean(0)
    labels = torch.nn.functional.one_hot(torch.from_numpy(few_digits.labels[plan.order]), 10)
    assert np.abs(targets - (0.25 * labels + 0.75 * (logits / 3.0).softmax(1)).numpy()).max() < 1e-3


@pytest.mark.parametrize("options", [{}, {"freeze": "2"}, {"augment": "none", "ema": 0.9}])
def test_a_resumed_distillation_is_bit_identical(config, few_digits, engine, options):
    setup = make_setup(replace(config, engine=engine, **options), few_digits)
    whole = Training(setup)
    for _ in range(3):
        whole.advance()
    first = Training(setup)
    first.advance()
    second = Training(make_setup(setup.config, few_digits))
    second.load(first.state())
    while not second.finished:
        second.advance()
    assert all(
        torch.equal(tensor, second.model.state_dict()[name]) for name, tensor in whole.model.state_dict().items()
    )


def test_the_teacher_changes_what_is_learned_and_engines_agree(config, few_digits):
    def weights(config):
        training = Training(make_setup(config, few_digits))
        training.advance()
        return training.model.state_dict()

    plain = weights(replace(config, teacher=None, engine="torch"))
    torch_, native = (weights(replace(config, engine=name)) for name in ("torch", "native"))
    assert not torch.allclose(plain["1.weight"], torch_["1.weight"], atol=1e-3)
    assert torch.allclose(native["1.weight"], torch_["1.weight"], atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 24}, r"takes images of 16x16x1, not 24x24x1"),
        ({"classes": "0,1,2"}, "knows other classes than the data"),
        ({"teacher_sha256": "0" * 64}, "are not those of teacher_sha256"),
        ({"teacher": "nowhere"}, "nowhere"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(digits_run, tmp_path, options, message):
    given = {"teacher": [digits_run.path], "epochs": 1} | options
    with pytest.raises(InputError, match=message):
        lenet.train("digits", **given, out=tmp_path / "run")
    assert not (tmp_path / "run" / "config.toml").exists()


def test_targets_that_need_more_than_free_memory_are_refused(digits, digits_run, tmp_path, monkeypatch):
    needed = 6 * len(digits.train) * 10  # bytes, for ten classes
    monkeypatch.setattr(setup, "check_memory", lambda *_: None)
    monkeypatch.setattr(checks, "free_memory", lambda: needed - 1)
    options = {"teacher": [digits_run.path], "epochs": 1}
    with pytest.raises(InputError, match=r"the teachers' predictions .* need 0\.0 GiB .*: use fewer images"):
        lenet.train("digits", **options, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(checks, "free_memory", lambda: needed)
    assert lenet.train("digits", **options, out=tmp_path / "run").result


@pytest.mark.parametrize("use", ["teacher", "start"])
def test_weights_of_another_run_that_are_not_finite_are_named(digits_run, tmp_path, use):
    shutil.copytree(digits_run.path, tmp_path / "damaged")
    tensors = load_file(tmp_path / "damaged" / "model.safetensors")
    tensors["1.1.weight"][0] = float("nan")
    save_file(tensors, tmp_path / "damaged" / "model.safetensors")
    options = {use: [tmp_path / "damaged"] if use == "teacher" else tmp_path / "damaged"}
    with pytest.raises(InputError, match=r"damaged: 1\.weight of network 1 has values that are not finite"):
        lenet.train("digits", **options, epochs=1, out=tmp_path / "run")


def test_a_run_names_its_teachers_by_path_and_content_and_its_config_repeats_it(digits_run, tmp_path):
    run = lenet.train("digits", teacher=digits_run.path, maps=(2, 4), fc=(), epochs=1, out=tmp_path / "run")
    kept = run.config()
    assert kept.teacher == (str(digits_run.path),)
    assert len(kept.teacher_sha256) == 64
    again = lenet.train(recipe=run.path / "config.toml", out=tmp_path / "again")
    assert again.result["test_loss"] == run.result["test_loss"]


def test_a_run_resumes_with_its_teacher_wherever_it_is_but_with_no_other(tmp_path, interrupt_after):
    small = {"maps": (2, 4), "fc": (), "batch_size": 64}
    first, second = (lenet.train("digits", epochs=1, seed=n, out=tmp_path / str(n), **small).path for n in (1, 2))
    options = {"epochs": 2, "out": tmp_path / "run", **small}
    with interrupt_after(1), pytest.raises(KeyboardInterrupt):
        lenet.train("digits", teacher=str(first), **options)
    moved = first.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="teacher: no run at"):
        lenet.train("digits", resume=True, **options)
    with pytest.raises(InputError, match="was started with other settings"):
        lenet.train("digits", teacher=str(second), resume=True, **options)
    with pytest.raises(InputError, match="was started with other settings"):
        lenet.train("digits", teacher=[str(moved), str(second)], resume=True, **options)
    run = lenet.train("digits", teacher=str(moved), resume=True, **options)
    whole = lenet.train("digits", teacher=str(moved), **(options | {"out": tmp_path / "whole"}))
    assert run.result["test_loss"] == whole.result["test_loss"]
    other = lenet.train(recipe=run.path / "config.toml", teacher=str(second), out=tmp_path / "other")
    assert other.config().teacher_sha256 != run.config().teacher_sha256


def test_training_accuracy_counts_the_labels(config, few_digits):
    """The teacher always names the same class, which the student soon does too."""
    setup = make_setup(config, few_digits)
    for network in setup.teacher.networks:
        with torch.no_grad():
            network[-1].weight.zero_()
            network[-1].bias.copy_(torch.eye(10)[3] * 50)
    training = Training(replace(setup, teacher=replace(setup.teacher, weight=1.0)))
    last = [training.advance() for _ in range(3)][-1]
    assert (training.logits(few_digits.train).argmax(1) == 3).mean() > 0.9
    assert last.train_accuracy < 0.3
