"""`lenet predict` on many images: formats, files, summary, unreadable images, hostile names."""

import csv
import io
import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import lenet as package

HOSTILE = ['a,"b".png', "=cmd|x.png", "line\nbreak.png", "\x1b[2J.png", "byte\udcff.png", "-1.png", "größe.png"]


@pytest.fixture
def folder(tmp_path, digits):
    """A folder of 30 test images in two folders."""
    for number, index in enumerate(digits.test[:30]):
        path = tmp_path / "images" / str(number % 2) / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digits.images[index][:, :, 0]).save(path)
    return tmp_path / "images"


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_folder_is_predicted_as_its_images_one_by_one(lenet, digits_run, folder):
    outcome = lenet("predict", digits_run.path, folder, "--format", "jsonl", "--top", 3)
    assert outcome.code == 0
    found = [json.loads(line) for line in outcome.out.splitlines()]
    paths = sorted(str(path) for path in folder.rglob("*.png"))
    single = package.predict(digits_run, paths, top=3)
    assert [one["image"] for one in found] == paths
    assert [tuple(one["classes"]) for one in found] == [one.classes for one in single]
    for one, other in zip(found, single, strict=True):
        assert one["probabilities"] == pytest.approx(other.probabilities, abs=1e-6)
        assert one["error"] is None


def test_csv_has_one_row_per_image_and_a_summary_on_standard_error(lenet, digits_run, folder):
    outcome = lenet(
        "predict", digits_run.path, folder / "0" / "*.png", folder / "1", "--format", "csv", "--reject-unlike", "none"
    )
    assert outcome.code == 0
    found = rows(outcome.out)
    assert list(found[0]) == ["file", "predicted", "confidence", "reason", "error"]
    assert len(found) == 30
    counted = dict(re.findall(r"^(\d) +(\d+) +[\d.]+%$", outcome.err, re.MULTILINE))
    assert {name: int(count) for name, count in counted.items()} == {
        name: sum(row["predicted"] == name for row in found) for name in counted
    }
    assert sum(map(int, counted.values())) == 30
    more = rows(lenet("predict", digits_run.path, folder, "--format", "csv", "--top", 2).out)
    assert list(more[0]) == ["file", "predicted", "confidence", "predicted_2", "confidence_2", "reason", "error"]


def test_a_table_ends_with_the_summary(lenet, digits_run, folder):
    outcome = lenet("predict", digits_run.path, folder, "--top", 1)
    assert (outcome.code, outcome.err) == (0, "")
    assert "predicted class  images  fraction" in outcome.out
    few = lenet("predict", digits_run.path, folder / "0" / "00.png", "--top", 1)
    assert "predicted class" not in few.out


def test_unreadable_images_are_reported_and_the_others_predicted(lenet, digits_run, folder, refused):
    for number in range(7):
        (folder / "1" / f"bad{number}.png").write_text("words")
    for flags in (["--format", "csv"], ["--format", "jsonl"], ["--json"], ["--top", "1"]):
        outcome = lenet("predict", digits_run.path, folder, *flags)
        assert outcome.code == 2
        last = outcome.err.splitlines()[-1]
        assert last.startswith("lenet: 7 of 37 images cannot be read: ")
        assert last.count("not an image") == 5
        assert last.endswith("; and 2 more")
    found = rows(lenet("predict", digits_run.path, folder, "--format", "csv").out)
    assert len(found) == 37
    assert [row["predicted"] == "" for row in found] == ["bad" in row["file"] for row in found]
    assert all(("not an image" in row["error"]) == ("bad" in row["file"]) for row in found)
    shutil.rmtree(folder / "0")
    for path in (folder / "1").glob("[0-9]*"):
        path.unlink()
    refused(lenet("predict", digits_run.path, folder), "7 of 7 images")


def test_out_writes_what_standard_output_would_be(lenet, digits_run, folder, tmp_path):
    for name, flags in (("a.csv", ["--format", "csv"]), ("a.jsonl", ["--format", "jsonl"]), ("a.json", ["--json"])):
        printed = lenet("predict", digits_run.path, folder, *flags).out
        outcome = lenet("predict", digits_run.path, folder, "--out", tmp_path / name)
        assert (outcome.code, outcome.err) == (0, "")
        assert (tmp_path / name).read_text() == printed
        assert f"files   {tmp_path / name}: 30 images" in outcome.out
        assert "predicted class" in outcome.out
    assert json.loads((tmp_path / "a.json").read_text()) == [
        json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()
    ]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ("--out a.cvs", ["does not tell the format", "did you mean '.csv'"]),
        ("--out a.png", ["a.png", "--format"]),
        ("--out a.png --format csv", ["name of an image"]),
        ("--out a.csv --format table", ["a table is for the terminal"]),
        ("--out . --format csv", ["is a folder"]),
        ("--out none/a.csv", ["no folder none for a.csv"]),
        ("--json --format csv", ["--json and --format csv exclude each other"]),
        ("--format xml", ["--format", "xml"]),
    ],
)
def test_wrong_flags_are_refused_in_one_line(lenet, digits_run, folder, refused, flags, parts):
    refused(lenet("predict", digits_run.path, folder, *flags.split()), *parts)


