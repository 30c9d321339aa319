"""lenet data check: what is planted in a folder is found, each fault as what it is."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import lenet as package
from lenet.commands.check import write_check
from lenet.data import published
from lenet.errors import InputError
from tests.commands.scenes import pairs, save, scene

KINDS = {"unreadable", "copy", "near-duplicate", "near-constant", "small class", "imbalance"}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def planted(tmp_path):
    """train/ and test/ of 40 cats and 8 dogs with every fault once, by name."""
    root = tmp_path / "photos"
    for number in range(40):
        save(scene(number), root / "train" / "cat" / f"{number:02}.png")
    for number in range(8):
        save(scene(100 + number), root / "train" / "dog" / f"{number:02}.png")
    for number in range(5):
        save(scene(200 + number), root / "test" / "cat" / f"{number:02}.png")
        save(scene(300 + number), root / "test" / "dog" / f"{number:02}.png")
    train, test = root / "train", root / "test"
    shutil.copy(train / "cat" / "00.png", test / "cat" / "across.png")
    save(scene(1), train / "cat" / "within.bmp")
    shutil.copy(train / "cat" / "02.png", train / "dog" / "conflict.png")
    save(scene(3), test / "cat" / "again.jpg", quality=60)
    save(scene(4).resize((50, 40)), train / "cat" / "smaller.png")
    save(ImageEnhance.Brightness(scene(5)).enhance(0.7), train / "dog" / "darker.png")
    save(Image.new("RGB", (60, 60), (250, 10, 10)), train / "cat" / "red.png")
    (train / "dog" / "cut.png").write_bytes((train / "dog" / "00.png").read_bytes()[:500])
    (train / "dog" / "words.jpg").write_text("words")
    (train / "cat" / "nowhere.jpg").symlink_to(root / "gone.jpg")
    return root


def test_every_planted_fault_is_found_and_nothing_else(planted):
    check = package.check(planted)
    assert {each.file for each in check.of("unreadable")} == {
        "train/cat/nowhere.jpg", "train/dog/cut.png", "train/dog/words.jpg"
    }  # fmt: skip
    assert pairs(check, "copy") == {
        ("test/cat/across.png", "train/cat/00.png"),
        ("train/cat/within.bmp", "train/cat/01.png"),
        ("train/dog/conflict.png", "train/cat/02.png"),
    }
    assert pairs(check, "near-duplicate") == {
        ("test/cat/again.jpg", "train/cat/03.png"),
        ("train/cat/smaller.png", "train/cat/04.png"),
        ("train/dog/darker.png", "train/cat/05.png"),
    }
    for kind in ("copy", "near-duplicate"):
        assert [(each.across, each.conflicting) for each in check.of(kind)] == [
            (True, False), (False, True), (False, False)
        ]  # fmt: skip
    assert [each.file for each in check.of("near-constant")] == ["train/cat/red.png"]
    assert [(each.label, each.detail) for each in check.of("small class")] == [("dog", "10 training images")]
    assert [each.detail for each in check.of("imbalance")] == [
        "10 training images of 'dog', 43 of 'cat', 4.3 times as many"
    ]
    assert {name: counts.tolist() for name, counts in check.counts.items()} == {"train": [43, 10], "test": [7, 5]}
    assert (check.total, check.unreadable) == (68, 3)
    assert check.sizes == {(80, 60): 63, (50, 40): 1, (60, 60): 1}


def test_the_report_names_what_to_do_and_fits_80_columns(lenet, planted, monkeypatch):
    monkeypatch.chdir(planted.parent)
    outcome = lenet("data", "check", "photos", "--out", "found")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith(("data", "files"))] == []
    for line in (
        "dog       10     5",
        "found   3 images that cannot be read",
        "        train/dog/words.jpg (not an image)",
        "found   3 exact copies: 1 across splits, 1 with other labels",
        "        test/cat/across.png = train/cat/00.png",
        "found   3 pairs of near-duplicates: 1 across splits, 1 with other labels",
        "        train/dog/darker.png ~ train/cat/05.png (dog, cat)",
        "found   1 near-constant image",
        "found   1 small class",
        "        keep each image in one class",
        "to do   replace or remove unreadable images: lenet train stops at them",
    ):
        assert line in lines, line
    for words in ("--no-near", "--json"):
        assert lenet("data", "check", "photos", words).code == 0
    assert "note    near-duplicates were not searched\n" in lenet("data", "check", "photos", "--no-near").out


def test_near_duplicates_are_not_searched_among_too_many_images(planted, monkeypatch):
    monkeypatch.setattr("lenet.commands.check.MOST_COMPARED", 67)
    check = package.check(planted)
    assert not check.compared
    assert not check.of("near-duplicate")
    assert check.notes[-1] == "near-duplicates were not searched: more than 67 images"
    assert len(check.of("copy")) == 3


def test_json_and_csv_list_every_finding(lenet, planted, tmp_path):
    outcome = lenet("data", "check", planted, "--json", "--out", tmp_path / "out")
    assert outcome.out.isascii()
    facts = json.loads(outcome.out)
    assert json.loads((tmp_path / "out" / "check.json").read_text()) == facts
    assert set(facts) == {
        "data", "source", "images", "classes", "sizes", "modes", "unreadable", "copies", "near_duplicates",
        "near_constant", "notes", "findings",
    }  # fmt: skip
    assert facts["classes"] == {"cat": {"train": 43, "test": 7}, "dog": {"train": 10, "test": 5}}
    assert facts["sizes"]["distinct"] == 3
    assert facts["sizes"]["width"] == [50, 80]
    assert facts["modes"] == {"RGB": 65}
    assert facts["copies"] == {"count": 3, "across_splits": 1, "conflicting_labels": 1}
    assert facts["near_duplicates"] == facts["copies"]
    assert facts["findings"][3] == {
        "kind": "copy", "file": "test/cat/across.png", "other": "train/cat/00.png", "split": "test",
        "other_split": "train", "class": "cat", "other_class": "cat", "detail": "same pixels",
    }  # fmt: skip
    with (tmp_path / "out" / "findings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["file"], row["kind"], row["other_file"]) for row in rows] == [
        (each["file"] or "", each["kind"], each["other"] or "") for each in facts["findings"]
    ]
    assert {row["kind"] for row in rows} == KINDS


def test_labels_leave_out_copies_contradictions_and_near_constant_images(lenet, planted, tmp_path):
    outcome = lenet("data", "check", planted, "--out", tmp_path / "out")
    assert f"lenet train {planted} --labels {tmp_path / 'out' / 'labels.csv'}" in outcome.out
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    assert {row["label"] for row in rows.values()} == {""}
    left_out = {
        "train/cat/00.png", "train/cat/within.bmp", "train/cat/02.png", "train/dog/conflict.png", "train/cat/03.png",
        "train/cat/red.png", "train/dog/darker.png", "train/cat/05.png",
    }  # fmt: skip
    assert set(rows) == left_out
    assert rows["train/cat/00.png"]["reason"] == "copy of test/cat/across.png"
    for each in package.check(planted, near=False).of("unreadable"):
        (planted / each.file).unlink()
    run = package.train(planted, labels=tmp_path / "out" / "labels.csv", epochs=1, out=tmp_path / "run")
    assert run.result["test_images"] == 12
    assert not package.check(planted, near=False).listing.numbered


def test_labels_of_a_published_dataset_have_indices(monkeypatch, tmp_path):
    digits = published.read_digits()
    digits.images[7] = 128
    monkeypatch.setattr("lenet.data.listing.read_digits", lambda: digits)
    write_check(package.check("digits", near=False), tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "index,label,reason\n7,,near-constant\n"
    run = package.train("digits", labels=tmp_path / "labels.csv", epochs=1, out=tmp_path / "run")
    assert run.result["data_sha256"] != package.train("digits", epochs=1, out=tmp_path / "all").result["data_sha256"]


def test_contact_sheets_show_pairs_side_by_side_and_go_when_nothing_is_found(lenet, planted, tmp_path):
    out = tmp_path / "out"
    lenet("data", "check", planted, "--out", out)
    assert {path.name for path in out.iterdir()} == {
        "check.json", "findings.csv", "labels.csv", "copies.png", "near-duplicates.png", "near-constant.png"
    }  # fmt: skip
    with Image.open(out / "near-constant.png") as sheet:
        assert (np.asarray(sheet) == (250, 10, 10)).all(axis=2).sum() == 128 * 128
    shutil.rmtree(planted)
    for number in range(30):
        save(scene(number), planted / ("a" if number % 2 else "b") / f"{number}.png")
    outcome = lenet("data", "check", planted, "--out", out, "--no-near", "--overwrite")
    assert "found   2 small classes" in outcome.out
    assert {path.name for path in out.iterdir()} == {"check.json", "findings.csv"}


def test_files_that_no_check_made_are_kept(lenet, refused, planted, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    labels = out / "labels.csv"
    labels.write_text("file,label,suggested\n")
    refused(lenet("data", "check", planted, "--no-near", "--out", out, "--overwrite"), "files that no check made")
    labels.unlink()
    assert lenet("data", "check", planted, "--no-near", "--out", out).code == 0
    labels.write_text("edited")
    refused(lenet("data", "check", planted, "--no-near", "--out", out), "has a check", "--overwrite", "labels.csv")
    assert labels.read_text() == "edited"
    (out / "table.csv").write_text("path,label\n")
    refused(lenet("data", "check", out / "table.csv", "--out", out, "--overwrite"), "the file that is checked")


def test_nothing_wrong_is_said(lenet, tmp_path):
    for number in range(60):
        save(scene(number), tmp_path / "photos" / ("a" if number % 2 else "b") / f"{number}.png")
    outcome = lenet("data", "check", tmp_path / "photos")
    assert outcome.code == 0
    assert "found   nothing wrong" in outcome.out
    assert "to do" not in outcome.out
    assert "class  images" in outcome.out


# ---- arguments ------------------------------------------------------------------------------------------------------


def test_wrong_folders_for_the_files_are_refused(lenet, refused, planted, tmp_path):
    refused(lenet("data", "check", planted, "--out", planted / "train"), "is in the folder of images")
    refused(lenet("data", "check", planted, "--out", tmp_path / "x.png"), "give a folder")
    (tmp_path / "file").write_text("")
    refused(lenet("data", "check", planted, "--out", tmp_path / "file"), "is a file, not a folder")
    refused(lenet("data", "check"), "DATA")
    (tmp_path / "loop").symlink_to("loop")
    refused(lenet("data", "check", planted, "--out", tmp_path / "loop" / "x"), "loop")
    with pytest.raises(InputError, match="data takes"):
        package.check(5)


def test_a_closed_pipe_ends_it_quietly(process, planted):
    running = process("data", "check", planted)
    running.stdout.close()
    assert running.wait() == 141
    assert running.stderr.read() == ""


def test_training_on_the_folder_points_to_the_check(lenet, planted):
    outcome = lenet("train", planted, "--epochs", 1)
    assert outcome.code == 2
    for name in ("cat/nowhere.jpg", "dog/cut.png", "dog/words.jpg"):
        (planted / "train" / name).unlink()
    outcome = lenet("train", planted, "--epochs", 1)
    assert outcome.code == 0
    assert f"        lenet data check {planted} names the images" in outcome.out


def test_of_copies_in_three_splits_the_one_in_the_test_images_stays(tmp_path):
    root = tmp_path / "photos"
    for number in range(12):
        save(scene(number), root / "train" / "cat" / f"{number:02}.png")
        save(scene(100 + number), root / "train" / "dog" / f"{number:02}.png")
    for split in ("val", "test"):
        for number in range(3):
            (root / split / "cat").mkdir(parents=True, exist_ok=True)
            shutil.copy(root / "train" / "cat" / f"{number:02}.png", root / split / "cat" / f"{number:02}.png")
        save(scene(200 + len(split)), root / split / "dog" / "00.png")
    write_check(package.check(root, near=False), tmp_path / "out")
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        listed = {row["file"] for row in csv.DictReader(file)}
    assert listed == {f"{split}/cat/{number:02}.png" for split in ("train", "val") for number in range(3)}


def test_a_near_duplicate_of_a_training_image_that_has_a_copy_in_the_test_images_is_left_out(tmp_path):
    root = tmp_path / "photos"
    for number in range(12):
        save(scene(number), root / "train" / "cat" / f"{number:02}.png")
        save(scene(100 + number), root / "train" / "dog" / f"{number:02}.png")
    save(scene(0), root / "train" / "cat" / "again.jpg", quality=60)
    for name in ("cat", "dog"):
        save(scene(200 + len(name) + ord(name[0])), root / "test" / name / "00.png")
    shutil.copy(root / "train" / "cat" / "00.png", root / "test" / "cat" / "copy.png")
    check = package.check(root)
    assert [(found.file, found.other) for found in check.of("near-duplicate")] == [
        ("test/cat/copy.png", "train/cat/again.jpg")
    ]
    write_check(check, tmp_path / "out")
    with (tmp_path / "out" / "labels.csv").open(newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {"train/cat/00.png", "train/cat/again.jpg"}
