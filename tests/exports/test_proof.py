"""The proof: it passes for equal probabilities and ties, and names the first image that differs."""

import numpy as np
import pytest

from lenet.data.fit import fit_array
from lenet.engine import torch as torch_engine
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.evaluation.scores import probabilities
from lenet.exports.network import read_network
from lenet.exports.proof import in_batches, made_up, of_other_sizes, prove


@pytest.fixture
def proven(digits_run, digits):
    """A function that proves a function of images, which may change what the network computes; and its arguments."""
    checkpoint = digits_run.checkpoint()
    described, network = read_network(digits_run, checkpoint, 0), checkpoint.networks[0]

    def equal(images):
        fitted = fit_array(images, 16, described.fit)
        return probabilities(torch_engine.logits(network, fitted, Settings()) / described.temperature)

    def call(change=lambda found, images: found, indices=digits.test, **options):
        compute = in_batches(lambda images: change(equal(images).astype(np.float32), images))
        return prove(described, network, compute, digits.images, indices, **{"any_size": True} | options)

    return call


def test_equal_probabilities_are_proven(proven, digits):
    proof = proven()
    assert (proof.images, proof.what, proof.ties, proof.sizes) == (len(digits.test), "test image", 0, 16)
    assert proof.difference < 1e-6
    assert str(proof).startswith("180 test images: same class, probabilities within ")
    assert str(proof).endswith("; 16 images of other sizes likewise")
    assert proven(any_size=False).sizes == 0


@pytest.mark.parametrize("error", [2e-5, np.nan])
def test_the_first_image_that_differs_is_named(proven, error):
    calls = []

    def change(found, images):
        calls.append(len(found))
        if len(calls) == 1:
            found[70:, 3] += error
        return found

    with pytest.raises(InputError, match="for test image 70 it gives"):
        proven(change)
    calls.clear()
    with pytest.raises(InputError, match=r"for d/70\.png it gives"):
        proven(change, names=[f"d/{number}.png" for number in range(180)])


def test_an_image_of_another_size_that_differs_is_named(proven):
    def change(found, images):
        return found[:, ::-1] if images.shape[1:3] == (48, 1) else found

    with pytest.raises(InputError, match="for an image of 1x48 pixels"):
        proven(change)


def test_a_class_may_differ_in_a_tie_alone(proven, monkeypatch):
    tie = np.array([[0.5, 0.5 - 4e-6] + [0.0] * 8])
    monkeypatch.setattr("lenet.exports.proof.probabilities", lambda logits: tie.repeat(len(logits), axis=0))
    proof = proven(lambda found, images: tie[:, [1, 0, *range(2, 10)]].repeat(len(images), axis=0), any_size=False)
    assert proof.ties == 180
    assert "same class but for 180 ties" in str(proof)


def test_without_test_images_others_are_made_up(proven, digits_run):
    proof = proven(indices=np.empty(0, np.int64), reason="gone")
    assert (proof.images, proof.what, proof.reason) == (64, "made-up image", "gone")
    with pytest.raises(InputError, match="for made-up image 0 it gives"):
        proven(lambda found, images: found[:, ::-1], indices=np.empty(0, np.int64))
    images = made_up(read_network(digits_run, digits_run.checkpoint(), 0))
    assert (images.shape, images.dtype) == ((64, 16, 16, 1), np.uint8)
    assert len({image.tobytes() for image in images}) == 64


def test_a_wrong_number_of_probabilities_differs(proven):
    with pytest.raises(InputError, match=r"probabilities of shape \[180, 9\], not \[180, 10\]"):
        proven(lambda found, images: found[:, 1:])


def test_other_sizes_are_varied():
    sizes = [image.shape for image in of_other_sizes(np.zeros((3, 16, 16, 3), np.uint8))]
    assert len(set(sizes)) == len(sizes)
    assert (1, 1, 1, 3) in sizes
    assert (1, 16, 16, 3) not in sizes
