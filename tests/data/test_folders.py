"""Class folders: what counts as an image, a class and a split, and the errors for folders that cannot be used."""

import os
from pathlib import Path

import pytest
from PIL import Image

from lenet.data import folders
from lenet.data.decode import decode
from lenet.data.image_files import image_files
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


def test_classes_are_those_of_the_training_images_so_that_a_class_missing_elsewhere_shifts_no_label(tmp_path):
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
    assert "no test folder: 10% of the training images are the test set" in found.notes


def test_other_files_are_ignored_and_subfolders_are_searched(tmp_path):
    grow(tmp_path, "a/1.png", "a/deep/er/2.JPEG", "b/x.PNG", "a/.hidden.png", ".git/y.png", "a/.thumbs/z.png",
         "__MACOSX/a/1.png")  # fmt: skip
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "b" / "Thumbs.db").write_text("x")
    (tmp_path / "README").write_text("x")
    image(tmp_path / "loose.png")
    found = folders.scan(tmp_path)
    assert found.files == ("a/1.png", "a/deep/er/2.JPEG", "b/x.PNG")
    assert found.classes == ("a", "b")
    assert [note for note in found.notes if note.startswith("1 image directly in")]
    assert not found.has_val
    assert not found.has_test


def test_links_are_followed_and_circles_of_links_are_not(tmp_path):
    grow(tmp_path / "store", "many/1.png", "many/2.png")
    grow(tmp_path / "root", "a/1.png")
    (tmp_path / "root" / "b").symlink_to(tmp_path / "store" / "many")
    (tmp_path / "root" / "a" / "again").symlink_to(tmp_path / "root" / "a")
    assert folders.scan(tmp_path / "root").files == ("a/1.png", "b/1.png", "b/2.png")


def test_a_folder_of_too_many_levels_is_refused(tmp_path, monkeypatch):
    grow(tmp_path, "a/1.png", "b/1.png")
    monkeypatch.chdir(tmp_path / "a")
    for _ in range(210):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(tmp_path)
    for read in (lambda: folders.scan(tmp_path), lambda: list(image_files([tmp_path]))):
        with pytest.raises(InputError, match="is a folder of more than 200 levels: move its images up"):
            read()


def test_a_link_to_itself_is_an_image_that_cannot_be_read(tmp_path):
    grow(tmp_path, "a/1.png", "b/1.png")
    for place in ("", "a/"):
        (tmp_path / f"{place}loop.png").symlink_to("loop.png")
    found = folders.scan(tmp_path)
    assert found.files == ("a/1.png", "a/loop.png", "b/1.png")
    with pytest.raises(InputError, match=r"1 of 3 images .*a/loop\.png"):
        decode(tmp_path, found, 16, "crop")
    for name in ("a", "b"):
        (tmp_path / name).rename(tmp_path / f"{name}{name}")
    assert list(image_files([str(tmp_path)])) == [str(tmp_path / "aa/1.png"), str(tmp_path / "bb/1.png")]


def test_links_to_folders_above_a_class_folder_are_circles_too(tmp_path):
    grow(tmp_path / "flat", "a/1.png", "b/1.png")
    (tmp_path / "flat/a/up").symlink_to("..")
    assert folders.scan(tmp_path / "flat").files == ("a/1.png", "b/1.png")
    grow(tmp_path / "split", "train/a/1.png", "train/b/1.png", "test/a/1.png")
    (tmp_path / "split/train/a/up").symlink_to("..")
    (tmp_path / "split/test/a/up").symlink_to("../..")
    assert folders.scan(tmp_path / "split").files == ("train/a/1.png", "train/b/1.png", "test/a/1.png")


@pytest.mark.parametrize(("train", "test"), [("training_set", "test_set"), ("seg_train", "seg_test")])
def test_splits_of_unknown_names_are_not_taken_as_classes(tmp_path, train, test):
    grow(tmp_path, *(f"{split}/{name}/1.png" for split in (train, test) for name in ("cats", "dogs")))
    image(tmp_path / "single_prediction" / "1.png")
    for lenient in (False, True):  # as for training, and for a check
        with pytest.raises(InputError, match=r"are named like splits and contain folders: rename them to train, val"):
            folders.scan(tmp_path, lenient=lenient)
    assert len(folders.scan(tmp_path, (train, test, "single_prediction")).files) == 5


