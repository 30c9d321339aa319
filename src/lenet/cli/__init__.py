"""The command line."""

from lenet.cli.main import main

__all__ = ["main"]
