"""What a command was asked for: the options of a recipe, and the user's own, which override them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lenet.config.options import Config
from lenet.config.recipes import recipe_values
from lenet.config.values import checked
from lenet.errors import InputError


@dataclass(frozen=True)
class Request:
    """Options by name, checked.

    recipe: what the user called the recipe; values: the options that it sets
    given: the options that the user set
    defaults: options that replace the defaults of `Config`, for this command
    """

    recipe: str | Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        recipe: str | Path | None,
        given: Mapping[str, Any],
        defaults: Mapping[str, Any] | None = None,
    ) -> "Request":
        """The request for this recipe and these options; an option that is None was not set.

        Raises InputError for a recipe that does not exist, an unknown option, a wrong type or a value out of range.
        """
        own = checked({name: value for name, value in given.items() if value is not None})
        return cls(recipe, recipe_values(recipe), own, dict(defaults or {}))

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe's options, overridden by the user's."""
        settings = {**self.values, **self.given}
        if "teacher" in self.given and "teacher_sha256" not in self.given:
            settings.pop("teacher_sha256", None)  # it is that of the recipe's teachers
        return settings

    @property
    def paths_read(self) -> tuple[str, ...]:
        """The runs and files that the options name, other than the images."""
        asked = self.settings
        named = (asked.get("start"), *(asked.get("teacher") or ()), asked.get("labels"))
        return tuple(path for path in named if path)

    def config(self) -> Config:
        """The whole config: defaults, overridden by the recipe, overridden by the user."""
        return Config(**{**self.defaults, **self.settings})

    @contextmanager
    def naming_recipe(self) -> Iterator[None]:
        """Adds the recipe's name to an InputError about an option that the recipe has set, not the user."""
        try:
            yield
        except InputError as error:
            from_recipe = [name for name in error.options if name in self.values and name not in self.given]
            if not from_recipe:
                raise
            listed = ", ".join(f"{name.replace('_', '-')} {self.values[name]}" for name in from_recipe)
            error.args = (f"{error} (recipe {self.recipe} sets {listed})",)
            error.options = ()
            raise
