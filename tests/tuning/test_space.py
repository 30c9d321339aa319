"""The search space in plain text."""

import json
import re
import shutil

import pytest
from torch import nn

from lenet.config import Config, resolve
from lenet.errors import InputError
from lenet.models import Residual, describe
from lenet.tuning.space import DEFAULT, NOT_SEARCHED, check_effects, parse_space, varies_dropout


def axis(text):
    return parse_space([text]).axes[0]


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("batch_size=choice(4, 8, 16)", (4, 8, 16)),
        ("batch-size=[4,8]", (4, 8)),
        ("dropout=uniform(0.2, 0.5, 0.05)", (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)),
        ("dropout=quniform(0.2, 0.5, 0.1)", (0.2, 0.3, 0.4, 0.5)),
        ("batch_size=uniform(4, 7)", (4, 5, 6, 7)),
        ("schedule=choice(one-cycle, 'cosine')", ("one-cycle", "cosine")),
        ("nesterov=choice(true, false)", (True, False)),
        ("maps=choice([6,16],[12,32])", ((6, 16), (12, 32))),
        ("maps=choice([6,16])", ((6, 16),)),
        ("lr=choice(1e-3, 1)", (1e-3, 1.0)),
        ("lr=choice(1E-3, +1., .5)", (1e-3, 1.0, 0.5)),
        ("freeze=choice(none, all-but-last, '2')", ("none", "all-but-last", "2")),
        ('model=choice(lenet5-modern, "lenet5")', ("lenet5-modern", "lenet5")),
        ("lr=loguniform(1e-4, 1e-2)", None),
        ("lr=uniform(1e-4, 1e-2)", None),
        ("lr=uniform(0.01, 0.0333333333333333)", None),
        ("lr=loguniform(1e-05, 0.1234567890123456)", None),
    ],
)
def test_texts_are_parsed_and_read_back(text, every):
    one = axis(text)
    assert one.every() == every
    assert axis(f"{one.name}={one}") == one


@pytest.mark.parametrize("name", ["cat", "it's", 'a "b"', "back\\slash", "two\nlines", "漢字", "\N{CAT FACE}", "a\\"])
def test_class_weights_with_any_names_are_read_back(tmp_path, name):
    file = tmp_path / "weights.json"
    file.write_text(json.dumps({name: 2, "other": 1}))
    one = axis(f'class_weights=choice("{file}", none)')
    assert json.loads(one.values[0]) == {name: 2.0, "other": 1.0}
    assert axis(f"class_weights={one}") == one


def test_a_mapping_and_a_toml_file_give_the_same_space(tmp_path):
    file = tmp_path / "space.toml"
    file.write_text('batch_size = [4, 8]\nlr = "loguniform(1e-4, 1e-2)"\n')
    table = tmp_path / "table.toml"
    table.write_text('[space]\nbatch_size = "choice(4, 8)"\nlr = "loguniform(1e-4, 1e-2)"\n')
    mapping = parse_space({"batch_size": [4, 8], "lr": "loguniform(1e-4,1e-2)"})
    assert parse_space([str(file)]) == parse_space([str(table)]) == mapping
    assert parse_space(DEFAULT).names == ("batch_size", "lr", "dropout")


def test_the_path_of_a_file_is_taken_as_text_or_as_a_path(tmp_path, monkeypatch):
    (tmp_path / "space.toml").write_text('lr = "choice(0.1, 0.2)"')
    shutil.copy(tmp_path / "space.toml", tmp_path / "a=b.toml")
    assert parse_space(tmp_path / "a=b.toml").names == ("lr",)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (tmp_path / "space.toml", str(tmp_path / "space.toml"), "~/space.toml"):
        assert parse_space([path, "maps=choice([6,16])"]).names == ("lr", "maps")


@pytest.mark.parametrize("given", [3, 2.5, None, [3], [None], b"lr", {3: "choice(1)"}, {("lr",): 1}], ids=repr)
def test_what_is_no_space_is_refused(given):
    message = (
        "^space: no option '" if isinstance(given, dict) else "^space takes a dict from option to values, or texts"
    )
    with pytest.raises(InputError, match=message) as refused:
        parse_space(given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ['space = "lr=choice(0.1)"', 'space = ["lr=choice(0.1)"]', "space = 3"])
def test_a_file_whose_space_is_no_table_is_refused(tmp_path, text):
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(InputError, match=r"bad\.toml: space is no table: write \[space\]"):
        parse_space([str(tmp_path / "bad.toml")])


