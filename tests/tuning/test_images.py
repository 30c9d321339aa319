"""The images of a search, found from any directory or changed meanwhile; its folder, deleted."""

import shutil

import pytest

import lenet as package
from lenet.config import resolve
from lenet.runs.run import Run
from lenet.tuning import folder, plots
from lenet.tuning.search import read_search

WORDS = ("--recipe", "none", "--epochs", 1, "--workers", 1)


@pytest.mark.slow
def test_a_search_finds_its_images_from_any_directory_and_refuses_others(
    ray_here, tmp_path, monkeypatch, lenet, refused, photos
):
    def search(*words):
        fixed = ("--batch-size", 16, "--size", 16, "--space", "fit=choice(crop, pad)", "--search", "grid")
        return lenet("tune", *words, *WORDS, *fixed)

    for name, seed in (("photos", 0), ("work/photos", 1)):  # the second must not be read
        photos(tmp_path / name, seed, sides=(20, 28))
    monkeypatch.chdir(tmp_path / "work")
    outcome = search("../photos", "--confirm", 1, "--resume", "--out", "search")
    assert outcome.code == 0, outcome
    assert "note    nothing to resume in search: starting a new search\n" in outcome.out
    path = tmp_path / "work" / "search"
    trials = [resolve(path / "trials" / f"{number}.toml") for number in (0, 1)]
    configs = [read_search(path / "search.toml").config, resolve(path / "best.toml"), *trials]
    assert {config.data for config in configs} == {str(tmp_path / "photos")}
    assert trials[0].data_sha256 != trials[1].data_sha256, "each trial has the hash of its own images"
    confirmed = next((path / "confirm").iterdir())
    assert Run(confirmed).result["data_sha256"] == configs[1].data_sha256
    for number, trial in enumerate(trials):
        assert package.load(path / "keep" / str(number)).config["data_sha256"] == trial.data_sha256
    assert package.evaluate(path / "keep" / "1").own

    monkeypatch.chdir(tmp_path)
    assert search("photos", "--resume", "--out", path).code == 0  # the same folder by another path
    refused(search("work/photos", "--resume", "--out", path), str(tmp_path / "work" / "photos"), str(path))

    # The confirmation refuses images that changed after the trials.
    changed, draw = tmp_path / "photos" / "cat" / "0.png", plots.draw_search

    def changing(*words):
        changed.unlink()
        return draw(*words)

    shutil.rmtree(confirmed)
    (path / "result.json").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(plots, "draw_search", changing)
        refused(lenet("tune", "--resume", "--out", path), str(tmp_path / "photos"), "restore")
    assert not changed.exists()
    refused(lenet("tune", "--resume", "--out", path), str(tmp_path / "photos"), "restore")


@pytest.mark.slow
def test_a_search_deleted_while_it_runs_is_an_error(ray_here, lenet, tmp_path, monkeypatch, refused):
    path, write = tmp_path / "run", folder.write_recipe

    def deleting(*words):
        write(*words)
        shutil.rmtree(path, ignore_errors=True)

    monkeypatch.setattr(folder, "write_recipe", deleting)
    words = ("tune", "digits", *WORDS, "--trials", 1, "--space", "lr=choice(0.01)")
    refused(lenet(*words, "--confirm", 0, "--out", path), f"{path} is gone")
