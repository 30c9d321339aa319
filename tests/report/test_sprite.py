"""The sprite of a report: within its size, and each cell of the matrix has its turn."""

import io

import numpy as np
import pytest
from PIL import Image

from lenet.report.sprite import by_turns, sprite_of


def test_each_cell_has_its_turn():
    cells = np.array([7, 7, 7, 3, 7, 3, 5])
    assert by_turns(cells, 0).tolist() == [0, 3, 6, 1, 5, 2, 4]
    assert by_turns(cells, 2).tolist() == [0, 1, 2, 3, 6, 4, 5]
    assert by_turns(cells, 9).tolist() == list(range(7))
    assert by_turns(np.empty(0, np.int64), 3).tolist() == []


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_exact_and_as_many_as_fit(channels):
    images = list(np.random.default_rng(0).integers(0, 256, (200, 20, 20, channels), np.uint8))
    whole = sprite_of(images, 10**7)
    assert (whole.count, whole.columns, whole.rows) == (200, 15, 14)
    sheet = np.asarray(Image.open(io.BytesIO(whole.png))).reshape(280, 300, channels)
    np.testing.assert_array_equal(sheet[20:40, 40:60], images[17])
    some = sprite_of(images, len(whole.png) // 2)
    assert len(some.png) <= len(whole.png) // 2
    assert 80 <= some.count <= 100
    assert sprite_of(images, 100).count == 0
    assert sprite_of([], 10**6).count == 0


def test_large_images_are_reduced():
    found = sprite_of([np.zeros((96, 72, 3), np.uint8)], 10**6)
    assert Image.open(io.BytesIO(found.png)).size == (36, 48)


def test_images_that_compress_unevenly_fit_too():
    random = np.random.default_rng(0)
    flat = [np.full((32, 32, 3), 200, np.uint8)] * 500
    noisy = list(random.integers(0, 256, (500, 32, 32, 3), np.uint8))
    for images in ([*flat, *noisy], [*noisy, *flat]):
        found = sprite_of(images, 400_000)
        assert 0 < len(found.png) <= 400_000
        assert found.count > 100
