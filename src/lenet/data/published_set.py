"""What lenet knows of a published dataset: its images and classes, its layouts on disk, and the archives of these."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Archive:
    """A publisher's .tar.gz, or one .gz file of a dataset. `urls` are tried in this order, the publisher's first.

    sha256: empty if no source publishes one; skip: members that are not unpacked since lenet does not use them
    """

    file: str
    bytes: int
    md5: str
    sha256: str
    urls: tuple[str, ...]
    skip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """One form of a dataset on disk: the folder that its archive unpacks to, and the files in it.

    more: the other archives, for kind "idx": each is one packed file, which is read as it is; a file may be unpacked
    opening: for kind "idx", the first training labels, which tell apart datasets whose files have the same names
    """

    kind: Literal["pickle", "binary", "stl10", "idx"]
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    archive: Archive
    more: tuple[Archive, ...] = ()
    opening: tuple[int, ...] = ()


@dataclass(frozen=True)
class PublishedSet:
    """A named dataset. Images are `size` x `size` pixels with `channels`; the counts are of a split's files together.

    train_size: default image side length for training; 0: `size`
    flips: whether a mirrored image is of the same class
    """

    name: str
    classes: tuple[str, ...]
    size: int
    channels: int
    train_count: int
    test_count: int
    licence: str
    citation: str
    homepage: str
    label_key: str = ""  # in the pickles
    label_bytes: int = 1  # before the pixels of each binary record; the last one is the label
    layouts: tuple[Layout, ...] = ()
    train_size: int = 0
    flips: bool = True
