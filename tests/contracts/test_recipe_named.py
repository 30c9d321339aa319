"""Errors about a value that a recipe set name the recipe; --resume without a run shows a note."""

import pytest
from torch import nn

import lenet as api
from lenet.errors import InputError


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('model = "lenet6"', "model lenet6"),
        ('data = "digts"', "data digts"),
        ('freeze = "99"', "freeze 99"),
        ('classes = "0,1,eleven"', "classes 0,1,eleven"),
        ("per_class = 5000", "per-class 5000"),
        ('protocol = "folds"', "protocol folds"),
        ('device = "tpu"', "device tpu"),
    ],
)
def test_error_names_recipe_that_set_the_value(lenet, tmp_path, text, named, refused):
    path = tmp_path / "mine.toml"
    path.write_text(f"{text}\nepochs = 1\n")
    data = [] if "data" in text else ["digits"]
    refused(lenet("train", *data, "--recipe", path), f"(recipe {path} sets {named})")


def test_error_does_not_name_recipe_if_user_set_the_value(lenet, refused):
    outcome = lenet("train", "digits", "--recipe", "cifar10-lenet", "--model", "lenet6")
    refused(outcome, "no model 'lenet6'")
    assert "recipe" not in outcome.err


def test_error_on_resume_names_recipe_with_other_settings(lenet, digits_run, refused):
    outcome = lenet("train", "--recipe", "cifar100-vanilla", "--resume", "--out", digits_run.path)
    refused(outcome, "other settings (data digits -> cifar100", "(recipe cifar100-vanilla sets data cifar100")


def test_transfer_error_names_recipe_with_another_model(lenet, digits_run, refused):
    outcome = lenet("transfer", digits_run.path, "digits", "--recipe", "cifar10-lenet")
    refused(outcome, "the network comes from", "(recipe cifar10-lenet sets model lenet-dropout)")


def test_search_error_names_recipe(lenet, digits_run, refused):
    pytest.importorskip("ray", reason='no ray here: pip install "lenet[tune]"')
    path = digits_run.path / "config.toml"
    refused(lenet("tune", "--recipe", path, "--out", "search"), "leave seeds out", f"(recipe {path} sets seeds 2)")


def test_error_names_recipe_that_sets_shape_of_own_network(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("maps = [4, 8]\n")
    network = nn.Sequential(nn.Flatten(), nn.Linear(16 * 16, 10))
    with pytest.raises(InputError, match=rf"\(recipe {path} sets maps \(4, 8\)\)"):
        api.train("digits", recipe=path, model=network)


def test_a_learning_rate_for_another_optimizer_is_named(lenet, digits_run):
    words = ("train", "--recipe", digits_run.path / "config.toml", "--epochs", 1)
    assert digits_run.config().optimizer == "adam"
    note = f"note    lr 0.005 is from {digits_run.path / 'config.toml'}, which sets it for optimizer adam\n"
    assert note in lenet(*words, "--optimizer", "sgd", "--out", "sgd").out
    assert "is from" not in lenet(*words, "--optimizer", "sgd", "--lr", 0.01, "--weight-decay", 0, "--out", "lr").out
    assert "is from" not in lenet(*words, "--optimizer", "adam", "--out", "adam").out


def test_resume_without_a_run_starts_one_with_a_note(lenet):
    note = "note    nothing to resume in new: starting a new run\n"
    assert note in lenet("train", "digits", "--epochs", 1, "--resume", "--out", "new").out
    assert note not in lenet("train", "digits", "--epochs", 1, "--resume", "--out", "new").out
    assert note not in lenet("train", "digits", "--epochs", 1, "--overwrite", "--out", "new").out


def test_new_study_shows_no_note_on_resuming(lenet, tmp_path):
    (tmp_path / "two.toml").write_text('[all]\ndata = "digits"\nepochs = 1\n[runs.one]\n[runs.two]\nseed = 5\n')
    assert "resume" not in lenet("study", tmp_path / "two.toml", "--out", tmp_path / "study").out
