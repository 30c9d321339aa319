"""Images from files other than class folders: .npz, IDX, Parquet and CSV; and the errors for damaged ones."""

import gzip
import io
import json
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from lenet.config import DataConfig
from lenet.data import load_dataset
from lenet.data import source as sources
from lenet.errors import InputError

pytestmark = pytest.mark.usefixtures("hidden")


@pytest.fixture
def some():
    """uint8 [60, 28, 28] and labels [60], 0 to 2."""
    return np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8), np.arange(60, dtype=np.uint8) % 3


def load(path, classes=None, **options):
    return load_dataset(DataConfig(data=str(path), **options), classes=classes)


def refused(path, *words, **options):
    with pytest.raises(InputError) as error:
        load(path, **options)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_an_npz_file_as_keras_writes_it_keeps_its_test_split(tmp_path, some, check):
    x, y = some
    np.savez_compressed(tmp_path / "mine", x_train=x[:40], y_train=y[:40, None], x_test=x[40:], y_test=y[40:, None])
    data = load(tmp_path / "mine.npz")
    check(data)
    assert (data.name, data.source, data.classes) == ("mine", str(tmp_path / "mine.npz"), ("0", "1", "2"))
    assert data.test.tolist() == list(range(40, 60))
    np.testing.assert_array_equal(data.images[..., 0], x)
    np.testing.assert_array_equal(data.labels, y)
    assert data.files[41] == "x_test[1]"


def test_images_and_labels_of_an_npz_file_are_split_and_resized_as_folders_are(tmp_path, check):
    x = np.random.default_rng(0).integers(0, 256, (40, 20, 30, 3), dtype=np.uint8)
    names = np.array(["dog", "cat"])[np.arange(40) % 2]
    np.savez(tmp_path / "a.npz", images=x / np.float32(255), labels=names)
    data = load(tmp_path / "a.npz")
    check(data)
    assert data.images.shape == (40, 32, 32, 3)
    assert data.classes == ("cat", "dog")
    for index in range(40):
        folder = tmp_path / "photos" / names[index]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x[index]).save(folder / f"{index:03}.png")
    own = load(tmp_path / "photos")
    order = [int(name[4:7]) for name in own.files]
    np.testing.assert_array_equal(own.images, data.images[order])


def test_class_names_of_an_npz_file_are_kept(tmp_path, some):
    np.savez(tmp_path / "a.npz", images=some[0], labels=some[1], classes=["one", "two", "three"])
    assert load(tmp_path / "a.npz").classes == ("one", "two", "three")


def test_validation_arrays_of_an_npz_file_have_either_name_and_other_arrays_are_noted(tmp_path, some):
    x, y = some
    own = {"x_train": x[:30], "y_train": y[:30], "x_valid": x[30:45], "y_valid": y[30:45]}
    np.savez(tmp_path / "a.npz", **own, x_test=x[45:], y_test=y[45:], extra=y)
    data = load(tmp_path / "a.npz")
    assert (data.val.tolist(), data.test.tolist()) == (list(range(30, 45)), list(range(45, 60)))
    assert "other arrays are ignored: extra" in data.notes
    np.savez(tmp_path / "both.npz", **own, x_val=x[45:], y_val=y[45:])
    refused(tmp_path / "both.npz", "has both x_val and x_valid: keep one")


def test_images_or_labels_alone_in_an_npz_file_are_refused(tmp_path, some):
    x, y = some
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, Y_test=y)
    refused(tmp_path / "a.npz", "a.npz has x_test but no y_test (arrays: x_train, y_train, x_test, Y_test): add or")
    np.savez(tmp_path / "b.npz", train_images=x, train_labels=y, val_labels=y)
    refused(tmp_path / "b.npz", "b.npz has val_labels but no val_images")


@pytest.mark.parametrize(
    ("shape", "side"),
    [((20, 40), 32), ((40, 40), 40), ((40, 40, 3), 40), ((3, 40, 40), 40), ((20, 40, 3), 32), ((3, 20, 40), 32)],
)
def test_only_square_images_of_an_npz_file_keep_their_size(tmp_path, shape, side):
    x = np.random.default_rng(0).integers(0, 256, (60, *shape), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=x, labels=np.arange(60) % 3)
    assert load(tmp_path / "a.npz").images.shape[1:3] == (side, side)


def test_a_file_is_read_once_and_again_when_it_changes(tmp_path, some, monkeypatch):
    np.savez(tmp_path / "a.npz", images=some[0], labels=some[1])
    first = load(tmp_path / "a.npz")
    with monkeypatch.context() as here:
        here.setattr(sources, "checked_pixels", lambda *_: pytest.fail("read again"))
        assert load(tmp_path / "a.npz").sha256 == first.sha256
    np.savez(tmp_path / "a.npz", images=255 - some[0], labels=some[1])
    assert load(tmp_path / "a.npz").sha256 != first.sha256


