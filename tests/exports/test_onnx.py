"""The ONNX file: it computes what the network computes, for images of any size, and says what it is."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from lenet.data.fit import FITS, fit_array
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.evaluation.scores import probabilities
from lenet.exports import onnx as onnx_module
from lenet.exports.network import read_network

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.fixture
def described(digits_run):
    return read_network(digits_run, digits_run.checkpoint(), 1)


def session(content):
    return runtime.InferenceSession(content, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("takes", ["any", "network"])
def test_every_kind_of_layer(any_network, some_images, as_exported, takes):
    content = onnx_module.onnx_bytes(as_exported(any_network), takes)
    found, logits = session(content).run(["probabilities", "logits"], {"image": some_images})
    wanted = torch_engine.logits(any_network, some_images, Settings())
    np.testing.assert_allclose(logits, wanted, atol=3e-5, rtol=3e-5)
    np.testing.assert_allclose(found, probabilities(wanted / 1.5), atol=1e-5)


def test_one_window_of_an_average_pool_with_a_remainder(normalized, some_images, as_exported):
    network = normalized(nn.Conv2d(3, 4, 3), nn.AvgPool2d((8, 3)), nn.Flatten(), nn.Linear(16, 5))
    (found,) = session(onnx_module.onnx_bytes(as_exported(network))).run(["logits"], {"image": some_images})
    np.testing.assert_allclose(found, torch_engine.logits(network, some_images, Settings()), atol=3e-5, rtol=3e-5)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("side", [16, 31])
def test_images_of_any_size_are_fitted_pixel_for_pixel(fit, side, pixels_as_logits, other_sizes):
    run = session(onnx_module.onnx_bytes(pixels_as_logits(side, fit)))
    for images in other_sizes(side):
        (found,) = run.run(["logits"], {"image": images})
        pixels = np.rint(found * 255).reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(pixels, fit_array(images, side, fit), err_msg=str(images.shape))


def test_a_pillow_that_always_reduces_the_width_first(described, monkeypatch):
    monkeypatch.setattr("lenet.exports.onnx_fit.tall_first", lambda: False)
    branches = [
        node for node in onnx.load_from_string(onnx_module.onnx_bytes(described)).graph.node if node.op_type == "If"
    ]
    assert len(branches) == 1
    assert "If" not in [node.op_type for node in branches[0].attribute[1].g.node]


def test_the_file_says_what_it_is(described):
    model = onnx.load_from_string(onnx_module.onnx_bytes(described))
    known = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(known["classes"]) == list("0123456789")
    assert json.loads(known["input_shape"]) == [16, 16, 1]
    assert (known["fit"], float(known["temperature"])) == ("crop", described.temperature)
    assert known["data_sha256"] == described.provenance.data_sha256
    assert (known["network"], known["seed"]) == ("1", "1")
    assert float(known["test_accuracy"]) == described.provenance.test_accuracy
    assert (model.producer_name, model.opset_import[0].version) == ("lenet", 17)
    assert "uint8 [images, height, width, 1] (grey)" in model.graph.doc_string
    only = onnx.load_from_string(onnx_module.onnx_bytes(described, "network"))
    assert "uint8 [images, 16, 16, 1]" in only.graph.doc_string
    assert not {"If", "Range"} & {node.op_type for node in only.graph.node}


def test_class_names_of_any_kind_are_kept(described):
    classes = ('a"b', "ü\n", "\\", *"defghij")
    model = onnx.load_from_string(onnx_module.onnx_bytes(replace(described, classes=classes)))
    known = {entry.key: entry.value for entry in model.metadata_props}
    assert tuple(json.loads(known["classes"])) == classes


def test_a_missing_package_is_named(described, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r'^\.onnx files need onnx: pip install "lenet\[export\]"$'):
        onnx_module.onnx_bytes(described)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r'^\.onnx files need onnxruntime: pip install "lenet\[export\]"$'):
        onnx_module.onnx_computer(tmp_path / "x.onnx")
