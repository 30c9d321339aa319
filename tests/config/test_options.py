"""Options: names, ranges and checks; default < recipe < flag."""

import tomllib
from dataclasses import fields, replace

import numpy as np
import pytest

from lenet.config import (
    GROUPS,
    RECIPES,
    Config,
    checked,
    options,
    recipe_names,
    recipe_values,
    resolve,
    to_toml,
)
from lenet.errors import InputError

# Renaming an option breaks recipes, scripts and the resuming of runs: change this list only on purpose.
NAMES = [
    *(
        "data",
        "data_sha256",
        "data_dir",
        "labels",
        "size",
        "channels",
        "fit",
        "classes",
        "per_class",
        "protocol",
        "val_fraction",
        "split_seed",
    ),
    *("augment", "flips", "max_shift", "max_rotation", "max_scale", "max_colour", "cutout_size"),
    *(
        "model",
        "minutes",
        "maps",
        "fc",
        "kernel",
        "padding",
        "dropout",
        "activation",
        "pool",
        "pool_sizes",
        "batch_norm",
        "norm",
    ),
    *("start", "start_sha256", "freeze", "unfreeze_after"),
    *("epochs", "batch_size", "lr", "schedule", "optimizer", "momentum", "nesterov", "weight_decay"),
    *("label_smoothing", "class_weights", "ema", "select", "patience"),
    *("teacher", "teacher_sha256", "teacher_weight", "teacher_temperature"),
    *("seed", "seeds", "engine", "device", "threads"),
]


def test_option_names_have_not_changed():
    assert [field.name for field in fields(Config)] == NAMES
    assert list(options()) == NAMES


def test_every_option_has_a_meaning_and_a_group():
    for option in options().values():
        assert option.meaning.endswith(".")
        assert option.group in GROUPS


def test_every_default_passes_its_own_check():
    defaults = vars(Config())
    assert checked(defaults, "") == defaults


def test_every_number_has_a_range():
    for name, option in options().items():
        if set(option.kinds) & {int, float, tuple[int, int]}:
            assert option.low is not None, name
            assert option.high is not None, name


def numbers():
    """Every option that takes numbers, with its range."""
    for name, option in options().items():
        if option.low is not None:
            yield name, option.kinds, option.low, option.high


@pytest.mark.parametrize(("name", "kinds", "low", "high"), list(numbers()))
def test_ranges_include_both_ends(name, kinds, low, high):
    pair = bool({tuple[int, int], tuple[int, ...]} & set(kinds))
    whole = int in kinds or pair
    step = 1 if whole else 1e-3
    for value in (low, high):
        value = int(value) if whole else float(value)
        value = (value, value) if pair else value
        assert checked({name: value}, "") == {name: value}
    for value in (low - step, high + step):
        value = int(value) if whole else float(value)
        with pytest.raises(InputError, match=rf"^{name.replace('_', '-')} must lie between .* and .*, not "):
            checked({name: (int(low), value) if pair else value}, "")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 2.5, "epochs takes a whole number, not 2.5"),
        ("epochs", "3", "epochs takes a whole number, not '3'"),
        ("epochs", True, "epochs takes a whole number, not True"),
        ("lr", "fast", "lr takes a number, not 'fast'"),
        ("lr", float("nan"), "lr must lie between"),
        ("lr", float("inf"), "lr must lie between"),
        ("lr", True, "lr takes a number, not True"),
        ("nesterov", 1, "nesterov takes true or false, not 1"),
        ("data", 3, "data takes text, not 3"),
        ("data", "", "data is empty: give a value, or leave it out"),
        ("teacher", ["a", " "], "teacher is empty"),
        ("maps", [6] * 5, r"maps takes up to 4 numbers, not \[6, 6, 6, 6, 6\]"),
        ("maps", 6, "maps takes up to 4 numbers, not 6"),
        ("pool_sizes", [2], r"pool-sizes takes 2 numbers, not \[2\]"),
        ("fc", [6, 7, 8], r"fc takes up to 2 numbers, not \[6, 7, 8\]"),
        ("fc", [6, "a"], "fc takes a whole number, not 'a'"),
        ("kernel", 4, "kernel cannot be '4'"),
        ("maps", [6, 1.5], "maps takes a whole number, not 1.5"),
        ("maps", [6, 0], "maps must lie between 1 and 4,096, not 0"),
        ("channels", "3", "channels takes a whole number, not '3'"),
        ("schedule", 3, "schedule takes text, not 3"),
        ("schedule", "cosin", "schedule cannot be 'cosin', did you mean 'cosine'"),
        ("fit", "zoom", "fit cannot be 'zoom'; known: crop, pad, squash"),
        ("epocs", 3, "no option 'epocs', did you mean 'epochs'"),
        ("colour", 3, "no option 'colour'"),
        ("channels", 2, "channels cannot be '2'; known: 1, 3"),
        ("channels", True, "channels takes a whole number, not True"),
        ("data_sha256", "zz", "data-sha256 takes 64 hexadecimal digits, not 'zz'"),
        ("classes", "", "classes '' lists no class: give names separated by commas"),
        ("classes", " , ", "classes ' , ' lists no class"),
        ("classes", "cat,dog, cat", "classes lists 'cat' twice: list each class once"),
        ("per_class", 1, "per-class must lie between 2 and 1,000,000, not 1"),
    ],
)
def test_an_invalid_value_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        checked({name: value}, "")


