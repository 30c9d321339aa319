"""result.json is checked when it is read, and an error names the invalid value in one line."""

import copy
import json

import pytest

from lenet.errors import InputError
from lenet.runs.result import result_fault
from lenet.runs.run import Run


def test_result_of_a_run_has_no_fault(digits_run):
    assert result_fault(digits_run.result) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda result: result.pop("val_accuracy"), "val_accuracy is missing"),
        (lambda result: result.update(seconds=3), "seconds is 3"),
        (lambda result: result["seconds"].update(total="1"), "seconds is {'train'"),
        (lambda result: result["test_accuracy"].update(each=[]), "test_accuracy is"),
        (lambda result: result["test_accuracy"].update(sd=None), "test_accuracy is"),
        (lambda result: result.update(best_epoch=["1"]), r"best_epoch is \['1'\]"),
        (lambda result: result.update(members=True), "members is True"),
        (lambda result: result.update(best_network=2), "best_network is 2"),
        (lambda result: result.update(best_network="0"), "best_network is '0'"),
        (lambda result: result.update(config=5), "config is 5"),
        (lambda result: result["seconds"].update(total=float("nan")), "seconds is {'train'"),
        (lambda result: result["test_accuracy"].update(each=[0.5, float("inf")]), "test_accuracy is"),
        (lambda result: result.pop("test_accuracy"), "test_accuracy is missing"),
        (lambda result: result.pop("parameters"), "parameters is missing"),
        (lambda result: result.update(test_accuracy=None), "test_accuracy is null"),
        (lambda result: result.pop("test_macro_f1"), "test_macro_f1 is missing"),
        (lambda result: result.pop("learning_parameters"), "learning_parameters is missing"),
        (lambda result: result.update(search={"best": {}}), "search is {'best': {}}"),
    ],
)
def test_error_names_invalid_value(digits_run, tmp_path, lenet, change, fault):
    result = copy.deepcopy(digits_run.result)
    change(result)
    (tmp_path / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=rf"result.json is damaged \({fault}"):
        _ = Run(tmp_path).result
    outcome = lenet("compare", tmp_path, digits_run.path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("content", ["[]", "5", "null", '"x"'])
def test_result_that_is_not_a_table_is_refused(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match="not a table of figures"):
        _ = Run(tmp_path).result
