"""lenet data check: odd folders, images of every mode, arrays, published datasets and real photographs."""

import importlib.util
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import lenet as package
from lenet.data import catalog
from lenet.errors import InputError
from tests.commands.scenes import pairs, save, scene


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))


# ---- odd folders ----------------------------------------------------------------------------------------------------


def test_one_image_one_class_and_empty_classes_are_findings(tmp_path):
    save(scene(0), tmp_path / "one" / "cat" / "0.png")
    (tmp_path / "one" / "dog").mkdir()
    check = package.check(tmp_path / "one")
    assert [(each.kind, each.label, each.detail) for each in check.findings] == [
        ("empty class", "dog", "0 images"), ("small class", "cat", "1 image")
    ]  # fmt: skip
    (tmp_path / "one" / "dog").rmdir()
    assert [each.kind for each in package.check(tmp_path / "one").findings] == ["one class", "small class"]


def test_a_class_without_training_images_and_a_folder_without_train_are_checked(tmp_path):
    for number in range(4):
        save(scene(number), tmp_path / "photos" / "test" / "cat" / f"{number}.png")
    check = package.check(tmp_path / "photos")
    assert {name: counts.tolist() for name, counts in check.counts.items()} == {"test": [4]}
    assert [each.kind for each in check.findings] == ["one class"]
    assert "no training images: lenet train needs some, lenet eval does not" in check.notes


def test_an_image_without_a_label_is_a_finding(tmp_path, lenet):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = []
    for number in range(50):
        save(scene(number), tmp_path / "0.png")
        rows.append({"bytes": (tmp_path / "0.png").read_bytes(), "path": None})
    labels = [None if number == 7 else number % 2 for number in range(50)]
    pq.write_table(pa.table({"image": pa.array(rows), "label": pa.array(labels)}), tmp_path / "a.parquet")
    check = package.check(tmp_path / "a.parquet")
    assert [(each.kind, each.index, each.detail) for each in check.findings] == [("unlabelled", 7, "no label")]
    outcome = lenet("data", "check", tmp_path / "a.parquet")
    assert "found   1 image without a label" in outcome.out
    assert "to do   label or remove images without a label: lenet train stops at them" in outcome.out


def test_an_array_that_cannot_be_used_is_refused_in_one_line(tmp_path, lenet, refused):
    images = np.zeros((50, 16, 16), np.int64)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(50) % 2)
    outcome = lenet("data", "check", tmp_path / "a.npz")
    refused(outcome, "int64 is not a type of pixels")
    assert "none of" not in outcome.err


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
    for count in (11, 13):
        with pytest.raises(InputError, match=f"{count} labels for 12 images: give one for each"):
            package.check((images, [0] * count))
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
