"""CIFAR's files to arrays: both formats agree, and files that are not as published are refused by name."""

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from lenet.data import catalog
from lenet.data.published import read_digits, read_published
from lenet.errors import InputError

CIFAR10 = replace(catalog.CIFAR10, train_count=50, test_count=10)
CIFAR100 = replace(catalog.CIFAR100, train_count=30, test_count=10)
RNG = np.random.default_rng(7)


class Python2Pickler(pickle._Pickler):
    """Byte strings and arrays as Python 2 and the NumPy of its day wrote them: what the real files hold."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_bytes(self, text):
        self.write(b"T" + len(text).to_bytes(4, "little") + text)
        self.memoize(text)

    def save_array(self, array):
        self.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR(K\x01")
        self.save(array.shape)
        self.write(b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        self.save_bytes(array.tobytes())
        self.write(b"tb")

    dispatch[bytes] = save_bytes
    dispatch[np.ndarray] = save_array


def fake(published):
    """(pixels uint8 [N, 32, 32, 3], labels, rows as CIFAR lays them out) of a published set's whole count."""
    count = published.train_count + published.test_count
    pixels = RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = RNG.integers(0, len(published.classes), count)
    return pixels, labels, pixels.transpose(0, 3, 1, 2).reshape(count, -1)


def parts(published, layout):
    """Each file of a layout with the slice of images that it holds."""
    begin = 0
    for files, count in ((layout.train, published.train_count), (layout.test, published.test_count)):
        for file in files:
            yield file, slice(begin, begin + count // len(files))
            begin += count // len(files)


def write_binary(folder, published, labels, rows):
    folder.mkdir(exist_ok=True)
    layout = published.layouts[1]
    columns = [labels[:, None]] if published.label_bytes == 1 else [labels[:, None] % 20, labels[:, None]]
    records = np.concatenate([*columns, rows], axis=1).astype(np.uint8)
    for file, part in parts(published, layout):
        (folder / file).write_bytes(records[part].tobytes())
    (folder / layout.meta).write_text("\n".join(published.classes) + "\n\n")
    return layout


def dump(path: Path, content, python2=True):
    with path.open("wb") as file:
        if python2:
            Python2Pickler(file, protocol=2).dump(content)
        else:
            pickle.dump(content, file, protocol=4)


def write_pickles(folder, published, labels, rows, python2=True):
    folder.mkdir(exist_ok=True)
    layout, key = published.layouts[0], published.label_key.encode()
    for file, part in parts(published, layout):
        batch = {b"data": rows[part], key: labels[part].tolist(), b"filenames": [b"x.png"]}
        dump(folder / file, batch, python2)
    names = [name.encode() for name in published.classes]
    dump(folder / layout.meta, {key.replace(b"labels", b"label_names"): names}, python2)
    return layout


@pytest.mark.parametrize("published", [CIFAR10, CIFAR100], ids=lambda p: p.name)
@pytest.mark.parametrize("form", ["binary", "python 2 pickle", "python 3 pickle"])
def test_every_format_gives_the_pixels_and_labels_that_were_written(tmp_path, published, form):
    pixels, labels, rows = fake(published)
    if form == "binary":
        layout = write_binary(tmp_path, published, labels, rows)
    else:
        layout = write_pickles(tmp_path, published, labels, rows, python2=form.startswith("python 2"))
    arrays = read_published(published, layout, tmp_path)
    np.testing.assert_array_equal(arrays.images, pixels)
    np.testing.assert_array_equal(arrays.labels, labels)
    assert arrays.images.dtype == np.uint8
    assert arrays.labels.dtype == np.int64
    assert arrays.train_count == published.train_count
    assert arrays.classes == published.classes


def test_class_names_come_from_the_meta_file_and_from_the_catalog_without_one(tmp_path):
    _, labels, rows = fake(CIFAR10)
    layout = write_binary(tmp_path, CIFAR10, labels, rows)
    (tmp_path / layout.meta).write_text("\n".join(f"kind {k}" for k in range(10)))
    assert read_published(CIFAR10, layout, tmp_path).classes[3] == "kind 3"
    (tmp_path / layout.meta).write_text("a\nb\n")
    with pytest.raises(InputError, match=r"batches\.meta\.txt names 2 classes, expected 10"):
        read_published(CIFAR10, layout, tmp_path)
    (tmp_path / layout.meta).unlink()
    assert read_published(CIFAR10, layout, tmp_path).classes == CIFAR10.classes


class Calls:
    """Pickles to a call of `function`, as a hostile file would hold it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("where", ["data_batch_2", "batches.meta"])
@pytest.mark.parametrize("inside", [False, True], ids=["whole file", "beside the data"])
def test_a_hostile_pickle_is_refused_and_nothing_in_it_runs(tmp_path, where, inside):
    _, labels, rows = fake(CIFAR10)
    layout = write_pickles(tmp_path, CIFAR10, labels, rows)
    trace = tmp_path / "it ran"
    call = Calls(exec, f"open({str(trace)!r}, 'w').close()")
    content = {b"data": rows[:10], b"labels": labels[:10].tolist(), b"more": call} if inside else call
    dump(tmp_path / where, content, python2=False)
    with pytest.raises(InputError, match=rf"{where} is refused: it calls 'builtins\.exec'"):
        read_published(CIFAR10, layout, tmp_path)
    assert not trace.exists()
    pickle.loads((tmp_path / where).read_bytes())
    assert trace.exists(), "the pickle does run where it is let"


@pytest.mark.parametrize("name", ["numpy.load", "numpy.core.multiarray.fromfile", "os.system", "numpy.ndarray.tofile"])
def test_other_names_are_refused_even_numpys(tmp_path, name):
    _, labels, rows = fake(CIFAR10)
    layout = write_pickles(tmp_path, CIFAR10, labels, rows)
    module, _, function = name.rpartition(".")
    (tmp_path / "data_batch_1").write_bytes(f"c{module}\n{function}\n(S'x'\ntR.".encode())
    with pytest.raises(InputError, match="is refused"):
        read_published(CIFAR10, layout, tmp_path)


def test_an_array_of_another_size_than_its_bytes_is_refused(tmp_path):
    _, labels, rows = fake(CIFAR10)
    layout = write_pickles(tmp_path, CIFAR10, labels, rows)
    content = (tmp_path / "data_batch_1").read_bytes()
    lie = content.replace(b"K\x0aM\x00\x0c", b"K\x63M\x00\x0c", 1)  # 10 rows of 3072 said to be 99
    assert lie != content
    (tmp_path / "data_batch_1").write_bytes(lie)
    with pytest.raises(InputError, match="data_batch_1 is truncated or damaged"):
        read_published(CIFAR10, layout, tmp_path)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
@pytest.mark.parametrize("form", ["binary", "pickle"])
def test_a_truncated_file_is_named(tmp_path, form, keep):
    _, labels, rows = fake(CIFAR10)
    layout = (write_binary if form == "binary" else write_pickles)(tmp_path, CIFAR10, labels, rows)
    victim = tmp_path / layout.train[2]
    victim.write_bytes(victim.read_bytes()[:keep])
    with pytest.raises(InputError, match=rf"{layout.train[2]} is truncated"):
        read_published(CIFAR10, layout, tmp_path)


@pytest.mark.parametrize("form", ["binary", "pickle"])
def test_a_wrong_count_a_missing_file_and_a_label_out_of_range_are_named(tmp_path, form):
    write = write_binary if form == "binary" else write_pickles
    more = replace(CIFAR10, test_count=11)
    _, labels, rows = fake(more)
    layout = write(tmp_path, more, labels, rows)
    with pytest.raises(InputError, match=rf"{layout.test[0]} (is too long|holds 11 images)"):
        read_published(CIFAR10, layout, tmp_path)
    _, labels, rows = fake(CIFAR10)
    labels[14] = 10
    write(tmp_path, CIFAR10, labels, rows)
    with pytest.raises(InputError, match=rf"{layout.train[1]} has label 10 at image 4, out of range 0 to 9"):
        read_published(CIFAR10, layout, tmp_path)
    (tmp_path / layout.train[0]).unlink()
    with pytest.raises(InputError, match=rf"{layout.train[0]} is missing"):
        read_published(CIFAR10, layout, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"data": np.zeros((10, 3071), np.uint8)}, r"holds uint8 \[10, 3071\], expected uint8 \[10, 3072\]"),
        ({b"data": [1, 2]}, "holds no 'data' array"),
        ({b"labels": None}, "holds no 'data' array with 'labels'"),
        ({b"labels": ["cat"] * 10}, "labels that are not a list of whole numbers"),
        ({b"labels": [[1], [1, 2]]}, "labels that are not a list of whole numbers"),
        ({b"labels": [1] * 9}, "holds 10 images and 9 labels, expected 10"),
        ({b"labels": [-1] * 10}, "label -1 at image 0"),
        ({b"labels": [1.0] * 10}, "labels that are not a list of whole numbers"),
        ({b"labels": [True] * 10}, "labels that are not a list of whole numbers"),
        ({b"labels": [2**63] * 10}, "labels that are not a list of whole numbers"),
        ({b"labels": {1: 2}}, "labels that are not a list of whole numbers"),
    ],
)
def test_a_pickle_of_another_shape_is_named(tmp_path, change, message):
    _, labels, rows = fake(CIFAR10)
    layout = write_pickles(tmp_path, CIFAR10, labels, rows)
    batch = {b"data": rows[:10], b"labels": labels[:10].tolist()}
    dump(tmp_path / "data_batch_3", {**batch, **change}, python2=False)
    with pytest.raises(InputError, match=f"data_batch_3.*{message}"):
        read_published(CIFAR10, layout, tmp_path)
    dump(tmp_path / "data_batch_3", [1, 2])
    with pytest.raises(InputError, match="data_batch_3 holds no table of images"):
        read_published(CIFAR10, layout, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02]r\x00\x00\x00\x10.", "asks for a table of 268,435,456 entries"),
        (b"\x80\x02" + b"]" * 10_000 + b".", "more operations than the published files have"),
        (b"\x80\x02)" + b"\x85" * 1_100 + b".", "more operations than the published files have"),
        (b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".", "truncated or damaged"),
        (b"\x80\x02X\xff\xff\xff\x7f.", "truncated or damaged"),
        (b"\x80\x04\x95" + (2**60).to_bytes(8, "little") + b"N.", "truncated or damaged|holds no table"),
        (b"N.", "holds no table of images"),
    ],
    ids=["memo", "lists", "nested tuples", "bytearray", "string", "frame", "none"],
)
def test_a_pickle_that_asks_for_much_memory_is_refused_before_it_is_loaded(tmp_path, peak_memory, content, message):
    _, labels, rows = fake(CIFAR10)
    layout = write_pickles(tmp_path, CIFAR10, labels, rows)
    (tmp_path / "data_batch_1").write_bytes(content)
    grown = peak_memory()
    with pytest.raises(InputError, match=message):
        read_published(CIFAR10, layout, tmp_path)
    assert grown() < 50 << 20


@pytest.mark.parametrize("where", ["labels", "names", "array type"])
def test_nested_lists_that_stand_for_billions_of_values_are_not_expanded(tmp_path, where):
    _, labels, rows = fake(CIFAR10)
    layout = write_pickles(tmp_path, CIFAR10, labels, rows)
    nested = [1]
    for _ in range(40):
        nested = [nested, nested]
    if where == "labels":
        dump(tmp_path / "data_batch_1", {b"data": rows[:10], b"labels": nested}, python2=False)
    elif where == "names":
        dump(tmp_path / "batches.meta", {b"label_names": [nested] * 10}, python2=False)
    else:
        dump(tmp_path / "data_batch_1", {b"data": Calls(np.dtype, nested), b"labels": nested}, python2=False)
    with pytest.raises(InputError, match=r"not a list of whole numbers|holds no class names|array of unknown type"):
        read_published(CIFAR10, layout, tmp_path)


@pytest.mark.parametrize("form", ["binary", "pickle"])
def test_only_regular_files_of_about_the_published_size_are_read(tmp_path, form):
    _, labels, rows = fake(CIFAR10)
    layout = (write_binary if form == "binary" else write_pickles)(tmp_path, CIFAR10, labels, rows)
    path = tmp_path / layout.train[1]
    with path.open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=rf"{path.name} is too l(ong|arge)"):
        read_published(CIFAR10, layout, tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(InputError, match=rf"cannot read .*{path.name} \(not a regular file\)"):
        read_published(CIFAR10, layout, tmp_path)


@pytest.mark.parametrize("names", [b"caf\xe9\n" * 10, b"\n".join(b"%d\xff" % number for number in range(10))])
def test_class_names_that_are_not_utf8_are_refused(tmp_path, names):
    _, labels, rows = fake(CIFAR10)
    layout = write_binary(tmp_path, CIFAR10, labels, rows)
    (tmp_path / layout.meta).write_bytes(names)
    with pytest.raises(InputError, match=r"batches\.meta\.txt holds no class names"):
        read_published(CIFAR10, layout, tmp_path)


def test_digits_are_those_of_scikit_learn_scaled_to_bytes():
    arrays = read_digits()
    assert arrays.images.shape == (1797, 8, 8, 1)
    assert arrays.images.dtype == np.uint8
    assert (arrays.images.min(), arrays.images.max()) == (0, 255)
    # 0..16 in steps of 255/16 leave 17 grey levels, and each class 174 to 183 images.
    assert set(np.unique(arrays.images)) == {round(k * 255 / 16) for k in range(17)}
    assert np.bincount(arrays.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    layouts = [layout for published in catalog.SETS.values() for layout in published.layouts]
    archives = [archive for layout in layouts for archive in (layout.archive, *layout.more)]
    assert len({(archive.md5, archive.sha256) for archive in archives}) == 13
    for published in catalog.SETS.values():
        assert published.licence
        assert published.citation
