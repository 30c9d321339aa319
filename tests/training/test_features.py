"""Frozen layers: their number, and training on their cached outputs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lenet.config import Config
from lenet.engine import native
from lenet.engine import torch as torch_engine
from lenet.errors import InputError
from lenet.training import features
from lenet.training.features import features_of, frozen_layers
from lenet.training.setup import make_setup
from lenet.training.training import Training


@pytest.mark.parametrize(("freeze", "frozen"), [("none", 0), ("0", 0), ("all-but-last", 13), ("7", 7), ("13", 13)])
def test_number_of_frozen_layers(freeze, frozen):
    assert frozen_layers(freeze, 14) == frozen


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("14", "out of range: the network has 14 layers"),
        ("99", "give 0 to 13"),
        ("all-but-lst", "did you mean 'all-but-last'"),
        ("-1", "freeze cannot be '-1'"),
        ("2.5", "freeze cannot be '2.5'"),
        ("1" * 5000, "freeze cannot be"),
        ("", "freeze cannot be ''"),
    ],
)
def test_invalid_freeze_is_refused(freeze, message):
    with pytest.raises(InputError, match=message):
        frozen_layers(freeze, 14)


@pytest.fixture
def training(few_digits):
    """A function that makes a Training on a few digits. cached: whether it may cache features."""

    def make(engine="torch", model="lenet5-tuned", cached=True, **options):
        usual = {"augment": "none", "epochs": 3, "batch_size": 16, "size": 16, "channels": 1}
        config = Config(model=model, engine=engine, **usual, **options)
        made = Training(make_setup(config, few_digits))
        if not cached:
            made._features_tried = True  # as if features could not be used
        return made

    return make


def test_features_do_not_depend_on_how_many_images_are_read_at_once(digits, engine, monkeypatch):
    config = Config(engine=engine, augment="none", freeze="all-but-last", size=16, channels=1)
    training = Training(make_setup(config, digits))  # 1,600 images
    found = []
    for some in (256, 4096):
        monkeypatch.setattr(features, "_SOME", some)
        kept = features_of(training.model, training.frozen, digits, training.choice, training.settings)
        found.append(kept.dataset.images)
    np.testing.assert_array_equal(*found)


def run(training):
    while not training.finished:
        training.advance()
    return training


# lenet5-tuned's layers: Normalize; 1 to 6 twice convolution, ReLU and pool; Flatten 7, Linear 8, batch norm 9, ReLU 10,
# Linear 11, ReLU 12, Linear 13. Not 8 with Adam: the gradient of a bias before batch norm is a rounding error, which
# Adam scales to the size of any other gradient.
@pytest.mark.parametrize(
    ("freeze", "optimizer"),
    [("8", "sgd"), ("10", "sgd"), ("10", "adam"), ("12", "adam"), ("all-but-last", "sgd"), ("all-but-last", "adam")],
)
def test_training_on_cached_features_matches_training_on_images(training, engine, freeze, optimizer):
    options = {"freeze": freeze, "optimizer": optimizer, "lr": 1e-3}
    cached, whole = (run(training(engine, cached=cached, **options)) for cached in (True, False))
    assert cached._features is not None
    assert whole._features is None
    assert sorted(cached.optimizer_state) == sorted(whole.optimizer_state)
    for name in ("best_weights", "optimizer_state"):
        for key, tensor in getattr(cached, name).items():
            torch.testing.assert_close(tensor, getattr(whole, name)[key], rtol=1e-4, atol=1e-5)
    for key, tensor in cached.model.state_dict().items():
        torch.testing.assert_close(tensor, whole.model.state_dict()[key], rtol=1e-4, atol=1e-5)
    for row, expected in zip(cached.history, whole.history, strict=True):
        assert row.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
        assert row.val_loss == pytest.approx(expected.val_loss, rel=1e-4)
        assert row.val_accuracy == pytest.approx(expected.val_accuracy, abs=0.021)  # one image of fifty


@pytest.mark.parametrize("freeze", ["3", "7"])
def test_feature_maps_are_not_cached(training, freeze):
    assert run(training(freeze=freeze))._features is None


@pytest.mark.skipif(native.available() is not None, reason="the native engine is not built")
def test_the_native_engine_trains_a_tail_without_a_linear_layer_on_images(few_digits):
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10), nn.BatchNorm1d(10))
    trainings = []
    for engine in ("native", "torch"):
        config = Config(engine=engine, freeze="all-but-last", augment="none", epochs=2, batch_size=10)
        trainings.append(run(Training(make_setup(config, few_digits, own=own))))
    assert [training._features is None for training in trainings] == [True, False]
    ours, expected = (training.history[-1] for training in trainings)
    assert ours.train_loss == pytest.approx(expected.train_loss, rel=1e-4)
    assert ours.val_loss == pytest.approx(expected.val_loss, rel=1e-4)


def test_layers_without_parameters_cannot_be_all_that_is_trained(few_digits):
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10), nn.Flatten())
    with pytest.raises(InputError, match="freeze all-but-last leaves nothing to train: the layers after the first 5"):
        make_setup(Config(freeze="all-but-last"), few_digits, own=own)


def test_features_are_not_cached_if_tail_has_dropout(training):
    # Dropped units depend on the layer's number in the whole network.
    assert run(training(model="lenet-dropout", freeze="8"))._features is None
    assert run(training(model="lenet-dropout", freeze="all-but-last"))._features is not None


def test_features_are_not_cached_with_augmentation(training, few_digits):
    one = training(freeze="all-but-last")
    one.config = replace(one.config, augment="flip-shift")
    assert run(one)._features is None


def test_features_are_outputs_for_training_and_validation_images(training, few_digits):
    one = training(freeze="all-but-last")
    found = features_of(one.model, 13, few_digits, one.choice, one.settings)
    assert found is not None
    used = np.concatenate([few_digits.train, few_digits.val])
    with torch.inference_mode():
        body = one.model.eval()[:13]
        expected = body(torch.from_numpy(few_digits.images[used])).numpy()
    np.testing.assert_allclose(found.dataset.images, expected, rtol=1e-5, atol=1e-6)
    assert found.dataset.images.dtype == np.float32
    assert np.array_equal(found.dataset.labels, few_digits.labels[used])
    assert np.array_equal(used[found.dataset.train], few_digits.train)
    assert np.array_equal(used[found.dataset.val], few_digits.val)


@pytest.mark.parametrize("pooled", [nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)])
def test_a_head_without_a_linear_layer_is_computed_by_the_engine_that_trains(few_digits, engine, pooled):
    sides = {nn.MaxPool2d: 7, nn.AdaptiveAvgPool2d: 1}
    last = nn.Linear(4 * sides[type(pooled)] ** 2, 10)
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), pooled, nn.Flatten(), nn.ReLU(), last)
    config = Config(engine=engine, freeze="all-but-last", augment="none", batch_size=10)
    one = Training(make_setup(config, few_digits, own=own))
    found = features_of(one.model, one.frozen, few_digits, one.choice, one.settings)
    used = np.concatenate([few_digits.train, few_digits.val])
    with torch.inference_mode():
        expected = one.model.eval()[:-1](torch.from_numpy(few_digits.images[used])).numpy()
    np.testing.assert_allclose(found.dataset.images, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(native.available() is not None, reason="the native engine is not built")
def test_torch_computes_nothing_of_a_network_that_the_native_engine_trains(few_digits, monkeypatch):
    own = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10))
    monkeypatch.setattr(torch_engine, "logits", None)
    config = Config(engine="native", freeze="all-but-last", augment="none", epochs=1, batch_size=10)
    assert run(Training(make_setup(config, few_digits, own=own)))._features is not None


def test_all_layers_train_after_unfreeze_after_epochs(training, engine):
    one = training(engine, freeze="all-but-last", unfreeze_after=2, optimizer="adam", lr=1e-3)
    drawn = {name: tensor.clone() for name, tensor in one.model.state_dict().items()}
    for frozen in (13, 13, 0):
        assert one.frozen == frozen
        one.advance()
        same = {n for n, t in one.model.state_dict().items() if torch.equal(t, drawn[n]) and int(n.split(".")[0]) < 13}
        assert same == ({n for n in drawn if int(n.split(".")[0]) < 13} if frozen else {"0.mean", "0.std"})
    steps = {name: int(t) for name, t in one.optimizer_state.items() if name.endswith("/step")}
    assert steps["13.weight/step"] == 3 * steps["1.weight/step"]


def test_loading_a_state_recomputes_features(training):
    one, other = training(freeze="all-but-last"), training(freeze="all-but-last")
    one.advance()
    with torch.no_grad():
        other.model[8].weight += 1
    other.advance()
    one.load(other.state())
    one.advance()
    other.advance()
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[name])