def test_pickled_objects_in_an_npz_file_are_refused_unread(tmp_path, some):
    np.savez(tmp_path / "a.npz", images=some[0], labels=np.array([{}] * 60))
    refused(tmp_path / "a.npz", "a.npz: labels holds pickled Python objects, which lenet never reads")


def test_wrong_npz_files_are_named(tmp_path, some):
    x, y = some
    np.savez(tmp_path / "names.npz", a=x, b=y)
    refused(tmp_path / "names.npz", "holds a, b: name them x_train")
    content = bytearray((tmp_path / "names.npz").read_bytes())
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "cut.npz", "cut.npz is damaged")
    with zipfile.ZipFile(tmp_path / "huge.npz", "w") as packed:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**3, 10**3)}
        )
        packed.writestr("images.npy", header.getvalue())
        packed.writestr("labels.npy", header.getvalue())
    refused(tmp_path / "huge.npz", "images does not have the size that its header says")
    np.savez_compressed(tmp_path / "packed.npz", images=x, labels=y)
    content = bytearray((tmp_path / "packed.npz").read_bytes())
    content[60:68] = b"\xff" * 8  # the first bytes after the member's header
    (tmp_path / "packed.npz").write_bytes(content)
    refused(tmp_path / "packed.npz", "packed.npz is damaged")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        packed.writestr("cat/1.png", b"\x89PNG")
    refused(tmp_path / "photos.zip", "is an archive of other files than arrays, such as cat/1.png: unpack it")
    np.savez(tmp_path / "flat.npz", images=x.reshape(60, -1), labels=y)
    refused(tmp_path / "flat.npz", "shape [60, 784] is not that of images")
    np.savez(tmp_path / "classes.npz", images=x, labels=y, classes=3)
    refused(tmp_path / "classes.npz", "must be a list of names, not")
    np.savez(tmp_path / "few.npz", images=x, labels=y[:50])
    refused(tmp_path / "few.npz", "50 labels for 60 images")
    np.savez(tmp_path / "one.npz", images=x, labels=y * 0)
    refused(tmp_path / "one.npz", "one class only, '0'")
    np.savez(tmp_path / "new.npz", x_train=x, y_train=y, x_test=x, y_test=y + 1)
    refused(tmp_path / "new.npz", "class '3' is not among the classes")


def write_idx(folder, x, y, prefix="", packed=False, split="train"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", x), ("labels-idx1", y)):
        content = idx(array)
        file = folder / f"{prefix}{split}-{name}-ubyte{'.gz' * packed}"
        file.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_as_mnist_lays_them_out(tmp_path, some, packed, check):
    x, y = some
    write_idx(tmp_path / "mnist", x[:40], y[:40], packed=packed)
    write_idx(tmp_path / "mnist", x[40:], y[40:], packed=packed, split="t10k")
    data = load(tmp_path / "mnist")
    check(data)
    assert (data.name, data.images.shape) == ("mnist", (60, 28, 28, 1))
    assert data.test.tolist() == list(range(40, 60))
    np.testing.assert_array_equal(data.images[..., 0], x)
    by_file = load(tmp_path / "mnist" / f"train-images-idx3-ubyte{'.gz' * packed}")
    assert by_file.sha256 == data.sha256


def test_several_idx_datasets_in_a_folder_need_a_file(tmp_path, some):
    write_idx(tmp_path / "all", *some, prefix="emnist-letters-")
    write_idx(tmp_path / "all", *some, prefix="emnist-digits-")
    refused(tmp_path / "all", "holds several datasets ('emnist-digits-', 'emnist-letters-'): give one of their image")
    assert load(tmp_path / "all" / "emnist-letters-train-images-idx3-ubyte").name == "emnist-letters"


def test_two_idx_files_of_one_split_are_refused(tmp_path, some):
    x, y = some
    for split, count in (("train", 30), ("t10k", 20), ("test", 10)):
        write_idx(tmp_path / "m", x[:count], y[:count], split=split)
    refused(tmp_path / "m", "has both t10k-images-idx3-ubyte and test-images-idx3-ubyte: keep one")


def test_an_idx_dataset_may_have_the_word_images_in_its_name(tmp_path, some):
    write_idx(tmp_path / "m", *some, prefix="my-images-")
    assert load(tmp_path / "m").name == "my-images"


def test_an_idx_file_that_holds_less_than_its_header_says_is_refused_before_memory_is_taken(tmp_path, some):
    x, y = some
    write_idx(tmp_path / "m", x, y)
    file = tmp_path / "m/train-images-idx3-ubyte"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    refused(tmp_path / "m", "is truncated: its header says 47,040 bytes ([60, 28, 28]), the file can hold 47,039")
    file.write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12 + whole[16:])
    refused(tmp_path / "m", "is truncated: its header says")
    file.write_bytes(whole + b"x")
    refused(tmp_path / "m", "is too long")
    file.write_bytes(gzip.compress(whole[:-1]))
    refused(tmp_path / "m", "is truncated: 47,039 bytes, 47,040 expected")
    file.write_bytes(gzip.compress(whole)[:-2000])
    refused(tmp_path / "m", "is damaged")
    file.write_bytes(b"\0\0\x0d\x03" + whole[4:])
    refused(tmp_path / "m", "is not an IDX file of images (magic 00000803): it opens with 00000d03")
    file.write_bytes(whole)
    (tmp_path / "m/train-labels-idx1-ubyte").unlink()
    refused(tmp_path / "m", "train-labels-idx1-ubyte is missing")
    (tmp_path / "m/other").write_bytes(whole)
    refused(tmp_path / "m/other", "other is an IDX file: name images train-images-idx3-ubyte")


