"""A room imports only rooms that stand before it in CONTRIBUTING.md's map."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "lenet"


def _map() -> list[str]:
    """The rooms in the order of the map, without their endings."""
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    words = [word for row in rows for word in re.findall(r"`([^`]+)`", row)]
    return [word.rstrip("/").removesuffix(".py") for word in words]


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path: Path) -> set[str]:
    """The rooms of lenet that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "lenet":
            parts = node.module.split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("lenet.")}
    return names


def test_every_room_is_on_the_map():
    rooms = {_room(path) for path in PACKAGE.rglob("*.py")}
    assert rooms <= set(_map())


def test_imports_go_one_way():
    order = _map()
    against = [
        f"{path.relative_to(PACKAGE)} imports {room}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py" or path.parent != PACKAGE
        for room in sorted(_imported(path))
        if room != _room(path) and order.index(room) > order.index(_room(path))
    ]
    assert against == []
