"""lenet transfer: weights from the start run, the new last layer, other images, and invalid options."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lenet as api
from lenet.runs.run import Run

HIGH = ("--classes", "5,6,7,8,9", "--per-class", "20", "--batch-size", "16")


@pytest.fixture
def low(low_run):
    """The folder of a finished run of two networks on the digits 0 to 4."""
    return low_run.path


def body(state):
    """The tensors of all layers but the last."""
    last = max(int(name.split(".")[0]) for name in state)
    return {name: tensor for name, tensor in state.items() if int(name.split(".")[0]) < last}


def test_transfer_keeps_the_best_networks_body_and_initialises_a_head_per_seed(lenet, low, tmp_path):
    outcome = lenet("transfer", low, "digits", *HIGH, "--epochs", 2, "--seeds", 2, "--out", tmp_path / "high")
    assert outcome.code == 0, outcome
    start, made = api.load(low), api.load(tmp_path / "high")
    best = start.networks[start.best].state_dict()
    for network in made.networks:
        for name, tensor in body(best).items():
            assert torch.equal(network.state_dict()[name], tensor), name
    one, other = (network[-1].weight for network in made.networks)
    assert not torch.equal(one, other)
    assert made.classes == ("5", "6", "7", "8", "9")
    assert f"start   {low}, the best of its 2 networks (seed {start.seeds[start.best]}): 16x16 grey" in outcome.out
    assert "frozen  the first 13 of 14 layers; 645 parameters are trained" in outcome.out
    result = Run(tmp_path / "high").result
    again = api.evaluate(tmp_path / "high")
    assert [scores.accuracy for scores in again.scores] == pytest.approx(result["test_accuracy"]["each"])
    assert result["learning_parameters"] == 645
    assert result["config"]["start"] == str(low)
    assert result["config"]["freeze"] == "all-but-last"
    assert result["config"]["lr"] == 0.01
    assert result["config"]["augment"] == "none"
    assert result["config"]["model"] == "lenet5-tuned"


def test_all_layers_train_without_freezing(lenet, low, tmp_path):
    words = ("transfer", low, "digits", *HIGH, "--epochs", 1, "--freeze", "none", "--out", tmp_path / "high")
    assert lenet(*words).code == 0
    start, made = api.load(low), api.load(tmp_path / "high").networks[0].state_dict()
    best = body(start.networks[start.best].state_dict())
    for name, tensor in best.items():
        moved = not torch.equal(made[name], tensor)
        assert moved == (not name.startswith("0."))
        if moved and tensor.is_floating_point():
            assert (made[name] - tensor).abs().mean() < tensor.abs().mean()


def test_config_of_a_transfer_repeats_it_bit_for_bit(lenet, low, tmp_path):
    words = ("transfer", low, "digits", *HIGH, "--epochs", 2, "--fit", "pad", "--out", tmp_path / "high")
    assert lenet(*words).code == 0
    again = ("train", "--recipe", tmp_path / "high" / "config.toml", "--out", tmp_path / "again")
    assert lenet(*again).code == 0
    high, repeated = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("high", "again"))
    assert high == repeated


def test_transfer_can_start_from_a_transfer(low_run, tmp_path):
    first = api.transfer(low_run, "digits", classes="5,6,7", per_class=10, epochs=1, out=tmp_path / "one")
    second = api.transfer(first.path, "digits", classes="8,9", per_class=10, epochs=1, freeze="8", out=tmp_path / "two")
    assert second.result["config"]["start"] == str(tmp_path / "one")
    assert api.load(second).classes == ("8", "9")


def test_transfer_can_start_from_own_network(tmp_path):
    own = nn.Sequential(nn.Flatten(), nn.Linear(256, 12), nn.ReLU(), nn.Linear(12, 5))
    low = api.train("digits", model=own, classes="0,1,2,3,4", epochs=1, out=tmp_path / "low")
    high = api.transfer(low, "digits", classes="5,6,7,8,9", epochs=1, out=tmp_path / "high")
    assert torch.equal(api.load(low).networks[0][2].weight, api.load(high).networks[0][2].weight)
    again = api.train(recipe=tmp_path / "high" / "config.toml", out=tmp_path / "again")
    assert again.result["test_accuracy"] == high.result["test_accuracy"]


def pictures(root, mode):
    for name in ("bright", "dark"):
        (root / name).mkdir(parents=True)
        for k in range(12):
            noise = np.random.default_rng(k).integers(0, 100, (24, 30, 3), dtype=np.uint8)
            Image.fromarray(noise + 150 * (name == "bright")).convert(mode).save(root / name / f"{k}.png")
    return root


def test_colour_images_are_converted_for_a_grey_network(lenet, low, tmp_path):
    folder = pictures(tmp_path / "pictures", "RGB")
    outcome = lenet("transfer", low, folder, "--epochs", 2, "--out", tmp_path / "made")
    assert outcome.code == 0, outcome
    assert api.load(tmp_path / "made").input_shape == (16, 16, 1)
    assert "16x16 grey" in outcome.out
    assert lenet("predict", tmp_path / "made", folder / "dark" / "0.png").code == 0


def test_grey_images_are_repeated_for_a_colour_network(lenet, tmp_path):
    folder = pictures(tmp_path / "pictures", "RGB")
    assert lenet("train", folder, "--epochs", 1, "--size", 20, "--fit", "pad", "--out", tmp_path / "colour").code == 0
    outcome = lenet("transfer", tmp_path / "colour", "digits", "--epochs", 1, "--out", tmp_path / "made")
    assert outcome.code == 0, outcome
    assert api.load(tmp_path / "made").input_shape == (20, 20, 3)
    assert api.load(tmp_path / "made").fit == "pad"
    assert "grey images, the same in all three channels" in outcome.out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--freeze", "14"), ("freeze 14 is out of range", "give 0 to 13")),
        (("--freeze", "all-but-lst"), ("did you mean 'all-but-last'",)),
        (("--classes", "5,six"), ("no class 'six' in digits",)),
        (("--classes", "5"), ("name at least two",)),
        (("--per-class", "500"), ("per-class 500 is too high: class '0' of digits has 160 training images",)),
        (("--protocol", "folds"), ("--protocol folds is for stl10, not for digits",)),
        (("--fit", "crp"), ("--fit",)),
        (("--model", "lenet5"), ("--model",)),
    ],
)
def test_invalid_options_are_refused_before_folder_is_made(lenet, low, tmp_path, words, parts, refused):
    refused(lenet("transfer", low, "digits", *words, "--out", tmp_path / "made"), *parts)
    assert not (tmp_path / "made").exists()


def test_overwrite_never_deletes_what_the_run_needs(low, tmp_path):
    run = shutil.copytree(low, tmp_path / "low")
    with pytest.raises(api.InputError, match=r"--overwrite would delete .*low, which the run needs"):
        api.transfer(run, "digits", out=run, overwrite=True)
    with pytest.raises(api.InputError, match="would delete"):
        api.train("digits", teacher=[run], out=run, overwrite=True)
    labels = run / "labels.csv"
    labels.write_text("file,label\n")
    for call in (api.audit, api.tune):
        marker = "audit.toml" if call is api.audit else "search.toml"
        (run / marker).write_text("")
        with pytest.raises(api.InputError, match=r"would delete .*labels\.csv"):
            call("digits", labels=labels, out=run, overwrite=True)
    assert (run / "result.json").is_file()


def test_start_without_run_or_weights_is_refused(lenet, low, tmp_path, refused):
    near = low.with_name(low.name[:-1])
    refused(lenet("transfer", near, "digits"), f"no run at {near}", f"did you mean '{low}'")
    (tmp_path / "empty").mkdir()
    refused(lenet("transfer", tmp_path / "empty", "digits"), "has no model.json", "not a finished run")
    shutil.copytree(low, tmp_path / "torn")
    (tmp_path / "torn" / "model.safetensors").write_bytes(b"x")
    refused(lenet("transfer", tmp_path / "torn", "digits"), "model.safetensors cannot be read")


def test_start_without_linear_last_layer_is_refused(lenet, low, tmp_path, refused):
    shutil.copytree(low, tmp_path / "odd")
    facts = json.loads((tmp_path / "odd" / "model.json").read_text())
    facts["layers"].append({"kind": "ReLU"})
    (tmp_path / "odd" / "model.json").write_text(json.dumps(facts))
    refused(lenet("transfer", tmp_path / "odd", "digits"), "ends in a ReLU", "ends in a ReLU layer")


def test_a_network_that_ends_in_means_takes_larger_images(lenet, tmp_path):
    small = {"maps": (2, 4, 4), "epochs": 1, "classes": "0,1,2,3,4"}
    start = api.train("digits", model="small-vgg", **small, out=tmp_path / "start")
    words = ("transfer", start.path, "digits", *HIGH, "--size", 24, "--epochs", 2, "--out", tmp_path / "large")
    outcome = lenet(*words)
    assert outcome.code == 0, outcome
    assert "24x24x1, 5 classes" in outcome.out
    made = api.load(tmp_path / "large")
    assert (start.checkpoint().input_shape, made.input_shape) == ((16, 16, 1), (24, 24, 1))
    state = made.networks[0].state_dict()
    for name, tensor in body(start.checkpoint().networks[0].state_dict()).items():
        assert torch.equal(state[name], tensor), name
    again = api.evaluate(tmp_path / "large")
    assert again.scores[0].accuracy == Run(tmp_path / "large").result["test_accuracy"]["mean"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 32}, r"--size 32: the network of .* takes size 16 \(layer .* \(Linear\) .*\); leave --size out"),
        ({"channels": 3}, "--channels 3: the network of .* takes channels 1"),
        ({"fc": (10, 10)}, "--fc: the network comes from"),
        ({"model": "lenet5"}, "--model: the network comes from"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(256, 5))}, "leave model out"),
    ],
)
def test_options_of_network_and_input_are_refused(low, options, message):
    with pytest.raises(api.InputError, match=message):
        api.transfer(low, "digits", **options)


def test_class_folder_without_images_is_refused(lenet, low, tmp_path, refused):
    folder = pictures(tmp_path / "pictures", "L")
    (folder / "grey").mkdir()
    refused(lenet("transfer", low, folder), "grey holds no images")


def test_config_of_a_transfer_finds_its_start_from_any_directory_and_notes_a_changed_one(
    lenet, tmp_path, monkeypatch, low_run
):
    def trained(folder, **options):
        folder.mkdir()
        monkeypatch.chdir(folder)
        api.train("digits", epochs=1, model="lenet5-tuned", out="first", **options)

    trained(tmp_path / "here", seed=1)
    assert lenet("transfer", "first", "digits", "--epochs", 1, "--out", "second").code == 0
    config = tmp_path / "here" / "second" / "config.toml"
    trained(tmp_path / "elsewhere", seed=2)
    again = lenet("train", "--recipe", config, "--out", "again")
    assert again.code == 0
    assert f"start   {tmp_path / 'here' / 'first'}" in again.out
    assert "differs" not in again.out
    (tmp_path / "here" / "first").rename(tmp_path / "here" / "old")
    (tmp_path / "elsewhere" / "first").rename(tmp_path / "here" / "first")
    other = lenet("train", "--recipe", config, "--out", "other")
    assert f"the network of {tmp_path / 'here' / 'first'} differs from that of {config}" in other.out
