"""--model auto: which network, why, and that the run is that of the named one."""

import pytest

import lenet
from lenet.config import Config
from lenet.errors import InputError
from lenet.models import SHAPES
from lenet.runs.run import Run
from lenet.training import automatic
from lenet.training.automatic import MEASURED, choose_network, expected_minutes

AUTO = Config(data="digits", model="auto", epochs=20)


def test_every_measured_network_has_a_name():
    assert all(set(row) <= set(SHAPES) for row in MEASURED.values())


def test_the_most_accurate_at_the_nearest_number_of_images_and_epochs(few_digits, monkeypatch):
    rows = {(100, 20): {"lenet5": 0.7, "small-vgg": 0.6}, (100, 200): {"lenet5": 0.7, "resnet8": 0.8},
            (9000, 20): {"lenet5": 0.7, "lenet-62k": 0.9}}  # fmt: skip
    monkeypatch.setattr(automatic, "MEASURED", rows)
    config, note = choose_network(AUTO, few_digits)
    assert config.model == "lenet5"
    assert note == (
        "--model auto chose lenet5. Validation accuracies on 100 images of CIFAR-10, 20 epochs: lenet5 70%, "
        "small-vgg 60%"
    )
    assert choose_network(Config(model="auto", epochs=150), few_digits)[0].model == "resnet8"


def test_the_most_accurate_that_is_expected_to_train_in_time(few_digits, monkeypatch):
    monkeypatch.setattr(automatic, "MEASURED", {(100, 20): {"lenet5": 0.5, "lenet5-tuned": 0.6, "small-vgg": 0.7}})
    minutes = {"lenet5": 1.0, "lenet5-tuned": 2.0, "small-vgg": 9.0}
    monkeypatch.setattr(automatic, "expected_minutes", lambda config, dataset: minutes[config.model])

    def chosen(most):
        return choose_network(Config(model="auto", epochs=20, minutes=most), few_digits)

    config, note = chosen(2)
    assert config.model == "lenet5-tuned"
    assert config.minutes is None  # so that the config repeats the run
    assert note.startswith("--model auto chose lenet5-tuned, which takes about 2 of 2 min here. ")
    assert chosen(10)[0].model == "small-vgg"
    assert chosen(1.5)[0].model == "lenet5"
    with pytest.raises(InputError, match=r"minutes 0\.5: lenet5, the fastest network, takes about 1 min .* --epochs"):
        chosen(0.5)


def test_the_expected_time_grows_with_epochs_and_images(few_digits):
    def expected(**changes):
        return expected_minutes(Config(data="digits", **{"epochs": 10, "model": "lenet5"} | changes), few_digits)

    assert 0 < expected() < expected(epochs=1000)
    assert expected() < expected(seeds=100)


def test_the_run_is_the_one_of_the_named_network(tmp_path):
    options = {"epochs": 1, "per_class": 10, "seeds": 2}
    auto = lenet.train("digits", model="auto", minutes=1000, **options, out=tmp_path / "auto")
    named = lenet.train("digits", model=auto.config().model, **options, out=tmp_path / "named")
    assert (auto.path / "config.toml").read_bytes() == (named.path / "config.toml").read_bytes()
    assert (auto.path / "model.safetensors").read_bytes() == (named.path / "model.safetensors").read_bytes()


def test_a_resumed_run_keeps_its_network(tmp_path, interrupt_after):
    out = tmp_path / "run"
    options = {"model": "auto", "minutes": 1000, "epochs": 2, "per_class": 10, "out": out}
    with interrupt_after(1), pytest.raises(KeyboardInterrupt):
        lenet.train("digits", **options)
    model = Run(out).config().model
    run = lenet.train("digits", **options, resume=True)
    assert len(run.rows()) == 2
    assert run.config().model == model in SHAPES


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train", "digits", "--minutes", "3"], ["minutes chooses a network", "--model auto"]),
        (["train", "digits", "--model", "auto", "--maps", "4", "8"], ["maps changes a named network"]),
        (["train", "digits", "--model", "auto", "--minutes", "0"], ["minutes", "0.001"]),
        (["tune", "digits", "--minutes", "3", "--trials", "1"], ["minutes: only 'lenet train'"]),
        (["audit", "digits", "--model", "auto"], ["model auto", "lenet models"]),
        (["tune", "digits", "--model", "auto", "--trials", "1"], ["model auto", "lenet models"]),
    ],
)
def test_refused(lenet, refused, words, parts):
    refused(lenet(*words), *parts)
