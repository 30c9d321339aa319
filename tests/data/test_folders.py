"""Class folders: what counts as an image, a class and a split, and what is said of folders that will not do."""

import os

import numpy as np
import pytest
from PIL import Image

from lenet.data import folders
from lenet.data.fit import fit_image
from lenet.errors import InputError


def image(path, colour=(200, 30, 40), size=(20, 24), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path)
    return path


def grow(root, *files):
    """Writes an image at each path; a path that ends in "/" is an empty folder."""
    for file in files:
        if file.endswith("/"):
            (root / file).mkdir(parents=True)
        else:
            image(root / file)
    return root


def test_classes_are_the_training_images_so_that_one_missing_elsewhere_shifts_no_label(tmp_path):
    grow(tmp_path, "train/cat/1.png", "train/ant/1.png", "train/dog/1.png", "val/dog/1.png", "test/cat/1.png")
    found = folders.scan(tmp_path)
    assert found.classes == ("ant", "cat", "dog")
    assert found.files == (
        "train/ant/1.png", "train/cat/1.png", "train/dog/1.png", "val/dog/1.png", "test/cat/1.png",
    )  # fmt: skip
    assert found.labels.tolist() == [0, 1, 2, 2, 1]
    assert found.indices("train").tolist() == [0, 1, 2]
    assert found.indices("val").tolist() == [3]
    assert found.indices("test").tolist() == [4]
    assert [note for note in found.notes if "'ant', 'cat'" in note and note.startswith("no val images")]
    assert [note for note in found.notes if "'ant', 'dog'" in note and note.startswith("no test images")]


@pytest.mark.parametrize("val", ["val", "valid", "validation", "Valid"])
def test_every_name_of_the_validation_folder_is_known(tmp_path, val):
    grow(tmp_path, "train/a/1.png", "train/b/1.png", f"{val}/b/1.png")
    found = folders.scan(tmp_path)
    assert found.has_val
    assert not found.has_test
    assert found.indices("val").tolist() == [2]
    assert "no test folder: 10% of the training images held out" in found.notes


def test_what_is_no_image_is_passed_over_and_subfolders_are_not(tmp_path):
    grow(tmp_path, "a/1.png", "a/deep/er/2.JPEG", "b/x.PNG", "a/.hidden.png", ".git/y.png", "a/.thumbs/z.png",
         "__MACOSX/a/1.png")  # fmt: skip
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "b" / "Thumbs.db").write_text("x")
    (tmp_path / "README").write_text("x")
    image(tmp_path / "loose.png")
    found = folders.scan(tmp_path)
    assert found.files == ("a/1.png", "a/deep/er/2.JPEG", "b/x.PNG")
    assert found.classes == ("a", "b")
    assert [note for note in found.notes if note.startswith("1 images directly in")]
    assert not found.has_val
    assert not found.has_test


def test_links_are_followed_but_in_no_circle(tmp_path):
    grow(tmp_path / "store", "many/1.png", "many/2.png")
    grow(tmp_path / "root", "a/1.png")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "store" / "many")
    (tmp_path / "root" / "a" / "again").symlink_to(tmp_path / "root" / "a")
    assert folders.scan(tmp_path / "root").files == ("a/1.png", "b/1.png", "b/2.png")


