"""Options, recipes and studies."""

from lenet.config.options import (
    GROUPS,
    SHAPING,
    Config,
    DataConfig,
    ModelConfig,
    Option,
    RunConfig,
    TrainingConfig,
    TransferConfig,
    checked,
    names_in,
    options,
)
from lenet.config.recipes import RECIPES, names_of, read_named_toml, recipe_names, recipe_values, resolve, to_toml

__all__ = [
    "GROUPS",
    "RECIPES",
    "SHAPING",
    "Config",
    "DataConfig",
    "ModelConfig",
    "Option",
    "RunConfig",
    "TrainingConfig",
    "TransferConfig",
    "checked",
    "names_in",
    "names_of",
    "options",
    "read_named_toml",
    "recipe_names",
    "recipe_values",
    "resolve",
    "to_toml",
]
