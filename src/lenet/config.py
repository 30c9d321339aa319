"""Every option of a training, once: its type, range, default and meaning. Help, TOML and Python all read it here.

default < recipe < flag: `resolve` lays them over one another. The resolved config is written into the run's folder,
and runs again as it is: a run's config.toml is a recipe.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from lenet import files
from lenet.errors import InputError, did_you_mean

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Option:
    """What an option means, and the range its numbers must lie in, both ends included."""

    meaning: str
    low: float | None = None
    high: float | None = None
    group: str = ""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a training computes."""

    data: Annotated[str, Option("auto, cifar10, cifar100, stl10, digits, or a folder of images.", group="Data")] = (
        "auto"
    )
    data_sha256: Annotated[
        str | None,
        Option("SHA-256 of the images and labels as trained on; lenet writes it, and compares it when it reads them "
               "again.", group="Data"),
    ] = None  # fmt: skip
    data_dir: Annotated[
        str | None, Option("Where published sets lie or go (else $LENET_DATA, ./data, the user cache).", group="Data")
    ] = None
    size: Annotated[
        int | None, Option("Pixels a side that images are brought to (else the set's own; digits 16, folders 32).",
                           16, 96, "Data")
    ] = None  # fmt: skip
    channels: Annotated[
        Literal[1, 3] | None, Option("1 for grey, 3 for colour (else as the images are).", group="Data")
    ] = None
    fit: Annotated[
        Literal["crop", "pad", "squash"], Option("How an image that isn't square is brought to it.", group="Data")
    ] = "crop"
    classes: Annotated[
        str | None, Option("Only these of the data's classes, with commas between them.", group="Data")
    ] = None
    per_class: Annotated[
        int | None, Option("Images of each class that are trained and validated on (else all).", 2, 1_000_000, "Data")
    ] = None
    protocol: Annotated[
        Literal["official", "folds", "study"],
        Option("How stl10 is split: its 5,000 and 8,000; its ten folds, a member each; 400 and 100 a class of the "
               "5,000.", group="Data"),
    ] = "official"  # fmt: skip
    val_fraction: Annotated[
        float, Option("Share of the training images held out to choose the model by.", 0.01, 0.5, "Data")
    ] = 0.1
    split_seed: Annotated[int, Option("Draws what is held out; the same for all seeds.", 0, 2**31, "Data")] = 0
    augment: Annotated[
        Literal["auto", "none", "flip", "shift", "flip-shift"],
        Option("What happens to training images: mirrored, shifted (auto: both; none for digits, and where all but "
               "the last layer are frozen).", group="Data"),
    ] = "auto"  # fmt: skip
    max_shift: Annotated[int, Option("Pixels an image is shifted at most, each way.", 0, 15, "Data")] = 2

    model: Annotated[str, Option("The network's named shape; 'lenet models' lists them.", group="Model")] = (
        "lenet5-modern"
    )
    maps: Annotated[
        tuple[int, int] | None, Option("Output channels of the two convolutions (else the model's).", 1, 4096, "Model")
    ] = None
    fc: Annotated[
        tuple[int, int] | None, Option("Widths of the two linear layers (else the model's).", 1, 65536, "Model")
    ] = None
    dropout: Annotated[
        float | None, Option("Share of units dropped after each linear layer (else the model's).", 0, 0.95, "Model")
    ] = None

    activation: Annotated[
        Literal["relu", "tanh"] | None, Option("The activation (else the model's).", group="Model")
    ] = None
    pool: Annotated[Literal["max", "average"] | None, Option("The 2x2 pooling (else the model's).", group="Model")] = (
        None
    )
    batch_norm: Annotated[
        Literal["none", "first-fc", "all"] | None,
        Option("Where batch norm stands: after the first linear layer, or everywhere (else the model's).",
               group="Model"),
    ] = None  # fmt: skip

    start: Annotated[
        str | None, Option("A run whose best network is started from; its last layer is replaced.", group="Transfer")
    ] = None
    freeze: Annotated[
        str, Option("Layers that do not learn: none, all-but-last, or the number of first ones, as 'lenet models "
                    "--layers' counts.", group="Transfer")
    ] = "none"  # fmt: skip
    unfreeze_after: Annotated[
        int, Option("Epochs after which all layers learn; 0: the frozen ones never do.", 0, 100_000, "Transfer")
    ] = 0

    epochs: Annotated[int, Option("Passes over the training images.", 1, 100_000, "Training")] = 20
    batch_size: Annotated[int, Option("Images a step.", 1, 65536, "Training")] = 64
    lr: Annotated[
        float | None, Option("Learning rate, at the schedule's peak (else 0.1 with sgd, 0.005 with adam and adamw).",
                             1e-9, 100, "Training")
    ] = None  # fmt: skip
    schedule: Annotated[
        Literal["constant", "cosine", "one-cycle"], Option("The learning rate's course.", group="Training")
    ] = "one-cycle"
    optimizer: Annotated[Literal["sgd", "adam", "adamw"], Option("The optimizer.", group="Training")] = "sgd"
    momentum: Annotated[float, Option("SGD's momentum.", 0, 0.9999, "Training")] = 0.9
    nesterov: Annotated[bool, Option("Nesterov's form of SGD's momentum.", group="Training")] = True
    weight_decay: Annotated[
        float | None, Option("Weight decay; in sgd and adam an L2 penalty (else 5e-4 with sgd, none with the others).",
                             0, 10, "Training")
    ] = None  # fmt: skip
    label_smoothing: Annotated[float, Option("Share of the target spread over all classes.", 0, 0.99, "Training")] = 0.0
    patience: Annotated[
        int, Option("Stop after this many epochs without a better validation accuracy; 0: never.", 0, 100_000,
                    "Training")
    ] = 0  # fmt: skip

    seed: Annotated[int, Option("Draws the first member's weights, order and dropout.", 0, 2**31, "Run")] = 0
    seeds: Annotated[
        int, Option("Members: networks that differ by seed alone (seed, seed + 1, ...).", 1, 1000, "Run")
    ] = 1
    engine: Annotated[Literal["auto", "native", "torch"], Option("What does the arithmetic.", group="Run")] = "auto"
    device: Annotated[str, Option("cpu, or cuda, cuda:1, ... for the torch engine.", group="Run")] = "cpu"
    threads: Annotated[
        int | None, Option("Threads a network may use (else torch 1, native the cores, shared by members).", 1, 1024,
                           "Run")
    ] = None  # fmt: skip

    @property
    def peak_lr(self) -> float:
        """The learning rate at the schedule's peak."""
        if self.lr is not None:
            return self.lr
        return 0.1 if self.optimizer == "sgd" else 5e-3

    @property
    def decay(self) -> float:
        """The weight decay."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 5e-4 if self.optimizer == "sgd" else 0.0


SHAPING = ("maps", "fc", "activation", "pool", "batch_norm", "dropout")  # options that change a named model's shape


def names_in(listed: str | None) -> tuple[str, ...] | None:
    """The names in "a, b, c"."""
    return None if listed is None else tuple(name.strip() for name in listed.split(",") if name.strip())


def options() -> dict[str, tuple[Any, Option]]:
    """name -> (type, Option) of every option, in the order of the table."""
    hints = get_type_hints(TrainConfig, include_extras=True)
    parts = {field.name: get_args(hints[field.name]) for field in fields(TrainConfig)}
    return {name: (kind, option) for name, (kind, option) in parts.items()}


def resolve(recipe: str | Path | None = None, given: Mapping[str, Any] | None = None) -> TrainConfig:
    """The config of default < recipe < given. Raises InputError for an unknown name, a wrong type or range.

    recipe: a name ('lenet recipes' lists them) or a TOML file's path
    """
    return replace(TrainConfig(), **(recipe_values(recipe) | checked(given or {}, "")))


def recipe_values(recipe: str | Path | None) -> dict[str, Any]:
    """What a recipe sets, checked. A name is looked up in the package, anything that ends in .toml is a file."""
    if recipe is None:
        return {}
    path, values = read_toml(recipe, RECIPES, "recipe")
    return checked(values, f"{path}: ")


def read_toml(name: str | Path, folder: Path, what: str) -> tuple[Path, dict[str, Any]]:
    """The path and values of a file that ends in .toml, or of the one of that name in `folder`; `what` it is called.

    Raises InputError where there is none, or it is not TOML.
    """
    path = Path(name) if str(name).endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        if path.parent != folder:
            raise InputError(f"no {what} file {path}: give the path of a .toml file, or the name of a {what}")
        raise InputError(f"no {what} '{name}'{did_you_mean(str(name), names_of(folder))}")
    return path, files.read_toml(path)


def names_of(folder: Path) -> list[str]:
    """The TOML files of a folder, without their ending."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return names_of(RECIPES)


def checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The same values in their option's type; `where` opens the message of the InputError."""
    known = options()
    result = {}
    for name, value in values.items():
        key = name.replace("-", "_")
        if key not in known:
            raise InputError(f"{where}no option '{name}'{did_you_mean(key, known)}")
        kind, option = known[key]
        result[key] = _converted(f"{where}{key.replace('_', '-')}", value, kind, option)
    return result


def to_toml(config: TrainConfig, comment: str = "") -> str:
    """The config as a recipe; options that are not set are left out, since TOML has no word for nothing."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for name, value in vars(config).items():
        if value is not None:
            # JSON's strings, numbers, booleans and flat lists are also TOML's (its escapes beyond \uFFFF are not).
            value = list(value) if isinstance(value, tuple) else value
            lines.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _converted(name: str, value: Any, kind: Any, option: Option) -> Any:
    """`value` as `kind`, within the option's range."""
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(arm for arm in get_args(kind) if arm is not NoneType)
    if get_origin(kind) is Literal:
        arms = get_args(kind)
        if value not in arms or type(value) is not type(arms[0]):
            raise InputError(f"{name} cannot be '{value}'{did_you_mean(str(value), map(str, arms))}")
        return value
    if get_origin(kind) is tuple:
        arms = get_args(kind)
        if not isinstance(value, (list, tuple)) or len(value) != len(arms):
            raise InputError(f"{name} takes {len(arms)} numbers, not {value!r}")
        return tuple(_converted(name, one, arm, option) for one, arm in zip(value, arms, strict=True))
    if isinstance(value, int) and abs(value) >= 2**64:  # too large for a float, and for a message
        raise InputError(f"{name} is out of range: give at most {option.high:g}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, str):
        _check_text(name, value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise InputError(f"{name} takes {words[kind]}, not {value!r}")
    if option.low is not None and option.high is not None and not option.low <= value <= option.high:
        raise InputError(f"{name} must lie between {option.low:g} and {option.high:g}, not {value:g}")
    return value


def _check_text(name: str, text: str) -> None:
    """Raises InputError for what no config.toml can hold: a NUL, and bytes of a file name that are not UTF-8."""
    if "\0" in text:
        raise InputError(f"{name} holds a NUL character: leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(text).decode("utf-8", "backslashreplace")
        raise InputError(f"{name} '{shown}' is not UTF-8, which config.toml is written in: rename it") from None
