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
WRITERS = {
    "pt2": (pytorch.pt2_bytes, pytorch.pt2_computer),
    "safetensors": (pytorch.safetensors_bytes, pytorch.safetensors_computer),
}


@pytest.mark.parametrize("ending", WRITERS)
def test_every_kind_of_layer(any_network, some_images, as_exported, ending, tmp_path):
    written, computer = WRITERS[ending]
    described, file = as_exported(any_network), tmp_path / f"net.{ending}"
    file.write_bytes(written(described, any_network))
    proof = prove(described, any_network, computer(file), some_images, np.arange(20), any_size=False)
    assert proof.difference < 1e-6


def test_a_program_takes_any_number_of_images_and_knows_its_classes(any_network, some_images, as_exported):
    content, facts = pytorch.pt2_bytes(as_exported(any_network), any_network), {"lenet.json": ""}
    module = torch.export.load(io.BytesIO(content), extra_files=facts).module()
    for count in (1, 3, 20):
        probabilities, logits = module(torch.from_numpy(some_images[:count]))
        assert (probabilities.shape, logits.shape) == ((count, 5), (count, 5))
    assert json.loads(json.loads(facts["lenet.json"])["classes"]) == list("abcde")


def test_a_state_dict_is_the_network_s(any_network, as_exported, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(pytorch.safetensors_bytes(as_exported(any_network), any_network))
    with safetensors.safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert set(file.keys()) == any_network.state_dict().keys()
        facts = file.metadata()
    assert json.loads(facts["layers"])[0]["kind"] == "Normalize"
    assert json.loads(facts["classes"]) == list("abcde")