def test_values_lose_the_searchers_rounding_errors():
    space = parse_space(["dropout=uniform(0.2, 0.5, 0.05)", "maps=choice([6,16],[4,8])"])
    assert space.values({"dropout": 0.30000000000000004, "maps": "[4, 8]"}) == {"dropout": 0.3, "maps": (4, 8)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lrr=choice(1)", "did you mean 'lr'"),
        ("epochs=choice(1, 2)", "the scheduler decides"),
        ("val_fraction=choice(0.1, 0.2)", "other images cannot be compared"),
        ("lr=loguniform(1e-2, 1e-4)", "is empty"),
        ("lr=uniform(1, 1)", "is empty"),
        ("lr=uniform(nan, 1)", "takes numbers"),
        ("lr=choice(1, 2", "takes choice"),
        ("lr=choice(__import__(1))", "cannot read the values"),
        ("lr=choice(1; 2)", "cannot read the values"),
        (f"lr=choice({'[' * 5000})", "cannot read the values"),
        ("lr=choice(1000)", "must lie between"),
        ("lr=choice()", "needs values"),
        ("lr=choice(1, 1.0)", "each of them once"),
        ("lr=log(1, 2)", "no function 'log'"),
        ("lr=uniform(1)", "uniform(low, high, step)"),
        ("lr=3", "takes choice"),
        ("lr", "OPTION=VALUES"),
        ("dropout=uniform(0.2, 0.5, 0.9)", "in steps of"),
        ("batch_size=uniform(4, 8, 0.5)", "in steps of"),
        ("schedule=uniform(1, 2)", "is not a number"),
        ("batch_size=choice(4.5)", "takes a whole number"),
        ("size=loguniform(16, 32)", "single values"),
        ("size=uniform(16, 96)", "versions of all images"),
        ("nowhere.toml", "no space file"),
        (f"lr=uniform(0.1, 0.2, {'1' * 400})", "the step is out of range"),
    ],
)
def test_impossible_spaces_are_refused(text, message):
    with pytest.raises(InputError, match="(?i)" + message.replace("(", r"\(").replace(")", r"\)")):
        parse_space([text])


def test_none_among_the_choices_is_refused():
    with pytest.raises(InputError, match=r"activation=choice\(...\) has None, which is no value: leave it out"):
        parse_space({"activation": [None, "relu"]})


def test_an_option_twice_and_an_empty_space():
    with pytest.raises(InputError, match="twice"):
        parse_space(["lr=choice(1)", "lr=choice(2)"])
    with pytest.raises(InputError, match="empty"):
        parse_space([])


def test_options_without_effect_are_refused():
    space = parse_space(["momentum=choice(0.5, 0.9)"])
    with pytest.raises(InputError, match="momentum changes nothing with optimizer adam"):
        check_effects(space, resolve(given={"optimizer": "adam"}))
    check_effects(space, resolve(given={"optimizer": "sgd"}))
    check_effects(space, resolve(given={"optimizer": "muon"}))
    both = parse_space(["momentum=choice(0.5, 0.9)", "optimizer=choice(sgd, adam)"])
    check_effects(both, resolve(given={"optimizer": "adam"}))
    with pytest.raises(InputError, match="max-shift changes nothing"):
        check_effects(parse_space(["max_shift=choice(1, 2)"]), resolve(given={"augment": "flip"}))
    with pytest.raises(InputError, match="teacher-weight changes nothing without a teacher"):
        check_effects(parse_space(["teacher_weight=choice(0.5, 1)"]), resolve())
    angles = parse_space(["max_rotation=uniform(5, 30)"])
    with pytest.raises(InputError, match=r"max-rotation changes nothing with augment flip-shift: .* --augment rotate"):
        check_effects(angles, resolve(given={"augment": "flip-shift"}))
    check_effects(angles, resolve(given={"augment": "flip-rotate"}))
    both = parse_space(["max_rotation=uniform(5, 30)", "augment=choice(none, flip-shift-rotate)"])
    check_effects(both, resolve(given={"augment": "none"}))


def test_augmentations_are_searched_as_texts_or_lists():
    for text in ("choice(none, shift-flip)", "choice(none, 'flip shift')", "choice([none, flip-shift])"):
        (axis,) = parse_space([f"augment={text}"]).axes
        assert axis.values == ("none", "flip-shift")
    assert parse_space({"augment": [["flip", "rotate"], "none"]}).axes[0].values == ("flip-rotate", "none")
    with pytest.raises(InputError, match="augment cannot be 'turn'"):
        parse_space(["augment=choice(none, turn)"])


def test_combinations_and_versions_of_the_images():
    space = parse_space(["size=choice(16, 24)", "channels=choice(1, 3)", "dropout=uniform(0, 0.5, 0.1)"])
    assert space.combinations() == 24
    assert len(space.image_options()) == 4
    assert parse_space(DEFAULT).combinations() is None
    assert parse_space(DEFAULT).image_options() == [{}]


@pytest.mark.parametrize("name", vars(Config()))
def test_every_option_can_be_searched_or_says_why_not(name):
    value = getattr(Config(), name)
    if name in NOT_SEARCHED:
        with pytest.raises(InputError, match=re.escape(NOT_SEARCHED[name])):
            parse_space({name: [value]})
    elif value is not None:
        assert parse_space({name: [value]}).axes[0].every() == (value,)


def test_a_dropout_in_a_residual_block_can_be_searched():
    def block(*body):
        return describe(nn.Sequential(Residual(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), *body), nn.Sequential())))

    assert varies_dropout(block(nn.Dropout(0.1)))
    assert not varies_dropout(block())
