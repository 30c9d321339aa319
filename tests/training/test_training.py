"""Training: one epoch at a time; only what `state` returns is kept from one epoch to the next."""

import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from lenet.config import Augmentation
from lenet.data.plan import epoch_plan
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.models import SHAPES, network_of
from lenet.runs.tensors import read_tensors, write_tensors
from lenet.training.training import Stopped, initialised


def figures(row):
    """An epoch's row without its times."""
    return {name: value for name, value in asdict(row).items() if not name.endswith("seconds")}


def assert_same(one, other):
    """Weights, optimizer state and best weights are bit-identical, and the epochs are equal without times."""
    assert [figures(row) for row in one.history] == [figures(row) for row in other.history]
    one, other = one.state(), other.state()
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert name.startswith("history") or torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "sgd", "schedule": "cosine", "patience": 2},
        {"optimizer": "adamw", "batch_size": 7},
        {"ema": 0.9},
    ],
)
def test_training_resumed_from_state_is_bit_identical(start, tmp_path, engine, stop_after, options):
    whole = start(engine=engine, **options)
    for _ in range(3):
        whole.advance()
    first = start(engine=engine, **options)
    for _ in range(stop_after):
        first.advance()
    write_tensors(tmp_path / "state", first.state())
    first.advance()  # must not change the state that was returned before
    second = start(engine=engine, **options)
    second.load(read_tensors(tmp_path / "state"))
    assert second.epoch == stop_after
    while second.epoch < 3:
        second.advance()
    assert_same(whole, second)
    assert second.finished


def test_weight_averaging_validates_and_keeps_the_moving_average(start, engine):
    plain, smooth = start(engine=engine), start(engine=engine, ema=0.9)
    average, done = {}, 0
    for _ in range(2):
        epoch = plain.epoch
        for first in range(0, steps := len(plain._plan().steps), 8):
            part = plain._plan().part(first, min(first + 8, steps))
            plain._train(None, part, None)
            keep = min(0.9, (1 + done + first) / (10 + done + first)) ** len(part.steps)
            for name, tensor in plain.model.state_dict().items():
                old = average.get(name, tensor)
                average[name] = keep * old + (1 - keep) * tensor if tensor.is_floating_point() else tensor.clone()
        done += steps
        plain.history.append(row := smooth.advance())
        assert row.epoch == epoch + 1
    assert all(torch.allclose(smooth.average[name], tensor, atol=1e-6) for name, tensor in average.items())
    assert not any(torch.equal(smooth.average[n], t) for n, t in smooth.model.state_dict().items() if "weight" in n)
    plain.model.load_state_dict(average)
    logits, labels = plain.logits(plain.dataset.val), plain.dataset.labels[plain.dataset.val]
    assert row.val_accuracy == (logits.argmax(axis=1) == labels).mean()
    assert all(torch.equal(smooth.best_weights[n], t) for n, t in smooth.average.items()) == (smooth.best is row)


def test_a_state_without_average_is_refused_where_weights_are_averaged(start):
    plain, smooth = start(), start(ema=0.9)
    plain.advance()
    with pytest.raises(ValueError, match="another weight averaging"):
        smooth.load(plain.state())


def test_a_network_that_diverges_before_its_average_starts_is_resumed_as_failed(start):
    options = {"ema": 0.9, "lr": 1e20, "weight_decay": 10.0, "shape": "lenet-dropout", "schedule": "constant"}
    training = start(**options)
    training.advance()
    assert training.failed
    again = start(**options)
    again.load(training.state())
    assert again.failed


def test_same_seed_is_bit_identical_whatever_the_global_random_state(start, engine):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002  the global generator must have no effect
    one = start(engine=engine)
    one.advance()
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    other, beside = start(engine=engine), start(seed=5, engine=engine)
    beside.advance()
    other.advance()
    assert_same(one, other)
    assert not torch.equal(beside.model[1].weight, one.model[1].weight)


def test_seed_changes_weights_order_and_dropout(start):
    one, other = start(seed=0), start(seed=1)
    assert not torch.equal(one.model[1].weight, other.model[1].weight)
    plans = [training._plan() for training in (one, other)]
    assert not np.array_equal(plans[0].order, plans[1].order)
    assert plans[0].dropout_key != plans[1].dropout_key


def test_advance_trains_the_plan_of_seed_and_epoch(start, few_digits):
    training = start(max_shift=3)
    training.advance()
    training.advance()
    settings = Settings(training.config)
    model, state = (
        initialised(
            network_of(replace(SHAPES["lenet5-modern"], dropout=0.2), (16, 16, 1), 10, mean=[0.3], std=[0.4]), 0
        ),
        {},
    )
    for epoch in range(2):
        plan = epoch_plan(
            few_digits.train, seed=0, epoch=epoch, epochs=3, batch_size=16, learning_rate=training.config.lr,
            schedule="one-cycle", augment=Augmentation("random", 3), drop_single=True,
        )  # fmt: skip
        metrics = torch_engine.train(model, state, few_digits.images, few_digits.labels, plan, settings)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, training.model.state_dict()[name])
    assert training.history[1].train_loss == pytest.approx(metrics.loss)
    assert training.history[1].train_accuracy == metrics.accuracy


@pytest.mark.parametrize(
    ("augment", "turned"),
    [("none", (False, False)), ("flip", (True, False)), ("shift", (False, True)), ("flip-shift", (True, True))],
)
def test_augment_selects_flips_and_shifts(start, augment, turned):
    plan = start(augment=augment)._plan()
    assert (bool(plan.flips.any()), bool(plan.shifts.any())) == turned
    assert plan.warps is plan.colours is plan.boxes is None


