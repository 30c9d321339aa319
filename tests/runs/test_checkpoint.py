"""Checkpoints: round trip, identical files for equal tensors, and one-line errors for invalid files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from lenet.engine import torch as engine
from lenet.engine.base import Settings
from lenet.engine.statistics import statistics_count
from lenet.errors import InputError
from lenet.evaluation.likeness import likeness
from lenet.evaluation.rejection import Accepted
from lenet.models import SHAPES, describe, network_of
from lenet.runs import arrays
from lenet.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lenet.runs.tensors import read_tensors, write_tensors
from lenet.training.training import initialised

INPUT = (16, 20, 1)
CLASSES = ("äpple", "pear", "plum")
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *INPUT), np.uint8)


def looks(template, number):
    random = np.random.default_rng(number)
    count = statistics_count(template, INPUT)
    return likeness(*(random.normal(0, 1, (images, count)).astype(np.float32) for images in (50, 30 + number)))


def made(count=1, name="lenet5-modern"):
    template = network_of(SHAPES[name], INPUT, len(CLASSES), mean=[0.3], std=[0.2])
    return Checkpoint(
        networks=[initialised(template, seed) for seed in range(count)],
        classes=CLASSES,
        input_shape=INPUT,
        fit="pad",
        seeds=list(range(count)),
        val_accuracy=[0.5 + 0.1 * (number % 2) for number in range(count)],
        temperature=[1.5 + number for number in range(count)],
        acceptance=[[Accepted(0.75, 10 + number, 1)] for number in range(count)],
        likeness=[looks(template, number) for number in range(count)],
        config={"data": "fruit", "maps": (6, 16), "size": None},
        versions={"torch": "1"},
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", SHAPES)
def test_loaded_checkpoint_equals_saved_one(tmp_path, count, name):
    before = made(count, name)
    save_checkpoint(tmp_path / "model", before)
    after = load_checkpoint(tmp_path / "model")
    assert len(after.networks) == count
    for saved_network, network in zip(before.networks, after.networks, strict=True):
        assert describe(network) == describe(saved_network)
        assert network.state_dict().keys() == saved_network.state_dict().keys()
        for key, tensor in saved_network.state_dict().items():
            assert torch.equal(tensor, network.state_dict()[key])
        assert not network.training
        expected = engine.logits(saved_network, IMAGES, Settings())
        assert np.array_equal(engine.logits(network, IMAGES, Settings()), expected)
    assert (after.classes, after.input_shape, after.fit) == (CLASSES, INPUT, "pad")
    assert (after.seeds, after.val_accuracy) == (before.seeds, before.val_accuracy)
    assert (after.temperature, after.acceptance) == (before.temperature, before.acceptance)
    for one, other in zip(after.likeness, before.likeness, strict=True):
        assert all(np.array_equal(array, vars(other)[name]) for name, array in vars(one).items())
    assert after.config == {"data": "fruit", "maps": [6, 16], "size": None}
    assert after.versions == {"torch": "1"}


def test_tensor_names_have_a_prefix_only_with_several_networks(tmp_path):
    save_checkpoint(tmp_path / "one", made(1))
    save_checkpoint(tmp_path / "two", made(2))
    one = set(load_file(tmp_path / "one.safetensors"))
    assert "1.weight" in one
    assert "2.num_batches_tracked" in one
    assert {name for name in one if not name[0].isdigit()} == {
        "likeness.mean",
        "likeness.whitening",
        "likeness.distances",
    }
    assert set(load_file(tmp_path / "two.safetensors")) == {f"{number}.{name}" for number in (0, 1) for name in one}


def test_the_best_network_is_kept(tmp_path):
    save_checkpoint(tmp_path / "model", replace(made(4), best=2))
    assert load_checkpoint(tmp_path / "model").best == 2


def test_equal_tensors_give_identical_files(tmp_path):
    tensors = {name: torch.arange(5.0) + ord(name) for name in "zyxabc"} | {"int": torch.tensor(3)}
    write_tensors(tmp_path / "one", tensors)
    write_tensors(tmp_path / "other", dict(sorted(tensors.items())))
    one, other = (tmp_path / name for name in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    save_checkpoint(tmp_path / "first", made(2))
    save_checkpoint(tmp_path / "second", made(2))
    for end in ("safetensors", "json"):
        assert (tmp_path / f"first.{end}").read_bytes() == (tmp_path / f"second.{end}").read_bytes()


def test_network_with_noncontiguous_weights_can_be_saved(tmp_path):
    checkpoint = made(1)
    with torch.no_grad():
        weight = checkpoint.networks[0][-1].weight
        weight.data = weight.data.t().contiguous().t()
    save_checkpoint(tmp_path / "model", checkpoint)
    after = load_checkpoint(tmp_path / "model")
    assert torch.equal(after.networks[0][-1].weight, checkpoint.networks[0][-1].weight)


@pytest.fixture
def saved(tmp_path):
    save_checkpoint(tmp_path / "model", made(2))
    return tmp_path / "model"


def edit_json(path, change):
    facts = json.loads(path.with_suffix(".json").read_text())
    change(facts)
    path.with_suffix(".json").write_text(json.dumps(facts))


def edit_tensors(path, change):
    tensors = load_file(path.with_suffix(".safetensors"))
    change(tensors)
    save_file(tensors, path.with_suffix(".safetensors"))


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert str(path.parent) in str(caught.value)


@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_error_names_missing_file(saved, end):
    saved.with_suffix(f".{end}").unlink()
    refused(saved, f"has no model.{end}, so it is not a finished run: resume the run or restore")


@pytest.mark.parametrize("content", [b"", b"\x00" * 200, b"{}", b'{"format": 1'])
@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_error_names_damaged_file(saved, content, end):
    saved.with_suffix(f".{end}").write_bytes(content)
    refused(saved, rf"model\.{end}.*restore it or train again|model\.safetensors and model\.json contradict")


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("end", ["json", "safetensors"])
def test_error_names_truncated_file(saved, fraction, end):
    path = saved.with_suffix(f".{end}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    refused(saved, rf"model\.{end} (is damaged|cannot be read)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.update(format=2), "format must be 1, .* not 2"),
        (lambda facts: facts.pop("fit"), "fit must be one of"),
        (lambda facts: facts.update(fit="stretch"), "fit.*stretch"),
        (lambda facts: facts["layers"].pop(), r"gives \d+ logits for 3 classes"),
        (lambda facts: facts["layers"][-1].update(out_features=4), "gives 4 logits for 3 classes"),
        (lambda facts: facts["layers"][1].update(bias=False), "contradict each other: 64 tensors instead of 2 x 31"),
        (lambda facts: facts["layers"][0].update(kind="Exec"), "layer 0: kind 'Exec' is not supported"),
        (lambda facts: facts["layers"].insert(0, 5), "layer 0: kind 5 is not supported"),
        (lambda facts: facts.update(layers=[]), r"model\.json: .*layers"),
        (lambda facts: facts.update(classes=["one", "two"]), "gives 3 logits for 2 classes"),
        (lambda facts: facts.update(input_shape=[32, 32, 3]), "expects 1 channel, but its input has 3"),
        (lambda facts: facts.update(input_shape=[16, 20]), "input_shape must be"),
        (lambda facts: facts.update(input_shape=["a", 20, 1]), "input_shape must be"),
        (lambda facts: facts.update(seeds=[0]), "val_accuracy must be a list of numbers from 0 to 1, one per seed"),
        (
            lambda facts: facts.update(seeds=[0], val_accuracy=[0.5], temperature=[1.0], acceptance=[[]]),
            "70 tensors instead of 1 x 32",
        ),
        (
            lambda facts: facts.update(
                seeds=[0, 1, 2], val_accuracy=[0.5] * 3, temperature=[1.0] * 3, acceptance=[[]] * 3
            ),
            "64 tensors instead of 3 x 32",
        ),
        (lambda facts: facts.update(seeds=[]), "seeds must be a list of whole numbers"),
        (lambda facts: facts.update(best=2), "best must be the number of a network, not 2"),
        (lambda facts: facts.update(best=-1), "best must be the number of a network, not -1"),
        (lambda facts: facts.update(best="0"), "best must be the number of a network, not 0"),
        (lambda facts: facts.update(best=True), "best must be the number of a network, not True"),
        (lambda facts: facts.update(val_accuracy=[0.5]), "val_accuracy must be a list of numbers"),
        (lambda facts: facts.update(temperature=[1.0]), "temperature must be a list of numbers from 0.05 to 20, one"),
        (lambda facts: facts.update(temperature=[1.0, 0]), "temperature must be a list of numbers from 0.05 to 20"),
        (lambda facts: facts.update(temperature=[1.0, float("nan")]), "temperature must be a list of numbers"),
        (lambda facts: facts.update(temperature=[1.0, True]), "temperature must be a list of numbers"),
        (lambda facts: facts.update(acceptance=[[]]), r"acceptance must be a list of up to 20"),
        (lambda facts: facts.update(acceptance=[[], [[0.5, 2, 3]]]), "acceptance must be a list"),
        (lambda facts: facts.update(acceptance=[[], [[1.5, 2, 0]]]), "acceptance must be a list"),
        (lambda facts: facts.update(acceptance=[[], [[0.5, 2, 0]] * 21]), "acceptance must be a list"),
    ],
)
def test_json_that_contradicts_weights_is_refused(saved, change, message):
    edit_json(saved, change)
    refused(saved, message)


def test_a_checkpoint_may_lack_what_its_training_images_look_like(saved):
    edit_tensors(saved, lambda tensors: [tensors.pop(name) for name in list(tensors) if "likeness" in name])
    assert load_checkpoint(saved).likeness == [None, None]


@pytest.mark.parametrize("name", ["temperature", "acceptance", "best"])
def test_a_checkpoint_without_one_of_its_facts_is_refused(saved, name):
    edit_json(saved, lambda facts: facts.pop(name))
    with pytest.raises(InputError, match=f"{name} must be"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("1.1.weight"), "contradict each other: 63 tensors"),
        (lambda tensors: tensors.update(extra=torch.ones(1)), "contradict each other: 65 tensors"),
        (lambda tensors: tensors.update({"0.1.bias": torch.ones(9)}), r"0\.1\.bias .*found shape \(9,\)"),
        (lambda tensors: tensors.pop("1.likeness.mean"), r"1\.likeness\. does not fit the network"),
        (lambda tensors: tensors.update({"0.likeness.more": torch.ones(1)}), r"0\.likeness\. does not fit"),
        (lambda tensors: tensors.update({"0.likeness.mean": torch.ones(9)}), r"0\.likeness\. does not fit"),
        (lambda tensors: tensors.update({"0.likeness.mean": torch.ones(46).double()}), r"0\.likeness\. does not fit"),
        (lambda tensors: tensors.update({"0.likeness.distances": torch.ones(0)}), r"0\.likeness\. does not fit"),
        (lambda tensors: tensors.update({"0.likeness.distances": torch.ones(3).cumsum(0).flip(0)}), "does not fit"),
        (lambda tensors: tensors["1.likeness.whitening"].fill_(float("nan")), r"1\.likeness\. does not fit"),
    ],
)
def test_weights_that_contradict_json_are_refused(saved, change, message):
    edit_tensors(saved, change)
    refused(saved, message)


def test_a_file_of_another_program_may_have_no_metadata(saved):
    path = saved.with_suffix(".safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length]) | {"__metadata__": None}
    packed = json.dumps(header).encode()
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + content[8 + length :])
    assert load_checkpoint(saved).networks


def test_a_file_larger_than_the_free_memory_is_refused(saved, monkeypatch):
    monkeypatch.setattr(arrays, "free_memory", lambda: 1000)
    with pytest.raises(InputError, match=r"model.safetensors takes 0.0 GiB of memory and 0.0 GiB are free"):
        load_checkpoint(saved)


def test_reading_tensors_of_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_tensors(tmp_path / "none.safetensors")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_is_loaded_or_refused_in_one_line(saved, data):
    """Replaces one value somewhere in model.json by an arbitrary JSON value."""

    def change(facts):
        at = facts
        while True:
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            if not isinstance(at[key], (dict, list)) or not at[key] or data.draw(st.booleans()):
                at[key] = data.draw(JSON)
                return
            at = at[key]

    original = saved.with_suffix(".json").read_text()
    try:
        edit_json(saved, change)
        assert len(load_checkpoint(saved).networks) == 2
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 (loading it is allowed too)
    finally:
        saved.with_suffix(".json").write_text(original)


def test_too_many_seeds_are_refused_before_networks_are_made(saved):
    many = 100_000
    each = {"val_accuracy": [0.5] * many, "temperature": [1.0] * many, "acceptance": [[]] * many}
    edit_json(saved, lambda facts: facts.update(seeds=list(range(many)), **each))
    refused(saved, "64 tensors instead of 100000 x 32")


def test_huge_layers_are_refused_before_memory_is_allocated(saved):
    def change(facts):
        facts["layers"][-1]["in_features"] = facts["layers"][-4]["out_features"] = 1 << 20
        facts["layers"][-4]["in_features"] = 1 << 20

    edit_json(saved, change)
    refused(saved, r"layer \d+ \(Linear\) expects")


def test_a_layer_of_too_many_values_is_refused_before_memory_is_taken(tmp_path):
    network = network_of(SHAPES["small-vgg"], (16, 16, 1), 10)
    save_checkpoint(tmp_path / "model", Checkpoint([network], tuple("0123456789"), (16, 16, 1), "crop"))
    edit_json(tmp_path / "model", lambda facts: facts["layers"][1].update(padding=[1024, 1024]))
    with pytest.raises(InputError, match=r"layer 1 returns [\d,]+ values for one image; at most 67,108,864 work"):
        load_checkpoint(tmp_path / "model")
