"""Corrected labels: what a file of them changes in a dataset, and the errors for wrong ones."""

import numpy as np
import pytest
from PIL import Image

from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.errors import InputError
from lenet.report.sheet import safe


@pytest.fixture
def corrected(tmp_path):
    """A function that loads data, by default the digits, with a labels file of this text."""

    def load(text, data="digits", **options):
        path = tmp_path / "labels.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_dataset(DataConfig(data=str(data), labels=str(path), **options))

    return load


@pytest.fixture
def animals(tmp_path, photos):
    """A folder of 20 cats, 20 dogs and 20 emus, in one split."""
    return photos(tmp_path / "animals", classes=("cat", "dog", "emu"))


def other(dataset, index):
    return dataset.classes[(dataset.labels[index] + 1) % len(dataset.classes)]


def used(dataset):
    return np.concatenate([dataset.train, dataset.val, dataset.test])


def test_a_corrected_image_has_its_new_label_and_stays_in_its_split(digits, corrected):
    index = int(digits.test[0])
    found = corrected(f"index,label\n{index},{other(digits, index)}\n")
    assert found.classes[found.labels[index]] == other(digits, index)
    assert np.flatnonzero(found.labels != digits.labels).tolist() == [index]
    for split in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(found, split), getattr(digits, split))
    assert found.notes[-1] == "labels.csv: 1 label corrected, 0 images left out"


def test_an_image_with_an_empty_label_is_in_no_split_and_the_others_keep_their_places(digits, corrected):
    left_out = [int(digits.train[0]), int(digits.val[3]), int(digits.test[5])]
    found = corrected("index,label\n" + "".join(f"{index},\n" for index in left_out))
    assert set(used(digits)) - set(used(found)) == set(left_out)
    assert len(used(found)) == len(used(digits)) - 3
    assert found.images.shape == digits.images.shape
    assert "3 images left out" in found.notes[-1]


def test_hash_tells_corrected_left_out_and_unchanged_images_apart(digits, corrected):
    index = int(digits.train[0])
    own = digits.classes[digits.labels[index]]
    hashes = [corrected(f"index,label\n{index},{label}\n").sha256 for label in (other(digits, index), "", own)]
    assert len({*hashes[:2], digits.sha256}) == 3
    assert hashes[2] == digits.sha256


def test_a_file_without_corrections_as_an_audit_may_write_changes_nothing(digits, corrected):
    found = corrected("index,label\n")
    assert found.sha256 == digits.sha256
    assert (found.train == digits.train).all()


def test_files_of_a_folder_are_named_relative_to_it_and_other_columns_are_ignored(animals, corrected):
    found = corrected("score;label;file\n0.1;dog;cat/3.png\n0.2;;emu/7.png\n", animals)
    assert found.classes[found.labels[found.files.index("cat/3.png")]] == "dog"
    assert found.files.index("emu/7.png") not in used(found)


def test_a_labels_file_saved_by_a_spreadsheet_is_read(animals, corrected):
    (animals / "=dog").mkdir()
    (animals / "dog" / "1.png").rename(animals / "=dog" / "1.png")
    (animals / "dog" / "2.png").rename(animals / "=dog" / "2.png")
    for number in (3, 4, 5):
        (animals / "cat" / f"{number}.png").rename(animals / "=dog" / f"cat {number}.png")
    text = "\ufefffile\tlabel\r\n'=dog/1.png\tdog\r\ncat/0.png\t'=dog\r\n\r\n".encode()
    found = corrected(text, animals)
    named = {name: found.classes[label] for name, label in zip(found.files, found.labels, strict=True)}
    assert named["=dog/1.png"] == "dog"
    assert named["cat/0.png"] == "=dog"


def test_names_that_lenet_writes_escaped_are_known_as_it_writes_them(animals, corrected):
    names = ("cat/\udcff1.png", "cat/=\udcff2.png", "cat/3\n.png", "cat/\x1b[4m.png")
    for number, name in enumerate(names, 1):
        (animals / "cat" / f"{number}.png").rename(animals / name)
    label = "d\tog"
    (animals / "dog").rename(animals / label)
    lines = "".join(f"{safe(name)},{safe(label)}\n" for name in names)
    assert r"cat/3\n.png,d\tog" in lines
    found = corrected(f"file,label\n{lines}", animals)
    named = {name: found.classes[label] for name, label in zip(found.files, found.labels, strict=True)}
    assert [named[name] for name in (*names, "cat/5.png")] == ["d\tog"] * 4 + ["cat"]


def test_the_line_that_names_the_separator_is_not_a_header(animals, corrected):
    found = corrected("\ufeffsep=;\r\nfile;label\r\ncat/3.png;dog\r\n", animals)
    assert found.classes[found.labels[found.files.index("cat/3.png")]] == "dog"
    with pytest.raises(InputError, match=r"line 3: no image 'cat/999.png'"):
        corrected("sep=,\nfile,label\ncat/999.png,dog\n", animals)


