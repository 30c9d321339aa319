"""What a folder is, by its files, and which of them no command may replace."""

from pathlib import Path

import pytest

from lenet.errors import InputError
from lenet.files import locked
from lenet.runs.kinds import check_not_of_a_run, how_to_resume, kind_of, state_of


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


def test_every_file_that_lenet_keeps_is_refused(digits_run, small_study, search_folder):
    for folder, kind, count in ((digits_run.path, "run", 8), (small_study, "study", 2), (search_folder(), "search", 3)):
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".png"]
        assert len(files) >= count
        for file in files:
            with pytest.raises(InputError) as refused:
                check_not_of_a_run(file)
            assert str(refused.value) == f"{file} belongs to the {kind} in {folder}: choose another name"


@pytest.mark.parametrize(
    ("there", "name", "kind"),
    [
        ("config.toml", "model.safetensors", "run"),  # not yet written: the run may be training
        ("config.toml", "labels.csv", "run"),
        ("config.toml", "state/0.safetensors", "run"),
        ("search.toml", "best.toml", "search"),
        ("search.toml", "trials/3.toml", "search"),
        ("search.toml", "keep/3/model.json", "run"),
        ("study.json", "settings.json", "study"),
        ("audit.toml", "audit.csv", "audit"),
        ("audit.toml", "labels.csv", "audit"),
        ("trials/config.toml", "trials/model.json", "run"),
    ],
)
def test_what_belongs_to_a_run_is_refused(tmp_path, monkeypatch, there, name, kind):
    for file in (there, name, "keep/3/config.toml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    for file in (there, "keep/3/config.toml"):
        (tmp_path / file).touch()
    link = tmp_path / "link.csv"
    link.symlink_to(name)
    monkeypatch.chdir((tmp_path / name).parent)
    for file in (tmp_path / name, link, (tmp_path / name).name):
        with pytest.raises(InputError, match=f"belongs to the {kind} in .*: choose another name"):
            check_not_of_a_run(file)


def test_other_files_are_not_refused(tmp_path):
    check_not_of_a_run(tmp_path / "model.json")
    check_not_of_a_run(tmp_path / "none" / "model.json")
    (tmp_path / "config.toml").touch()
    for name in ("net.safetensors", "predictions.csv", "report.html", "eval/predictions.csv"):
        check_not_of_a_run(tmp_path / name)
    with pytest.raises(InputError, match="is no file's name"):
        check_not_of_a_run(tmp_path / "a\0b" / "model.json")


@pytest.mark.parametrize(
    ("file", "command", "text"),
    [
        ("config.toml", "train", 'data = "memory"'),
        ("audit.toml", "audit", 'data = "memory"'),
        ("search.toml", "tune", 'trials = 3\n[config]\ndata = "memory"'),
    ],
)
def test_images_from_python_are_passed_again_to_resume(tmp_path, file, command, text):
    path = tmp_path / "it's here"
    path.mkdir()
    (path / file).write_text(text)
    assert how_to_resume(path, command) == f"lenet.{command}(DATA, resume=True, out={str(path)!r})"
    (path / file).write_text(text.replace("memory", "digits"))
    quoted = f"'{tmp_path}/it'\"'\"'s here'"
    assert how_to_resume(path, command) == f"lenet {command} --resume --out {quoted}"


def test_a_folder_that_looks_like_an_option_is_named_so_that_it_is_none():
    assert how_to_resume(Path("-foo")) == "lenet train --resume --out ./-foo"
