"""Ctrl-C and SIGTERM. Imports only what Python has loaded already, since until then Ctrl-C is a traceback."""

# What the module signal is made of; that one loads enum, in which Python spends a third of its own start.
import _signal as signal  # type: ignore[import-not-found]
import os

# Handlers that may be replaced: where the handler is another, someone else answers the signal, or it is ignored.
_DEFAULT = {
    signal.SIGINT: (signal.default_int_handler,),
    signal.SIGTERM: (signal.SIG_DFL, signal.default_int_handler),
}


class loading:
    """In its `with`, Ctrl-C and SIGTERM end the process at once, with one line and exit code 130.

    While modules load there is nothing to save, and a KeyboardInterrupt may be lost: raised in a callback of the import
    system or in an extension module, it is printed and ignored, or turned into another error. Afterwards both signals
    raise KeyboardInterrupt, so that `timeout` and batch systems leave no unfinished files either.
    """

    def __enter__(self) -> None:
        replaceable = [number for number, handlers in _DEFAULT.items() if signal.getsignal(number) in handlers]
        self._ours = [number for number in replaceable if _handle(number, _leave)]

    def __exit__(self, *_: object) -> None:
        for number in self._ours:
            _handle(number, signal.default_int_handler)


def _handle(number: int, handler: object) -> bool:
    try:
        signal.signal(number, handler)
    except ValueError:  # not in the main thread
        return False
    return True


def _leave(*_: object) -> None:
    try:
        os.write(2, b"lenet: stopped\n")
    finally:  # standard error may be closed
        os._exit(130)
