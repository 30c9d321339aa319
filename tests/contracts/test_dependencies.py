"""The dependencies in pyproject.toml."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions


def test_dependencies_are_the_packages_that_lenet_imports(root):
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"]]
    listed += [one for extra in ("tune", "parquet", "export") for one in project["optional-dependencies"][extra]]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (root / "src").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = {name.partition(".")[0] for name in names} - {"lenet", *sys.stdlib_module_names}
    packages = packages_distributions()
    assert {re.split(r"[^\w-]", one)[0] for one in listed} == {
        packages[module][0].lower().replace("_", "-") for module in modules
    }
