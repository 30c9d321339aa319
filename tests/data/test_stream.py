"""Decoding in a stream: the pixels of single images, in order, with bounded look-ahead, and errors in their place."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lenet.data import decode
from lenet.data import stream as module
from lenet.data.fit import fit_image, open_image
from lenet.data.stream import stream
from lenet.errors import InputError


@pytest.fixture
def files(tmp_path):
    """100 JPEG files of different shapes and modes; two of them are damaged, one is missing."""
    random = np.random.default_rng(0)
    for number in range(100):
        shape = (random.integers(1, 90), random.integers(1, 90), *((3,) if number % 3 else ()))
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(tmp_path / f"{number}.jpg")
    (tmp_path / "7.jpg").write_bytes((tmp_path / "8.jpg").read_bytes()[:-200])
    (tmp_path / "50.jpg").write_text("words")
    (tmp_path / "99.jpg").unlink()
    return [str(tmp_path / f"{number}.jpg") for number in range(100)]


@pytest.mark.parametrize("fit", ["crop", "pad", "squash"])
def test_pixels_and_order_are_those_of_single_images(files, fit):
    found = list(stream(files, 16, 3, fit))
    assert [path for path, _ in found] == files
    bad = {number for number, (_, image) in enumerate(found) if isinstance(image, InputError)}
    assert bad == {7, 50, 99}
    for number in set(range(100)) - bad:
        assert np.array_equal(found[number][1], fit_image(open_image(files[number]), 16, 3, fit))
    assert "/7.jpg'" in str(found[7][1])
    assert "50.jpg' (not an image)" in str(found[50][1])
    assert "no image at" in str(found[99][1])


def test_paths_are_not_read_far_ahead_of_what_is_used(files, monkeypatch):
    monkeypatch.setattr(module, "usable_cores", lambda: 2)
    taken = []

    def paths():
        for _ in range(1000):
            for path in files:
                taken.append(path)
                yield path

    images = stream(paths(), 16, 1, "crop")
    for _ in range(300):
        next(images)
    images.close()
    assert len(taken) < 1000


def test_images_share_a_number_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MOST_PIXELS", 100)
    monkeypatch.setattr(decode, "free_memory", lambda: 0)
    taken = []
    taking = module.Room.taken
    monkeypatch.setattr(
        module.Room, "taken", lambda room, pixels: taken.append((room._whole, pixels)) or taking(room, pixels)
    )
    for number in range(20):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{number}.png")
    found = list(stream([str(path) for path in sorted(tmp_path.iterdir())], 16, 3, "crop"))
    assert len(found) == 20
    assert set(taken) == {(100, 600)}
    assert not any(isinstance(image, InputError) for _, image in found)
    assert Path(found[0][0]).name == "0.png"
