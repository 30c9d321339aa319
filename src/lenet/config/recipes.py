"""Recipes: options in TOML files. default < recipe < what the user sets; a run's config.toml is a recipe too."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lenet import files
from lenet.characters import visible
from lenet.config.options import Config
from lenet.config.values import checked
from lenet.errors import InputError, did_you_mean

RECIPES = Path(__file__).parents[1] / "recipes"


def resolve(recipe: str | Path | None = None, given: Mapping[str, Any] | None = None) -> Config:
    """The config of default < recipe < given.

    recipe: a name ('lenet recipes' lists them) or the path of a TOML file

    Raises InputError for an unknown name, a wrong type or a value out of range.
    """
    return Config(**(recipe_values(recipe) | checked(given or {})))


def recipe_values(recipe: str | Path | None) -> dict[str, Any]:
    """The options that a recipe sets, checked. Raises as `resolve` does."""
    if recipe is None:
        return {}
    path, values = read_named_toml(recipe, RECIPES, "recipe")
    return checked(values, f"{path}: ")


def read_named_toml(name: str | Path, folder: Path, what: str) -> tuple[Path, dict[str, Any]]:
    """The path and the values of the file `name`, if that ends in .toml, or else of `folder`/`name`.toml.

    what: what messages call the file ("recipe", "study"). Raises InputError if it does not exist or is not TOML.
    """
    path = files.expanded(name) if str(name).endswith(".toml") else folder / f"{name!s:.100}.toml"
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises for long names)
        if path.parent != folder:
            raise InputError(f"no {what} file {path}: give the path of a .toml file, or the name of a {what}")
        raise InputError(f"no {what} '{name}'{did_you_mean(str(name), names_of(folder))}")
    return path, files.read_toml(path)


def names_of(folder: Path) -> list[str]:
    """The names of the TOML files in a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return names_of(RECIPES)


def to_toml(values: Mapping[str, Any], comment: str = "") -> str:
    """TOML text of plain values, None left out (TOML has no null), under a comment.

    Control characters, which a path may have and a TOML comment must not (TOML 1.0), are escaped.
    """
    import tomli_w

    lines = [f"# {visible(line)}\n" for line in comment.splitlines()]
    return "".join(lines) + tomli_w.dumps({name: _plain(value) for name, value in values.items() if value is not None})


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