def test_augment_and_its_strengths_reach_the_plan(start):
    names = {"rotate": "warps", "scale": "warps", "colour": "colours", "cutout": "boxes"}
    for kind, drawn in names.items():
        plan = start(augment=kind)._plan()
        assert [name for name in ("warps", "colours", "boxes") if getattr(plan, name) is not None] == [drawn], kind
    usual = start(augment="rotate-scale-colour-cutout")._plan()
    for option, value, name in (
        ("max_rotation", 30.0, "warps"), ("max_scale", 0.4, "warps"), ("max_colour", 0.1, "colours"),
        ("cutout_size", 0.5, "boxes"),
    ):  # fmt: skip
        changed = start(augment="rotate-scale-colour-cutout", **{option: value})._plan()
        for each in ("warps", "colours", "boxes"):
            assert np.array_equal(getattr(usual, each), getattr(changed, each)) == (each != name), option


def test_validation_is_cross_entropy_and_accuracy_of_validation_images(start, few_digits):
    training = start(label_smoothing=0.3)  # which applies to training only
    row = training.advance()
    with torch.no_grad():
        logits = training.model.eval()(torch.from_numpy(few_digits.images[few_digits.val]))
    labels = torch.from_numpy(few_digits.labels[few_digits.val])
    assert row.val_loss == pytest.approx(functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert row.val_accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert (row.seed, row.epoch, row.engine) == (0, 1, "torch")


def test_stop_abandons_epoch_and_earlier_state_stays_valid(start):
    training, whole = start(), start()
    training.advance()
    state = training.state()
    training.stop.set()
    with pytest.raises(Stopped):
        training.advance()
    assert training.epoch == 1
    again = start()
    again.load(state)
    while not again.finished:
        again.advance()
    while not whole.finished:
        whole.advance()
    assert_same(again, whole)


def test_stop_interrupts_a_running_epoch(start, digits):
    training = start(dataset=digits, batch_size=1, shape="lenet5")  # an epoch takes seconds
    ended = []

    def advance():
        try:
            training.advance()
        except Stopped:
            ended.append(training.so_far.images)

    thread = threading.Thread(target=advance)
    thread.start()
    while training.so_far.images == 0 and thread.is_alive():
        thread.join(0.001)
    training.stop.set()
    thread.join(30)
    assert len(ended) == 1
    assert 0 < ended[0] < len(digits.train)
    assert training.history == []


def test_best_is_the_first_of_equal_epochs_with_its_weights(start):
    training = start(lr=1e-9, schedule="constant", shape="lenet5", epochs=3)  # validation never changes
    training.advance()
    first = {name: tensor.clone() for name, tensor in training.model.state_dict().items()}
    training.advance()
    training.advance()
    assert len({row.val_accuracy for row in training.history}) == 1
    assert training.best.epoch == 1
    assert all(torch.equal(tensor, first[name]) for name, tensor in training.best_weights.items())
    assert any(not torch.equal(tensor, first[name]) for name, tensor in training.model.state_dict().items())


def test_best_is_the_epoch_with_highest_validation_accuracy(start):
    training = start(epochs=6)
    while not training.finished:
        training.advance()
    accuracies = [row.val_accuracy for row in training.history]
    assert training.best.epoch == accuracies.index(max(accuracies)) + 1
    assert training.best.epoch > 1


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_early_if_validation_does_not_improve(start, patience):
    training = start(lr=1e-9, schedule="constant", shape="lenet5", epochs=9, patience=patience)
    while not training.finished:
        training.advance()
    assert training.epoch == 1 + patience
    assert not training.failed


def test_training_never_stops_early_without_patience(start):
    training = start(lr=1e-9, schedule="constant", shape="lenet5", epochs=5)
    while not training.finished:
        training.advance()
    assert training.epoch == 5


def test_nonfinite_loss_ends_training_and_step_is_recorded(start, tmp_path):
    training = start(lr=100.0, weight_decay=10.0, optimizer="sgd", shape="lenet-dropout", schedule="constant", epochs=5)
    while not training.finished:
        training.advance()
    assert training.failed
    assert training.epoch < 5
    step = training.history[-1].failed_step
    assert 0 <= step < 10
    write_tensors(tmp_path / "state", training.state())
    again = start(lr=100.0, weight_decay=10.0, optimizer="sgd", shape="lenet-dropout", schedule="constant", epochs=5)
    again.load(read_tensors(tmp_path / "state"))
    assert again.failed
    assert again.history[-1].failed_step == step


def test_nonfinite_validation_loss_is_recorded_as_last_step(start, few_digits):
    # With one step per epoch, only validation shows that the update broke the network.
    diverging = {"lr": 100.0, "weight_decay": 10.0, "optimizer": "sgd", "momentum": 0.0, "schedule": "constant"}
    training = start(shape="lenet-dropout", batch_size=150, epochs=20, **diverging)
    while not training.finished:
        row = training.advance()
    assert training.failed
    assert row.failed_step == 0
    assert all(np.isfinite(each.val_loss) for each in training.history[:-1])


def test_state_of_another_network_is_refused(start):
    training = start()
    training.advance()
    with pytest.raises(ValueError, match="does not fit the network"):
        start(shape="lenet5").load(training.state())
