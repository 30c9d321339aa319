"""What a result records of the process that made it: its command line, and the versions of its libraries."""

import platform
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

_NO_SCRIPT = ("", "-", "-c", "ipython", "ipython3")  # sys.argv[0] of Python without a script of the user's
_LIBRARIES = ("lenet", "torch", "numpy", "pillow")


def command() -> str:
    """The command line of this process, quoted for a shell; empty if Python runs no script, as in a notebook."""
    name = Path(sys.argv[0]).name
    if name in _NO_SCRIPT or name.endswith("kernel_launcher.py"):
        return ""
    if name == "__main__.py":  # of `python -m PACKAGE`
        packages = Path(sys.argv[0]).parts
        words = ["lenet"] if packages[-3:-1] == ("lenet", "cli") else ["python", "-m", *packages[-2:-1]]
    else:
        words = ["python", name] if name.endswith(".py") else [name]
    return shlex.join([*words, *sys.argv[1:]])


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}
