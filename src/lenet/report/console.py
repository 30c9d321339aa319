"""The console that everything is printed to."""

from pathlib import Path

from rich.console import Console
from rich.text import Text


class PlainConsole(Console):
    """Rich's console, for names and paths that may hold brackets and colons: text is printed as it is.

    A closed pipe is an error for its caller to answer; Rich's own console would end the process.
    """

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False, highlight=False)

    def on_broken_pipe(self) -> None:
        """Called by Rich where the output is a pipe that nobody reads any more."""
        raise BrokenPipeError

    def print_openings(self, folder: Path) -> None:
        """The name of each TOML file of a folder, with the comment it opens with."""
        for path in sorted(folder.glob("*.toml")):
            self.print(Text(path.stem, style="bold"))
            for line in path.read_text(encoding="utf-8").splitlines():
                if not line.startswith("#"):
                    break
                self.print(f"  {line[1:].strip()}", soft_wrap=True)