def test_splits_of_unknown_names_need_not_contain_the_same_folders(tmp_path):
    grow(tmp_path, "seg_train/seg_train/a/1.png", "seg_train/seg_train/b/1.png", "seg_test/seg_test/a/1.png")
    with pytest.raises(InputError, match="are named like splits"):
        folders.scan(tmp_path)


@pytest.mark.parametrize("names", [("oval", "square"), ("trainers", "boots"), ("test_positive", "negative")])
def test_classes_whose_names_contain_those_of_splits_are_classes(tmp_path, names):
    grow(tmp_path, *(f"{name}/{inside}/1.png" for name in names for inside in ("left", "right")))
    assert folders.scan(tmp_path).classes == tuple(sorted(names))


def test_class_folders_that_contain_the_same_folders_are_noted(tmp_path):
    found = folders.scan(grow(tmp_path, "ok/left/1.png", "ok/right/1.png", "bad/left/1.png", "bad/right/1.png"))
    assert found.classes == ("bad", "ok")
    assert found.notes[1:] == (
        "bad, ok contain the same folders (left, right) and are taken as classes: if they are splits, rename them to "
        "train, val and test",
    )


def test_classes_may_be_named_like_splits(tmp_path):
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
def test_a_folder_that_cannot_be_used_is_named(tmp_path, files, message):
    with pytest.raises(InputError, match=message) as error:
        folders.scan(grow(tmp_path, *files))
    assert "\n" not in str(error.value)


def test_an_empty_class_folder_outside_training_is_a_class_missing_there(tmp_path):
    found = folders.scan(grow(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/", "test/extra/"))
    assert found.labels.tolist() == [0, 1, 0]


def test_given_classes_number_the_labels_and_any_split_suffices(tmp_path):
    grow(tmp_path, "test/dog/1.png")
    found = folders.scan(tmp_path, ("cat", "dog", "emu"))
    assert (found.labels.tolist(), found.classes) == ([1], ("cat", "dog", "emu"))
    grow(tmp_path, "test/fox/1.png")
    with pytest.raises(InputError, match=r"class 'fox' .* is not a class of the model"):
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


def test_a_class_folder_whose_name_is_not_utf8_is_refused(tmp_path):
    grow(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b").rename(tmp_path / "caf\udce9")
    with pytest.raises(InputError, match=r"the name of class folder .* is not UTF-8: rename it"):
        folders.scan(tmp_path)


def test_an_image_file_may_have_a_name_that_is_not_utf8(tmp_path):
    grow(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "caf\udce9.png")
    assert folders.scan(tmp_path).files == ("a/1.png", "b/caf\udce9.png")


def test_training_and_testing_are_splits_too(tmp_path):
    found = folders.scan(grow(tmp_path, "training/a/1.png", "training/b/1.png", "testing/a/1.png", "testing/b/1.png"))
    assert (found.classes, found.has_test) == (("a", "b"), True)
    both = grow(tmp_path / "both", "train/a/1.png", "training/a/1.png")
    with pytest.raises(InputError, match="has both 'train' and 'training': keep one"):
        folders.scan(both)


def test_files_of_other_endings_are_counted(tmp_path):
    grow(tmp_path, "a/1.png", "b/1.png")
    (tmp_path / "a" / "1.png").rename(tmp_path / "a" / "1.JFIF")
    for name in ("2.heic", "3.HEIC", "notes.txt", "README", ".hidden.txt"):
        (tmp_path / "b" / name).touch()
    found = folders.scan(tmp_path)
    assert found.files == ("a/1.JFIF", "b/1.png")
    assert found.notes[1:] == (
        f"files in {tmp_path} whose names do not end as those of images are ignored: "
        "2 .heic, 1 without an ending, 1 .txt",
    )
