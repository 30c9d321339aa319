"""Options as keyword arguments: typed for editors, listed by help(), refused by name."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

import lenet
from lenet.config import DataConfig, options
from lenet.config.keywords import (
    AUDIT_DEFAULTS,
    AUDIT_LACKS,
    FROM_START,
    SEARCH_DEFAULTS,
    TRANSFER_DEFAULTS,
    TRANSFER_LR,
    Options,
    TransferOptions,
    with_options,
)
from lenet.errors import InputError

ALL = set(options())
TAKEN = {  # the options that each function takes, as **options or as an argument of its own
    lenet.train: ALL,
    lenet.tune: ALL,
    lenet.study: ALL - {"data", "model"},
    lenet.transfer: ALL - set(FROM_START),
    lenet.augment: {field.name for field in fields(DataConfig)},
    lenet.audit: ALL - set(AUDIT_LACKS),
}


def test_typed_keywords_have_the_names_and_types_of_the_options():
    typed = get_type_hints(Options)
    assert set(typed) == ALL - {"data", "model"}
    assert set(get_type_hints(TransferOptions)) == set(typed) - set(FROM_START)
    for name, kind in typed.items():
        kinds = set(get_args(kind) or (kind,)) - {Path, Mapping[str, float], Sequence[str]}
        if name == "teacher":  # one path, or several, in Python
            kinds = kinds - {str, Sequence[str | Path]} | {tuple[str, ...]}
        assert kinds == set(get_args(options()[name].kind) or (options()[name].kind,)), name


@pytest.mark.parametrize("function", TAKEN, ids=lambda function: function.__name__)
def test_help_lists_every_option_with_its_meaning_and_default(function):
    text = " ".join(inspect.getdoc(function).split())
    defaults = {lenet.transfer: TRANSFER_DEFAULTS, lenet.tune: SEARCH_DEFAULTS, lenet.study: {"seeds": "the study's"}}
    defaults = (defaults | {lenet.audit: AUDIT_DEFAULTS}).get(function, {})
    for name in TAKEN[function] - {"data", "model"}:
        option = options()[name]
        assert f" {name} ({option.values}): {option.described(defaults.get(name))}" in text, name
    assert ("maps (" in text) == ("maps" in TAKEN[function])


@pytest.mark.parametrize("function", TAKEN, ids=lambda function: function.__name__)
def test_the_signature_lists_every_option(function):
    parameters = inspect.signature(function).parameters
    assert set(parameters) & ALL == TAKEN[function]
    for name in TAKEN[function] - {"data"}:
        assert parameters[name].default is None
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
    assert not any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())


@pytest.mark.parametrize(
    "call",
    [
        lambda **options: lenet.train("digits", **options),
        lambda **options: lenet.transfer("run", "digits", **options),
        lambda **options: lenet.tune("digits", **options),
        lambda **options: lenet.study("digits-transfer", **options),
    ],
    ids=["train", "transfer", "tune", "study"],
)
def test_an_unknown_keyword_is_refused_and_nothing_is_written(call):
    with pytest.raises(InputError, match="no option 'epocs', did you mean 'epochs'"):
        call(epocs=3)
    assert not list(Path().iterdir())


def test_the_defaults_of_a_transfer_are_described_as_they_are():
    sgd, adam = TRANSFER_LR["sgd"], TRANSFER_LR["adam"]
    assert {"sgd": sgd, "muon": sgd, "adam": adam, "adamw": adam} == TRANSFER_LR
    assert TRANSFER_DEFAULTS["lr"] == f"{sgd} with sgd and muon, {adam} with adam and adamw"


def test_the_decorator_returns_the_function_itself():
    def function(*, epochs: int = 3, **rest):
        """One line."""

    assert with_options(leave_out=["seed"])(function) is function
    assert inspect.getdoc(function).startswith("One line.\n\nOptions:\n    data (str): ")
    parameters = inspect.signature(function).parameters
    assert parameters["epochs"].default == 3
    assert "seed" not in parameters
