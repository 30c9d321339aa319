"""Parquet files of images as the Hugging Face Hub lays them out: a column {bytes, path} of images and one of labels.

The layout is that of `datasets.Image` and `datasets.ClassLabel`; the file's metadata "huggingface" names the classes.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lenet.cores import usable_cores
from lenet.data.cache import stamp
from lenet.data.decode import SMALL
from lenet.data.fit import open_bytes
from lenet.data.folders import splits_in
from lenet.data.memory import columns_of
from lenet.data.source import Part, Source, common_side, damaged, source_of
from lenet.data.splits import Split
from lenet.errors import InputError

_ROWS = 16  # read at once; as many batches are kept as threads that decode may be behind
_BUFFER = 1 << 20  # bytes
_MOST_BYTES = 1 << 29  # of one image, as of an image file
_LONGEST = 1000  # characters of a label


def parquet_files(path: Path) -> list[Path]:
    """The .parquet files in a folder or in its folder data/."""
    for folder in (path, path / "data"):
        if folder.is_dir() and (files := sorted(folder.glob("*.parquet"))):
            return files
    return []


def parquet_source(path: Path) -> Source:
    """The images of a Parquet file, or of a folder's files, whose names contain train, validation or test, or none do.

    Reads the files' footers only. Raises InputError without pyarrow, for a damaged file, a file without a column of
    images or of labels, files of other columns than the first one's, and if some names contain a split and others none.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError:
        raise InputError(
            f"{path} is Parquet, which needs pyarrow: pip install 'lenet[parquet]'", options=["data"]
        ) from None
    files = [path] if path.is_file() else parquet_files(path)
    parts, stamps, described = [], [], None
    for split, own in _by_split(path, files).items():
        count = 0
        for file in own:
            try:
                with pq.ParquetFile(file) as opened:
                    about = _described(file, opened.schema_arrow)
                    count += opened.metadata.num_rows
            except (OSError, ValueError) as error:  # pyarrow's errors are among them
                raise damaged(file, error) from None
            described = described or about
            if about != described:
                raise InputError(f"{file} has other columns or classes than {files[0]}: keep files of one dataset",
                                 options=["data"])  # fmt: skip
            stamps.append(stamp(file.parent, file.name))
        assert described is not None
        parts.append(_Rows(own, count, *described[:2]).part(split))
    assert described is not None
    return source_of(path.stem if path.is_file() else path.name, str(path), parts, described[2], stamps)


def _by_split(path: Path, files: list[Path]) -> dict[Split, list[Path]]:
    """The files of each split, by a word in their names; all are "train" if no name has one, or there is one file."""
    splits = {file: splits_in(file.stem) for file in files}
    if len(files) == 1 or not any(splits.values()):
        return {"train": files}
    by_split: dict[Split, list[Path]] = {}
    for file, found in splits.items():
        if len(found) != 1:
            what = "two splits" if found else "no split"
            raise InputError(
                f"{path}: {what} in the name of {file.name}: name the files train-*, validation-* or test-*, or move "
                "others to another folder", options=["data"],
            )  # fmt: skip
        by_split.setdefault(found.pop(), []).append(file)
    return by_split


