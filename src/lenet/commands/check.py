"""Check: what is wrong with labelled images, before a network is trained on them."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lenet.config import checked
from lenet.data.decode import BAR_FROM
from lenet.data.findings import MOST_COMPARED, Check, class_counts, find_faults, to_leave_out
from lenet.data.folders import EXTENSIONS, few
from lenet.data.identity import check_outside
from lenet.data.inspection import inspect_images
from lenet.data.listing import list_images
from lenet.data.memory import Images, given_data
from lenet.data.progress import progress
from lenet.errors import InputError, counted
from lenet.files import check_made_here, expanded, followed, make_folder, write_whole
from lenet.report.check import SHEETS, check_json, draw_findings, findings_csv, labels_csv

_NAMED_AT_MOST = 3  # images that cannot be read, where none can


def check(data: str | Path | Images | Any, *, data_dir: str | Path | None = None, near: bool = True) -> Check:
    """Read all images of a dataset once and find what is wrong with them.

    data: as for `lenet.train`. Of a folder, also a single class or empty ones are taken; of a CSV file, missing images
        are found like others that cannot be read
    data_dir: folder in which datasets are found or downloaded
    near: search near-duplicates, among at most 100,000 images

    Findings are images that cannot be read, exact copies (the same pixels, whatever the format), near-duplicates (see
    `lenet.data.near`), near-constant images, and classes that are alone, too small or far smaller than others.
    Raises InputError if `data` cannot be read, has no images, or none that can be read.
    """
    named, memory = given_data(data)
    given = {"data": named, "data_dir": data_dir}
    asked = checked({name: value for name, value in given.items() if value is not None})
    listing = list_images(memory or asked.get("data", "auto"), asked.get("data_dir"))
    count, notes = len(listing.files), listing.notes
    if count > MOST_COMPARED or not near:
        why = f": more than {MOST_COMPARED:,} images" if near else ""
        near, notes = False, (*notes, f"near-duplicates were not searched{why}")
    if "train" not in listing.splits:
        notes = (*notes, "no training images: lenet train needs some, lenet eval does not")
    seen = inspect_images(listing, thumbnails=near)
    if len(seen.failures) == count:
        named = [f"{listing.files[index]} ({why})" for index, why in sorted(seen.failures.items())]
        raise InputError(f"none of {counted(count, 'image')} in {listing.source} can be read: "
                         f"{few(named, _NAMED_AT_MOST)}; replace them", options=["data"])  # fmt: skip
    labels, classes = listing.labels()
    with progress("comparing images", count, in_bytes=False, hidden=not near or count < BAR_FROM) as advance:
        findings = find_faults(listing, seen, labels, classes, advance)
    readable = np.flatnonzero(seen.readable())
    return Check(
        name=listing.name,
        source=listing.source,
        classes=classes,
        counts=class_counts(listing, seen, labels, classes),
        total=count,
        unreadable=len(seen.failures),
        sizes=Counter((int(width), int(height)) for width, height in seen.sizes[readable]),
        modes=Counter(seen.modes[index] for index in readable),
        findings=findings,
        compared=near,
        notes=notes,
        listing=listing,
    )


def check_folder(check_of: str, out: Path, *, overwrite: bool) -> None:
    """Raises InputError if `out` cannot be the folder for the files of a check of the images `check_of`.

    overwrite: the files of an earlier check in the folder may be replaced, also a labels.csv that was edited since
    """
    if out.suffix.lower() in EXTENSIONS:
        raise InputError(f"--out {out} has the name of an image: give a folder; the check writes several files into it")
    root = expanded(check_of)
    check_outside(out, check_of)
    if root.is_file() and followed(root).parent == followed(out):
        raise InputError(f"--out {out} is the folder of the file that is checked: give another folder")
    check_made_here(out, "check.json", "check")
    if (out / "check.json").is_file() and not overwrite:
        raise InputError(f"{out} has a check: use --overwrite to replace it, also labels.csv, or another --out")


def write_check(check: Check, folder: Path) -> list[str]:
    """Write the check's files; return their names. Contact sheets of an earlier check in the folder are removed.

    check.json, findings.csv (every finding) and, where there are such findings, labels.csv (images that `--labels` then
    leaves out, see `to_leave_out`), copies.png, near-duplicates.png and near-constant.png (the first 100 of each).
    """
    make_folder(folder)
    write_whole(folder / "check.json", check_json(check))
    write_whole(folder / "findings.csv", findings_csv(check.findings))
    names = ["check.json", "findings.csv"]
    if reasons := to_leave_out(check.findings):
        write_whole(folder / "labels.csv", labels_csv(check, reasons))
        names.append("labels.csv")
    else:
        (folder / "labels.csv").unlink(missing_ok=True)
    for kind, name in SHEETS.items():
        if draw_findings(check, kind, folder / name):
            names.append(name)
        else:
            (folder / name).unlink(missing_ok=True)
    return names
