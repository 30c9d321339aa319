"""A Parquet file's rows are read a few at a time, whatever the order in which threads ask for them."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from lenet.data.parquet import parquet_source

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
