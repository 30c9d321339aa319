"""What a folder is, by its files."""

import pytest

from lenet.files import locked
from lenet.runs.kinds import kind_of, state_of


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ((), "folder"),
        (("notes.txt",), "folder"),
        (("config.toml",), "run"),
        (("result.json",), "run"),
        (("model.json", "model.safetensors"), "run"),
        (("search.toml", "result.json"), "search"),
        (("study.json", "accuracy.png"), "study"),
    ],
)
def test_the_files_decide(tmp_path, names, kind):
    for name in names:
        (tmp_path / name).touch()
    assert kind_of(tmp_path) == kind


def test_a_folder_of_runs_is_none_itself(tmp_path, digits_run, small_study):
    assert kind_of(digits_run.path) == "run"
    assert kind_of(digits_run.path.parent) == "folder"
    assert kind_of(small_study) == "study"


def test_a_locked_folder_is_in_use(tmp_path):
    assert state_of(tmp_path) == "interrupted"
    with locked(tmp_path, wait=False):
        assert state_of(tmp_path) == "running"