def write_parquet(path, rows, labels, names=None, column="image", label="label"):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({column: pa.array(rows), label: pa.array(labels)})
    if names:
        features = {column: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=7)


def test_parquet_files_are_read_as_the_hub_lays_them_out(tmp_path, check):
    x = np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), dtype=np.uint8)
    rows = [{"bytes": png(pixels), "path": None} for pixels in x]
    labels = [index % 3 for index in range(60)]
    for name, chosen in (("test-0", slice(50, 60)), ("train-0", slice(0, 20)), ("train-1", slice(20, 50))):
        write_parquet(tmp_path / "set/data" / f"{name}.parquet", rows[chosen], labels[chosen], ["a", "b", "c"], "img")
    data = load(tmp_path / "set")
    check(data)
    assert (data.name, data.classes) == ("set", ("a", "b", "c"))
    np.testing.assert_array_equal(data.images, x)
    assert data.labels.tolist() == labels
    assert data.test.tolist() == list(range(50, 60))
    single = load(tmp_path / "set/data/train-0.parquet", size=16)
    assert single.images.shape == (20, 16, 16, 3)
    assert not single.has_test


def test_wrong_parquet_files_are_named(tmp_path, some):
    rows = [{"bytes": png(pixels), "path": None} for pixels in some[0]]
    write_parquet(tmp_path / "text.parquet", ["a"] * 60, some[1])
    refused(tmp_path / "text.parquet", "text.parquet has no column of images (columns: image, label)")
    write_parquet(tmp_path / "none.parquet", rows, some[1], label="kind")
    refused(tmp_path / "none.parquet", "has no column 'label' (columns: image, kind)")
    write_parquet(tmp_path / "paths.parquet", [{"bytes": None, "path": "a.png"}, *rows[1:]], some[1])
    refused(tmp_path / "paths.parquet", "1 of 60 images", "train[0] (no bytes of an image in this row)")
    write_parquet(tmp_path / "range.parquet", rows, some[1], ["a", "b"])
    refused(tmp_path / "range.parquet", "label 2 is out of range 0 to 1 of the 2 classes")
    content = (tmp_path / "range.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[:-20])
    refused(tmp_path / "cut.parquet", "cut.parquet is damaged", "restore the file")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1" + bytes(100))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    refused(tmp_path / "a.parquet", "a.parquet is Parquet, which needs pyarrow: pip install 'lenet[parquet]'")


def test_a_csv_file_of_paths_and_labels_equals_the_folder(tmp_path, photographs, check):
    folder = photographs(tmp_path / "photos", {"cat": 12, "dog": 12})
    own = load(folder)
    lines = [f"photos/{file},{own.classes[label]}" for file, label in zip(own.files, own.labels, strict=True)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    data = load(tmp_path / "list.csv")
    check(data)
    assert (data.name, data.classes, data.files[0]) == ("list", ("cat", "dog"), "photos/cat/000.png")
    assert data.sha256 == own.sha256
    np.testing.assert_array_equal(data.test, own.test)


def test_a_csv_file_may_name_splits_and_images_outside_its_folder(tmp_path, photographs):
    photographs(tmp_path / "photos", {"cat": 9, "dog": 9})
    (tmp_path / "lists").mkdir()
    lines = ["Filename;Class;Split"]
    for kind in ("cat", "dog"):
        lines += [f"../photos/{kind}/{k:03}.png;{kind};{'test' if k > 6 else 'train'}" for k in range(9)]
    (tmp_path / "lists/a.csv").write_text("﻿" + "\n".join(lines))
    data = load(tmp_path / "lists/a.csv")
    assert [data.files[index] for index in data.test] == [
        f"../photos/{kind}/00{k}.png" for kind in ("cat", "dog") for k in (7, 8)
    ]
    assert "18 of 18 images lie outside the folder of a.csv" in data.notes


def test_a_csv_file_with_several_columns_of_paths_or_labels_says_which_are_used(tmp_path, photographs):
    photographs(tmp_path, {"cat": 9, "dog": 9})
    lines = [f"{kind}/{k:03}.png,no.png,{kind},7,x" for kind in ("cat", "dog") for k in range(9)]
    (tmp_path / "a.csv").write_text("\n".join(["file,image,label,class,size", *lines]))
    data = load(tmp_path / "a.csv")
    assert data.classes == ("cat", "dog")
    assert "the columns file and label are used, not image, class" in data.notes


def test_wrong_csv_files_are_named(tmp_path, photographs):
    photographs(tmp_path, {"cat": 2})

    def write(text):
        (tmp_path / "a.csv").write_text(text)
        return tmp_path / "a.csv"

    refused(write("cat/000.png,cat\n"), "a.csv has no column 'path' (columns: cat/000.png, cat)")
    refused(write("path,size\ncat/000.png,3\n"), "has no column 'label' (columns: path, size)")
    refused(write("path,label\ncat/000.png\n"), "a.csv, line 2: no path or no label")
    refused(write("path,label\ncat/000.png,cat, small\n"), "a.csv, line 2: more values than the header: quote values")
    refused(write("path,label,split\ncat/000.png,cat,trian\n"), "line 2: no split 'trian': write train, val or test")
    refused(write("path,label\ncat/000.png,cat\ncat/7.png,dog\n"), "1 of 2 images are missing: cat/7.png")
    refused(write("path,label\ncat/000.png,cat\ncat/000.png,dog\n"), "lists 'cat/000.png' twice")
    refused(write("path,label\ncat/000.png,cat\ncat/001.png,cat\n"), "has one class only, 'cat'")
    refused(write("path,label\n"), "lists no images")
    (tmp_path / "loop.png").symlink_to("loop.png")
    refused(write("path,label\ncat/000.png,cat\nloop.png,dog\n"), "1 of 2 images are missing: loop.png")
    refused(
        write(f"path,label\ncat/000.png,cat\n{'iVBORw0KGgo' * 500},dog\n"), "1 of 2 images are missing: iVBORw0KGgo"
    )
    refused(write('path,label\n"cat'), "is not CSV")
    for encoding in ("latin-1", "utf-16"):
        (tmp_path / "a.csv").write_bytes("path,label\nKäse/1.png,Käse\n".encode(encoding))
        refused(tmp_path / "a.csv", "a.csv is not UTF-8 text: save it as CSV in UTF-8")


def test_other_files_are_refused_with_what_lenet_reads(tmp_path, photographs):
    photographs(tmp_path, {"cat": 1})
    refused(tmp_path / "cat/000.png", "000.png is one image: give the folder that contains the class folders")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(tmp_path / "a.h5", "a.h5 is a file that lenet does not read as images: give class folders, .npz, IDX")
    refused("~nobody-of-this-name/photos", "no file or folder '~nobody-of-this-name/photos'")
    (tmp_path / "empty").touch()
    refused(tmp_path / "empty", "empty is a file that lenet does not read")


def test_integers_number_the_classes_of_a_model(tmp_path, some):
    np.savez(tmp_path / "a.npz", images=some[0], labels=some[1])
    data = load(tmp_path / "a.npz", classes=("ant", "bee", "cat", "dog"))
    assert data.classes == ("ant", "bee", "cat", "dog")
    assert data.renamed.endswith("numbers of the run's classes: 0 is 'ant', 1 is 'bee', 2 is 'cat'")
    np.testing.assert_array_equal(data.labels, some[1])
    np.savez(tmp_path / "b.npz", images=some[0], labels=np.array(["dog", "eel", "cat"])[some[1]])
    with pytest.raises(InputError, match=r"class 'eel' in .*b.npz is not a class of the model"):
        load(tmp_path / "b.npz", classes=("ant", "bee", "cat", "dog"))
    # A model whose own classes are named by integers: 1 is its first class, and it knows no 0.
    with pytest.raises(InputError, match=r"class '0' in .*a.npz is not a class of the model"):
        load(tmp_path / "a.npz", classes=("1", "2", "3"))
    np.savez(tmp_path / "c.npz", images=some[0], labels=some[1] + 1)
    np.testing.assert_array_equal(load(tmp_path / "c.npz", classes=("1", "2", "3")).labels, some[1])
