"""Options, recipes and studies."""

from lenet.config.augmentation import (
    AUGMENTATION_OPTIONS,
    AUGMENTATIONS,
    AUTO,
    augmentation_line,
    augmentations,
    drawn,
    unused,
)
from lenet.config.options import (
    GROUPS,
    SHAPING,
    WITH_MOMENTUM,
    Config,
    DataConfig,
    ModelConfig,
    RunConfig,
    TrainingConfig,
    TransferConfig,
)
from lenet.config.recipes import RECIPES, names_of, read_named_toml, recipe_names, recipe_values, resolve, to_toml
from lenet.config.values import Option, checked, names_in, options

__all__ = [
    "AUGMENTATIONS",
    "AUGMENTATION_OPTIONS",
    "AUTO",
    "GROUPS",
    "RECIPES",
    "SHAPING",
    "WITH_MOMENTUM",
    "Config",
    "DataConfig",
    "ModelConfig",
    "Option",
    "RunConfig",
    "TrainingConfig",
    "TransferConfig",
    "augmentation_line",
    "augmentations",
    "checked",
    "drawn",
    "names_in",
    "names_of",
    "options",
    "read_named_toml",
    "recipe_names",
    "recipe_values",
    "resolve",
    "to_toml",
    "unused",
]
