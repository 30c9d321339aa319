"""The HTML page: the network's probabilities, Pillow's pixels, no requests, and text that is safe in HTML."""

import json
import re
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lenet.data.fit import FITS
from lenet.errors import InputError
from lenet.exports.fit import tall_first as installed
from lenet.exports.page import SOURCE, about, other_sizes
from lenet.exports.page_run import node, page_computer
from lenet.exports.proof import prove

needs_node = pytest.mark.skipif(node() is None, reason="there is no Node.js")
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@pytest.fixture
def written(write):
    """A function that writes a network as net.html and returns the path."""
    return partial(write, ".html")


def model_of(path):
    return json.loads(re.search(r'id="model">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


@needs_node
def test_every_kind_of_layer(any_network, some_images, as_exported, written, tmp_path):
    described = as_exported(any_network)
    compute = page_computer(written(described, any_network, some_images), tmp_path)
    proof = prove(described, any_network, compute, some_images, np.arange(20), any_size=True)
    assert (proof.images, proof.sizes) == (20, 16)
    assert proof.difference < 5e-6


@needs_node
@pytest.mark.parametrize("any_network", ["residual"], indirect=True)
def test_a_residual_block_has_the_layers_of_its_branches(any_network, some_images, as_exported, written, tmp_path):
    (tmp_path / "model.json").write_text(
        json.dumps(model_of(written(as_exported(any_network), any_network, some_images)))
    )
    script = (
        f"{(SOURCE / 'network.js').read_text()}\n"
        "const model = JSON.parse(require('fs').readFileSync(process.argv[1]));"
        "const [first, second] = Lenet.load(model).steps.filter(({ branches }) => branches);"
        "for (const { where, values } of [first, second, ...second.branches.flat()]) console.log(where, values.length);"
    )
    done = subprocess.run([node(), "-e", script, tmp_path / "model.json"], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        f"layer 4 (Residual) {6 * 16 * 16}",
        "layer 6 (Residual) 576",
        *(f"layer 6, body {number} ({kind}) 576" for number, kind in ((0, "Conv2d"), (2, "ReLU"), (3, "Conv2d"))),
        "layer 6, shortcut 0 (Conv2d) 576",
    ]


@needs_node
@pytest.mark.parametrize("tall_first", [True, False])
@pytest.mark.parametrize("fit", FITS)
def test_images_of_any_size_are_fitted_pixel_for_pixel(
    fit, tall_first, write_of_pixels, shows_fitted, other_sizes, tmp_path, monkeypatch
):
    side = 16
    monkeypatch.setattr("lenet.exports.page.tall_first", lambda: tall_first)
    compute = page_computer(write_of_pixels(".html", side, fit), tmp_path)
    images = list(other_sizes(side))
    rows = zip(compute(*images), images, strict=True)
    same = all(shows_fitted(row, image, side, fit) for row, image in rows)
    assert same == (tall_first == installed())


@needs_node
def test_grey_conversion_is_pillow_s(tmp_path):
    """Lenet.channelsOf, on all combinations of 16 values of red, green and blue."""
    steps = np.linspace(0, 255, 16).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(64, 64, 3)
    rgba = np.concatenate([colours, np.full((64, 64, 1), 255, np.uint8)], axis=-1)
    (tmp_path / "rgba").write_bytes(rgba.tobytes())
    script = (
        f"{(SOURCE / 'network.js').read_text()}\n"
        "const fs = require('fs'), [rgba, grey] = process.argv.slice(1);"
        "fs.writeFileSync(grey, Lenet.channelsOf(fs.readFileSync(rgba), 1));"
    )
    subprocess.run([node(), "-e", script, tmp_path / "rgba", tmp_path / "grey"], check=True)
    grey = np.frombuffer((tmp_path / "grey").read_bytes(), np.uint8).reshape(64, 64)
    np.testing.assert_array_equal(grey, np.asarray(Image.fromarray(colours).convert("L")))


@pytest.mark.parametrize("any_network", ["lenet"], indirect=True)
def test_the_page_is_one_file_and_safe(any_network, some_images, as_exported, written):
    hostile = ("</script><b>", "{{VIEW}}", "<!--", 'a"b', "é\u2028")
    described = as_exported(any_network, classes=hostile)
    described = replace(described, provenance=replace(described.provenance, data="<i>{{MODEL}}"))
    path = written(described, any_network, some_images[:18])
    text, model = path.read_text(encoding="utf-8"), model_of(path)
    assert tuple(model["classes"]) == hostile
    assert text.count("<script") == text.count("</script>") == 4
    assert "<title>&lt;i&gt;{{MODEL}} classifier</title>" in text
    assert not re.search(r"https?:|\bsrc=|@import|url\(|<!--", text)
    assert [(check["height"], check["width"]) for check in model["checks"][-3:]] == [(16, 16), (25, 35), (49, 21)]
    assert len(model["checks"]) == 20


@pytest.mark.parametrize("any_network", ["lenet"], indirect=True)
def test_what_the_network_is(any_network, as_exported):
    described = as_exported(any_network)
    origin = replace(described.provenance, data="cats & dogs", test_accuracy=0.7443, test_interval=(0.736, 0.753))
    text = about(replace(described, provenance=origin))
    assert "one of 5 classes, trained on cats &amp; dogs, with a test accuracy of 74.4%" in text
    assert "(95% confidence interval 73.6% to 75.3%)" in text
    assert "an image of anything else is assigned to one of them too" in text
    assert "accuracy" not in about(described)


def test_checks_of_other_sizes_have_both_shapes():
    wide, tall = other_sizes(np.zeros((1, 96, 96, 3), np.uint8))
    assert (wide.shape, tall.shape) == ((145, 195, 3), (289, 101, 3))


@pytest.mark.parametrize("any_network", ["lenet"], indirect=True)
@needs_node
def test_a_page_that_node_cannot_run(any_network, some_images, as_exported, written, tmp_path):
    path = written(as_exported(any_network), any_network, some_images)
    path.write_text(path.read_text(encoding="utf-8").replace("function load", "function lode"), encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot run the page's network \(ReferenceError: load is not defined\)"):
        page_computer(path, tmp_path)(some_images)


def test_without_node_nothing_is_compared(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert page_computer(tmp_path / "net.html", tmp_path) is None
