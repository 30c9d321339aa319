"""The model card: YAML that says what the run says, Markdown in which names are text."""

import json

import pytest

from lenet.report.card import card_text
from lenet.report.contents import DataCard


def test_names_are_no_markup(contents):
    bad = ("[link](x)", "<b>", "a\nb")
    text = card_text(contents(bad, [0, 1, 2], [1, 1, 2], data=DataCard('"quoted"\n---', "`x`", "ab")))
    assert r"\[link\](x), \<b\>, a\\nb." in text
    name = next(line for line in text.splitlines() if line.startswith("      name: "))
    assert json.loads(name.split(": ", 1)[1]) == r'"quoted"\n---'
    assert text.count("\n---\n") == 1


@pytest.mark.parametrize(("networks", "said"), [(1, "95% confidence interval"), (2, "over n seeds")])
def test_results(contents, networks, said):
    text = card_text(contents(("cat", "dog"), [0, 0, 1, 1], *[[0, 0, 1, 0]] * networks))
    assert "- Test accuracy: 75.0%" in text
    assert f"(n = {networks})" in text
    assert said in text
    assert "- Accuracy by class: 50.0% (dog) to 100.0% (cat)" in text
    assert ("variation from seed to seed" in text) == (networks == 1)


def test_unlike_images_are_rejected_only_by_a_network_that_can(contents):
    for rejects in (False, True):
        text = card_text(contents(("cat", "dog"), [0, 1], [0, 1], rejects_unlike=rejects))
        assert ("`--reject-unlike`" in text) == rejects
        assert ("Every image is assigned to one of them." in text) == (not rejects)


def test_many_classes_are_not_all_listed(contents):
    text = card_text(contents(tuple(f"c{number}" for number in range(150)), [0], [0]))
    assert "c99, and 50 more." in text
