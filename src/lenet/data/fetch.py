"""Published datasets: where they are on disk, and where a download goes, which is resumed, verified and unpacked."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lenet.data.cache import user_cache
from lenet.data.catalog import SETS
from lenet.data.idx import idx_file, opens_with
from lenet.data.published_set import Archive, Layout, PublishedSet
from lenet.data.unpack import move_together, remove_unfinished, unpack, unwritable
from lenet.errors import Unavailable
from lenet.files import expanded, locked


def places(data_dir: str | None) -> list[Path]:
    """The folders in which published datasets are searched for, in order."""
    named = [data_dir, os.environ.get("LENET_DATA"), "data"]
    return [expanded(place) for place in named if place] + [user_cache()]


def find_published(published: PublishedSet, data_dir: str | None = None) -> tuple[Layout, Path] | None:
    """A dataset's layout and its unpacked folder, or its archive if only that is there; None if neither is."""
    for place in places(data_dir):
        for layout in published.layouts:
            for folder in (place / layout.folder, place):
                if _has(folder, layout) and (folder != place or not layout.more or opens_with(folder, layout)):
                    return layout, folder
            if (place / layout.folder).is_dir():
                return layout, place / layout.folder  # incomplete: the reader will name the missing file
        for layout in published.layouts:
            if not layout.more and (place / layout.archive.file).is_file():
                return layout, place / layout.archive.file
    return None


def _has(folder: Path, layout: Layout) -> bool:
    """Whether training and test images are there, those of IDX files packed or not."""
    files = [folder / layout.train[0], folder / layout.test[0]]
    if layout.kind == "idx":
        files = [idx_file(folder, file.name) for file in files]
    return all(file.is_file() for file in files)


def get_published(published: PublishedSet, data_dir: str | None, download: bool) -> tuple[Layout, Path]:
    """A dataset's layout and its unpacked folder: found, unpacked from a verified archive, or downloaded.

    Raises InputError if an archive is not the published one or cannot be unpacked, Unavailable if there is none.
    """
    found = find_published(published, data_dir)
    if found and found[1].is_dir():
        return found
    layout, archive = found or (published.layouts[0], None)
    if archive is None and not download:
        searched = ", ".join(f"'{place}'" for place in places(data_dir))
        raise Unavailable(f"{published.name} is not on disk (searched {searched}): {_by_hand(layout, data_dir)}")
    into = archive.parent if archive else _download_place(data_dir)
    if archive and not os.access(into, os.W_OK):
        into = user_cache()
    with _alone_in(into, f"{'unpack' if archive else 'download'} {published.name} to"):
        folder = into / layout.folder
        if folder.is_dir():  # written by an earlier command, or by another process while this one waited
            return layout, folder
        if archive:
            from lenet.data.download import verify  # it loads http.client, for which a prediction need not wait

            verify(archive, layout.archive)
            return layout, unpack(archive, into, layout.folder, layout.archive.skip)
        if layout.more:
            fetched = {one.file: fetch(published.name, layout, data_dir, one) for one in (layout.archive, *layout.more)}
            move_together(fetched, into, layout.folder)
            return layout, folder
        partial = fetch(published.name, layout, data_dir)
        unpack(partial, into, layout.folder, layout.archive.skip)
        partial.unlink(missing_ok=True)
        return layout, folder


@contextmanager
def _alone_in(place: Path, doing: str) -> Iterator[None]:
    """Make the folder, and keep other processes of lenet from writing datasets to it while the block runs."""
    with ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            if stack.enter_context(locked(place)):
                remove_unfinished(place)
        except OSError as error:
            raise unwritable(doing, place, error) from None
        yield


def fetch(name: str, layout: Layout, data_dir: str | None, archive: Archive | None = None) -> Path:
    """Download a layout's archive, the first by default, and return the verified file, which has a temporary name.

    It goes to `data_dir`, else $LENET_DATA, else the user cache. Each address is tried, the publisher's first, and each
    continues what is there of an interrupted download. Raises Unavailable, which says what failed at each address and
    how to get the file by hand.
    """
    from lenet.data.download import NetworkError, download  # see above

    place = _download_place(data_dir)
    archive = archive or layout.archive
    partial, failures = _partial(place, layout, archive), []
    try:
        place.mkdir(parents=True, exist_ok=True)
        for url in archive.urls:
            try:
                with partial.open("a+b") as file:
                    download(url, archive, file)
                return partial
            except NetworkError as failure:
                failures.append(f"{url}: {failure}")
    except OSError as error:
        raise unwritable(f"download {name} to", place, error) from None
    finally:
        if partial.is_file() and not partial.stat().st_size:
            partial.unlink()
    kept = f"; {partial.stat().st_size:,} bytes are kept, and the same command continues" if partial.is_file() else ""
    raise Unavailable(f"cannot download {name} ({'; '.join(failures)}{kept}): {_by_hand(layout, data_dir)}")


def unfinished_downloads() -> list[Path]:
    """Parts of interrupted downloads in the folders in which datasets are searched for."""
    layouts = [layout for published in SETS.values() for layout in published.layouts]
    paths = {
        _partial(place, layout, archive)
        for place in places(None)
        for layout in layouts
        for archive in (layout.archive, *layout.more)
    }
    return sorted(path for path in paths if path.is_file())


def _partial(place: Path, layout: Layout, archive: Archive) -> Path:
    of = f"{layout.folder.replace('/', '-')}-" if layout.more else ""  # several datasets have files of these names
    return place / f".{of}{archive.file}.part"


def _download_place(data_dir: str | None) -> Path:
    chosen = data_dir or os.environ.get("LENET_DATA")
    return expanded(chosen) if chosen else user_cache()


def _by_hand(layout: Layout, data_dir: str | None) -> str:
    if layout.more:
        return (
            f"download {layout.archive.urls[0]} and the {len(layout.more)} files beside it by hand and put them into "
            f"{_download_place(data_dir) / layout.folder}, or give its folder with --data-dir"
        )
    return (
        f"download {layout.archive.urls[0]} by hand and put {layout.archive.file} into {_download_place(data_dir)}, or "
        "give its folder with --data-dir"
    )
