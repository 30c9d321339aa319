"""study.json: what a study writes is read again, and damage is named in one line."""

import json

import pytest

from lenet.errors import InputError
from lenet.runs.study import Part, read_study_result


def test_what_a_study_writes_is_read(small_study):
    found = read_study_result(small_study)
    assert list(found.runs) == ["low", "last-10", "last-20", "scratch-10"]
    assert found.parts["last-20"] == Part("low", "last layer", 20)
    assert found.parts["low"] == Part()
    assert (found.name, found.title) == ("small", "Small & <b>")
    assert list(found.pairs) == [("scratch-10", "last-10"), ("last-20", "last-10")]
    assert all(pair.networks == (2, 2) for pair in found.pairs.values())
    assert found.notes == ("last-10 and low have different images or labels: no paired difference",)


def changed(folder, change):
    values = json.loads((folder / "study.json").read_text())
    change(values)
    return json.dumps(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.pop("runs"), "it has no runs"),
        (lambda values: values["runs"].update(low=[]), "runs.low: not a table"),
        (lambda values: values["runs"]["low"].update(test_accuracy=None), "test_accuracy"),
        (lambda values: values["runs"]["low"].update(seconds={}), "seconds is {}"),
        (lambda values: values.pop("pairs"), "pairs"),
        (lambda values: values["pairs"][0].pop("p"), "p is missing"),
        (lambda values: values["pairs"][0].update(networks=3), "networks is 3"),
        (lambda values: values["pairs"][0].update(low=float("inf")), "low is inf"),
        (lambda values: values["pairs"][0].update(images=-5), "images is -5"),
        (lambda values: values["pairs"][0].update(first=["low"]), r"first is ['low']"),
        (lambda values: values.update(pairs=[3]), "pairs is [3]"),
        (lambda values: values["notes"].append(3), "notes is"),
        (lambda values: values["pairs"][0].update(first="gone"), "first is 'gone'"),
        (lambda values: values.update(parts=[]), "parts is []"),
        (lambda values: values["parts"].pop("low"), "not a table"),
        (lambda values: values["parts"].update(low={"per_class": "x"}), "per_class is 'x'"),
        (lambda values: values["parts"]["last-20"].update(per_class=-5), "per_class is -5"),
    ],
)
def test_damage_is_named(small_study, tmp_path, change, said):
    (tmp_path / "study.json").write_text(changed(small_study, change))
    with pytest.raises(InputError, match=r"study\.json is damaged") as error:
        read_study_result(tmp_path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_bytes(content)
    with pytest.raises(InputError, match=r"study\.json"):
        read_study_result(tmp_path)
