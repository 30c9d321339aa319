"""The images of a folder: their pixels and channels, and the errors for files that cannot be read."""

import os
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from lenet.data import allocation
from lenet.data import decode as decoding
from lenet.data.decode import decode
from lenet.data.fit import fit_image
from lenet.data.folders import scan
from lenet.errors import InputError


def image(path, colour=(200, 30, 40), size=(20, 24), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)


def grow(root, *files):
    """Write an image at each path."""
    for file in files:
        image(root / file)


def read(root, **options):
    return decode(root, scan(root), 16, "crop", **options)


def test_pixels_equal_those_of_fit_image_in_every_mode(tmp_path):
    generator = np.random.default_rng(3)
    pictures = {}
    for index, mode in enumerate(["RGB", "L", "RGBA", "P", "1", "CMYK"]):
        pixels = generator.integers(0, 256, (30 + index, 20 + 5 * index, 3), dtype=np.uint8)
        name = f"{'ab'[index % 2]}/{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pictures[name] = Image.fromarray(pixels).convert(mode)
        pictures[name].save(tmp_path / name)
    arrays = read(tmp_path)
    assert arrays.images.shape == (6, 16, 16, 3)
    for file, pixels in zip(scan(tmp_path).files, arrays.images, strict=True):
        np.testing.assert_array_equal(pixels, fit_image(pictures[file], 16, 3, "crop"), err_msg=file)


def test_images_have_one_channel_if_all_are_grey(tmp_path):
    image(tmp_path / "train/a/1.png", (9, 9, 9), mode="L")
    image(tmp_path / "train/b/1.png", (70, 70, 70))  # grey, stored in colour
    arrays = read(tmp_path)
    assert arrays.grey
    assert arrays.images.reshape(2, -1).tolist() == [[9] * 256, [70] * 256]
    image(tmp_path / "train/b/2.png", (70, 70, 71))
    arrays = read(tmp_path)
    assert not arrays.grey
    assert arrays.images.shape == (3, 16, 16, 3)


def test_colour_in_other_splits_alone_leaves_the_training_images_grey(tmp_path):
    image(tmp_path / "train/a/1.png", (9, 9, 9), mode="L")
    image(tmp_path / "train/b/1.png", (70, 70, 70))
    image(tmp_path / "test/a/1.png", (200, 0, 0))
    assert read(tmp_path).images.shape[3] == 3
    assert read(tmp_path).grey


def test_grey_is_taken_before_the_resize(tmp_path):
    colourful = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        colourful.save(tmp_path / name / "1.png")
    arrays = read(tmp_path, grey=True)
    assert arrays.images.shape == (2, 16, 16, 1)
    np.testing.assert_array_equal(arrays.images[1], fit_image(colourful, 16, 1, "crop"))


def test_colour_that_the_resize_removes_still_counts_as_colour(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        image(tmp_path / name, (80, 80, 80), size=(400, 400))
    speck = Image.open(tmp_path / "b/1.png")
    speck.putpixel((200, 200), (80, 80, 90))
    speck.save(tmp_path / "b/1.png")
    assert read(tmp_path).images.shape[3] == 3


def test_every_unreadable_image_is_named_in_one_message(tmp_path):
    grow(tmp_path, *(f"{name}/{k}.png" for name in "ab" for k in range(4)))
    (tmp_path / "a" / "2.png").write_bytes((tmp_path / "a" / "2.png").read_bytes()[:60])
    (tmp_path / "b" / "0.png").write_text("a web page, perhaps")
    (tmp_path / "b" / "gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError) as error:
        read(tmp_path)
    message = str(error.value)
    assert message.startswith("3 of 9 images in ")
    assert "\n" not in message
    places = [message.index(name) for name in ("a/2.png (", "b/0.png (not an image)", "b/gone.jpg (No such file")]
    assert places == sorted(places)
    for index in range(25):
        (tmp_path / "a" / f"broken {index:02}.png").touch()
    with pytest.raises(InputError, match=r"28 of 34 images.*a/broken 18\.png \(not an image\) and 8 more; replace"):
        read(tmp_path)


def test_threads_do_not_change_the_pixels(monkeypatch, tmp_path):
    generator = np.random.default_rng(5)
    for index in range(8):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (90, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "ab"[index % 2] / f"{index}.png")
    together = read(tmp_path).images
    monkeypatch.setattr(decoding, "SMALL", 1 << 30)
    monkeypatch.setattr(decoding, "usable_cores", lambda: pytest.fail("small images are read by one thread"))
    np.testing.assert_array_equal(read(tmp_path).images, together)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_only_regular_files_are_images(tmp_path, kind):
    grow(tmp_path, "a/1.png", "b/1.png")
    path = tmp_path / "b" / "odd.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"1 of 3 images .*: b/odd\.jpg \(not a regular file\); replace"):
        read(tmp_path)


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, large_png, peak_memory):
    grow(tmp_path, "a/1.png", "b/1.png")
    large_png(tmp_path / "b" / "large.png", 13_000, whole=False)
    grown = peak_memory()
    with pytest.raises(InputError, match=r"b/large\.png \(13000 x 13000 is 169,000,000 pixels, lenet's limit is"):
        read(tmp_path)
    assert grown() < 100 << 20


def test_images_decoded_at_the_same_time_share_a_number_of_pixels(monkeypatch, tmp_path):
    grow(tmp_path, *(f"{name}/{number}.png" for name in "ab" for number in range(20)))
    together, most = [0, 0], threading.Lock()
    real = decoding.to_8bit

    def counted(image):
        with most:
            together[0] += image.width * image.height
            together[1] = max(together)
        try:
            return real(image)
        finally:
            with most:
                together[0] -= image.width * image.height

    monkeypatch.setattr(decoding, "to_8bit", counted)
    monkeypatch.setattr(decoding, "SMALL", 0)
    monkeypatch.setattr(decoding, "usable_cores", lambda: 8)
    monkeypatch.setattr(decoding, "free_memory", lambda: 1 << 20)
    monkeypatch.setattr(decoding, "MOST_PIXELS", 2 * 20 * 24)
    monkeypatch.setattr(decoding, "BYTES_PER_PIXEL", 1 << 20)
    read(tmp_path)
    assert together[1] <= 2 * 20 * 24


def test_images_larger_than_the_free_memory_are_refused(monkeypatch, tmp_path):
    grow(tmp_path, "a/1.png", "b/1.png")
    monkeypatch.setattr(allocation, "free_memory", lambda: 1000)
    monkeypatch.setattr(allocation, "_CHECKED", 0)
    with pytest.raises(
        InputError, match=r"the images in .* take 0\.0 GiB of memory at this size and 0\.0 GiB are free"
    ):
        read(tmp_path)
