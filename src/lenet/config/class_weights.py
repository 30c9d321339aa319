"""Class weights of the loss: "none", "balanced", or a weight for each class as JSON.

As an option they are one of the two words or JSON text with sorted names, which `weights_text` makes of what a user
gives: a word, a JSON file, JSON text or a table. A run's config.toml therefore needs no other file.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lenet.errors import InputError, did_you_mean, one_line, similar
from lenet.files import expanded, read_regular

WORDS = ("none", "balanced")
_LOW, _HIGH = 1e-6, 1e6
_MOST_BYTES = 1 << 20  # of a file; the config keeps its text
_SUCH_AS = 'give each class a weight, such as {"cat": 2, "dog": 1}'


def weights_text(name: str, value: Any) -> Any:
    """The option's text for a word, the path of a JSON file, JSON text or a mapping; other types are returned as given.

    name: what messages call the option

    Raises InputError if the file cannot be read, or is not a weight from 1e-6 to 1e6 for each of some classes.
    """
    if isinstance(value, Mapping):
        return _checked(list(value.items()), name)
    if not isinstance(value, str) or value in WORDS:
        return value
    if value.lstrip().startswith("{"):
        return _checked(_parsed(value, name), name)
    path = expanded(value)
    if path.is_dir():
        raise InputError(f"{name}: '{value}' is not a file: give {', '.join(WORDS)} or a JSON file")
    if not path.exists():
        hint = similar(value, WORDS) or f": {_SUCH_AS}, in a JSON file"
        raise InputError(f"{name}: no file '{value}'{hint}")
    try:
        text = read_regular(path, _MOST_BYTES).decode()
    except UnicodeDecodeError:
        raise InputError(f"{name}: {value} is not a text file: {_SUCH_AS}, as JSON") from None
    return _checked(_parsed(text, f"{name}: {value}"), f"{name}: {value}")


def class_weights(text: str, classes: Sequence[str], counts: Sequence[int]) -> tuple[float, ...] | None:
    """The weight of each class; None for "none".

    "balanced" is n / (number of classes * images of the class), as scikit-learn's: over the n training images the
    weights have a mean of 1. A class without training images has weight 1, which only label smoothing uses.

    text: the option; counts: number of training images of each class

    Raises InputError if the text names a class that is not among the classes, or lacks one of them.
    """
    if text == "none":
        return None
    if text == "balanced":
        return tuple(sum(counts) / (len(classes) * count) if count else 1.0 for count in counts)
    weights: dict[str, float] = json.loads(text)
    for name in weights:
        if name not in classes:
            raise InputError(
                f"class-weights: no class '{name}' in the data{did_you_mean(name, classes)}", options=["class_weights"]
            )
    for name in classes:
        if name not in weights:
            raise InputError(
                f"class-weights: no weight for class '{name}': give each class one", options=["class_weights"]
            )
    return tuple(weights[name] for name in classes)


def _parsed(text: str, where: str) -> list[tuple[str, Any]]:
    """The pairs of a JSON object."""
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON ({one_line(error):.80}): {_SUCH_AS}") from None
    if not isinstance(pairs, _Pairs):
        raise InputError(f"{where} is not a table of weights: {_SUCH_AS}")
    return pairs


class _Pairs(list[tuple[str, Any]]):
    """The pairs of a JSON object, since a dict would keep only the last of two with the same name."""


def _checked(pairs: Sequence[tuple[Any, Any]], where: str) -> str:
    """The option's text for these pairs of name and weight."""
    weights: dict[str, float] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise InputError(f"{where}: a class is named by a text, not by {name!r:.60}")
        if name in weights:
            raise InputError(f"{where} names class '{name}' twice: keep one")
        if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a NumPy or PyTorch scalar
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _LOW <= value <= _HIGH:
            shown = "a number of many digits" if isinstance(value, int) and abs(value) > 1e18 else f"{value!r:.60}"
            raise InputError(
                f"{where}: the weight of class '{name}' must lie between {_LOW:g} and {_HIGH:,.0f}, not {shown}"
            )
        weights[name] = float(value)
    if not weights:
        raise InputError(f"{where} has no weights: {_SUCH_AS}")
    return json.dumps(weights, sort_keys=True)
