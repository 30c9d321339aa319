"""The option augment: one text for a list of augmentations, whichever way it is written."""

import pytest

from lenet.config import (
    AUGMENTATIONS,
    Config,
    augmentations,
    checked,
    options,
    resolve,
    to_toml,
)
from lenet.config.augmentation import AUGMENTATION_OPTIONS, AUTO_AUGMENTATIONS
from lenet.errors import InputError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("auto", "auto"),
        ("none", "none"),
        (["none"], "none"),
        ("flip-shift", "flip-shift"),  # the spelling of earlier versions
        ("shift, flip", "flip-shift"),
        (["rotate", "flip"], "flip-rotate"),
        (("flip shift", "cutout"), "flip-shift-cutout"),
        (list(reversed(AUGMENTATIONS)), "flip-shift-rotate-scale-colour-cutout"),
    ],
)
def test_lists_become_one_text_in_one_order(tmp_path, value, text):
    assert checked({"augment": value}) == {"augment": text}
    path = tmp_path / "mine.toml"
    path.write_text(to_toml({"augment": value}), encoding="utf-8")
    assert resolve(path).augment == text


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("flop", "augment cannot be 'flop', did you mean 'flip'"),
        ("color", "augment cannot be 'color', did you mean 'colour'"),
        (
            ["flip", "mosaic"],
            "augment cannot be 'mosaic'; known: auto, colour, cutout, flip, none, rotate, scale, shift",
        ),
        (["none", "flip"], "augment none cannot be combined with other words: leave it out, or the others"),
        ("flip-auto", "augment auto cannot be combined with other words"),
        ("flip-shift-flip", "augment lists 'flip' twice"),
        ("", "augment lists no augmentation: give none, auto, or some of flip, shift"),
        ([], "augment lists no augmentation"),
        (3, "augment takes names of augmentations"),
        ({"flip": True}, "augment takes names of augmentations"),
        (["flip", None], "augment takes names of augmentations"),
        ("x" * 10_000, "augment takes names of augmentations"),
        ("x" * 900, "augment cannot be 'x{60}'"),
    ],
)
def test_lists_that_cannot_be_are_refused(value, message):
    with pytest.raises(InputError, match=message) as refused:
        checked({"augment": value})
    assert "\n" not in str(refused.value)


def test_augmentations_are_the_words_of_the_text():
    assert augmentations("none") == ()
    assert augmentations("flip-shift") == ("flip", "shift")


def test_every_augmentation_has_an_option():
    assert set(AUGMENTATION_OPTIONS) <= set(options())
    assert set(AUGMENTATIONS) == set(AUGMENTATION_OPTIONS.values())
    assert all(getattr(Config(), name) > 0 for name in AUGMENTATION_OPTIONS if name != "flips")
    assert set(AUTO_AUGMENTATIONS) <= set(AUGMENTATIONS)
