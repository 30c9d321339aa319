"""The image files that files, folders and patterns name: sorted, images only, links followed, circles not."""

import os
from pathlib import Path

import pytest

from lenet.data.image_files import image_files
from lenet.errors import InputError


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """Files in a folder `f` of the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "f/b.jpg",
        "f/a/2.PNG",
        "f/a/10.png",
        "f/a/x/1.tif",
        "f/notes.txt",
        "f/.hidden.png",
        "f/__MACOSX/1.png",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    os.mkfifo("f/pipe.png")
    Path("f/folder.png").mkdir()
    Path("f/a/circle").symlink_to("../../f")
    return tmp_path


BELOW = ["f/a/10.png", "f/a/2.PNG", "f/a/x/1.tif", "f/b.jpg"]


def test_a_folder_gives_all_regular_images_below_it_sorted(tree):
    assert list(image_files(["f"])) == BELOW
    below = ["f/a/10.png", "f/a/2.PNG", "f/a/circle/b.jpg", "f/a/x/1.tif"]
    assert list(image_files([tree / "f/a"])) == [f"{tree}/{name}" for name in below]


@pytest.mark.usefixtures("tree")
def test_a_pattern_gives_sorted_images_and_those_of_folders_that_it_matches():
    assert list(image_files(["f/*.jpg"])) == ["f/b.jpg"]
    below = ["f/a/10.png", "f/a/2.PNG", "f/a/circle/b.jpg", "f/a/x/1.tif", "f/b.jpg"]
    assert list(image_files(["f/*"])) == below
    assert list(image_files(["f/a/[0-9]*.png", "f/?.jpg"])) == ["f/a/10.png", "f/b.jpg"]
    assert list(image_files(["f/a/**/1.tif"])) == ["f/a/x/1.tif"]


@pytest.mark.usefixtures("tree")
def test_a_named_file_is_kept_whatever_its_name_is():
    assert list(image_files(["f/notes.txt", "none.png", "f/b.jpg", "f/b.jpg"])) == [
        *("f/notes.txt", "none.png", "f/b.jpg", "f/b.jpg")
    ]
    Path("odd[1].png").touch()
    assert list(image_files(["odd[1].png"])) == ["odd[1].png"]


@pytest.mark.parametrize(
    ("name", "message"), [("f/__MACOSX/x", "no images in folder"), ("g*", "no images match 'g\\*'")]
)
def test_a_folder_or_pattern_without_images_is_refused(tree, name, message):
    if "*" not in name:
        Path(name).mkdir()
    with pytest.raises(InputError, match=message):
        list(image_files([name]))


def test_a_home_folder_is_found_by_its_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").touch()
    assert list(image_files(["~/a.png", "~/*.png", "~nobody-of-this-name/a.png"])) == [
        str(tmp_path / "a.png"), str(tmp_path / "a.png"), "~nobody-of-this-name/a.png"
    ]  # fmt: skip
