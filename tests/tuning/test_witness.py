"""What the engine was given is read back, and a value that did not get there is noticed."""

from dataclasses import replace

import pytest

from lenet.config import resolve
from lenet.training.setup import concrete, engine_for, network_for
from lenet.training.training import Training
from lenet.tuning.witness import Witness, contradictions

ASKED = {
    "lr": 0.0123,
    "batch_size": 16,
    "optimizer": "sgd",
    "momentum": 0.7,
    "nesterov": True,
    "weight_decay": 1e-4,
    "label_smoothing": 0.1,
    "dropout": 0.35,
    "maps": (4, 8),
    "fc": (32, 16),
    "augment": "flip-shift",
    "max_shift": 1,
}


def trained(dataset, epochs=1, **values):
    """(witness, config, training) after `epochs` epochs of three."""
    config = concrete(resolve(given={"epochs": 3, "schedule": "one-cycle"} | values), dataset, None)
    network = network_for(config, dataset)
    choice, settings, _ = engine_for(config, network)
    witness = Witness(choice.engine)
    training = Training(network, dataset, config, 0, replace(choice, engine=witness), settings)
    for _ in range(epochs):
        witness.forget()
        training.advance()
    return witness, config, training


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_values_are_read_back_at_the_engine(few_digits, schedule, epochs):
    witness, config, _ = trained(few_digits, epochs, schedule=schedule, **ASKED)
    used = witness.used(config, epochs - 1, len(few_digits.train))
    assert {name: used[name] for name in ASKED} == ASKED
    assert contradictions(ASKED, used, len(few_digits.train)) == []


@pytest.mark.parametrize("name", [name for name in ASKED if name != "augment"])
def test_a_value_that_did_not_reach_its_training_is_named(few_digits, name):
    witness, config, _ = trained(few_digits, **ASKED)
    used = witness.used(config, 0, len(few_digits.train))
    other = {"optimizer": "adam", "nesterov": False, "maps": (4, 9), "fc": (32, 17)}
    wrong = other.get(name, ASKED[name] * 2 if not isinstance(ASKED[name], tuple) else None)
    found = contradictions({name: wrong}, used, len(few_digits.train))
    assert len(found) == 1
    assert found[0].startswith(f"{name} was ")


@pytest.mark.parametrize("name", ["lr", "batch_size", "momentum", "weight_decay", "label_smoothing", "dropout", "maps"])
def test_two_trials_of_different_values_train_differently(few_digits, name):
    other = {"maps": (5, 8), "batch_size": 8, "weight_decay": 0.1}.get(name, ASKED[name] if name == "maps" else None)
    other = ASKED[name] / 2 if other is None else other
    figures = [
        trained(few_digits, 2, **(ASKED | {name: value}))[2].history[-1] for value in (ASKED[name], ASKED[name], other)
    ]
    losses = [(row.train_loss, row.val_loss) for row in figures]
    assert losses[0] == losses[1] != losses[2]


def test_a_batch_beyond_the_images_and_a_momentum_beside_adam_are_no_contradiction(few_digits):
    witness, config, _ = trained(few_digits, batch_size=4096, optimizer="adam", momentum=0.5)
    used = witness.used(config, 0, len(few_digits.train))
    assert used["batch_size"] == len(few_digits.train)
    assert contradictions({"batch_size": 4096, "momentum": 0.5}, used, len(few_digits.train)) == []


def test_dropout_of_nought_and_a_left_over_image(few_digits):
    odd = replace(few_digits, train=few_digits.train[:129])
    witness, config, _ = trained(odd, 2, batch_size=16, dropout=0.0, model="lenet5-modern")
    used = witness.used(config, 1, 129)
    assert used["dropout"] == 0
    assert used["lr"] == config.lr
