"""What a search was asked, and what may change when it goes on."""

from dataclasses import replace

import pytest

from lenet.errors import InputError
from lenet.tuning.search import Search, read_search, resumed_search, wanted_search


def asked_for(**options):
    given = options.pop("given", {})
    return wanted_search(given, options.pop("recipe", None), options.pop("space", None), options.pop("trials", None),
                         options)  # fmt: skip


def test_the_default_is_the_studys():
    search = asked_for()
    assert (search.trials, search.config.epochs, search.config.model) == (10, 10, "lenet-dropout")
    assert search.space.names == ("batch_size", "lr", "dropout")
    assert (search.metric, search.scheduler, search.searcher) == ("val_accuracy", "asha", "random")


def test_a_given_option_leaves_the_default_space():
    search = asked_for(given={"lr": 1e-3})
    assert search.space.names == ("batch_size", "dropout")
    assert search.config.lr == 1e-3


def test_a_search_reads_back_as_it_was_written(tmp_path):
    search = asked_for(space=["lr=loguniform(1e-4,1e-2)", "maps=choice([6,16],[4,8])"], trials=7, metric="val_loss")
    (tmp_path / "search.toml").write_text(search.text())
    assert read_search(tmp_path / "search.toml") == search
    assert read_search(tmp_path / "nothing.toml") is None
    (tmp_path / "search.toml").write_text("parts = 3")
    with pytest.raises(InputError, match="damaged"):
        read_search(tmp_path / "search.toml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 0}, "trials must be"),
        ({"metric": "val_acc"}, "did you mean 'val_accuracy'"),
        ({"scheduler": "ashe"}, "did you mean 'asha'"),
        ({"searcher": "rand"}, "did you mean 'random'"),
        ({"searcher": "grid"}, "cannot try all of lr"),
        ({"confirm": -1}, "confirm must be"),
        ({"given": {"seeds": 2}}, "one network"),
        ({"given": {"threads": 2}}, "one thread"),
        ({"given": {"lr": 1e-3}, "space": ["lr=choice(1)"]}, "both searched and given"),
        ({"recipe": "cifar"}, "no recipe"),
        ({"searcher": "grid", "space": ["lr=choice(1, 2)"], "trials": 3}, "all 2 combinations"),
    ],
)
def test_impossible_searches_are_said(options, message):
    with pytest.raises(InputError, match=message):
        asked_for(**options)


def test_a_grid_counts_its_own_trials():
    search = asked_for(searcher="grid", space=["lr=choice(1e-3, 1e-2)", "batch_size=choice(4, 8, 16)"])
    assert search.trials == 6
    with pytest.raises(InputError, match="all of them"):
        search.extended(9)


def test_trials_are_added_not_taken_away():
    search = asked_for(trials=4)
    assert search.extended(None) is search.extended(4) is search
    assert search.extended(10).parts == (4, 6)
    with pytest.raises(InputError, match="4 trials already"):
        search.extended(3)


def test_a_resumed_search_keeps_its_settings(tmp_path):
    saved = asked_for(trials=4)

    def again(**options):
        rest = {"given": {}, "asked": {}, "recipe": None, "space": None} | options
        return resumed_search(tmp_path, saved, options.pop("wanted", saved), **rest)

    assert again() == saved
    assert again(given={"epochs": 10}, asked={"metric": "val_accuracy"}) == saved
    assert again(asked={"confirm": 2, "keep": 1}) == replace(saved, confirm=2, keep=1)
    for changed in ({"given": {"epochs": 5}}, {"asked": {"searcher": "tpe"}}, {"given": {"lr": 1.0}}):
        with pytest.raises(InputError, match="started with other settings"):
            again(**changed)
    other = asked_for(space=["lr=choice(1)"])
    with pytest.raises(InputError, match="space"):
        resumed_search(tmp_path, saved, other, given={}, asked={}, recipe=None, space=["lr=choice(1)"])
    with pytest.raises(InputError, match="other settings"):
        again(recipe="cifar100-tuned")


def test_the_sign_of_a_metric():
    assert asked_for().sign == 1
    assert asked_for(metric="val_loss").sign == -1
    assert isinstance(asked_for(), Search)
