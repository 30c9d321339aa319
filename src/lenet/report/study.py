"""The report of a study: its runs, their accuracies, the comparisons and the transfers."""

from collections.abc import Mapping, Sequence

from lenet.evaluation.comparison import Paired
from lenet.report.comparison import legend, p_value, rows_of, run_notes
from lenet.report.markup import Cell, command_block, definitions, escaped, hint, left_out, section, table
from lenet.report.page import framed
from lenet.report.svg import Axis, Line, axis_of, chart, intervals, rows
from lenet.report.text import clock, plus_minus
from lenet.runs.study import StudyResult

_LINES = 4  # kinds of lines that report.css has


def study_page(study: StudyResult, path: str, links: Mapping[str, Cell]) -> bytes:
    """The HTML file. path: the study's folder, as the user gave it; links: each run's name, linked to its report."""
    sections = [
        _runs_section(study, links),
        _accuracies_section(study),
        _comparisons_section(study),
        _transfer_section(study, links),
        _repeat_section(study, path),
    ]
    return framed(study.title, f"Report of {path}, a study of {len(study.runs)} runs", sections)


def _runs_section(study: StudyResult, links: Mapping[str, Cell]) -> str:
    cells = rows_of(study.runs)
    header = list(cells[0])
    lines = [[links[row["run"]] if row["run"] in links else row["run"], *list(row.values())[1:]] for row in cells]
    names = {"valid. %": "validation %", "balanced": "balanced %", "F1": "macro F1 %"}
    said = "Mean ± sample standard deviation over n seeds. Click a column's name to "
    said += "sort. A linked run has a report of its own; 'lenet report' writes it for each run."
    return section(
        "runs", "Runs", table([names.get(one, one) for one in header], lines, sortable=True, words=("data",)),
        hint(said), *(hint(f"{note}.") for note in run_notes(study.runs)), wide=True,
    )  # fmt: skip


def _accuracies_section(study: StudyResult) -> str:
    """A row of dots for each run, in a chart for each dataset."""
    groups: dict[str, list[tuple[str, str, Sequence[float]]]] = {}
    for name, figures in study.runs.items():
        each = [100 * value for value in figures["test_accuracy"]["each"]]
        groups.setdefault(figures["data"], []).append((name, "test", each))
    charts = []
    for data, found in groups.items():
        x = axis_of("test accuracy (%)", [value for _, _, each in found for value in each], most=100.0)
        means = ", ".join(f"{name} {sum(each) / len(each):.1f}%" for name, _, each in found)
        charts.append(f"<figure><h3>{escaped(data)}</h3>{rows(x, found, f'Test accuracy on {data}: {means}')}</figure>")
    said = "A dot for each network, a vertical line at their mean."
    return section("accuracies", "Test accuracy", f'<div class="pair">{"".join(charts)}</div>', hint(said), wide=True)


def _comparisons_section(study: StudyResult) -> str:
    title = "Comparisons"
    if not study.pairs:
        reason = "The study names no pairs of runs with the same test images."
        return section("comparisons", title, left_out(reason), *(hint(f"{note}.") for note in study.notes))
    found = [
        (f"{second} minus {first}", "shown" if pair.better else "open", *_points(pair))
        for (first, second), pair in study.pairs.items()
    ]
    ends = [0.0, *(value for pair in study.pairs.values() for value in _points(pair))]
    margin = 0.06 * (max(ends) - min(ends)) or 1.0
    x = Axis("difference in test accuracy (points)", min(ends) - margin, max(ends) + margin)
    told = "; ".join(f"{name} {value:+.2f} ({low:.2f} to {high:.2f})" for name, _, value, low, high in found)
    picture = intervals(x, found, f"Differences in test accuracy in points, with 95% intervals: {told}")
    header = ["runs", "difference", "95% interval", "only first correct", "only second correct", "McNemar", "verdict"]
    lines = [
        [
            f"{first}, {second}", f"{100 * pair.difference:+.2f}", f"{100 * pair.low:.2f} to {100 * pair.high:.2f}",
            f"{pair.only_first:,}", f"{pair.only_second:,}", p_value(pair), _verdict(pair, first, second),
        ]
        for (first, second), pair in study.pairs.items()
    ]  # fmt: skip
    said = (
        "Points of test accuracy of the second run minus those of the first, paired by image. A filled dot: one run "
        "is better, since the interval excludes zero and covers seeds. "
    )
    return section(
        "comparisons", title, f'<figure>{picture}</figure>', table(header, lines, words=("verdict",)),
        hint(said + " ".join(legend(study.pairs.values()))), *(hint(f"{note}.") for note in study.notes), wide=True,
    )  # fmt: skip


def _points(pair: Paired) -> tuple[float, float, float]:
    """The difference and its interval in points."""
    return 100 * pair.difference, 100 * pair.low, 100 * pair.high


def _verdict(pair: Paired, first: str, second: str) -> str:
    if pair.better:
        return f"{first if pair.better == 'first' else second} is better"
    return "no difference shown" if pair.covers_seeds else "not decidable: one network"


def _transfer_section(study: StudyResult, links: Mapping[str, Cell]) -> str:
    """Runs that start from another, and those that they are compared with over the number of images."""
    lines: list[list[Cell]] = []
    series: dict[str, dict[int, float]] = {}
    for name, part in study.parts.items():
        if not part.transfer and not part.label:
            continue
        accuracy = study.runs[name]["test_accuracy"]
        if part.label and part.per_class:  # of several runs with the same label and images, the chart has the first
            series.setdefault(part.label, {}).setdefault(part.per_class, 100 * accuracy["mean"])
        start = part.transfer or "new weights"
        images = "all" if part.per_class is None else f"{part.per_class:,}"
        lines.append(
            [links.get(name, name), part.label or "", start, images, str(len(accuracy["each"])),
             plus_minus(accuracy, scale=100)]
        )  # fmt: skip
    if not lines:
        return ""
    header = ["run", "what", "starts from", "images per class", "n", "test %"]
    counts = sorted({count for points in series.values() for count in points})
    picture = ""
    if len(counts) > 1:
        x = Axis("training and validation images per class", counts[0] / 1.15, counts[-1] * 1.15, log=True)
        y = axis_of("test accuracy (%)", [mean for points in series.values() for mean in points.values()], most=100.0)
        drawn = [
            Line(f"kind{number % _LINES}", sorted(points.items()), label, dots=True)
            for number, (label, points) in enumerate(series.items())
        ]
        told = "; ".join(
            f"{label}: {', '.join(f'{mean:.1f}% with {count}' for count, mean in sorted(points.items()))}"
            for label, points in series.items()
        )
        picture = f"<figure>{chart(x, y, drawn, f'Test accuracy over images per class. {told}')}</figure>"
    return section(
        "transfer", "Transfer", picture, table(header, lines, sortable=True, words=("what", "starts from")),
        hint("Mean ± sample standard deviation over n seeds."), wide=True,
    )  # fmt: skip


def _repeat_section(study: StudyResult, path: str) -> str:
    seconds = sum(figures["seconds"]["total"] for figures in study.runs.values())
    rows = definitions([("study", escaped(study.name)), ("time of all runs", clock(seconds))])
    if study.command:
        how = command_block(study.command) + hint("Finished runs are kept: in another --out, all are trained again.")
    else:
        how = left_out("The command is not known: Python ran no script")
    return section("repeat", "Repeating the study", how, rows)