def test_a_folder_without_images_is_refused(lenet, digits_run, tmp_path, refused):
    (tmp_path / "empty").mkdir()
    refused(lenet("predict", digits_run.path, tmp_path / "empty"), "no images in folder", "empty")
    refused(lenet("predict", digits_run.path, tmp_path / "*.jpg"), "no images match", "*.jpg")


def test_hostile_names_in_csv_and_json_lines(lenet, digits_run, tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    for name in HOSTILE:
        with open(os.fsencode(folder / name), "wb") as file:  # noqa: PTH123 (a path of bytes)
            Image.fromarray(np.zeros((16, 16), np.uint8)).save(file, format="png")
    outcome = lenet("predict", digits_run.path, folder, "--format", "jsonl")
    assert outcome.code == 0
    assert outcome.out.isascii()
    assert {json.loads(line)["image"] for line in outcome.out.splitlines()} == {f"{folder}/{name}" for name in HOSTILE}
    os.chdir(folder)
    written = tmp_path / "a.csv"
    assert lenet("predict", digits_run.path, *HOSTILE[:3], "./-1.png", *HOSTILE[3:5], "--out", written).code == 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f]", written.read_text())
    assert written.read_text().count("\n") == 7
    assert [row["file"] for row in rows(written.read_text())] == [
        *('a,"b".png', "'=cmd|x.png", r"line\nbreak.png", "'-1.png", r"\x1b[2J.png", r"byte\xff.png")
    ]


def test_an_existing_file_is_replaced_only_if_asked(lenet, refused, digits_run, tmp_path):
    Image.new("L", (16, 16)).save(tmp_path / "1.png")
    (tmp_path / "labels.csv").write_text("mine")
    words = ("predict", digits_run.path, tmp_path / "1.png", "--out", tmp_path / "labels.csv")
    refused(lenet(*words), "labels.csv exists: give --overwrite")
    assert (tmp_path / "labels.csv").read_text() == "mine"
    assert lenet(*words, "--overwrite").code == 0
    assert (tmp_path / "labels.csv").read_text().startswith("file,")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "metrics.csv"])
def test_the_files_of_a_run_are_not_replaced(lenet, refused, digits_run, tmp_path, name):
    Image.new("L", (16, 16)).save(tmp_path / "1.png")
    other = shutil.copytree(digits_run.path, tmp_path / "other")
    before = (other / name).read_bytes()
    words = ("predict", digits_run.path, tmp_path / "1.png", "--format", "csv", "--out", other / name)
    for flags in ([], ["--overwrite"]):
        refused(lenet(*words, *flags), f"{other / name} belongs to the run in {other}: choose another name")
    assert (other / name).read_bytes() == before


def test_a_pipe_is_not_replaced(lenet, refused, digits_run, tmp_path):
    Image.new("L", (16, 16)).save(tmp_path / "1.png")
    os.mkfifo(tmp_path / "pipe")
    words = ("predict", digits_run.path, tmp_path / "1.png", "--format", "csv", "--out", tmp_path / "pipe")
    for flags in ([], ["--overwrite"]):
        refused(lenet(*words, *flags), "pipe is not a regular file: give another name")
    assert (tmp_path / "pipe").is_fifo()


def test_a_link_is_written_through(lenet, digits_run, tmp_path):
    Image.new("L", (16, 16)).save(tmp_path / "1.png")
    (tmp_path / "a.csv").symlink_to("b.csv")
    (tmp_path / "b.csv").write_text("old")
    outcome = lenet("predict", digits_run.path, tmp_path / "1.png", "--out", tmp_path / "a.csv", "--overwrite")
    assert outcome.code == 0
    assert (tmp_path / "a.csv").is_symlink()
    assert (tmp_path / "b.csv").read_text().startswith("file,")


@pytest.mark.parametrize("flags", [["--format", "csv"], ["--json"], ["--format", "jsonl"], []])
def test_a_closed_standard_output_is_an_error(lenet, refused, digits_run, tmp_path, monkeypatch, flags):
    Image.new("L", (16, 16)).save(tmp_path / "1.png")
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", None)  # as Python has it for >&-
        outcome = lenet("predict", digits_run.path, tmp_path / "1.png", *flags)
        refused(outcome, "standard output is closed: give --out FILE")
        assert lenet("predict", digits_run.path, tmp_path / "1.png", "--out", tmp_path / "a.csv").code == 0
