"""PyTorch's own files: the same function, and what the file says about it."""

import io
import json

import numpy as np
import pytest
import safetensors
import torch

from lenet.exports import pytorch
from lenet.exports.proof import prove

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def proven(written, computer, network, images, described, file):
    file.write_bytes(written(described, network))
    proof = prove(described, network, computer(file), images, np.arange(20), any_size=False)
    assert proof.difference < 1e-6


def test_a_program_of_every_kind_of_layer_takes_any_number_of_images(any_network, some_images, as_exported, tmp_path):
    file = tmp_path / "net.pt2"
    proven(pytorch.pt2_bytes, pytorch.pt2_computer, any_network, some_images, as_exported(any_network), file)
    facts = {"lenet.json": ""}
    module = torch.export.load(io.BytesIO(file.read_bytes()), extra_files=facts).module()
    for count in (1, 3, 20):
        probabilities, logits = module(torch.from_numpy(some_images[:count]))
        assert (probabilities.shape, logits.shape) == ((count, 5), (count, 5))
    assert json.loads(json.loads(facts["lenet.json"])["classes"]) == list("abcde")


def test_a_state_dict_of_every_kind_of_layer_is_the_network_s(any_network, some_images, as_exported, tmp_path):
    described, path = as_exported(any_network), tmp_path / "net.safetensors"
    proven(pytorch.safetensors_bytes, pytorch.safetensors_computer, any_network, some_images, described, path)
    with safetensors.safe_open(path, "pt") as file:
        assert set(file.keys()) == any_network.state_dict().keys()
        facts = file.metadata()
    assert json.loads(facts["layers"])[0]["kind"] == "Normalize"
    assert json.loads(facts["classes"]) == list("abcde")
