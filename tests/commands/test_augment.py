"""lenet data augment: a contact sheet of what augmentation makes of images."""

import numpy as np
import pytest
from PIL import Image

import lenet
from lenet.errors import InputError


def test_the_first_column_shows_the_images_and_the_others_their_augmentations(tmp_path):
    def columns(name, augment):
        config = lenet.augment("digits", augment=augment, out=tmp_path / name)
        assert config.augment == augment
        sheet = np.asarray(Image.open(tmp_path / name))
        assert sheet.shape[1] == 10 + 8 * 138
        thumbnails = sheet[35 : 35 + 128]
        return [thumbnails[:, 10 + 138 * n :][:, :128] for n in range(8)]

    plain, turned = columns("plain.png", "none"), columns("turned.png", "rotate-colour")
    assert all(np.array_equal(column, plain[0]) for column in plain)
    assert np.array_equal(turned[0], plain[0])
    assert not any(np.array_equal(column, plain[0]) for column in turned[1:])


def test_the_command_names_what_auto_stands_for(lenet, tmp_path):
    outcome = lenet("data", "augment", "digits", "--out", tmp_path / "sheet.png")
    assert outcome.code == 0
    assert outcome.out.splitlines() == ["augm.   none", f"files   {tmp_path / 'sheet.png'}"]
    outcome = lenet(
        "data", "augment", "digits", "--augment", "shift", "flip", "--out", tmp_path / "sheet.png", "--overwrite"
    )
    assert outcome.out.splitlines()[0] == "augm.   flip, shift"
    outcome = lenet("data", "augment", "digits", "--out", tmp_path / "sheet.png")
    assert (outcome.code, "exists: give --overwrite" in outcome.err) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "sheet.jpg"}, "out sheet.jpg must be a .png file"),
        ({"epochs": 3}, "augment does not take epochs"),
        ({"augment": "turn"}, "augment cannot be 'turn'"),
        ({"max_rotation": 181}, "max-rotation must lie between 0 and 180, not 181"),
        ({"max_scale": -0.1}, "max-scale must lie between 0 and 0.5, not -0.1"),
        ({"cutout_size": 1}, "cutout-size must lie between 0.05 and 0.75, not 1"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        lenet.augment("digits", **options)
    assert not list(tmp_path.iterdir())


def test_a_sheet_in_the_folder_of_images_is_refused(photos, tmp_path, monkeypatch):
    folder = photos(tmp_path / "photos", each=10)
    monkeypatch.chdir(folder / "cat")
    with pytest.raises(InputError, match="is in the folder of images"):
        lenet.augment("..")
    assert not (folder / "cat" / "augmentation.png").exists()
