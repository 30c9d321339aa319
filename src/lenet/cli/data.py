"""The command data: what is wrong with images, datasets on disk, and the cache."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter
from rich.table import Table

from lenet.cli.flags import NO_FLAGS, DataDir, flags_of, given, help_of, unwrapped
from lenet.cli.interrupt import loading
from lenet.config import DataConfig, augmentation_line, options, unused
from lenet.report.console import PlainConsole

if TYPE_CHECKING:
    DataFlags = DataConfig
else:
    DataFlags = flags_of(__name__, [name for name in options() if name in NO_FLAGS or not hasattr(DataConfig, name)])
_NONE_GIVEN = DataFlags()

data = App(
    name="data",
    help="Check images before training, list the datasets on disk and the cache, or clear the cache.\n\n"
    "The cache folder is $LENET_CACHE. Default: lenet/ in the user's cache folder\n($XDG_CACHE_HOME or ~/.cache).",
    usage="Usage: lenet data COMMAND [OPTIONS]",
    version_flags=[],
    default_parameter=Parameter(show_default=False),
    group_parameters=Group("Options", sort_key=0),
)


@data.command(usage="Usage: lenet data check DATA [OPTIONS]")
@unwrapped
def check(
    images: Annotated[str, Parameter(name="DATA")], /, *, data_dir: DataDir = None,
    no_near: Annotated[bool, Parameter(negative="")] = False,
    json_: Annotated[bool, Parameter(name="json", negative="")] = False, out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> None:  # fmt: skip
    """Find what is wrong with images before training on them.

    Reads every image once and prints the images per class and split, sizes,
    modes, and what it found: images that cannot be read, exact copies and
    near-duplicates (within and across splits, with conflicting labels),
    near-constant images, small classes and imbalance. The exit code is 0 also
    if something was found; it is 2 if no image can be read.

    Parameters
    ----------
    images
        What 'lenet train' takes: a dataset, a folder of class folders, or an .npz, IDX, Parquet or CSV file.
    no_near
        Do not search near-duplicates. The search takes about a minute for 60,000 images; it is left out for more than
        100,000.
    json_
        Print JSON, with all findings, instead of the report.
    out
        Folder for check.json, findings.csv (every finding), labels.csv (copies, contradictions and near-constant images
        that 'lenet train --labels' then leaves out; edit it first) and contact sheets: copies.png,
        near-duplicates.png, near-constant.png. Default: none.
    overwrite
        Replace the files of an earlier check in the folder, also labels.csv.
    """
    with loading():
        from lenet.commands.check import check as run_check
        from lenet.commands.check import check_folder, write_check
        from lenet.files import expanded
        from lenet.report.check import advice_lines, check_json, class_table, finding_lines, image_lines

    if out is not None:
        out = expanded(out)
        check_folder(images, out, overwrite=overwrite)
    checked = run_check(images, data_dir=data_dir, near=not no_near)
    written = [] if out is None else write_check(checked, out)
    if json_:
        sys.stdout.write(check_json(checked))
        return
    console = PlainConsole()
    console.lines(f"data    {checked.name} ({checked.source}): {checked.total:,} images")
    console.lines(*(f"note    {note}" for note in checked.notes))
    console.print(class_table(checked))
    console.lines(*image_lines(checked))
    where = "--out DIR lists all" if out is None else f"{out / 'findings.csv'}"
    console.lines(*finding_lines(checked, all_in=where), *advice_lines(checked))
    if out is not None:
        console.lines(f"files   {out}: {', '.join(written)}")
        if "labels.csv" in written:
            first = "do the above, " if checked.stops_training else ""
            console.lines(
                f"next    {first}edit labels.csv, the images to leave out, then train:",
                f"        lenet train {shlex.quote(images)} --labels {shlex.quote(str(out / 'labels.csv'))}",
            )


@data.command(usage="Usage: lenet data augment [DATA] [OPTIONS]")
@unwrapped
def augment(
    images: Annotated[str | None, Parameter(name="DATA", help=help_of("data"))] = None, /, *,
    out: Annotated[Path, Parameter(help="PNG file of the contact sheet. Default: augmentation.png.")] = Path(
        "augmentation.png"
    ),
    overwrite: Annotated[bool, Parameter(negative="", help="Replace an existing file.")] = False,
    flags: Annotated[DataFlags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:  # fmt: skip
    """Show augmentation: training images as they are, and as seen in seven epochs."""
    with loading():
        from lenet.commands.augment import augment as run_augment

    config = run_augment(images, out=out, overwrite=overwrite, **given(flags))
    notes = [f"note    {note}" for note in unused(config)]
    PlainConsole().lines(f"augm.   {augmentation_line(config)}", *notes, f"files   {out}")


@data.command(name="list", usage="Usage: lenet data list [OPTIONS]")
@unwrapped
def list_(*, data_dir: DataDir = None) -> None:
    """List the datasets on disk, and the cache of decoded images and teachers' logits."""
    with loading():
        from lenet.commands.data import list_data

    listing, console = list_data(data_dir=data_dir), PlainConsole()
    cached = sum(entry.bytes for entry in listing.decoded)
    for name, place in listing.datasets.items():
        console.lines(f"{name:13} {place or 'not on disk'}")
    logits = f", teachers' logits {_size(listing.logits)}" if listing.logits else ""
    console.lines(f"{'cache':13} {listing.cache_folder}: decoded images {_size(cached)}{logits}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("decoded", "images", "size", "MB", "from"):
        table.add_column(column, justify="right" if column in ("images", "MB") else "left", overflow="fold")
    for entry in listing.decoded:
        count, *shape = entry.shape
        table.add_row(entry.name, f"{count:,}", "x".join(map(str, shape)), f"{entry.bytes / 1e6:.1f}", entry.source)
    if listing.decoded:
        console.print(table)
    for path in listing.unfinished:
        console.lines(f"{'download':13} {path}: {_size(path.stat().st_size)}, unfinished")


@data.command(usage="Usage: lenet data clear [OPTIONS]")
@unwrapped
def clear(*, downloads: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Remove decoded images, teachers' logits and unfinished downloads; all are made again when needed.

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
