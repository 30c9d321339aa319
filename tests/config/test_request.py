"""Request: a recipe's options and the user's, and which of the two an error is about."""

import numpy as np
import pytest

from lenet.config import Config
from lenet.config.request import Request
from lenet.errors import InputError


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("epochs = 7\nmaps = [4, 8]\nbatch_size = 16\n")
    return path


def refused(request, *options):
    with pytest.raises(InputError) as refusal, request.naming_recipe():
        raise InputError("it cannot work", options=options)
    return str(refusal.value)


def test_the_users_options_override_the_recipe_which_overrides_defaults(recipe):
    request = Request.of(recipe, {"epochs": 9, "lr": 0.5}, {"batch_size": 2, "freeze": "all-but-last"})
    config = request.config()
    assert (config.epochs, config.lr, config.maps) == (9, 0.5, (4, 8))
    assert (config.batch_size, config.freeze) == (16, "all-but-last")
    assert config.momentum == Config().momentum
    assert request.settings == {"epochs": 9, "maps": (4, 8), "batch_size": 16, "lr": 0.5}
    assert Request().config() == Config()


def test_other_teachers_than_the_recipes_are_not_compared_with_its_digest(tmp_path):
    (tmp_path / "taught.toml").write_text(f'teacher = ["a"]\nteacher_sha256 = "{"1" * 64}"\n')
    assert Request.of(tmp_path / "taught.toml", {}).config().teacher_sha256 == "1" * 64
    assert Request.of(tmp_path / "taught.toml", {"teacher": "b"}).config().teacher_sha256 is None


def test_none_means_not_given(recipe):
    request = Request.of(recipe, {"epochs": None, "lr": None})
    assert request.given == {}
    assert request.config().epochs == 7


def test_the_users_options_are_checked(recipe, tmp_path):
    assert Request.of(None, {"data": tmp_path, "epochs": np.int64(3)}).given == {"data": str(tmp_path), "epochs": 3}
    with pytest.raises(InputError, match=r"^no option 'epocs', did you mean 'epochs'"):
        Request.of(recipe, {"epocs": 3})
    with pytest.raises(InputError, match=r"^epochs must lie between"):
        Request.of(recipe, {"epochs": 0})
    with pytest.raises(InputError, match="no recipe 'mine'"):
        Request.of("mine", {})


def test_an_error_about_an_option_of_the_recipe_names_the_recipe(recipe):
    request = Request.of(recipe, {"epochs": 9})
    suffix = f" (recipe {recipe} sets maps (4, 8))"
    assert refused(request, "maps") == f"it cannot work{suffix}"
    assert refused(request, "maps", "epochs", "lr") == f"it cannot work{suffix}"
    assert refused(request, "maps", "batch_size").endswith("sets maps (4, 8), batch-size 16)")


def test_an_error_about_the_users_own_option_does_not(recipe):
    request = Request.of(recipe, {"epochs": 9})
    assert refused(request, "epochs") == refused(request) == refused(Request(), "epochs") == "it cannot work"


def test_the_recipe_is_named_once(recipe):
    request = Request.of(recipe, {})
    with request.naming_recipe():  # no error
        pass
    with pytest.raises(InputError) as refusal, request.naming_recipe(), request.naming_recipe():
        raise InputError("it cannot work", options=["maps"])
    assert str(refusal.value).count("(recipe ") == 1