def test_integers_become_floats_and_lists_become_pairs():
    got = checked({"lr": 1, "maps": [3, 4], "batch-size": 7, "size": None}, "")
    assert got == {"lr": 1.0, "maps": (3, 4), "batch_size": 7, "size": None}
    assert isinstance(got["lr"], float)
    assert checked({"maps": np.array([3, 4]), "lr": np.float32(0.5)}, "") == {"maps": (3, 4), "lr": 0.5}


def test_a_recipe_saved_with_a_byte_order_mark_is_read(tmp_path):
    assert resolve(recipe(tmp_path, "\ufeffepochs = 3")).epochs == 3


def recipe(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_flags_override_the_recipe_which_overrides_defaults(tmp_path):
    path = recipe(tmp_path, "epochs = 7\nlr = 0.5\n")
    config = resolve(path, {"lr": 0.25})
    assert (config.epochs, config.lr, config.batch_size) == (7, 0.25, Config().batch_size)
    assert resolve() == Config()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epocs = 3", "mine.toml: no option 'epocs', did you mean 'epochs'"),
        ("epochs = 0", "mine.toml: epochs must lie between 1 and 100,000, not 0"),
        ("epochs = '3'", "mine.toml: epochs takes a whole number, not '3'"),
        ("epochs = 3\nlr = = 1", "mine.toml is not TOML: .*line 2"),
        ("batch_size = 16\nbatch-size = 8", "mine.toml: batch-size is given twice"),
        ("[train]\nepochs = 3", "mine.toml: no option 'train'"),
        ("lr = nan", "mine.toml: lr must lie between"),
        ("data = 1979-05-27", "mine.toml: data takes text"),
        ("lr = 1979-05-27", "mine.toml: lr takes a number"),
        ("schedule = [1]", "mine.toml: schedule takes text"),
        ("schedule = {a = 1}", "mine.toml: schedule takes text"),
        ("epochs = 99999999999999999999999", "mine.toml is not TOML: an integer does not fit"),
        ('data = "a\\u0000b"', "mine.toml is not TOML: .*NUL"),
    ],
)
def test_an_invalid_recipe_is_refused_naming_the_file(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as refused:
        resolve(recipe(tmp_path, text))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("data", "a\0b", "data contains a NUL"),
        ("data", "caf\udce9", r"data 'caf\\xe9' is not UTF-8"),
        ("epochs", 10**5000, "epochs is out of range: give at most 100,000"),
        ("lr", 10**400, "lr is out of range: give at most 100"),
        ("lr", -(10**400), "lr is out of range"),
    ],
    ids=range(5),
)
def test_a_value_that_toml_cannot_contain_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        resolve(None, {name: value})


def test_a_recipe_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"mine.toml is not TOML"):
        resolve(tmp_path / "mine.toml")


def test_a_missing_recipe_is_refused(tmp_path):
    with pytest.raises(InputError, match="no recipe 'cifar10-lennet', did you mean 'cifar10-lenet'"):
        resolve("cifar10-lennet")
    with pytest.raises(InputError, match=r"no recipe file .*none.toml: give the path"):
        resolve(tmp_path / "none.toml")


STUDIES = {
    "cifar10-lenet": {
        "data": "cifar10", "model": "lenet-dropout", "epochs": 20, "batch_size": 8, "optimizer": "sgd",
        "lr": 1.2e-3, "momentum": 0.9, "weight_decay": 5e-4, "val_fraction": 0.2,
    },
    "cifar100-vanilla": {
        "data": "cifar100", "model": "lenet5", "epochs": 10, "batch_size": 64, "optimizer": "adam", "lr": 1e-3,
    },
    "cifar100-tuned": {"data": "cifar100", "model": "lenet5-tuned", "epochs": 20},
}  # fmt: skip


@pytest.mark.parametrize("name", STUDIES)
def test_the_recipes_have_the_settings_of_the_studies(name):
    config = resolve(name)
    for option, value in STUDIES[name].items():
        assert getattr(config, option) == value, option


@pytest.mark.parametrize("name", recipe_names())
def test_every_packaged_recipe_resolves_and_begins_with_its_command(name):
    assert vars(resolve(name)).items() >= recipe_values(name).items()
    first = (RECIPES / f"{name}.toml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(("# lenet train", "# lenet transfer"))
    assert name in first or name == "default"


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(data="fotos/ä ö 'x' \"y\" \\ 😀\t", lr=1e-9, maps=(3, 5), nesterov=True, size=40, threads=2),
        replace(resolve("cifar10-lenet"), weight_decay=1e-300, lr=100.0),
    ],
)
def test_a_config_written_as_a_recipe_resolves_to_itself(tmp_path, config):
    path = recipe(tmp_path, to_toml(vars(config), "a comment\nof two lines: \u2713, with a path's \x07 and \x7f"))
    assert resolve(path) == config
    assert tomllib.loads(path.read_text(encoding="utf-8")).get("lr") == config.lr
