"""Which reader a path on disk needs: decided by what the file holds, not by its name."""

from pathlib import Path

from lenet.data.idx import idx_folder, idx_source, is_idx
from lenet.data.npz import npz_source
from lenet.data.parquet import parquet_files, parquet_source
from lenet.data.source import Source
from lenet.data.table import table_source
from lenet.errors import InputError
from lenet.files import open_regular

FORMATS = "class folders, .npz, IDX (as MNIST), Parquet (as on the Hugging Face Hub), or CSV of paths and labels"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks, with which spreadsheets begin a text in UTF-16
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\v\f\r")  # bytes that texts of one byte per character do not have
_IMAGES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")


def detect(path: Path, *, lenient: bool = False) -> Source | None:
    """The images of a file, or of a folder of IDX or Parquet files; None for any other folder.

    lenient: list also the image files that are missing, for a check of them

    Raises InputError for a file that holds nothing that lenet reads, and as the readers do.
    """
    if path.is_dir():
        try:
            if folder := idx_folder(path):
                return idx_source(folder)
            return parquet_source(path) if parquet_files(path) else None
        except OSError as error:
            raise InputError(f"cannot list {path} ({error.strerror}): check its permissions") from None
    try:
        with open_regular(path) as file:
            head = file.read(4096)
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): check its permissions", options=["data"]) from None
    if head.startswith(b"PK\x03\x04"):
        return npz_source(path)
    if head.startswith(b"PAR1"):
        return parquet_source(path)
    if is_idx(path):
        return idx_source(path)
    if head and _is_text(head):
        return table_source(path, lenient=lenient)
    if head.startswith(_IMAGES):
        raise InputError(f"{path} is one image: give the folder that contains the class folders", options=["data"])
    raise InputError(f"{path} is a file that lenet does not read as images: give {FORMATS}", options=["data"])


def _is_text(head: bytes) -> bool:
    """Whether a file that begins so may be text, in whatever encoding: the reader says that it must be UTF-8."""
    if head.startswith(_UTF16) or _CONTROL.isdisjoint(head):
        return True
    if b"\0" in head:
        return False
    try:
        head[:-3].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start > len(head) - 8  # the cut is within a character
    return True
