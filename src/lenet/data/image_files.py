"""The image files that a user names: files, folders with all images below them, and patterns such as 'photos/*.jpg'."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lenet.data.folders import EXTENSIONS, check_depth, holds, is_hidden, is_image, unlistable
from lenet.errors import InputError


def image_files(named: Iterable[str | os.PathLike[str]]) -> Iterator[str]:
    """The paths of all image files, in the order of `named`; those of a folder or pattern sorted by name.

    A file is returned whatever its name is, and also if it does not exist: whoever reads it reports it. Below a folder,
    only regular files with an image's extension are returned, hidden ones left out; links are followed, circles are
    not. A name with *, ? or [ that is no file is a pattern; ** is no more than *, since folders are searched anyway.

    Only the names of one folder, or the matches of one pattern, are in memory at a time. Raises InputError if a folder
    cannot be listed or contains no image, or if a pattern matches none.
    """
    for name in (os.path.expanduser(os.fspath(one)) for one in named):  # noqa: PTH111
        if os.path.isdir(name):  # noqa: PTH112 (paths stay text: a million of them are made here)
            yield from _some(_below(name, frozenset()), f"no images in folder {name}")
        elif glob.has_magic(name) and not os.path.lexists(name):
            yield from _some(_matches(name), f"no images match '{name}'")
        else:
            yield name


def _some(files: Iterator[str], otherwise: str) -> Iterator[str]:
    empty = True
    for file in files:
        empty = False
        yield file
    if empty:
        raise InputError(f"{otherwise}: check the path (images end in {', '.join(EXTENSIONS)})")


def _below(folder: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """The image files anywhere below `folder`, sorted by name within each folder."""
    try:
        stat = Path(folder).stat()
        if (stat.st_dev, stat.st_ino) in above:
            return
        above |= {(stat.st_dev, stat.st_ino)}
        check_depth(folder, len(above))
        with os.scandir(folder) as entries:  # an entry takes several times the memory of its name
            names = []
            for entry in entries:
                if not is_hidden(entry.name) and holds(entry.is_dir):
                    names.append(f"{entry.name}/")
                elif is_image(entry.name) and holds(entry.is_file):
                    names.append(entry.name)
    except OSError as error:
        raise unlistable(error) from None
    for name in sorted(names):
        path = os.path.join(folder, name)  # noqa: PTH118
        if name.endswith("/"):
            yield from _below(path[:-1], above)
        else:
            yield path


def _matches(pattern: str) -> Iterator[str]:
    """The image files that a pattern matches, and those below folders that it matches."""
    for path in sorted(glob.glob(pattern)):  # noqa: PTH207
        if os.path.isdir(path):  # noqa: PTH112
            if not is_hidden(os.path.basename(path)):  # noqa: PTH119
                yield from _below(path, frozenset())
        elif is_image(os.path.basename(path)) and os.path.isfile(path):  # noqa: PTH113, PTH119
            yield path
