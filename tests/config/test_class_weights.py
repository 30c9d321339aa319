"""Class weights: what a user may give, what the config keeps, and the weights of the classes."""

import json

import numpy as np
import pytest

from lenet.config import checked, recipe_values
from lenet.config.class_weights import class_weights
from lenet.errors import InputError

CLASSES = ("cat", "dog", "bird")
WEIGHTS = {"cat": 2, "dog": 0.5, "bird": 1}
TEXT = '{"bird": 1.0, "cat": 2.0, "dog": 0.5}'


def weights_of(value, classes=CLASSES, counts=(1, 1, 1)):
    return class_weights(checked({"class_weights": value})["class_weights"], classes, counts)


@pytest.fixture
def file(tmp_path):
    """A function that writes a file of weights and returns its path."""

    def write(content):
        path = tmp_path / "weights.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_a_file_a_table_and_its_text_are_the_same_weights(file, tmp_path):
    path = file(json.dumps(WEIGHTS))
    numbers = {name: np.float64(weight) for name, weight in WEIGHTS.items()}
    for value in (path, str(path), WEIGHTS, json.dumps(WEIGHTS), TEXT, numbers):
        assert checked({"class_weights": value}) == {"class_weights": TEXT}
    assert weights_of(path) == (2.0, 0.5, 1.0), "in the order of the classes"
    recipe = tmp_path / "mine.toml"
    recipe.write_text("[class_weights]\ncat = 2\ndog = 0.5\nbird = 1\n")
    assert recipe_values(recipe) == {"class_weights": TEXT}


def test_none_is_no_weights():
    assert weights_of("none") is None


def test_balanced_weights_are_those_of_scikit_learn():
    assert weights_of("balanced", counts=(10, 20, 60)) == (3.0, 1.5, 0.5)
    assert weights_of("balanced", counts=(7, 7, 7)) == (1.0, 1.0, 1.0)
    assert weights_of("balanced", counts=(0, 5, 10)) == (1.0, 1.0, 0.5), "no image has the first weight"


def test_names_of_any_characters_are_kept(file):
    names = ('a "b"', "Äpfel, rot", "\\", "none", "1")
    path = file(json.dumps(dict.fromkeys(names, 3), ensure_ascii=False))
    assert weights_of(path, names, (1,) * 5) == (3.0,) * 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"weights.json is not JSON \(Expecting value: .*\): give each class a weight, such as"),
        ("cat = 2", "weights.json is not JSON"),
        (b"\xff\xfe\x00", "weights.json is not a text file"),
        ("[" * 100_000, "weights.json is not JSON"),
        ("[1, 2, 3]", "weights.json is not a table of weights"),
        ("{}", "weights.json has no weights"),
        ('{"cat": 1, "dog": 2, "cat": 3}', "weights.json names class 'cat' twice: keep one"),
        ('{"cat": -1}', "the weight of class 'cat' must lie between 1e-06 and 1,000,000, not -1"),
        ('{"cat": 0}', "must lie between 1e-06 and 1,000,000, not 0"),
        ('{"cat": NaN}', "not nan"),
        ('{"cat": Infinity}', "not inf"),
        ('{"cat": 1e7}', "not 10000000.0"),
        (f'{{"cat": {10**30}}}', "not a number of many digits"),
        (f'{{"cat": {"9" * 5000}}}', "weights.json is not JSON"),
        ('{"cat": "2"}', "not '2'"),
        ('{"cat": true}', "not True"),
        ('{"cat": null}', "not None"),
        ('{"cat": {"dog": 1}}', "not "),
        ('{"cat": 1}' + " " * (1 << 20), "weights.json is too large"),
    ],
    ids=range(19),
)
def test_a_bad_file_is_refused_in_one_line_that_names_it(file, content, message):
    with pytest.raises(InputError, match=message) as refused:
        checked({"class_weights": file(content)})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("balance", "class-weights: no file 'balance', did you mean 'balanced'?"),
        ("weights.jsn", "class-weights: no file 'weights.jsn': give each class a weight"),
        (".", "class-weights: '.' is not a file: give none, balanced or a JSON file"),
        ("", "class-weights: '' is not a file"),
        ("{", r"class-weights is not JSON"),
        ({}, "class-weights has no weights"),
        ({1: 2.0}, "class-weights: a class is named by a text, not by 1"),
        ({"cat": float("nan")}, "not nan"),
        ([2.0, 1.0], r"class-weights takes text, not \[2.0, 1.0\]"),
        (2.0, "class-weights takes text, not 2.0"),
        (None, "class-weights takes text, not None"),
    ],
    ids=range(11),
)
def test_a_bad_value_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        checked({"class_weights": value})


def test_unknown_and_missing_classes_are_refused():
    with pytest.raises(InputError, match="no class 'cta' in the data, did you mean 'cat'"):
        weights_of({"cta": 1, "dog": 1, "bird": 1})
    with pytest.raises(InputError, match="no weight for class 'bird': give each class one"):
        weights_of({"cat": 1, "dog": 1})
