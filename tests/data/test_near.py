"""Near-duplicates among thumbnails."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from lenet.data.near import SIMILAR, near_duplicates


def scenes(count, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC)) for one in noise])


CHANGES = {
    "darker": lambda pixels: np.asarray(ImageEnhance.Brightness(Image.fromarray(pixels)).enhance(0.6)),
    "less contrast": lambda pixels: np.asarray(ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(0.6)),
    "shifted": lambda pixels: np.pad(pixels, ((2, 0), (1, 0), (0, 0)), mode="edge")[:32, :32],
    "noisy": lambda pixels: np.clip(
        pixels + np.random.default_rng(1).normal(0, 8, pixels.shape), 0, 255
    ).astype(np.uint8),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("count", [1, 200])
def test_changed_copies_are_found_among_few_and_many_images(name, count):
    images = scenes(count)
    copies = np.stack([CHANGES[name](pixels) for pixels in images[:5]])
    found = near_duplicates(np.concatenate([images, copies]))
    assert {pair[:2] for pair in found} == {(index, count + index) for index in range(len(copies))}
    assert all(SIMILAR <= similarity <= 1.00001 for *_, similarity in found)
    assert [each[2] for each in found] == sorted((each[2] for each in found), reverse=True)


def test_black_bars_and_horizons_that_images_share_are_no_similarity():
    images = scenes(60)
    images[:, :7], images[:, 25:] = 0, 0
    images[:, 7:16] = images[:, 7:16] // 8 + 220
    assert near_duplicates(images) == []


def test_images_that_are_all_alike_need_a_higher_similarity():
    base = scenes(1)[0].astype(np.int64)
    images = np.stack([base + 2 * other.astype(np.int64) // 5 for other in scenes(200, seed=1)])
    images = np.clip(images, 0, 255).astype(np.uint8)
    copy = np.clip(images[:1].astype(np.int64) + 3, 0, 255).astype(np.uint8)
    assert [pair[:2] for pair in near_duplicates(np.concatenate([images, copy]))] == [(0, 200)]


def test_without_two_images_nothing_is_found():
    assert near_duplicates(scenes(1)) == []
    assert near_duplicates(scenes(1)[:0]) == []


def test_progress_counts_every_image_once():
    done = []
    near_duplicates(scenes(100), done.append)
    assert sum(done) == 100
