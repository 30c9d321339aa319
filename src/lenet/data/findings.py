"""What is wrong with labelled images: unreadable ones, copies, near-duplicates, near-constant ones, uneven classes."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lenet.data.copies import CONSTANT_SD, first_of_copies, imbalance
from lenet.data.inspection import Inspection
from lenet.data.listing import Listing
from lenet.data.splits import SPLITS, Split
from lenet.errors import counted

MOST_COMPARED = 100_000  # images; the time of a search for near-duplicates grows with their square
_ORDER = ("", *SPLITS)  # splits; of copies, those in the last of them stay
FEW_IMAGES = 20  # training images; of a class with fewer, a tenth for validation or testing is one image or none
Kind = Literal[
    "unreadable", "unlabelled", "copy", "near-duplicate", "near-constant", "one class", "empty class", "small class",
    "imbalance",
]  # fmt: skip
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Finding:
    """One fault.

    index, other_index: numbers of the image and of the one that it is a copy of, which comes first in the data; None
        where there is none, as for a class
    file, split, label: name, split and class of the image; other_...: those of the other one
    detail: the reason, the similarity or the numbers, in words
    """

    kind: Kind
    detail: str
    label: str = ""
    index: int | None = None
    file: str = ""
    split: str = ""
    other_index: int | None = None
    other: str = ""
    other_split: str = ""
    other_label: str = ""

    @property
    def across(self) -> bool:
        """Whether the two images are in different splits."""
        return self.other_index is not None and self.split != self.other_split

    @property
    def conflicting(self) -> bool:
        """Whether the two images have different labels."""
        return self.other_index is not None and self.label != self.other_label


@dataclass(frozen=True, eq=False)
class Check:
    """What a check found. Names are not made safe for a terminal or a spreadsheet.

    counts: int64 [C] of each split that the data has, the readable images by class
    sizes: number of images by (width, height); modes: by Pillow's mode
    unreadable: number of images that cannot be read; total: of all images
    compared: whether near-duplicates were searched
    """

    name: str
    source: str
    classes: tuple[str, ...]
    counts: dict[Split, NDArray[np.int64]]
    total: int
    unreadable: int
    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    findings: tuple[Finding, ...]
    compared: bool
    notes: tuple[str, ...]
    listing: Listing

    @property
    def stops_training(self) -> bool:
        """Whether `lenet train` refuses these images as they are, without corrected labels."""
        return any(self.of(kind) for kind in ("unreadable", "unlabelled", "one class", "empty class"))

    def of(self, kind: Kind) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]


@dataclass(frozen=True, eq=False)
class _Images:
    """What findings are made from; labels: int64 [N], -1 where unknown."""

    listing: Listing
    seen: Inspection
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def about(self, index: int) -> tuple[int, str, Split, str]:
        """Index, file, split and class."""
        label = int(self.labels[index])
        return index, self.listing.files[index], self.listing.splits[index], self.classes[label] if label >= 0 else ""

    def single(self, kind: Kind, index: int, detail: str) -> Finding:
        number, file, split, label = self.about(index)
        return Finding(kind, detail, label, number, file, split)

    def pair(self, kind: Kind, index: int, other: int, detail: str) -> Finding:
        """A finding about `index`; of a pair it is the one that comes later, in the validation or test images."""
        number, file, split, label = self.about(index)
        return Finding(kind, detail, label, number, file, split, *self.about(other))


def to_leave_out(findings: Iterable[Finding]) -> dict[int, str]:
    """Index -> reason, for images that training and testing are better without.

    Near-constant images; both images of a pair with different labels; of near-duplicates in several splits the one that
    comes first, which is the training image; of copies all but the first one in the last of their splits, test before
    val before train. Near-duplicates in one split stay.
    """
    reasons: dict[int, str] = {}
    copies: dict[int, list[tuple[int, str, str]]] = {}  # index, split and file of all copies of an image, and of itself
    for each in findings:
        if each.kind == "near-constant" and each.index is not None:
            reasons.setdefault(each.index, each.kind)
        elif each.index is not None and each.other_index is not None:
            if each.conflicting:
                reasons[each.index] = f"{each.kind} of {each.other}, labelled '{each.other_label}'"
                reasons[each.other_index] = f"{each.kind} of {each.file}, labelled '{each.label}'"
            elif each.kind == "copy":
                group = copies.setdefault(each.other_index, [(each.other_index, each.other_split, each.other)])
                group.append((each.index, each.split, each.file))
            elif each.across:
                reasons.setdefault(each.other_index, f"{each.kind} of {each.file}")
    for group in copies.values():
        kept, _, file = max(group, key=lambda one: (_ORDER.index(one[1]), -one[0]))
        for index, _, _ in group:
            if index != kept:
                reasons.setdefault(index, f"copy of {file}")
    return dict(sorted(reasons.items()))


def find_faults(
    listing: Listing, seen: Inspection, labels: NDArray[np.int64], classes: tuple[str, ...],
    advance: Callable[[int], None],
) -> tuple[Finding, ...]:  # fmt: skip
    """All faults by kind; pairs in several splits first, then those with different labels, the most similar first.

    Near-duplicates are searched if `seen` has thumbnails; see `near_duplicates` for `advance`.
    """
    images = _Images(listing, seen, labels, classes)
    return (
        *(images.single("unreadable", index, seen.failures[index]) for index in sorted(seen.failures)),
        *(
            images.single("unlabelled", index, "no label")
            for index in np.flatnonzero(seen.readable() & (labels < 0)).tolist()
        ),
        *_worst_first(_copies(images)),
        *_worst_first(_near(images, advance)),
        *(
            images.single("near-constant", index, f"standard deviation {seen.deviation[index]:.1f}")
            for index in np.flatnonzero(seen.readable() & (seen.deviation < CONSTANT_SD)).tolist()
        ),
        *class_faults(class_counts(listing, seen, labels, classes), classes),
    )


def class_counts(
    listing: Listing, seen: Inspection, labels: NDArray[np.int64], classes: tuple[str, ...]
) -> dict[Split, NDArray[np.int64]]:
    """int64 [C] for each split of the data: the numbers of images that can be read, by class."""
    splits, usable = np.array(listing.splits), seen.readable() & (labels >= 0)
    return {
        split: np.bincount(labels[usable & (splits == split)], minlength=len(classes))
        for split in SPLITS
        if (splits == split).any()
    }


def class_faults(counts: dict[Split, NDArray[np.int64]], classes: tuple[str, ...]) -> Iterator[Finding]:
    """A class that is the only one, classes without or with few training images, and the smallest of uneven ones.

    Without training images, only the first of these.
    """
    if len(classes) == 1:
        yield Finding("one class", "no other class", classes[0])
    if "train" not in counts:
        return
    train = counts["train"]
    what = "training image" if len(counts) > 1 else "image"  # of one split alone, validation images are taken too
    few = np.flatnonzero(train < FEW_IMAGES)
    for number in few[np.argsort(train[few], kind="stable")].tolist():
        kind: Kind = "small class" if train[number] else "empty class"
        yield Finding(kind, counted(int(train[number]), what), classes[number])
    if uneven := imbalance(train):
        high, low = uneven
        detail = f"{counted(int(train[low]), what)} of '{classes[low]}', {train[high]:,} of '{classes[high]}'"
        yield Finding("imbalance", f"{detail}, {train[high] / train[low]:.1f} times as many", classes[low])


def _copies(images: _Images) -> Iterator[Finding]:
    readable = np.flatnonzero(images.seen.readable())
    first = readable[first_of_copies(images.seen.digests[readable])] if len(readable) else readable
    for at in np.flatnonzero(first != readable):
        yield images.pair("copy", int(readable[at]), int(first[at]), "same pixels")


def _near(images: _Images, advance: Callable[[int], None]) -> Iterator[Finding]:
    seen = images.seen
    if not len(seen.thumbnails):
        return
    from lenet.data.near import near_duplicates  # here PyTorch is loaded

    usable = np.flatnonzero(seen.readable() & (seen.deviation >= CONSTANT_SD))
    # By the first of several copies: one of them for each split and label that they have.
    copies: dict[int, dict[tuple[Split, int], int]] = {}
    if len(usable):
        for index, first in zip(usable.tolist(), usable[first_of_copies(seen.digests[usable])].tolist(), strict=True):
            place = images.listing.splits[index], int(images.labels[index])
            copies.setdefault(first, {}).setdefault(place, index)
    compared = np.array(list(copies), dtype=np.int64)
    thumbnails = seen.thumbnails if len(compared) == len(seen.thumbnails) else seen.thumbnails[compared]
    for one, other, similarity in near_duplicates(thumbnails, advance):
        # Of copies in several splits, or with several labels, the worst pair counts.
        pairs = itertools.product(copies[int(compared[one])].values(), copies[int(compared[other])].values())
        detail = f"similarity {similarity:.3f}"
        yield _worst_first(images.pair("near-duplicate", max(pair), min(pair), detail) for pair in pairs)[0]


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda each: (not each.across, not each.conflicting))
