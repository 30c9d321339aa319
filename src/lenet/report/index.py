"""The index of a folder of runs: what each is, and links to the reports that exist."""

from lenet.errors import counted
from lenet.report.markup import Cell, hint, section, table
from lenet.report.page import framed
from lenet.report.runs import COLUMNS, cells_of
from lenet.runs.listing import Listing

_NAMES = {"ep.": "epochs", "val %": "validation %", "test %": "test %"}


def index_page(listing: Listing, links: dict[str, Cell]) -> bytes:
    """The HTML file. links: the name of each run and group in the listing, linked to its report if there is one."""
    rows: list[list[Cell]] = []
    without = 0
    for run in listing.runs:
        name, *cells = cells_of(run)
        name += " (search)" if run.kind == "search" else ""
        link = links[run.path.name]
        without += isinstance(link, str)
        rows.append([name if isinstance(link, str) else type(link)(name, link.href), *cells])
    header = [_NAMES.get(name, name) for name in COLUMNS]
    said = (
        "Accuracies are mean ± sample standard deviation over n networks; those of a search are of its confirmation. "
        "A run that is not finished shows its state and its best validation accuracy so far. "
        "Click a column's name to sort."
    )
    sections = []
    if rows:
        parts = [table(header, rows, sortable=True, words=("data", "model")), hint(said)]
        if without:
            parts.append(hint(f"{counted(without, 'run')} without a report: 'lenet report RUN' writes it."))
        sections.append(section("runs", "Runs", *parts, wide=True))
    if listing.groups:
        groups = [[links[name], str(count)] for name, count in listing.groups.items()]
        sections.append(section("groups", "Folders with runs of their own", table(["folder", "runs"], groups)))
    if listing.damaged:
        damaged = [[name, why] for name, why in listing.damaged.items()]
        sections.append(
            section("damaged", "Damaged", table(["folder", "what is wrong"], damaged, words=("what is wrong",)))
        )
    return framed(f"Runs in {listing.folder.name or listing.folder}", f"Index of {listing.folder}", sections)
