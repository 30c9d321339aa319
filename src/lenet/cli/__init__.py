"""The command line.

Importing this package loads nothing: the entry point loads the rest while `loading` answers Ctrl-C and SIGTERM.
"""

from lenet.cli.interrupt import loading

TYPE_CHECKING = False  # typing is slow to load, and type checkers know this name
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["loading", "main"]


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run a command and return its exit code: 0 done, 2 an error, 130 Ctrl-C or SIGTERM, 141 a closed pipe."""
    with loading():
        import os

        # Notebooks name a backend for "!lenet train" that need not be installed here; lenet opens no windows.
        os.environ.pop("MPLBACKEND", None)
        from lenet.cli.app import app, run
    return run(app, argv)
