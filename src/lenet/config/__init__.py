"""Options, recipes and studies."""

from lenet.config.augmentation import (
    AUGMENTATIONS,
    Augmentation,
    augmentation_line,
    augmentations,
    drawn,
    unused,
)
from lenet.config.options import (
    FOLLOWING,
    GROUPS,
    SHAPING,
    WITH_MOMENTUM,
    Config,
    DataConfig,
    RunConfig,
    TrainingConfig,
)
from lenet.config.recipes import RECIPES, recipe_names, recipe_values, resolve, to_toml
from lenet.config.values import checked, names_in, options

__all__ = [
    "AUGMENTATIONS",
    "FOLLOWING",
    "GROUPS",
    "RECIPES",
    "SHAPING",
    "WITH_MOMENTUM",
    "Augmentation",
    "Config",
    "DataConfig",
    "RunConfig",
    "TrainingConfig",
    "augmentation_line",
    "augmentations",
    "checked",
    "drawn",
    "names_in",
    "options",
    "recipe_names",
    "recipe_values",
    "resolve",
    "to_toml",
    "unused",
]
