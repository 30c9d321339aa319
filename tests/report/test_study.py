"""The report of a study: its runs, pairs, lines and command."""

import re
from dataclasses import replace

from lenet.evaluation.comparison import Paired
from lenet.report.markup import Link
from lenet.report.study import study_page
from lenet.runs.study import Part, read_study_result


def section(text, name):
    found = re.search(rf'<section id="{name}".*?\n</section>', text, re.DOTALL)
    return found[0] if found else ""


def rows_of(text):
    body = re.search(r"<tbody>(.*?)</tbody>", text)[1]
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)]


def test_a_study(small_study):
    study = replace(read_study_result(small_study), command="lenet study small.toml")
    text = study_page(study, "runs/small", {"low": Link("low", "low/report.html")}).decode()
    assert "<title>Small &amp; &lt;b&gt;</title>" in text
    runs = rows_of(section(text, "runs"))
    assert [row[0] for row in runs] == ['<a href="low/report.html">low</a>', "last-10", "last-20", "scratch-10"]
    test = study.runs["last-20"]["test_accuracy"]
    assert f"{100 * test['mean']:.1f} ± {100 * test['sd']:.1f}" in runs[2]
    assert section(text, "accuracies").count('<circle class="test"') == 8
    compared = rows_of(section(text, "comparisons"))
    pair = study.pairs["scratch-10", "last-10"]
    assert compared[0][:3] == [
        "scratch-10, last-10",
        f"{100 * pair.difference:+.2f}",
        f"{100 * pair.low:.2f} to {100 * pair.high:.2f}",
    ]
    assert "no paired difference" in section(text, "comparisons")
    moved = rows_of(section(text, "transfer"))
    assert [row[:4] for row in moved] == [
        ["last-10", "last layer", "low", "10"],
        ["last-20", "last layer", "low", "20"],
        ["scratch-10", "from scratch", "new weights", "10"],
    ]
    assert "<code>lenet study small.toml</code>" in section(text, "repeat")


def test_test_images_that_the_start_knew_are_named(small_study):
    study = read_study_result(small_study)
    low = study.runs["low"]
    assert low["test_images"] > low["test_images_seen"] == 0
    text = study_page(replace(study, runs={**study.runs, "low": {**low, "test_images_seen": 9}}), "x", {}).decode()
    assert f"low: 9 of the {low['test_images']} test images were used to train" in section(text, "runs")


def test_verdicts(small_study):
    study = read_study_result(small_study)
    names = ("low", "last-10")
    for pair, verdict, kind in (
        (Paired(0.1, 0.05, 0.15, (2, 2), 9, 1, 2, 0.0001), "last-10 is better", "shown"),
        (Paired(-0.1, -0.15, -0.05, (2, 2), 9, 1, 2, 0.5), "low is better", "shown"),
        (Paired(0.1, -0.05, 0.25, (2, 2), 9, 1, 2, 0.5), "no difference shown", "open"),
        (Paired(0.1, 0.05, 0.15, (1, 2), 9, 1, 2, 0.5), "not decidable: one network", "open"),
    ):
        text = section(study_page(replace(study, pairs={names: pair}), "x", {}).decode(), "comparisons")
        assert rows_of(text)[0][-1] == verdict
        assert f'<circle class="{kind}"' in text


def test_a_study_without_pairs_by_no_command(small_study):
    study = read_study_result(small_study)
    parts = dict.fromkeys(study.parts, Part())
    text = study_page(replace(study, pairs={}, notes=(), parts=parts, command=""), "x", {}).decode()
    assert "names no pairs" in section(text, "comparisons")
    assert section(text, "transfer") == ""
    assert "Python ran no script" in section(text, "repeat")
