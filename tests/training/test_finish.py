"""The end of a run."""

from lenet.training.finish import versions


def test_versions_list_python_and_libraries():
    assert versions().keys() >= {"python", "lenet", "torch", "numpy"}
