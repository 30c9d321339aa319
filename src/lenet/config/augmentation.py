"""The option `augment`: a list of augmentations as one text, such as "flip-shift-rotate"."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lenet.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from lenet.config.options import DataConfig

AUGMENTATIONS = ("flip", "shift", "rotate", "scale", "colour", "cutout")
AUTO_AUGMENTATIONS = ("flip", "shift")  # what auto chooses from
_ALONE = ("auto", "none")

# The options that say how an augmentation is drawn, and the augmentation.
AUGMENTATION_OPTIONS = {
    "flips": "flip",
    "max_shift": "shift",
    "max_rotation": "rotate",
    "max_scale": "scale",
    "max_colour": "colour",
    "cutout_size": "cutout",
}


def augment_text(name: str, value: Any) -> str:
    """ "auto", "none", or the augmentations in the order of AUGMENTATIONS, joined by hyphens.

    name: what messages call the option
    value: a text, whose words are separated by hyphens, spaces or commas, or a list of such texts

    Raises InputError for anything else, an unknown or repeated word, and auto or none beside other words.
    """
    texts = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(text, str) and len(text) <= 1000 for text in texts):
        raise InputError(f"{name} takes names of augmentations ({', '.join(AUGMENTATIONS)}), auto or none")
    words = [word for text in texts for word in re.split(r"[\s,-]+", text) if word]
    if not words:
        raise InputError(f"{name} lists no augmentation: give none, auto, or some of {', '.join(AUGMENTATIONS)}")
    for word in words:
        if word not in (*_ALONE, *AUGMENTATIONS):
            raise InputError(f"{name} cannot be '{word:.60}'{did_you_mean(word, (*_ALONE, *AUGMENTATIONS))}")
        if word in _ALONE and len(words) > 1:
            raise InputError(f"{name} {word} cannot be combined with other words: leave it out, or the others")
        if words.count(word) > 1:
            raise InputError(f"{name} lists '{word}' twice: list each augmentation once")
    return "-".join(word for word in (*_ALONE, *AUGMENTATIONS) if word in words)


@dataclass(frozen=True)
class Augmentation:
    """What is drawn for each image: the options of these names; None or 0 leaves an augmentation out."""

    flips: Literal["random", "alternating"] | None = None
    max_shift: int = 0
    max_rotation: float = 0.0
    max_scale: float = 0.0
    max_colour: float = 0.0
    cutout_size: float = 0.0


def drawn(config: "DataConfig") -> Augmentation:
    """What is drawn for the config's augmentations."""
    kinds = augmentations(config.augment)
    used = {option: getattr(config, option) for option, kind in AUGMENTATION_OPTIONS.items() if kind in kinds}
    return Augmentation(**used)


def augmentation_line(config: "DataConfig") -> str:
    """The config's augmentations as people read them."""
    names = {"flip": "alternating flip"} if config.flips == "alternating" else {}
    return ", ".join(names.get(kind, kind) for kind in augmentations(config.augment)) or "none"


def unused(config: "DataConfig") -> list[str]:
    """Notes on options that were changed, of augmentations that the config does not use."""
    return [
        f"{option.replace('_', '-')} changes nothing: --augment has no {kind}"
        for option, kind in AUGMENTATION_OPTIONS.items()
        if getattr(config, option) != getattr(type(config)(), option) and kind not in augmentations(config.augment)
    ]


def augmentations(text: str) -> tuple[str, ...]:
    """The augmentations in a text of `augment_text` other than auto."""
    return () if text == "none" else tuple(text.split("-"))
