"""Ctrl-C while modules load. Imports only what Python has loaded already, since until then Ctrl-C is a traceback."""

# What the module signal is made of; that one loads enum, in which Python spends a third of its own start.
import _signal as signal  # type: ignore[import-not-found]
import os


class loading:
    """In its `with`, Ctrl-C ends the process at once, with one line and exit code 130.

    While modules load there is nothing to save, and a KeyboardInterrupt may be lost: raised in a callback of the import
    system or in an extension module, it is printed and ignored, or turned into another error.
    """

    def __enter__(self) -> None:
        # Where the handler is another, someone else answers Ctrl-C, or it is ignored.
        self._ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if self._ours:
            self._ours = _handle(_leave)

    def __exit__(self, *_: object) -> None:
        if self._ours:
            _handle(signal.default_int_handler)


def _handle(handler: object) -> bool:
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread
        return False
    return True


def _leave(*_: object) -> None:
    try:
        os.write(2, b"lenet: stopped\n")
    finally:  # standard error may be closed
        os._exit(130)
