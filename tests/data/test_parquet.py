"""A Parquet file's rows are read a few at a time, whatever the order in which threads ask for them."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from lenet.data import parquet
from lenet.data.arrays import checked_labels
from lenet.data.parquet import parquet_source
from lenet.errors import InputError

pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "BMP")
    return file.getvalue()


@pytest.fixture
def part(tmp_path):
    """A function that writes images of noise as two files, each of groups of so many rows; gives part and images."""

    def write(count, group):
        pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        for number, some in enumerate(np.array_split(np.arange(count), 2)):
            rows = [{"bytes": encoded(pixels[index]), "path": None} for index in some]
            table = pa.table({"image": pa.array(rows), "label": pa.array(some % 3)})
            pq.write_table(table, tmp_path / f"train-{number}.parquet", row_group_size=group)
        (found,) = parquet_source(tmp_path).parts
        return found, pixels

    return write


@pytest.mark.parametrize("group", [7, 1000])
def test_rows_are_found_in_any_order_and_by_several_threads(part, group):
    found, pixels = part(300, group)

    def check(index):
        with found.opening(index) as image:
            np.testing.assert_array_equal(np.asarray(image), pixels[index])

    for index in (0, 299, 5, 4, 250, 0):
        check(index)
    wrong = []

    def several(indices):
        for index in indices:
            try:
                check(index)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=several, args=(range(first, 300, 4),)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert found.labels().tolist() == [index % 3 for index in range(300)]


def test_a_file_of_one_group_of_rows_is_not_read_at_once(part):
    found, _ = part(16_000, 16_000)
    before = pa.total_allocated_bytes()
    for index in range(600):
        with found.opening(index):
            pass
    assert pa.total_allocated_bytes() - before < 8000 * 3072 / 2  # each file holds 8,000 images


@pytest.fixture
def write(tmp_path):
    """A function that writes a file of one image with these labels; gives its path."""

    def write(name, labels, **options):
        image = {"bytes": encoded(np.zeros((16, 16, 3), dtype=np.uint8)), "path": None}
        table = pa.table({"image": pa.array([image] * len(labels)), "label": pa.array(labels)})
        pq.write_table(table, tmp_path / name, **options)
        return tmp_path / name

    return write


def splits(folder):
    return {part.split: part.count for part in parquet_source(folder).parts}


def test_a_split_is_any_word_of_a_name(tmp_path, write):
    write("mnist_train.parquet", [0, 1, 2])
    write("mnist_test.parquet", [0, 1])
    assert splits(tmp_path) == {"train": 3, "test": 2}


def test_a_file_without_a_split_in_its_name_joins_no_other_split(tmp_path, write):
    write("dev-0.parquet", [0, 1])
    write("0001.parquet", [0, 1, 2])
    assert splits(tmp_path) == {"train": 5}
    write("train-0.parquet", [0, 1])
    with pytest.raises(InputError, match=r"no split in the name of 0001.parquet: name"):
        parquet_source(tmp_path)


def labels_of(path):
    (part,) = parquet_source(path).parts
    return part.labels()


@pytest.mark.parametrize("group", [7, 100])
def test_labels_may_be_names_also_repeated_ones_and_none(write, group):
    names = ["cat", None, "dog", "cat", "Ä" * 1000] * 10
    assert labels_of(write("a.parquet", names, row_group_size=group)) == names
    assert labels_of(write("b.parquet", names, row_group_size=group, use_dictionary=False)) == names
    assert labels_of(write("c.parquet", pa.array(names).dictionary_encode(), row_group_size=group)) == names
    assert labels_of(write("d.parquet", [1, None, 2] * 10, row_group_size=group)) == [1, None, 2] * 10


def test_names_that_are_too_long_are_refused_before_rows_repeat_them(write, monkeypatch):
    path = write("a.parquet", [character * 30_000 for character in "abc"] * 100)
    with pytest.raises(InputError, match=r"a.parquet has labels of more than 1,000 characters"):
        labels_of(path)
    path = write("b.parquet", [f"{index:030000}" for index in range(300)], compression="zstd")
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(InputError, match=r"b.parquet has labels of more than 1,000 characters"):
        labels_of(path)


@pytest.mark.parametrize("label", [0.5, ["a", "b"], {"name": "a"}])
def test_labels_of_other_types_are_refused(write, label):
    with pytest.raises(InputError, match=r"labels:"):
        checked_labels(labels_of(write("a.parquet", [label] * 4)), 4, "labels")


@pytest.mark.parametrize("labels", [[[0], [1], [0]], [["cat"], ["dog"], ["cat"]]])
def test_a_list_of_one_label_is_a_label(write, labels):
    found = checked_labels(labels_of(write("a.parquet", labels)), 3, "labels")
    assert list(found) == [label for (label,) in labels]


def test_a_name_of_two_splits_is_refused(tmp_path, write):
    write("training-data-train0.parquet", [0, 1])
    write("training-data-test0.parquet", [0, 1])
    with pytest.raises(InputError, match=r"two splits in the name of training-data-test0.parquet: name"):
        parquet_source(tmp_path)


def test_an_image_of_too_many_bytes_is_refused(write, monkeypatch):
    (part,) = parquet_source(write("a.parquet", [0, 1])).parts
    monkeypatch.setattr(parquet, "_MOST_BYTES", 700)
    with pytest.raises(ValueError, match="the image has more than 700 bytes, lenet's limit"), part.opening(0):
        pass


def test_of_several_image_columns_the_one_named_image_is_read_or_none(tmp_path):
    def write(*names):
        rows = {name: pa.array([{"bytes": encoded(np.full((16, 16, 3), len(name), np.uint8)), "path": None}] * 4)
                for name in names}  # fmt: skip
        pq.write_table(pa.table({**rows, "label": pa.array([0, 1, 0, 1])}), tmp_path / "a.parquet")
        return tmp_path / "a.parquet"

    (found,) = parquet_source(write("thumb", "image")).parts
    with found.opening(0) as image:
        assert image.getpixel((0, 0)) == (5, 5, 5)
    with pytest.raises(
        InputError, match=r"several columns of images \(thumb, mask\): rename the one to use to 'image'"
    ):
        parquet_source(write("thumb", "mask"))
