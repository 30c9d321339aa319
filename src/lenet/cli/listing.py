"""The commands that list what comes with lenet: models, recipes."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.padding import Padding
from rich.table import Table

from lenet.cli.flags import Whole
from lenet.cli.interrupt import loading
from lenet.config import RECIPES
from lenet.errors import InputError
from lenet.report.console import PlainConsole

_COMMAND = "lenet "


def models(
    *,
    size: Whole = 32,
    channels: Whole = 3,
    classes: Whole = 10,
    layers: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List the named networks with their numbers of parameters and multiply-adds per image.

    Parameters
    ----------
    size
        Image side length in pixels. Default: 32.
    channels
        1 for grey, 3 for colour. Default: 3.
    classes
        Number of classes. Default: 10.
    layers
        List the layers of each network too.
    """
    if not 16 <= size <= 96 or channels not in (1, 3) or not 2 <= classes <= 100_000:
        raise InputError("size must lie between 16 and 96, channels must be 1 or 3, and classes 2 to 100,000")
    with loading():
        from lenet.layers.network import layer_costs
        from lenet.layers.shapes import SHAPES, layers_of

    console = PlainConsole()
    console.print(f"for images of {size}x{size}x{channels}, {classes} classes")
    for name, shape in SHAPES.items():
        rows = layer_costs(layers_of(shape, (size, size, channels), classes), (size, size, channels))
        parameters, adds = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
        console.print()
        console.print(name, style="bold", end="")
        console.print(f"  {parameters:,} parameters, {adds:,} multiply-adds")
        for text in (shape.described(), shape.origin):
            console.print(Padding(text, (0, 0, 0, 2), expand=False))
        if layers:
            table = Table(box=None, pad_edge=False, header_style="dim")
            for column in ("  layer", "output", "parameters", "multiply-adds"):
                table.add_column(column, justify="left" if column == "  layer" else "right")
            for row in rows:
                output = "x".join(map(str, row.output))
                indent = "  " * len(row.name.split("."))  # a branch's layers are set in; their block follows them
                table.add_row(f"{indent}{row.kind}", output, f"{row.parameters:,}", f"{row.multiply_adds:,}")
            console.print(table)


def recipes() -> None:
    """List the recipes that come with lenet, with a description of each."""
    print_openings(RECIPES)


def print_openings(folder: Path) -> None:
    """Print the name of each TOML file of a folder, and the comment that it opens with."""
    console = PlainConsole()
    for path in sorted(folder.glob("*.toml")):
        console.print(path.stem, style="bold")
        for paragraph in _opening(path):
            if paragraph.startswith(_COMMAND):
                console.lines(f"  {paragraph}")
            else:
                console.print(Padding(paragraph, (0, 0, 0, 2), expand=False))


def _opening(path: Path) -> list[str]:
    """The comment that a TOML file opens with: commands as they stand, the lines of prose joined."""
    found: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line[1:].strip()
        if not found or text.startswith(_COMMAND) or found[-1].startswith(_COMMAND):
            found.append(text)
        else:
            found[-1] += f" {text}"
    return found
