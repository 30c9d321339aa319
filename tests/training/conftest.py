"""A training on a few digits."""

from dataclasses import replace

import pytest

from lenet.config import Config
from lenet.engine.base import Settings
from lenet.engine.choice import choose
from lenet.models import SHAPES, network_of
from lenet.training.setup import Setup
from lenet.training.training import Training

GREY = (16, 16, 1)


@pytest.fixture
def start(few_digits):
    """A function that makes a Training on a few digits."""

    def make(seed=0, dataset=few_digits, shape="lenet5-modern", engine="torch", **options):
        usual = {
            "epochs": 3,
            "batch_size": 16,
            "augment": "flip-shift",
            "dropout": 0.2,
            "optimizer": "adam",
            "lr": 0.005,
        }
        config = Config(**({"seed": seed} | usual | options))
        settings = Settings(config)
        network = network_of(replace(SHAPES[shape], dropout=config.dropout), GREY, 10, mean=[0.3], std=[0.4])
        choice = choose(engine, network, settings)
        return Training(Setup(config, dataset, [network], choice, settings, workers=1))

    return make
