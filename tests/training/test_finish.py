"""The end of a run."""

from lenet.training.finish import versions


def test_versions_name_what_bits_depend_on():
    assert versions().keys() >= {"python", "lenet", "torch", "numpy"}
