"""Ctrl-C while modules load."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def loading() -> Iterator[None]:
    """Ctrl-C ends the process at once, with one line and exit code 130.

    While modules load there is nothing to save, and a KeyboardInterrupt may be lost: raised in a callback of the import
    system or in an extension module, it is printed and ignored, or turned into another error.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # someone else answers Ctrl-C, or it is ignored
        return
    signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    with suppress(OSError):  # standard error may be closed
        os.write(2, b"lenet: stopped\n")
    os._exit(130)
