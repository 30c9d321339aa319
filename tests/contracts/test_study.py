"""python main.py: the CIFAR-10 study, or the digits if CIFAR-10 is not available; and networks of the user's own."""

import copy
import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import torch
from torch import nn

import lenet
from lenet.cli.script import train_main
from lenet.errors import InputError
from lenet.runs.run import Run


@pytest.fixture
def network(root):
    """The network of model.py."""
    spec = spec_from_file_location("model", root / "model.py")
    model = module_from_spec(spec)
    spec.loader.exec_module(model)
    return model.lenet()


def test_main_trains_on_digits_with_a_note_if_cifar10_is_missing(network, root, no_data, tmp_path):
    command = [sys.executable, str(root / "main.py"), "--epochs", "1", "--out", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "data    digits (embedded)"
    assert lines[1].startswith("note    cannot download cifar10")
    assert "by hand" in lines[-1]
    result = Run(tmp_path / "run").result
    assert (result["data"], result["model"], result["parameters"]) == ("digits", "own", 62_006)
    assert "test    " in done.stdout
    # Without its state, the run is resumed from its config alone.
    weights = (tmp_path / "run" / "model.safetensors").read_bytes()
    for name in ("result.json", "state/0.safetensors"):
        (tmp_path / "run" / name).unlink()
    assert train_main(network, ["--resume", "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == weights
    assert train_main(network, ["--epochs", "2", "--resume", "--out", str(tmp_path / "run")]) == 2


def test_main_repeats_its_own_config_and_refuses_other_data(network, no_data, tmp_path, capsys):
    assert train_main(network, ["--epochs", "1", "--lr", "0.01", "--out", str(tmp_path / "first")]) == 0
    config = str(tmp_path / "first" / "config.toml")
    assert train_main(network, ["--recipe", config, "--out", str(tmp_path / "second")]) == 0
    one, other = (Run(tmp_path / name) for name in ("first", "second"))
    assert one.result["config"] == other.result["config"]
    weights = [(run.path / "model.safetensors").read_bytes() for run in (one, other)]
    assert weights[0] == weights[1]
    (tmp_path / "second" / "result.json").unlink()
    assert train_main(network, ["--resume", "--out", str(tmp_path / "second")]) == 0
    capsys.readouterr()
    assert train_main(network, ["stl10"]) == 2
    assert capsys.readouterr().err == "lenet: this script trains on cifar10, not on 'stl10': use lenet train 'stl10'\n"


def test_main_trains_the_cifar10_study(network, real_data, tmp_path, capsys):
    assert train_main(network, ["--epochs", "1", "--out", str(tmp_path / "run")]) == 0
    assert "40,000 training, 10,000 validation, 10,000 test" in capsys.readouterr().out
    result = Run(tmp_path / "run").result
    assert (result["data"], result["model"], result["parameters"]) == ("cifar10", "own", 62_006)
    config = result["config"]
    assert (config["batch_size"], config["optimizer"], config["lr"]) == (8, "sgd", 1.2e-3)
    assert (config["momentum"], config["weight_decay"], config["val_fraction"]) == (0.9, 5e-4, 0.2)
    assert config["augment"] == "flip-shift"
    assert result["test_accuracy"]["mean"] > 0.3  # one epoch of twenty


def test_default_recipe_learns_cifar10(lenet, real_data, tmp_path):
    outcome = lenet("train", "cifar10", "--epochs", 1, "--out", tmp_path / "run")
    assert outcome.code == 0
    assert outcome.out.startswith(f"data    cifar10 ({real_data}")
    result = Run(tmp_path / "run").result
    assert result["test_accuracy"]["mean"] > 0.5
    assert result["test_images"] == 10_000
    assert json.loads((tmp_path / "run" / "model.json").read_text())["classes"][:2] == ["airplane", "automobile"]


def own_network():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(64, 10),
    )  # fmt: skip


def test_own_network_trains_loads_and_predicts(tmp_path, digits):
    own = own_network()
    before = copy.deepcopy(own.state_dict())
    run = lenet.train("digits", model=own, epochs=3, lr=0.01, out=tmp_path / "run")
    for name, tensor in own.state_dict().items():
        assert torch.equal(tensor, before[name])  # lenet trains a copy
    assert run.result["model"] == "own"
    assert run.result["test_accuracy"]["mean"] > 0.6
    loaded = lenet.load(run).networks[0]
    assert isinstance(loaded, nn.Sequential)
    assert [type(layer).__name__ for layer in loaded][1:] == [type(layer).__name__ for layer in own]
    images = digits.images[digits.test]
    found = lenet.predict(run, list(images), top=1)
    right = sum(one.classes[0] == str(label) for one, label in zip(found, digits.labels[digits.test], strict=True))
    assert right / len(images) == pytest.approx(run.result["test_accuracy"]["mean"])


def test_run_of_own_network_resumes_without_its_code(tmp_path, lenet):
    import lenet as package

    run = package.train("digits", model=own_network(), epochs=2, out=tmp_path / "run")
    weights = (run.path / "model.safetensors").read_bytes()
    (run.path / "result.json").unlink()
    (run.path / "state" / "0.safetensors").unlink()
    assert lenet("train", "--resume", "--out", run.path).code == 0
    assert (run.path / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("finished", [True, False])
def test_another_network_does_not_resume_a_run(tmp_path, finished):
    import lenet as package

    run = package.train("digits", model=own_network(), epochs=1, out=tmp_path / "run")
    if not finished:
        (run.path / "result.json").unlink()
    layers = (run.path / "layers.json").read_bytes()
    other = own_network()
    other[1] = nn.Tanh()
    with pytest.raises(InputError, match="was started with another network: leave model out, or use another --out"):
        package.train("digits", model=other, epochs=1, out=run.path, resume=True)
    assert (run.path / "layers.json").read_bytes() == layers
    package.train("digits", model=own_network(), epochs=1, out=run.path, resume=True)


def test_invalid_model_or_option_is_refused_before_folder_is_made(tmp_path):
    for model, message in (
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 9)), "returns logits"),
        (nn.Sequential(nn.Flatten(), nn.Bilinear(2, 2, 2)), "Bilinear"),
        ("lenet6", "did you mean"),
    ):
        with pytest.raises(InputError, match=message):
            lenet.train("digits", model=model, epochs=1, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="no option 'epocs', did you mean 'epochs'"):
        lenet.train("digits", epocs=1, out=tmp_path / "run")
