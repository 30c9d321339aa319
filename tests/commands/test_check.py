"""lenet data check: what is planted in a folder is found, each fault as what it is."""

import csv
import importlib.util
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import lenet as package
from lenet.commands.check import write_check
from lenet.data import catalog, readers
from lenet.errors import InputError

KINDS = {"unreadable", "copy", "near-duplicate", "near-constant", "one class", "small class", "imbalance"}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))


def scene(seed, side=(80, 60)):
    """A photograph-like image: smooth blobs of colour, different for each seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(noise).resize(side, Image.Resampling.BICUBIC)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def pairs(check, kind):
    return {(each.file, each.other) for each in check.of(kind)}


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
    assert {row["kind"] for row in rows} == KINDS - {"one class"}


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
    digits = readers.read_digits()
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
    outcome = lenet("data", "check", planted, "--out", out, "--no-near")
    assert "found   2 small classes" in outcome.out
    assert {path.name for path in out.iterdir()} == {"check.json", "findings.csv"}


def test_nothing_wrong_is_said(lenet, tmp_path):
    for number in range(60):
        save(scene(number), tmp_path / "photos" / ("a" if number % 2 else "b") / f"{number}.png")
    outcome = lenet("data", "check", tmp_path / "photos")
    assert outcome.code == 0
    assert "found   nothing wrong" in outcome.out
    assert "to do" not in outcome.out
    assert "class  images" in outcome.out


# ---- odd folders ----------------------------------------------------------------------------------------------------


def test_one_image_one_class_and_empty_classes_are_findings(tmp_path):
    save(scene(0), tmp_path / "one" / "cat" / "0.png")
    (tmp_path / "one" / "dog").mkdir()
    check = package.check(tmp_path / "one")
    assert [(each.kind, each.label, each.detail) for each in check.findings] == [
        ("small class", "dog", "0 training images"), ("small class", "cat", "1 training image")
    ]  # fmt: skip
    (tmp_path / "one" / "dog").rmdir()
    assert [each.kind for each in package.check(tmp_path / "one").findings] == ["one class", "small class"]


def test_a_class_without_training_images_and_a_folder_without_train_are_checked(tmp_path):
    for number in range(4):
        save(scene(number), tmp_path / "photos" / "test" / "cat" / f"{number}.png")
    check = package.check(tmp_path / "photos")
    assert {name: counts.tolist() for name, counts in check.counts.items()} == {"test": [4]}
    assert ("cat", "0 training images") in [(each.label, each.detail) for each in check.findings]


def test_identical_images_are_copies_and_no_near_duplicates(tmp_path):
    for number in range(12):
        save(scene(0), tmp_path / "photos" / ("a" if number % 2 else "b") / f"{number}.png")
    check = package.check(tmp_path / "photos")
    assert len(check.of("copy")) == 11
    assert sum(each.conflicting for each in check.of("copy")) == 6
    assert not check.of("near-duplicate")


def test_without_images_or_a_readable_one_the_check_fails(lenet, refused, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(lenet("data", "check", tmp_path / "empty"), "no images in", "put them into a folder for each class")
    for number in range(5):
        (tmp_path / "bad" / "cat").mkdir(parents=True, exist_ok=True)
        (tmp_path / "bad" / "cat" / f"{number}.png").write_text("words")
    refused(lenet("data", "check", tmp_path / "bad"), "none of 5 images", "cat/0.png (not an image)", "and 2 more")
    refused(lenet("data", "check", tmp_path / "nothing"), "no file or folder")
    refused(lenet("data", "check", "cifar11"), "did you mean 'cifar10'")


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_images_of_every_mode_are_read_and_their_copies_found(tmp_path, mode):
    grey = scene(7).convert("L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        image = (scene(7) if mode in ("P", "RGBA", "CMYK") else grey).convert(mode)
    suffix = "tif" if mode == "CMYK" else "png"
    save(image, tmp_path / "photos" / "a" / f"0.{suffix}")
    save(image, tmp_path / "photos" / "b" / f"1.{suffix}")
    save(scene(8), tmp_path / "photos" / "b" / "2.png")
    check = package.check(tmp_path / "photos")
    assert check.modes == {mode: 2, "RGB": 1}
    assert pairs(check, "copy") == {(f"b/1.{suffix}", f"a/0.{suffix}")}


def test_grey_is_the_same_in_one_channel_and_in_three(tmp_path):
    grey = scene(7).convert("L")
    save(grey, tmp_path / "photos" / "a" / "0.png")
    save(grey.convert("RGB"), tmp_path / "photos" / "b" / "1.png")
    save(Image.fromarray(np.asarray(grey).reshape(80, 60)), tmp_path / "photos" / "b" / "2.png")
    assert pairs(package.check(tmp_path / "photos"), "copy") == {("b/1.png", "a/0.png")}


def test_hostile_names_are_printed_and_written_escaped(lenet, tmp_path):
    names = ["a b.png", "größe.png", "=cmd|x.png", "line\nbreak.png", "\x1b[2J.png", "byte\udcff.png"]
    folder = tmp_path / "photos" / "na\x1bme"
    folder.mkdir(parents=True)
    for name in names:
        with open(os.fsencode(folder / name), "wb") as file:  # noqa: PTH123 (a path of bytes)
            scene(0).save(file, format="png")
    (folder / "bro\x07ken.png").write_text("words")
    outcome = lenet("data", "check", tmp_path / "photos", "--out", tmp_path / "out")
    assert outcome.code == 0
    assert not any(ord(character) < 32 and character != "\n" for character in outcome.out)
    text = (tmp_path / "out" / "findings.csv").read_text()
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert r"bro\x07ken.png" in text
    exact = json.loads((tmp_path / "out" / "check.json").read_text())
    assert {each["file"] for each in exact["findings"] if each["kind"] == "copy"} < {f"na\x1bme/{n}" for n in names}


# ---- other data -----------------------------------------------------------------------------------------------------


def test_arrays_npz_csv_and_datasets_are_checked(tmp_path):
    images = np.stack([np.asarray(scene(number, (24, 24))) for number in range(12)])
    images[9] = images[2]
    labels = np.arange(12) % 3
    for data in ((images, labels), {"train": (images, labels)}):
        check = package.check(data)
        (copy,) = check.of("copy")
        assert (copy.index, copy.other_index, copy.conflicting) == (9, 2, True)
    np.savez(tmp_path / "x.npz", x_train=images[:9], y_train=labels[:9], x_test=images[9:], y_test=labels[9:])
    check = package.check(tmp_path / "x.npz")
    assert pairs(check, "copy") == {("x_test[0]", "x_train[2]")}
    assert list(check.counts) == ["train", "test"]
    for number, image in enumerate(images):
        save(Image.fromarray(image), tmp_path / f"{number}.png")
    listed = "".join(f"{number}.png,{number % 3}\n" for number in range(13))
    (tmp_path / "x.csv").write_text(f"path,label\n{listed}")
    check = package.check(tmp_path / "x.csv")
    assert pairs(check, "copy") == {("9.png", "2.png")}
    assert [(each.file, each.detail) for each in check.of("unreadable")] == [("12.png", "No such file or directory")]

    class Broken:
        def __len__(self):
            return 12

        def __getitem__(self, index):
            if index == 4:
                raise OSError("the disk is away")
            return images[index], int(labels[index])

    check = package.check(Broken())
    assert [(each.index, each.label, each.detail) for each in check.of("unreadable")] == [(4, "", "the disk is away")]
    assert check.counts["train"].tolist() == [4, 3, 4]


def test_the_digits_have_no_near_duplicates(lenet):
    outcome = lenet("data", "check", "digits")
    assert (outcome.code, outcome.err) == (0, "")
    assert "sizes   8x8 1,797" in outcome.out
    assert "near-duplicates" not in outcome.out


def test_published_sets_are_checked_at_their_own_size(tmp_path, monkeypatch):
    published = replace(catalog.CIFAR10, train_count=50, test_count=10)
    monkeypatch.setitem(catalog.SETS, "cifar10", published)
    layout = published.layouts[1]
    images = np.random.default_rng(0).integers(0, 256, (60, 3073), dtype=np.uint8)
    images[:, 0] = np.arange(60) % 10
    images[53, 1:] = images[7, 1:]
    for number, file in enumerate((*layout.train, *layout.test)):
        path = tmp_path / "data" / layout.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images[10 * number : 10 * number + 10].tobytes())
    check = package.check("cifar10", data_dir=tmp_path / "data")
    assert check.sizes == {(32, 32): 60}
    assert {name: counts.tolist() for name, counts in check.counts.items()} == {"train": [5] * 10, "test": [1] * 10}
    assert [(each.file, each.other, each.label, each.other_label) for each in check.of("copy")] == [
        ("test[3]", "train[7]", "cat", "horse")
    ]


def test_the_folder_of_photographs_with_planted_faults(root, real_data, tmp_path, monkeypatch):
    if not (real_data / "stl10_binary").is_dir():
        pytest.skip("STL-10 is not on disk")
    from lenet.config import DataConfig
    from lenet.data import load_dataset

    spec = importlib.util.spec_from_file_location("photo_folder", root / "benchmarks" / "photo_folder.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, fewer in {"TRAIN": 50, "RARE_TRAIN": 10, "TEST": 20, "WRONG": 20}.items():
        monkeypatch.setattr(module, name, fewer)
    planted = module.make_folder(
        load_dataset(DataConfig(data="stl10", size=96, data_dir=str(real_data))), tmp_path / "x"
    )
    check = package.check(tmp_path / "x")

    def of(*kinds):
        return {(each.file, each.other) for each in planted if each.kind in kinds}

    copies, near = ({frozenset(pair) for pair in pairs(check, kind)} for kind in ("copy", "near-duplicate"))
    assert {frozenset(pair) for pair in of("exact copy", "in two classes")} <= copies
    again = {frozenset(pair) for pair in of("near copy")}
    assert again <= copies | near  # saved anew as PNG, a copy is exact
    assert len(near - again) < 5, "pairs of different photographs"
    assert {each.file for each in check.of("unreadable")} == {file for file, _ in of("unreadable")}
    assert {each.file for each in check.of("near-constant")} == {file for file, _ in of("constant")}
    assert [each.label for each in check.of("imbalance")] == ["truck"]


# ---- arguments ------------------------------------------------------------------------------------------------------


def test_wrong_folders_for_the_files_are_refused(lenet, refused, planted, tmp_path):
    refused(lenet("data", "check", planted, "--out", planted / "train"), "is in the folder of images")
    refused(lenet("data", "check", planted, "--out", tmp_path / "x.png"), "give a folder")
    (tmp_path / "file").write_text("")
    refused(lenet("data", "check", planted, "--out", tmp_path / "file"), "is a file, not a folder")
    refused(lenet("data", "check"), "DATA")
    with pytest.raises(InputError, match="data takes"):
        package.check(5)


def test_a_pipe_and_a_terminal_of_ascii(process, planted):
    running = process("data", "check", planted, "--json", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    out, err = running.communicate()
    assert (running.returncode, err) == (0, "")
    assert json.loads(out)["images"] == 68
    running = process("data", "check", planted)
    running.stdout.close()
    assert running.wait() == 141
    assert running.stderr.read() == ""


def test_training_on_the_folder_points_to_the_check(lenet, planted):
    outcome = lenet("train", planted, "--epochs", 1)
    assert outcome.code == 2
    assert "'lenet data check' names all of them" in outcome.err
    for name in ("cat/nowhere.jpg", "dog/cut.png", "dog/words.jpg"):
        (planted / "train" / name).unlink()
    outcome = lenet("train", planted, "--epochs", 1)
    assert outcome.code == 0
    assert f"        lenet data check {planted} names the images" in outcome.out
