"""A check in words, as CSV and as contact sheets."""

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.table import Table

from lenet.characters import visible
from lenet.data.findings import KINDS, Check, Finding, Kind
from lenet.data.fit import to_8bit
from lenet.data.listing import Listing
from lenet.errors import counted
from lenet.report.contact_sheet import draw_contact_sheet
from lenet.report.sheet import Sheet

_UNREADABLE_NAMED = 20
_EXAMPLES = 3  # of the other kinds
_CLASSES_SHOWN = 20  # with more, only the largest and the smallest
_SIZES_SHOWN = 4
_SIZES_WRITTEN = 100  # in JSON
_MOST_DRAWN = 100  # findings on a contact sheet
_DRAWN_SIDE = 256  # pixels; larger images are reduced when they are read
SHEETS: dict[Kind, str] = {
    "copy": "copies.png",
    "near-duplicate": "near-duplicates.png",
    "near-constant": "near-constant.png",
}


def class_table(check: Check) -> Table:
    """Readable images by class and split; of more than 20 classes the ten largest and the ten smallest."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    names = list(check.counts) if len(check.counts) > 1 else ["images"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    counts = np.stack(list(check.counts.values()))
    shown = list(range(len(check.classes)))
    half = _CLASSES_SHOWN // 2
    if len(shown) > _CLASSES_SHOWN:
        shown = np.argsort(-counts.sum(axis=0), kind="stable").tolist()
        shown = [*shown[:half], -1, *shown[-half:]]
    for number in shown:
        if number < 0:
            table.add_row(f"... {len(check.classes) - 2 * half:,} more", *[""] * len(names))
        else:
            table.add_row(visible(check.classes[number]), *(f"{count:,}" for count in counts[:, number]))
    if len(check.classes) > 1:
        table.add_row("all", *(f"{count:,}" for count in counts.sum(axis=1)))
    return table


def image_lines(check: Check) -> list[str]:
    """Sizes and modes of the images."""
    ranked = sorted(check.sizes.items(), key=lambda item: -item[1])
    sizes = [f"{width}x{height} {count:,}" for (width, height), count in ranked[:_SIZES_SHOWN]]
    if len(ranked) > _SIZES_SHOWN:
        widths, heights = zip(*check.sizes, strict=True)
        sizes.append(f"{len(ranked) - _SIZES_SHOWN:,} other sizes")
        sizes.append(f"from {min(widths)}x{min(heights)} to {max(widths)}x{max(heights)}")
    modes = [f"{mode} {count:,}" for mode, count in sorted(check.modes.items(), key=lambda item: -item[1])]
    return [f"sizes   {', '.join(sizes)}", f"modes   {', '.join(modes)}"]


def finding_lines(check: Check, *, all_in: str) -> list[str]:
    """The number of findings of each kind, with the first of each.

    all_in: where all of them are listed, for the end of a shortened list
    """
    lines = []
    for kind in KINDS:
        if not (found := check.of(kind)):
            continue
        lines.append(f"found   {_headline(kind, found)}")
        shown = found[: _UNREADABLE_NAMED if kind == "unreadable" else _EXAMPLES]
        lines += [f"        {_one(each)}" for each in shown]
        if more := len(found) - len(shown):
            lines.append(f"        ... {more:,} more: {all_in}")
    return lines or ["found   nothing wrong"]


def _headline(kind: Kind, found: list[Finding]) -> str:
    count = len(found)
    what = {
        "unreadable": f"{counted(count, 'image')} that cannot be read",
        "unlabelled": f"{counted(count, 'image')} without a label",
        "copy": f"{count:,} exact {'copy' if count == 1 else 'copies'}",
        "near-duplicate": f"{counted(count, 'pair')} of near-duplicates",
        "near-constant": counted(count, "near-constant image"),
        "one class": "one class only",
        "empty class": f"{count:,} {'class' if count == 1 else 'classes'} without images",
        "small class": f"{count:,} small {'class' if count == 1 else 'classes'}",
        "imbalance": "imbalanced classes",
    }[kind]
    parts = []
    if across := sum(each.across for each in found):
        parts.append(f"{across:,} across splits")
    if conflicting := sum(each.conflicting for each in found):
        parts.append(f"{conflicting:,} with other labels")
    return f"{what}{': ' if parts else ''}{', '.join(parts)}"


def _one(finding: Finding) -> str:
    if finding.kind == "imbalance":
        return finding.detail
    if not finding.file:
        return f"'{finding.label}': {finding.detail}"
    if not finding.other:
        return f"{finding.file} ({finding.detail})"
    between = "=" if finding.kind == "copy" else "~"
    labels = f" ({finding.label}, {finding.other_label})" if finding.conflicting else ""
    return f"{finding.file} {between} {finding.other}{labels}"


def advice_lines(check: Check) -> list[str]:
    """What to do about the findings, one line each."""
    copies, near = check.of("copy"), check.of("near-duplicate")
    pairs = copies + near
    advice = [
        (check.of("unreadable"), "replace or remove unreadable images: lenet train stops at them"),
        ([each for each in pairs if each.across], "keep copies in one split: they make the test accuracy too high"),
        ([each for each in pairs if each.conflicting], "keep each image in one class"),
        (
            [each for each in copies if not each.across and not each.conflicting],
            "remove copies within a split, or they count several times",
        ),
        (near, "look at near-duplicates; keep one of each pair, or both in one split"),
        (check.of("near-constant"), "look at near-constant images: most are empty or failed"),
        (check.of("unlabelled"), "label or remove images without a label: lenet train stops at them"),
        (check.of("one class"), "add a second class: lenet train needs two"),
        (check.of("empty class"), "add images to empty classes, or remove these: lenet train stops at them"),
        (check.of("small class"), "add images to small classes, or leave these out with --classes"),
        (check.of("imbalance"), "train with --class-weights balanced, and read balanced accuracy"),
    ]
    lines = [line for found, line in advice if found]
    return [f"{'to do' if not number else '':8}{line}" for number, line in enumerate(lines)]


def check_json(check: Check) -> str:
    """All of it as JSON, with exact names."""
    pairs = {
        kind: {
            "count": len(found := check.of(kind)),
            "across_splits": sum(each.across for each in found),
            "conflicting_labels": sum(each.conflicting for each in found),
        }
        for kind in ("copy", "near-duplicate")
    }
    widths_heights = list(zip(*check.sizes, strict=True))
    facts: dict[str, Any] = {
        "data": check.name,
        "source": check.source,
        "images": check.total,
        "classes": {
            name: {split: int(counts[number]) for split, counts in check.counts.items()}
            for number, name in enumerate(check.classes)
        },
        "sizes": {
            "distinct": len(check.sizes),
            "width": [min(widths_heights[0]), max(widths_heights[0])],
            "height": [min(widths_heights[1]), max(widths_heights[1])],
            "most_frequent": {f"{w}x{h}": n for (w, h), n in check.sizes.most_common(_SIZES_WRITTEN)},
        },
        "modes": dict(check.modes.most_common()),
        "unreadable": check.unreadable,
        "copies": pairs["copy"],
        "near_duplicates": pairs["near-duplicate"] if check.compared else None,
        "near_constant": len(check.of("near-constant")),
        "notes": list(check.notes),
        "findings": [
            {
                "kind": each.kind,
                "file": each.file or None,
                "other": each.other or None,
                "split": each.split or None,
                "other_split": each.other_split or None,
                "class": each.label or None,
                "other_class": each.other_label or None,
                "detail": each.detail,
            }
            for each in check.findings
        ],
    }
    return json.dumps(facts, indent=1).replace("\x7f", "\\u007f") + "\n"  # json escapes other control characters


def findings_csv(findings: Iterable[Finding]) -> str:
    """CSV with one line per finding, safe for spreadsheets."""
    text = io.StringIO()
    sheet = Sheet(text)
    sheet.row(["file", "kind", "other_file", "split", "other_split", "class", "other_class", "detail"])
    for each in findings:
        sheet.row(
            [each.file, each.kind, each.other, each.split, each.other_split, each.label, each.other_label, each.detail]
        )
    return text.getvalue()


def labels_csv(check: Check, reasons: Mapping[int, str]) -> str:
    """CSV for `--labels` that leaves these images out: file (or index), an empty label, and the reason."""
    text = io.StringIO()
    sheet, listing = Sheet(text), check.listing
    sheet.row(["index" if listing.numbered else "file", "label", "reason"])
    for index, reason in reasons.items():
        sheet.row([index if listing.numbered else listing.files[index], "", reason])
    return text.getvalue()


def draw_findings(check: Check, kind: Kind, path: Path) -> bool:
    """Draw the first 100 findings of a kind, pairs side by side; without any draw nothing and return False.

    Raises InputError if the file cannot be written.
    """
    found = check.of(kind)
    if not found:
        return False
    images, captions = [], []
    for each in found[:_MOST_DRAWN]:
        one, other = (each.index, each.file, each.label), (each.other_index, each.other, each.other_label)
        for index, file, label in (one, other):
            if index is not None:
                images.append(_pixels(check.listing, index))
                captions.append(f"{file}\n{label}\n{each.detail}")
    more = f"; the first {_MOST_DRAWN}" if len(found) > _MOST_DRAWN else ""
    together = 2 if found[0].other_index is not None else 1
    draw_contact_sheet(images, captions, path, f"{check.name}: {_headline(kind, found)}{more}", together=together)
    return True


def _pixels(listing: Listing, index: int) -> NDArray[np.uint8]:
    """uint8 [H, W, C], at most 256 pixels a side; white if the image cannot be read any more."""
    try:
        with listing.opening(index) as lazy:
            image = to_8bit(lazy)
            image.thumbnail((_DRAWN_SIDE, _DRAWN_SIDE), Image.Resampling.BILINEAR)
            pixels = np.array(image)
    except MemoryError:
        raise
    except Exception:  # it was read a moment ago
        return np.full((1, 1, 3), 255, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
