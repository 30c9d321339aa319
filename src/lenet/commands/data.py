"""Data: the datasets on disk, and the cache of decoded images and teachers' logits."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from lenet.data import cache
from lenet.data.cache import Entry
from lenet.data.catalog import SETS
from lenet.data.fetch import find_published, unfinished_downloads


@dataclass(frozen=True)
class DataListing:
    """What is on disk.

    datasets: every named dataset, and its folder or archive; "embedded" for the digits, None if it is not on disk
    decoded: the decoded images in the cache folder; logits: bytes of teachers' logits there
    unfinished: parts of interrupted downloads
    """

    datasets: dict[str, str | None]
    cache_folder: Path
    decoded: list[Entry]
    logits: int
    unfinished: list[Path]


def list_data(*, data_dir: str | None = None) -> DataListing:
    """Search for every named dataset, first in `data_dir`, and list the cache."""
    datasets: dict[str, str | None] = {}
    for name, published in SETS.items():
        found = find_published(published, data_dir)
        datasets[name] = str(found[1]) if found else None if published.layouts else "embedded"
    logits = cache.bytes_in(cache.logits_folder())
    return DataListing(datasets, cache.user_cache(), cache.entries(), logits, unfinished_downloads())


def clear_data(*, downloads: bool = False) -> int:
    """Remove decoded images, teachers' logits and parts of interrupted downloads; returns the number of bytes freed.

    downloads: also remove datasets that were downloaded to the cache folder; other folders are left alone
    """
    freed = cache.clear()
    for path in unfinished_downloads():
        freed += path.stat().st_size
        path.unlink(missing_ok=True)
    for layout in (layout for published in SETS.values() for layout in published.layouts if downloads):
        folder = cache.user_cache() / Path(layout.folder).parts[0]
        freed += cache.bytes_in(folder)
        shutil.rmtree(folder, ignore_errors=True)
    return freed
