"""Images of every kind to squares: what open_image makes of them, and the three fits."""

import io
import os
import socket
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lenet.data import fit as fitting
from lenet.data.fit import FITS, fit_array, fit_image, in_channels, open_image, to_8bit
from lenet.errors import InputError


def saved(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def noise(height, width, channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Image.fromarray(pixels if channels == 3 else pixels[..., 0])


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right: what lies left comes to the top
    opened = open_image(saved(tmp_path, image, "a.jpg", exif=exif, quality=95))
    assert opened.size == (20, 40)
    assert opened.getpixel((10, 5))[2] > 200
    assert opened.getpixel((10, 35))[0] > 200


def test_transparency_is_composited_on_white(tmp_path):
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    clear.paste((255, 0, 0, 255), (0, 0, 10, 20))
    for image, name in ((clear, "a.png"), (clear.convert("LA"), "b.png"), (clear, "c.webp"), (clear, "d.gif")):
        opened = open_image(saved(tmp_path, image, name, **({"lossless": True} if name == "c.webp" else {})))
        assert opened.mode == ("L" if name == "b.png" else "RGB")
        assert np.asarray(opened)[10, 15].min() == 255, name
        assert np.asarray(opened)[10, 5].min() < 100, name


@pytest.mark.parametrize(("mode", "straight"), [("La", "LA"), ("RGBa", "RGBA")])
def test_premultiplied_alpha_is_composited_as_straight_alpha(mode, straight):
    image = Image.new(straight, (20, 20), (100,) * (len(mode) - 1) + (0,))
    image.paste((100,) * (len(mode) - 1) + (255,), (0, 0, 10, 20))
    image.putpixel((15, 15), (100,) * (len(mode) - 1) + (128,))
    found = to_8bit(image.convert(mode))
    assert found.mode == to_8bit(image).mode
    np.testing.assert_allclose(np.asarray(found, int), np.asarray(to_8bit(image), int), atol=1)


def test_a_transparent_palette_colour_is_composited_on_white(tmp_path):
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    image.putpixel((3, 4), 0)
    opened = open_image(saved(tmp_path, image, transparency=0))
    assert opened.getpixel((3, 4)) == (255, 255, 255)
    assert opened.getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_greys_are_scaled_not_clipped(tmp_path, dtype):
    ramp = np.linspace(0, 1, 256)[None].repeat(20, 0)
    values = ramp.astype(dtype) if dtype == np.float32 else np.rint(ramp * 65535).astype(dtype)
    opened = open_image(saved(tmp_path, Image.fromarray(values), "a.tif"))
    assert opened.mode == "L"
    np.testing.assert_array_equal(np.asarray(opened)[3], np.arange(256))


def test_the_transparent_grey_of_a_16_bit_png_is_white(tmp_path):
    values = np.array([[0, 300, 65535]], dtype=np.uint16).repeat(4, 0)
    path = tmp_path / "a.png"
    Image.fromarray(values).save(path, transparency=300)
    assert np.asarray(open_image(path))[0].tolist() == [0, 255, 255]


def png(depth, colour, row, transparent):
    """A PNG file of one row of two pixels, in a form that Pillow does not write."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 2, 1, depth, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", transparent) + pixels + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(1, 0, bytes([0b10000000]), struct.pack(">H", 1)), [255, 0]),
        (png(2, 0, bytes([0b01100000]), struct.pack(">H", 1)), [255, 170]),
        (png(4, 0, bytes([0x3C]), struct.pack(">H", 3)), [255, 204]),
        (png(8, 0, bytes([10, 200]), struct.pack(">H", 10)), [255, 200]),
        (png(8, 2, bytes([1, 2, 3, 7, 8, 9]), struct.pack(">HHH", 1, 2, 3)), [[255] * 3, [7, 8, 9]]),
        (
            png(16, 2, bytes.fromhex("12345678 9abc 3400 7800 bc00"), bytes.fromhex("12345678 9abc")),
            [[255] * 3, [0x34, 0x78, 0xBC]],
        ),
    ],
    ids=["grey 1", "grey 2", "grey 4", "grey 8", "RGB 8", "RGB 16"],
)
def test_the_transparent_colour_of_a_png_of_any_depth_is_white(tmp_path, content, expected):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert np.asarray(open_image(path))[0].tolist() == expected


def tiff(values, photometric):
    """A TIFF file of a row of unsigned integers, in a form that Pillow does not write. photometric 0: zero is white."""
    pixels, bits = values.tobytes(), 8 * values.itemsize
    tags = {256: len(values), 257: 1, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: 1, 279: len(pixels)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + pixels


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (tiff(np.array([0, 1000, 60000], np.uint16), 1), [0, 4, 233]),
        (tiff(np.array([0, 1000, 60000], np.uint16), 0), [255, 251, 22]),
        (tiff(np.array([0, 2**15, 2**31], np.uint32), 1), [0, 128, 255]),
    ],
    ids=["16 bits", "zero is white", "32 bits"],
)
def test_grey_tiff_files_of_unsigned_integers(tmp_path, content, expected):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert np.asarray(open_image(path))[0].tolist() == expected


def test_signed_integers_below_zero_are_black():
    values = np.array([[-70000, -1, 0, 65535]], dtype=np.int32)
    assert np.asarray(to_8bit(Image.fromarray(values)))[0].tolist() == [0, 0, 0, 255]


def test_one_bit_cmyk_and_grey_become_8_bits(tmp_path):
    assert open_image(saved(tmp_path, Image.new("1", (20, 20), 1))).getpixel((5, 5)) == 255
    cmyk = open_image(saved(tmp_path, Image.new("CMYK", (20, 20), (0, 255, 255, 0)), "a.jpg"))
    assert cmyk.mode == "RGB"
    assert cmyk.getpixel((5, 5))[0] > 200
    assert max(cmyk.getpixel((5, 5))[1:]) < 60
    assert open_image(saved(tmp_path, Image.new("L", (20, 20), 77))).getpixel((5, 5)) == 77


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "tif", "ppm"])
def test_a_damaged_image_is_named_with_the_reason(tmp_path, suffix):
    path = saved(tmp_path, noise(64, 64), f"broken.{suffix}")
    open_image(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"cannot read the image '.*broken\.{suffix}' \(.+\): replace"):
        open_image(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"\(not an image\)"):
        open_image(path)
    path.unlink()
    with pytest.raises(InputError, match="no image at"):
        open_image(path)


def test_a_program_named_like_an_image_is_not_run(tmp_path):
    eps = io.BytesIO()
    noise(20, 20).save(eps, "EPS")
    (tmp_path / "a.png").write_bytes(eps.getvalue())
    with pytest.raises(InputError, match="not an image"):
        open_image(tmp_path / "a.png")


def test_an_image_of_the_size_is_untouched():
    image = noise(32, 32)
    for fit in FITS:
        np.testing.assert_array_equal(fit_image(image, 32, 3, fit), np.asarray(image))


def test_crop_keeps_the_middle_pad_keeps_all_and_squash_distorts():
    image = Image.new("RGB", (96, 32), "red")
    image.paste("blue", (32, 0, 64, 32))
    crop = fit_image(image, 32, 3, "crop")
    assert (crop == [0, 0, 255]).all()
    pad = fit_image(image, 48, 3, "pad")
    assert (pad[:16] == 0).all()
    assert (pad[32:] == 0).all()
    assert pad[24, [4, 24, 44]].tolist() == [[255, 0, 0], [0, 0, 255], [255, 0, 0]]
    squash = fit_image(image, 48, 3, "squash")
    assert squash[4, [4, 24, 44]].tolist() == [[255, 0, 0], [0, 0, 255], [255, 0, 0]]


def test_shrinking_is_antialiased():
    stripes = np.zeros((160, 160, 1), np.uint8)
    stripes[:, ::2] = 255
    for fit in FITS:
        fitted = fit_array(stripes[None], 16, fit)
        assert abs(fitted[0, 2:-2, 2:-2].astype(int) - 128).max() <= 2


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 70), width=st.integers(1, 70), size=st.integers(16, 40), channels=st.sampled_from([1, 3]),
    own=st.sampled_from([1, 3]), fit=st.sampled_from(FITS),
)  # fmt: skip
def test_any_shape_gives_the_size_and_arrays_are_resized_as_images_are(height, width, size, channels, own, fit):
    image = noise(height, width, own)
    one = fit_image(image, size, channels, fit)
    assert one.shape == (size, size, channels)
    assert one.dtype == np.uint8
    pixels = np.asarray(image).reshape(height, width, own)
    np.testing.assert_array_equal(fit_array(pixels[None], size, fit, channels)[0], one)
    assert one.max() <= pixels.max()


def test_the_grey_of_a_grey_image_in_colour_is_that_grey():
    grey = noise(50, 40, 1)
    np.testing.assert_array_equal(fit_image(grey.convert("RGB"), 32, 1), fit_image(grey, 32, 1))
    np.testing.assert_array_equal(fit_image(grey, 32, 3), fit_image(grey, 32, 1).repeat(3, axis=2))


def test_sizes_and_fits_out_of_range_are_named():
    for size in (15, 97):
        with pytest.raises(InputError, match=f"size {size} is out of range: give 16 to 96 pixels"):
            fit_image(noise(20, 20), size, 3)
    with pytest.raises(InputError, match="no fit 'corp', did you mean 'crop'"):
        fit_array(np.zeros((1, 20, 20, 3), np.uint8), 32, "corp")
    with pytest.raises(InputError, match=r"uint8 \[N, H, W, C\].*float64 \[1, 20, 20, 3\]"):
        fit_array(np.zeros((1, 20, 20, 3)), 32)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_only_regular_files_are_images(tmp_path, kind):
    path = tmp_path / "x.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"cannot read the image .*x\.jpg' \((not a regular file|Is a directory)\)"):
        open_image(path)


@pytest.mark.parametrize("side", [10_001, 13_000, 40_000])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, large_png, peak_memory, side):
    large_png(tmp_path / "large.png", side, whole=False)
    grown = peak_memory()
    with pytest.raises(InputError, match=r"large\.png' \(.*100,000,000.*\): replace or remove it"):
        open_image(tmp_path / "large.png")
    assert grown() < 50 << 20


def test_a_16_bit_image_takes_few_bytes_per_pixel(tmp_path, large_png, peak_memory):
    large_png(tmp_path / "large.png", 4000)
    grown = peak_memory()
    assert fit_image(open_image(tmp_path / "large.png"), 32, 1).max() == 0
    assert grown() < 13 * 4000**2


def test_an_image_in_memory_is_bounded_too():
    with pytest.raises(InputError, match="10001 x 10000 is 100,010,000 pixels, lenet's limit is 100,000,000"):
        to_8bit(Image.new("1", (10_001, 10_000)))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = saved(tmp_path, noise(20, 20), "a.webp")
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="the file has more than 536,870,912 bytes"):
        open_image(path)


def test_bands_of_rows_do_not_change_the_pixels(monkeypatch):
    generator = np.random.default_rng(0)
    transparent = Image.fromarray(generator.integers(0, 256, (37, 53, 4), dtype=np.uint8))
    palette = noise(37, 53).convert("P")
    palette.info["transparency"] = bytes(range(200))
    grey16 = Image.fromarray(generator.integers(0, 65536, (37, 53)).astype(np.uint16))
    floats = Image.fromarray(generator.random((37, 53)).astype(np.float32))
    for image in (transparent, transparent.convert("LA"), palette, grey16, floats):
        whole = np.asarray(to_8bit(image))
        with monkeypatch.context() as patched:
            patched.setattr(fitting, "_BAND", 100)
            np.testing.assert_array_equal(np.asarray(to_8bit(image)), whole)


@pytest.mark.parametrize("own", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_converted_as_in_fit_image(monkeypatch, own, channels):
    images = np.random.default_rng(0).integers(0, 256, (50, 20, 20, own), dtype=np.uint8)
    monkeypatch.setattr(fitting, "_BAND", 3000)
    converted = in_channels(images, channels)
    assert (converted is images) == (own == channels)
    for image, pixels in zip(images, converted, strict=True):
        picture = Image.fromarray(image if own == 3 else image[..., 0])
        np.testing.assert_array_equal(pixels, fit_image(picture, 20, channels))