def test_spaces_at_the_end_of_a_name_need_not_be_written(animals, corrected):
    (animals / "cat").rename(animals / "cat ")
    found = corrected("file,label\ndog/1.png,cat \ncat /2.png,dog\n", animals)
    named = {name: found.classes[label] for name, label in zip(found.files, found.labels, strict=True)}
    assert (named["dog/1.png"], named["cat /2.png"], named["cat /3.png"]) == ("cat ", "dog", "cat ")


def test_an_exact_copy_takes_the_place_of_an_image_that_is_left_out(animals, corrected):
    (animals / "cat" / "copy.png").write_bytes((animals / "cat" / "0.png").read_bytes())
    found = corrected("file,label\ncat/0.png,\n", animals)
    assert found.files.index("cat/copy.png") in used(found)


def test_a_class_that_is_filtered_out_may_be_corrected_into_one_that_is_kept(animals, corrected):
    found = corrected("file,label\nemu/1.png,cat\nemu/2.png,\n", animals, classes="cat,dog")
    assert found.classes == ("cat", "dog")
    assert [name for name in found.files if name.startswith("emu")] == ["emu/1.png"]
    again = corrected("file,label\nemu/1.png,cat\ndog/2.png,\n", animals, classes="cat,dog")
    assert again.sha256 != found.sha256
    assert again.files.index("dog/2.png") not in used(again)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "labels.csv is empty: add a header line"),
        ("file,class name\ncat/1.png,dog\n", "has no column 'label' (columns: file, class name)"),
        ("picture,label\ncat/1.png,dog\n", "has no column 'file' (columns: picture, label)"),
        ("file,label\ncat/100.png,dog\n", "line 2: no image 'cat/100.png' in animals, did you mean 'cat/10.png'?"),
        ("file,label\n/home/x.jpg,dog\n", "no image '/home/x.jpg' in animals"),
        ("file,label\ncat/1.png,dgo\n", "line 2: no class 'dgo' in animals, did you mean 'dog'?"),
        ("file,label\ncat/1.png,dog\ncat/1.png,\n", "line 3: 'cat/1.png' is listed twice: keep one of the lines"),
        ("file,label,Label\ncat/1.png,dog,emu\n", "has two columns 'label': remove or rename one"),
        ("file,label\ncat/1.png\n", "line 2: no file or no label column"),
        ("file,label\ncat/1.png,dog,emu\n", "line 2: more values than the header: quote values that contain the sep"),
        ("file,label\n,dog\n", "line 2: no file or no label column"),
        ("index,label\n60,dog\n", "line 2: no image '60' in animals: indices are 0 to 59"),
        ("index,label\n-1,dog\n", "no image '-1'"),
        ("index,label\n" + "9" * 5000 + ",dog\n", "no image '999"),
        (b"file,label\n\xff\xfe,dog\n", "is not UTF-8 text"),
        ('file,label\n"cat/1.png,dog\n', "is not CSV"),
        ("file,label\n" + "".join(f"cat/{n}.png,dog\n" for n in range(20)), "leaves class 'cat' without training"),
        ("index,label\n" + "".join(f"{n},\n" for n in range(60)), "leaves no training images"),
    ],
)
def test_a_file_that_cannot_work_is_refused_in_one_line(animals, corrected, text, said):
    with pytest.raises(InputError) as error:
        corrected(text, animals)
    message = str(error.value)
    assert said in message
    assert "\n" not in message
    assert len(message) < 500


def test_images_without_names_have_indices_only(corrected):
    with pytest.raises(InputError, match="has no column 'index'"):
        corrected("file,label\n7,dog\n")


def test_a_labels_file_that_is_missing_or_too_large_is_refused(tmp_path, monkeypatch, corrected):
    with pytest.raises(InputError, match=r"cannot read .*none\.csv"):
        load_dataset(DataConfig(data="digits", labels=str(tmp_path / "none.csv")))
    monkeypatch.setattr("lenet.data.table.MOST_CSV", 100)
    with pytest.raises(InputError, match="too large"):
        corrected("index,label\n" + "1,1\n" * 100)


def test_an_image_that_is_left_out_counts_as_no_copy_and_not_as_near_constant(animals, corrected):
    (animals / "cat" / "copy.png").write_bytes((animals / "dog" / "0.png").read_bytes())
    Image.new("L", (20, 20), 90).save(animals / "cat" / "grey.png")
    before = corrected("file,label\ncat/1.png,cat\n", animals)
    assert [note for note in before.notes if "cop" in note or "constant" in note] == [
        "1 exact copy of other images, 1 image with conflicting labels", "1 near-constant image",
    ]  # fmt: skip
    after = corrected("file,label\ncat/copy.png,\ncat/grey.png,\n", animals)
    assert not [note for note in after.notes if "cop" in note or "constant" in note]