def test_classes_may_be_called_like_splits(tmp_path):
    grow(tmp_path, "train/1.png", "test/1.png", "bus/1.png")
    assert folders.scan(tmp_path).classes == ("bus", "test", "train")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/1.png", "train/b/1.png", "train/none/"], "class folder .*train/none holds no images"),
        (["a/1.png", "b/1.png", "none/"], "class folder .*none holds no images"),
        (["a/1.png"], "has one class only, 'a'"),
        (["all/train/a/1.png", "all/train/b/1.png"], "one class only, 'all'.*did you mean '.*/all'"),
        (["train/a/1.png", "test/a/1.png"], "train has one class only, 'a'"),
        ([], "no class folders with images"),
        (["loose.png"], "no class folders with images"),
        (["train/1.png", "test/1.png"], "without class folders in them"),
        (["test/a/1.png", "test/b/1.png"], "has 'test' but no 'train'"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png", "valid/a/1.png"], "has both 'val' and 'valid'"),
        (
            ["train/a/1.png", "train/bus/1.png", "val/bsu/1.png"],
            "class 'bsu' in .*val is not among.*did you mean 'bus'",
        ),
        (["train/a/1.png", "train/b/1.png", "test/c/1.png"], "class 'c' in .*test is not among"),
    ],
)
def test_folders_that_will_not_do_are_named(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as error:
        folders.scan(grow(tmp_path, *files))
    assert "\n" not in str(error.value)


def test_an_empty_class_folder_outside_training_is_a_class_missing_there(tmp_path):
    found = folders.scan(grow(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/", "test/extra/"))
    assert found.labels.tolist() == [0, 1, 0]


def test_under_given_classes_labels_are_theirs_and_any_part_will_do(tmp_path):
    grow(tmp_path, "test/dog/1.png")
    found = folders.scan(tmp_path, ("cat", "dog", "emu"))
    assert (found.labels.tolist(), found.classes) == ([1], ("cat", "dog", "emu"))
    grow(tmp_path, "test/fox/1.png")
    with pytest.raises(InputError, match=r"class 'fox' .* is not among the classes of the model"):
        folders.scan(tmp_path, ("cat", "dog", "emu"))


def test_a_folder_that_cannot_be_listed_is_named(monkeypatch, tmp_path):
    grow(tmp_path, "a/1.png", "b/1.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot list .*/b \(Permission denied\)"):
        folders.scan(tmp_path)


def read(root, **options):
    return folders.read(root, folders.scan(root), 16, "crop", **options)


def test_pixels_are_those_of_fit_image_whatever_the_mode(tmp_path):
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
    for file, pixels in zip(folders.scan(tmp_path).files, arrays.images, strict=True):
        np.testing.assert_array_equal(pixels, fit_image(pictures[file], 16, 3, "crop"), err_msg=file)


def test_one_channel_where_all_training_images_are_grey_and_the_other_splits_follow(tmp_path):
    image(tmp_path / "train/a/1.png", (9, 9, 9), mode="L")
    image(tmp_path / "train/b/1.png", (70, 70, 70))  # grey, stored in colour
    colourful = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    (tmp_path / "test/a").mkdir(parents=True)
    colourful.save(tmp_path / "test/a/1.png")
    arrays = read(tmp_path)
    assert arrays.images.shape == (3, 16, 16, 1)
    assert arrays.images[:2].reshape(2, -1).tolist() == [[9] * 256, [70] * 256]
    np.testing.assert_array_equal(arrays.images[2], fit_image(colourful, 16, 1, "crop"))
    assert read(tmp_path, channels=3).images.shape == (3, 16, 16, 3)
    image(tmp_path / "train/b/2.png", (70, 70, 71))
    assert read(tmp_path).images.shape == (4, 16, 16, 3)
    np.testing.assert_array_equal(read(tmp_path, channels=1).images[-1], fit_image(colourful, 16, 1, "crop"))


def test_colour_too_small_to_survive_the_resize_is_still_colour(tmp_path):
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
    with pytest.raises(InputError, match=r"28 of 34 images.*a/broken 18\.png \(not an image\) and 8 more; mend"):
        read(tmp_path)


def test_large_images_are_decoded_side_by_side_to_the_same_pixels(monkeypatch, tmp_path):
    generator = np.random.default_rng(5)
    for index in range(8):
        (tmp_path / "ab"[index % 2]).mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (90, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "ab"[index % 2] / f"{index}.png")
    together = read(tmp_path).images
    monkeypatch.setattr(folders, "_SMALL", 1 << 30)
    monkeypatch.setattr(folders, "_cores", lambda: pytest.fail("small images are for one thread"))
    np.testing.assert_array_equal(read(tmp_path).images, together)
