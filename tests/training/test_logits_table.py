"""The teachers' logits on disk: what one training computes, the next one reads."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

import lenet
from lenet.commands.data import clear_data, list_data
from lenet.config import Config
from lenet.engine.base import Settings
from lenet.engine.choice import choose
from lenet.files import locked, temporary
from lenet.models import Normalize
from lenet.training import logits_table, teacher
from lenet.training.logits_table import Table, table_path

SMALL = {"augment": "flip-shift", "maps": (2, 4), "fc": (), "epochs": 2}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(logits_table, "_WORTH", 0)  # every new logit is worth a file


@pytest.fixture
def computed(monkeypatch):
    """The number of images in each call of the teachers' engine."""
    counts = []

    def counting(*given):
        choice = choose(*given)
        engine = SimpleNamespace(logits=lambda *asked: counts.append(len(asked[1])) or choice.engine.logits(*asked))
        return replace(choice, engine=engine)

    monkeypatch.setattr(teacher, "choose", counting)
    return counts


def entries(*numbers):
    """Places, and logits that name them."""
    places = np.array(numbers, np.int64)
    return places, np.stack([places, -places], axis=1).astype(np.float16)


def table(path, images=4):
    return Table(images, 2, 1, True, path)


def known(table):
    return np.flatnonzero(table.known).tolist()


def test_a_training_reads_what_another_one_computed_and_has_the_same_weights(digits_run, tmp_path, computed, capsys):
    first = lenet.train("digits", teacher=digits_run.path, out=tmp_path / "first", **SMALL)
    assert computed
    computed.clear()
    again = lenet.train("digits", teacher=digits_run.path, out=tmp_path / "again", verbose=True, **SMALL)
    assert not computed
    assert "% of the views are known" in capsys.readouterr().out
    assert again.result["test_loss"] == first.result["test_loss"]
    lenet.train("digits", teacher=digits_run.path, out=tmp_path / "other", max_shift=1, **SMALL)
    assert computed
    assert len(list((tmp_path / "cache" / "logits").iterdir())) == 2


def test_the_file_is_of_these_teachers_data_and_engine():
    origin = {"teachers": "a", "data": "b", "engines": ["native: x86-64-v4"], "max_shift": 2}
    paths = {table_path(**origin), *(table_path(**(origin | {name: "other"})) for name in origin)}
    assert len(paths) == 5
    assert table_path(**origin) == table_path(**dict(reversed(origin.items())))


def test_processes_exchange_their_entries_through_the_file(tmp_path):
    path = tmp_path / "some" / "one.safetensors"
    first, second = table(path), table(path)
    first.fill(*entries(1, 5), 1.0)
    second.fill(*entries(5, 9), 1.0)
    assert known(second) == known(table(path)) == [1, 5, 9]
    assert known(first) == [1, 5]
    assert table(path).logits[9].tolist() == [9, -9]
    assert not table(path).logits[2].any()


def test_a_file_is_written_when_computing_took_ten_times_as_long(tmp_path, monkeypatch):
    monkeypatch.setattr(logits_table, "_WORTH", 10)
    path = tmp_path / "one.safetensors"
    one = table(path)
    one.fill(*entries(1), 1.0)
    assert not path.exists()
    one.fill(*entries(2), 1.5)
    assert known(table(path)) == [1, 2]


@pytest.mark.parametrize("damage", ["bytes", "shape", "type", "names", "size", "folder"])
def test_a_file_that_is_not_a_table_is_as_good_as_none(tmp_path, damage):
    path = tmp_path / "one.safetensors"
    table(path, images=5 if damage == "shape" else 4).fill(*entries(3), 1.0)
    if damage == "bytes":
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage in ("type", "names"):
        logits = np.zeros((72, 2), np.int16 if damage == "type" else np.float16)
        logits_table.write_arrays(path, {"known" if damage == "type" else "kn": np.ones(72, bool), "logits": logits})
    elif damage == "size":
        with path.open("ab") as file:
            file.truncate(1 << 40)  # no memory is taken for it
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    found = table(path)
    assert known(found) == []
    found.fill(*entries(7), 1.0)
    assert known(table(path)) == ([] if damage == "folder" else [7])


def test_without_a_file_or_a_place_for_it_the_table_is_in_memory_alone(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (None, tmp_path / "file" / "one.safetensors"):
        one = table(path)
        one.fill(*entries(3), 1.0)
        assert known(one) == [3]


def test_the_least_recently_used_files_are_removed(tmp_path):
    paths = [tmp_path / f"{n}.safetensors" for n in range(12)]
    for age, path in enumerate(paths[:10]):
        table(path).fill(*entries(1), 1.0)
        os.utime(path, (age, age))
    table(paths[0])  # used again
    for path in paths[10:]:
        table(path).fill(*entries(1), 1.0)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (paths[0], *paths[3:])}


def test_data_list_and_data_clear_know_the_files(digits_run, tmp_path):
    lenet.train("digits", teacher=digits_run.path, out=tmp_path / "run", **SMALL)
    size = sum(file.stat().st_size for file in (tmp_path / "cache" / "logits").iterdir())
    assert list_data().logits == size > 0
    assert clear_data() >= size
    assert list_data().logits == 0


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    left = temporary(tmp_path / "one.safetensors")
    left.touch()
    table(tmp_path / "one.safetensors").fill(*entries(1), 1.0)
    assert not left.exists()


def test_a_table_that_another_process_is_writing_is_not_waited_for(tmp_path, process):
    one = table(tmp_path / "one.safetensors")
    with locked(tmp_path):
        one.fill(*entries(1), 1.0)
    assert not list(tmp_path.iterdir())
    one.fill(*entries(2), 1.0)
    assert known(table(tmp_path / "one.safetensors")) == [1, 2]


def test_a_teacher_that_needs_pytorch_has_no_table(few_digits, tmp_path):
    """Its logits of an image depend on the images beside it, and so would a resumed run."""
    layers = [Normalize([0.4], [0.2]), nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Flatten()]
    run = lenet.train("digits", model=nn.Sequential(*layers, nn.Linear(512, 10)), epochs=1, out=tmp_path / "run")
    config = Config(teacher=(str(run.path),), augment="flip-shift", size=16, channels=1)
    assert teacher.read_teacher(config, few_digits, Settings()).table is None


def test_the_known_part_is_of_the_images_that_are_trained_on():
    one = Table(4, 2, 0, False)
    one.fill(*entries(0, 2), 1.0)
    assert one.known_of(np.array([0, 1, 2])) == pytest.approx(2 / 3)
    assert one.known_of(np.array([], np.int64)) == 0
