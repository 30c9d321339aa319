"""The command data: datasets on disk, and the cache."""

from typing import Annotated

from cyclopts import App, Group, Parameter
from rich.table import Table

from lenet.cli.flags import DataDir
from lenet.cli.interrupt import loading
from lenet.report.console import PlainConsole

data = App(
    name="data",
    help="List the datasets on disk and the cache of decoded images, or clear the cache.\n\n"
    "The cache folder is $LENET_CACHE, or lenet/ in the user's cache folder ($XDG_CACHE_HOME, ~/.cache).",
    usage="Usage: lenet data COMMAND [OPTIONS]",
    version_flags=[],
    group_parameters=Group("Options", sort_key=0),
)


@data.command(name="list", usage="Usage: lenet data list [OPTIONS]")
def list_(*, data_dir: DataDir = None) -> None:
    """List the datasets on disk and the cache of decoded images."""
    with loading():
        from lenet.commands.data import list_data

    listing, console = list_data(data_dir=data_dir), PlainConsole()
    cached = sum(entry.bytes for entry in listing.decoded)
    for name, place in listing.datasets.items():
        console.lines(f"{name:9} {place or 'not on disk'}")
    console.lines(f"cache     {listing.cache_folder}: {_size(cached)}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("decoded", "images", "size", "MB", "from"):
        table.add_column(column, justify="right" if column in ("images", "MB") else "left", overflow="fold")
    for entry in listing.decoded:
        count, *shape = entry.shape
        table.add_row(entry.name, f"{count:,}", "x".join(map(str, shape)), f"{entry.bytes / 1e6:.1f}", entry.source)
    if listing.decoded:
        console.print(table)
    for path in listing.unfinished:
        console.lines(f"download  {path}: {_size(path.stat().st_size)}, unfinished")


@data.command(usage="Usage: lenet data clear [OPTIONS]")
def clear(*, downloads: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Remove decoded images and unfinished downloads; both are made again when needed.

    Parameters
    ----------
    downloads
        Remove the datasets downloaded to the cache folder too. Datasets in other folders are never removed.
    """
    with loading():
        from lenet.commands.data import clear_data

    PlainConsole().print(f"removed {_size(clear_data(downloads=downloads))}")


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