class _Rows:
    """The rows of a split's files, read in batches as the images are opened, in about ascending order."""

    def __init__(self, files: list[Path], count: int, image: str, label: str) -> None:
        self.files, self.count, self.image, self.label = files, count, image, label
        self._batches: Iterator[Any] = iter(())
        self._end = 0  # of the rows that were read
        # Each batch with the number of its first row.
        self._kept: deque[tuple[int, Any]] = deque(maxlen=usable_cores() + 2)
        self._reading = threading.Lock()

    def part(self, split: Split) -> Part:
        size = sum(file.stat().st_size for file in self.files)
        return Part(split, split, self.count, self._labels, opening=self.opening, side=self._side(),
                    threads=1 if size < SMALL * self.count else usable_cores())  # fmt: skip

    @contextmanager
    def opening(self, index: int) -> Iterator[Image.Image]:
        with self._reading:  # threads open images at once
            row = self._row(index)
        with open_bytes(_content(row)) as image:
            yield image

    def _row(self, index: int) -> Any:
        """The image column's value in this row."""
        if index < (self._kept[0][0] if self._kept else 0) or not self._end:
            self._kept.clear()  # a thread that fell behind all the others, or another pass: from the start
            self._batches, self._end = self._read(), 0
        while index >= self._end:
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError("the file has fewer rows than it had before")
            self._kept.append((self._end, batch))
            self._end += len(batch)
        first, batch = next((first, batch) for first, batch in reversed(self._kept) if first <= index)
        return batch[index - first].as_py()

    def _read(self) -> Iterator[Any]:
        """The image column, some rows at a time."""
        import pyarrow.parquet as pq

        for path in self.files:
            # By default a group of rows, which may be the whole file, is read into memory at once.
            with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
                for batch in file.iter_batches(batch_size=_ROWS, columns=[self.image], use_threads=False):
                    yield batch.column(0)

    def _side(self) -> int | None:
        """The side of the first images, if they are square and have the same; only their rows are read."""
        try:
            sizes = []
            for cell in next(self._read()):
                with open_bytes(_content(cell.as_py())) as image:
                    sizes.append(image.size)
            return common_side(sizes)
        except Exception:  # reported with all images that cannot be read
            return None

    def _labels(self) -> Any:
        """The label of each row: an array of whole numbers, or a list."""
        parts = [part for file in self.files for part in _labels_of(file, self.label)]
        if all(isinstance(part, np.ndarray) for part in parts):
            return np.concatenate(parts)
        return [label for part in parts for label in (part.tolist() if isinstance(part, np.ndarray) else part)]


def _labels_of(file: Path, column: str) -> Iterator[NDArray[Any] | list[Any]]:
    """The labels of a group of rows at a time: an array of whole numbers, or a list whose equal names are one object.

    Raises InputError for a damaged file and for names that are too long.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    too_long = InputError(f"{file} has labels of more than {_LONGEST:,} characters: give short names of classes",
                          options=["data"])  # fmt: skip
    try:
        # Equal names are read once: in a small file many rows may share a long one. Nested types cannot be read so.
        nested = pa.types.is_nested(pq.read_schema(file).field(column).type)
        with pq.ParquetFile(file, read_dictionary=[] if nested else [column]) as opened:
            kind = opened.schema_arrow.field(column).type
            for number in range(opened.num_row_groups):
                group = opened.metadata.row_group(number)
                columns = (group.column(at) for at in range(group.num_columns))
                size = sum(
                    each.total_uncompressed_size for each in columns if each.path_in_schema.split(".")[0] == column
                )
                # A character has up to 4 bytes, and a name may be in the dictionary and in its row.
                if size > 10 * _LONGEST * (group.num_rows + 10):
                    raise too_long
                for chunk in opened.read_row_group(number, columns=[column])[column].chunks:
                    if pa.types.is_integer(kind):
                        yield chunk.to_pylist() if chunk.null_count else chunk.to_numpy()
                        continue
                    if not pa.types.is_dictionary(kind):  # a list of one label, or what is no label
                        yield chunk.to_pylist()
                        continue
                    names = chunk.dictionary.to_pylist()
                    if any(isinstance(name, (str, bytes)) and len(name) > _LONGEST for name in names):
                        raise too_long
                    yield [None if index is None else names[index] for index in chunk.indices.to_pylist()]
    except (OSError, ValueError, KeyError) as error:
        raise damaged(file, error) from None


def _content(row: Any) -> bytes:
    """The encoded image of a row. Raises ValueError if there is none, as where the row holds a path alone."""
    content = row.get("bytes") if isinstance(row, dict) else row
    if not isinstance(content, bytes):
        raise ValueError("no bytes of an image in this row")
    if len(content) > _MOST_BYTES:
        raise ValueError(f"the image has more than {_MOST_BYTES:,} bytes, lenet's limit")
    return content


def _described(file: Path, schema: Any) -> tuple[str, str, tuple[str, ...] | None]:
    """The columns of images and labels, and the class names."""
    import pyarrow as pa

    features: dict[str, tuple[str, Any]] = {}
    for field in schema:
        kind = field.type
        names = [kind.field(k).name for k in range(kind.num_fields)] if pa.types.is_struct(kind) else []
        binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        features[field.name] = ("Image" if "bytes" in names or binary else str(kind), None)
    try:
        stored = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        for name, feature in stored.items():
            if feature.get("_type") == "ClassLabel" and name in features:
                features[name] = ("ClassLabel", [str(each) for each in feature["names"]])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # not written by datasets
        pass
    return columns_of(features, str(file))
