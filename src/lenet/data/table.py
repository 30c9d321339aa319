"""A CSV file of image paths and labels."""

import csv
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from lenet.cores import usable_cores
from lenet.data.cache import stamp
from lenet.data.decode import SMALL
from lenet.data.fit import opened
from lenet.data.folders import SPLIT_WORDS, few
from lenet.data.source import Part, Source, source_of
from lenet.data.splits import Split
from lenet.errors import InputError
from lenet.files import MOST_CSV, followed, read_regular

PATHS = ("path", "file", "filename", "file_name", "image", "image_path", "filepath")
LABELS = ("label", "labels", "class", "class_name", "category", "target")
_SPLIT = ("split", "subset", "set")
_NAMED_AT_MOST = 5
_SEPARATOR_LINE = re.compile(rb"(?:\xef\xbb\xbf)?sep=[,;\t]\r?\n")  # some spreadsheets open a CSV file with it


def rows_of(path: Path, option: str) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file that are not empty, each with its number and its values without spaces around them.

    Commas, semicolons or tabs separate the columns, whichever the first line has most of; text is UTF-8.
    option: the option that names the file. Raises InputError if the file cannot be read, is not CSV, or has a line of
    more values than the first one.
    """
    content = read_regular(path, MOST_CSV)
    skipped = 0
    if found := _SEPARATOR_LINE.match(content):
        content, skipped = content[found.end() :], 1
    head = content.partition(b"\n")[0]
    separator = max(",;\t", key=lambda mark: head.count(mark.encode()))
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    rows = csv.reader(text, delimiter=separator, strict=True)
    width = None
    try:
        for row in rows:
            if any(row):
                values = [value.strip() for value in row]
                width = len(values) if width is None else width
                if any(values[width:]):
                    raise InputError(
                        f"{path}, line {rows.line_num + skipped}: more values than the header: quote values that "
                        "contain the separator", options=[option],
                    )  # fmt: skip
                yield rows.line_num + skipped, values
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as CSV in UTF-8", options=[option]) from None
    except csv.Error as error:
        raise InputError(f"{path} is not CSV ({error}): correct it", options=[option]) from None


def table_source(path: Path, *, lenient: bool = False) -> Source:
    """The images of a CSV file with a header line: columns path and label, and optionally split (train, val, test).

    Paths are relative to the file's folder. Opens no image.

    Raises InputError as `rows_of` does, for missing columns, values or, unless `lenient`, image files, and for an
    unknown split.
    """
    by_split: dict[Split, list[tuple[str, str]]] = {}
    rows = rows_of(path, "data")
    columns = [name.lower() for name in next(rows, (0, []))[1]]
    at, label_at = _column(path, columns, PATHS), _column(path, columns, LABELS)
    split_at = next((columns.index(name) for name in _SPLIT if name in columns), None)
    needed = max(at, label_at, split_at or 0)
    for line, values in rows:
        if len(values) <= needed or not values[at] or not values[label_at] or "\0" in values[at]:
            raise InputError(f"{path}, line {line}: no path or no label: add it", options=["data"])
        word = "train" if split_at is None else values[split_at].lower()
        if word not in SPLIT_WORDS:
            raise InputError(
                f"{path}, line {line}: no split '{values[split_at or 0]}': write train, val or test", options=["data"]
            )
        by_split.setdefault(SPLIT_WORDS[word], []).append((values[at], values[label_at]))
    if not by_split:
        raise InputError(f"{path} lists no images: add lines of path and label", options=["data"])
    folder = path.parent
    stamps = [stamp(folder, path.name)]
    missing, outside, parts, known = [], 0, [], {}
    is_inside = _inside(folder)
    for split, pairs in by_split.items():
        files = tuple(file for file, _ in pairs)
        for file in files:
            if file in known:
                raise InputError(f"{path} lists '{file}' twice: keep one of the lines", options=["data"])
            stamped = stamp(folder, file)
            known[file] = stamped[1]
            stamps.append(stamped)
            if not _is_file(folder / file):
                missing.append(file)
            outside += not is_inside(folder / file)
        labels = [label for _, label in pairs]
        small = sum(known[file] for file in files) < SMALL * len(files)
        parts.append(
            Part(split, "" if split_at is None else split, len(files), lambda labels=labels: labels,  # type: ignore[misc]
                 opening=lambda index, files=files: opened(folder / files[index]),  # type: ignore[misc]
                 threads=1 if small else usable_cores(), names=files)
        )  # fmt: skip
    if missing and not lenient:
        raise InputError(
            f"{path}: {len(missing)} of {len(known)} images are missing: {few(missing, _NAMED_AT_MOST)}; paths are "
            f"relative to {folder}", options=["data"],
        )  # fmt: skip
    notes = [f"{outside} of {len(known)} images lie outside the folder of {path.name}"] if outside else []
    used = columns[at], columns[label_at]
    if others := [name for name in columns if name in (*PATHS, *LABELS) and name not in used]:
        notes.append(f"the columns {' and '.join(used)} are used, not {few(others, _NAMED_AT_MOST)}")
    return source_of(path.stem, str(path), parts, None, stamps, notes)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long
        return False


def _inside(folder: Path) -> Callable[[Path], bool]:
    """A function that says whether a file is in the folder, links followed; each file's own folder is followed once."""
    root, known = followed(folder), dict[Path, bool]()

    def is_inside(file: Path) -> bool:
        if os.path.islink(file):  # noqa: PTH114 (Path.is_symlink raises for long names)
            return followed(file).is_relative_to(root)
        if file.parent not in known:
            known[file.parent] = followed(file.parent).is_relative_to(root)
        return known[file.parent]

    return is_inside


def _column(path: Path, columns: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in columns:
            return columns.index(name)
    listed = few([name for name in columns if name], 10) or "none"
    raise InputError(f"{path} has no column '{names[0]}' (columns: {listed}): add a header line 'path,label'",
                     options=["data"])  # fmt: skip
