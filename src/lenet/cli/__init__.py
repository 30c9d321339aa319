"""The command line.

Importing this package loads nothing: the entry point loads the rest while `loading` answers Ctrl-C.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lenet.cli.interrupt import loading

if TYPE_CHECKING:
    from torch import nn

__all__ = ["main"]


def main(argv: Sequence[str] | None = None, *, model: "nn.Sequential | None" = None) -> int:
    """Run a command and return its exit code: 0 done, 2 an error that the user can mend, 130 Ctrl-C, 141 a closed pipe.

    model: the network that `train` uses where --model names no other
    """
    with loading():
        from lenet.cli.app import run
    return run(argv, model)
