"""Contact sheets."""

from pathlib import Path

import numpy as np
from PIL import Image

from lenet.report.contact_sheet import MOST_IMAGES, contact_sheet, draw_contact_sheet


def test_images_of_any_shape_and_captions_of_any_text_are_drawn(tmp_path: Path) -> None:
    images = [np.full(shape, 99, np.uint8) for shape in ((8, 8, 1), (500, 3, 3), (3, 500, 3), (1, 1, 3), (200, 200, 1))]
    captions = ["", "a/very/long/path/to/a/folder/of/images/photo.jpg", "ü \x1b[31m 猫", "one\ntwo\nthree", "$x_1$"]
    draw_contact_sheet(images, captions, tmp_path / "new" / "sheet.png", "a title\n" * 50)
    with Image.open(tmp_path / "new" / "sheet.png") as sheet:
        sheet.load()
        assert sheet.mode == "RGB"


def test_each_image_is_drawn_in_its_place() -> None:
    colours = np.random.default_rng(0).integers(0, 200, (19, 3), dtype=np.uint8)
    sheet = np.asarray(contact_sheet([np.tile(colour, (4, 4, 1)) for colour in colours], ["x"] * 19, "title"))
    assert sheet.shape[1] > 8 * 128
    rows = {}
    for colour in colours:
        lines, columns = np.nonzero((sheet == colour).all(axis=2))
        assert len(lines) == 128 * 128
        rows.setdefault(int(lines.min()), []).append(int(columns.min()))
    assert [len(row) for row in rows.values()] == [8, 8, 3]
    assert all(row == sorted(row) for row in rows.values())


def test_a_long_path_keeps_its_end() -> None:
    pixels = [np.zeros((8, 8, 3), np.uint8)]
    ends = [np.asarray(contact_sheet(pixels, [f"{'folder/' * 20}{name}"], "")) for name in ("1.png", "2.png")]
    assert not np.array_equal(*ends)


def test_more_images_than_fit_and_none_at_all_are_drawn(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    draw_contact_sheet([pixels] * (MOST_IMAGES + 50), ["x"] * (MOST_IMAGES + 50), tmp_path / "many.png", "many")
    draw_contact_sheet([], [], tmp_path / "none.png", "none")
    with Image.open(tmp_path / "many.png") as many, Image.open(tmp_path / "none.png") as none:
        assert many.height > 50 * 128 > none.height
