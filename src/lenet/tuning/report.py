"""The report of a search: its best trial and the confirmation, what mattered, values, courses, and all trials."""

from lenet.errors import counted
from lenet.report.markup import Cell, command_block, definitions, escaped, hint, left_out, linked, section, table
from lenet.report.page import framed
from lenet.report.plots import axis_end
from lenet.report.svg import Axis, Dots, Line, axis_of, chart, lengths, rows
from lenet.report.text import clock, interval, metric_name, percent, plus_minus, seen_images
from lenet.runs.metrics import EpochRow
from lenet.tuning import space
from lenet.tuning.contents import SearchContents
from lenet.tuning.display import figure, metric_label, scaled, shown_metric
from lenet.tuning.trials import TrialRecord

_MOST_TRIALS = 1000  # in the table and the charts, the best ones
_MOST_LINES = 100  # trials whose courses are drawn


def search_page(found: SearchContents) -> bytes:
    """The HTML file, of at most about 2 MB."""
    data, model = found.result["data"] if found.result else found.search.config.data, found.search.config.model
    sections = [
        _result_section(found),
        _confirmation_section(found),
        _importance_section(found),
        _courses_section(found),
        _values_section(found),
        _trials_section(found),
        _repeat_section(found),
    ]
    title = f"{data}: search of {model}"
    return framed(title, f"Report of {found.path}", sections)


def _shown(found: SearchContents) -> list[TrialRecord]:
    """The best trials that have a score."""
    return found.trials.ranked()[:_MOST_TRIALS]


def _of_all(found: SearchContents) -> str:
    count = len(found.trials.ranked())
    return f" The best {_MOST_TRIALS:,} of {count:,} trials are shown." if count > _MOST_TRIALS else ""


def _result_section(found: SearchContents) -> str:
    result, trials, search = found.result, found.trials, found.search
    best = next(iter(trials.ranked()), None)
    over = sum(trial.over for trial in trials)
    note = ""
    if found.state == "failed":
        note = '<p class="missing">All trials failed; the table below has their errors.</p>'
    elif found.state != "finished":
        verb = "is running" if found.state == "running" else "was interrupted"
        note = f'<p class="missing">The search {verb}: {over} of {search.trials} trials have ended. This page shows '
        note += "what there is.</p>"
        note += hint("This resumes it:") + command_block(found.resume) if found.state == "interrupted" else ""
    row = best.best(trials.metric) if best else None
    if best is None or row is None:
        return section("result", "Result", note, hint("No trial has a score yet."))
    if result and result["members"] and result["test_accuracy"]:
        headline = percent(result["test_accuracy"]) + interval(result.get("test_interval"))
        said = f"Test accuracy of the best settings, trained again with {counted(result['members'], 'new seed')}; "
        said += f"{result['test_images']:,} images, evaluated once."
        note += "".join(f'<p class="missing">{one[0].upper() + one[1:]}.</p>' for one in seen_images(result))
    else:
        headline = figure(trials.metric, row)
        said = f"{_name(trials.metric)} of the best trial. It is the highest of {len(trials.ranked())}, and therefore "
        said += "optimistically biased."
    facts = [("best trial", f"{best.number}, epoch {row.epoch} of {trials.epochs}")]
    facts += [(name.replace("_", " "), escaped(space.shown(value))) for name, value in best.values.items()]
    counts = {word: len(trials.with_status(word)) for word in ("finished", "stopped", "failed", "waiting")}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    facts.append(("trials", escaped(f"{told}; {search.searcher} search, scheduler {search.rule}")))
    facts.append(("trial epochs", f"{trials.trial_epochs():,}"))
    if result:
        facts.append(("time", clock(result["seconds"]["total"])))
    return section(
        "result", "Result", f'<p class="headline">{escaped(headline)}</p>', hint(said), note, definitions(facts)
    )


def _name(metric: str) -> str:
    split = "Validation " if metric.startswith("val") else ""
    name = split + metric_name(metric)
    return name[0].upper() + name[1:]


def _confirmation_section(found: SearchContents) -> str:
    """The best trial's own figures beside those of its settings with new seeds."""
    title, result = "Confirmation", found.result
    best = next(iter(found.trials.ranked()), None)
    row = best.best(found.trials.metric) if best else None
    if result is None or not result["members"] or best is None or row is None:
        return section("confirmation", title, left_out(found.missing.get("confirmation", "")))
    lines, groups = [], [("trial, validation", "best", [100 * row.val_accuracy])]
    for metric in dict.fromkeys(("val_accuracy", found.trials.metric)):
        if again := result.get(metric):
            own, loss = getattr(row, metric), metric.endswith("loss")
            said = plus_minus(again, digits=4) if loss else plus_minus(again, scale=100, unit="%")
            less = f"{again['mean'] - own:+.4f}" if loss else f"{100 * (again['mean'] - own):+.1f} points"
            lines.append([_name(metric), shown_metric(metric, own), said, str(len(again["each"])), less])
    groups.append(("new seeds, validation", "val", [100 * value for value in result["val_accuracy"]["each"]]))
    if test := result["test_accuracy"]:
        lines.append(["Test accuracy", "–", plus_minus(test, scale=100, unit="%"), str(len(test["each"])), "–"])
        groups.append(("new seeds, test", "test", [100 * value for value in test["each"]]))
    x = axis_of("accuracy (%)", [value for _, _, each in groups for value in each], most=100.0)
    told = "; ".join(f"{name} {sum(each) / len(each):.1f}%" for name, _, each in groups)
    picture = rows(x, groups, f"The best trial beside its settings with new seeds: {told}")
    text = (
        f"The score of trial {best.number} is the highest of {len(found.trials.ranked())}, and therefore "
        "optimistically biased. Its settings were trained again with seeds that no trial had: mean ± sample standard "
        "deviation over n seeds. A vertical line marks the mean."
    )
    where = found.confirmed
    link = definitions([("run", linked(where))]) if where else ""
    header = ["", f"trial {best.number}", "new seeds", "n", "difference"]
    return section("confirmation", title, f"<figure>{picture}</figure>", table(header, lines), hint(text), link)


def _importance_section(found: SearchContents) -> str:
    title, importance = "What mattered", found.importance
    if importance is None:
        return section("importance", title, left_out(found.missing.get("importance", "")))
    values = [
        (f"{name.replace('_', ' ')}: {100 * value:.0f}%", 100 * value) for name, value in importance.options.items()
    ]
    x = Axis("importance (%)", 0, max(100 * value for value in importance.options.values()) * 1.05 or 1)
    picture = lengths(x, values, f"Importance of the options: {'; '.join(name for name, _ in values)}")
    said = (
        f"Importance of each option by PED-ANOVA (Optuna), among {counted(importance.trials, 'trial')} at epoch "
        f"{importance.epoch}, the last that all of them reached: how much the values of the best trials differ from "
        "those of all trials. It says nothing about which value is better; see the values below."
    )
    return section("importance", title, f"<figure>{picture}</figure>", hint(said))


def _axis(found: SearchContents, drawn: list[EpochRow]) -> Axis:
    """The axis of the metric, which ends below losses that are too high to show."""
    metric = found.trials.metric
    values = [scaled(metric, row) for row in drawn]
    if not metric.endswith("loss"):
        return axis_of(metric_label(metric), values, most=100.0)
    end = axis_end(values)
    return axis_of(metric_label(metric), [min(value, end) for value in values], most=None if end > 100 else 1.02 * end)


def _courses_section(found: SearchContents) -> str:
    """The metric over epochs, a line for each trial."""
    metric, shown = found.trials.metric, found.trials.ranked()[:_MOST_LINES]
    courses = {trial.number: [row for row in trial.rows if row.failed_step is None] for trial in shown}
    if not shown:
        return section("courses", "Learning curves", hint("No trial has completed an epoch yet."))
    y = _axis(found, [row for own in courses.values() for row in own])
    longest = max(map(len, courses.values()))
    x = Axis("epoch", 1 if longest > 1 else 0, max(longest, 2), whole=True)
    drawn: list[Line | Dots] = []
    ends = []
    for trial in shown[1:]:
        points = [(row.epoch, scaled(metric, row)) for row in courses[trial.number]]
        ends += points[-1:] if trial.status == "stopped" else []
        if len(points) > 1 or trial.status != "stopped":  # a line of one point is a dot, which `ends` has
            drawn.append(Line("train faint", points))
    drawn += [Dots("stopped", ends, "stopped by the scheduler")] if ends else []
    best = courses[shown[0].number]
    drawn.append(Line("val", [(row.epoch, scaled(metric, row)) for row in best], f"trial {shown[0].number}, the best"))
    told = f"{_name(metric)} over epochs of {counted(len(shown), 'trial')}; the best ends at {figure(metric, best[-1])}"
    some = f" The best {_MOST_LINES} trials are drawn." if len(found.trials.ranked()) > _MOST_LINES else ""
    return section("courses", "Learning curves", f"<figure>{chart(x, y, drawn, told)}</figure>",
                   hint(f"A line for each trial.{some}"))  # fmt: skip


def _values_section(found: SearchContents) -> str:
    """A chart for each searched option: its value against the score of each trial's best epoch."""
    metric, figures = found.trials.metric, []
    scored = [(trial, row) for trial in _shown(found) if (row := trial.best(metric)) is not None]
    if not scored:
        return ""
    y = _axis(found, [row for _, row in scored])
    stopped = "stopped by the scheduler" if found.result else "stopped by the scheduler, or not ended yet"
    for axis in found.search.space.axes:
        kinds: dict[str, list[tuple[float, float]]] = {"train": [], "stopped": [], "best": []}
        for number, (trial, row) in enumerate(scored):
            if axis.name in trial.values and (axis.kind != "choice" or trial.values[axis.name] in axis.values):
                kind = "best" if number == 0 else "train" if trial.status == "finished" else "stopped"
                kinds[kind].append((axis.place(trial.values[axis.name]), scaled(metric, row)))
        names = {"train": "trained to the end", "stopped": stopped, "best": "best trial"}
        drawn = [Dots(kind, points, names[kind]) for kind, points in kinds.items() if points]
        best = kinds["best"][0] if kinds["best"] else None
        told = f"{metric_label(metric)} against {axis.name} of {counted(len(scored), 'trial')}"
        told += f"; the best has {space.shown(scored[0][0].values[axis.name])}" if best else ""
        label = f"{axis.name.replace('_', ' ')}{', logarithmic' if axis.kind == 'loguniform' else ''}"
        figures.append(f"<figure>{chart(_places(axis, label), y, drawn, told)}</figure>")
    said = "Each dot is a trial at its best epoch. Stopped trials had fewer epochs, so that their scores are lower."
    return section("values", "Values and scores", f'<div class="pair">{"".join(figures)}</div>',
                   hint(said + _of_all(found)), wide=True)  # fmt: skip


def _places(axis: space.Axis, label: str) -> Axis:
    if axis.kind == "choice":
        return Axis(label, -0.5, len(axis.values) - 0.5, names=[space.shown(value) for value in axis.values])
    if axis.kind == "loguniform":
        return Axis(label, axis.low / 1.1, axis.high * 1.1, log=True)
    margin = 0.04 * (axis.high - axis.low)
    return Axis(label, axis.low - margin, axis.high + margin, whole=axis.whole)


def _trials_section(found: SearchContents) -> str:
    trials, metric = found.trials, found.trials.metric
    ranked = trials.ranked()
    numbers = {trial.number for trial in ranked}
    order = [*ranked, *(trial for trial in trials if trial.number not in numbers)][:_MOST_TRIALS]
    accuracy = [] if metric == "val_accuracy" else ["validation accuracy"]
    named = [name.replace("_", " ") for name in trials.names]
    words = {name.replace("_", " ") for name in trials.names if _wordy(found, name)}
    header = ["trial", *named, "status", "epochs", "best epoch", _name(metric).lower(), *accuracy, "training"]
    lines: list[list[Cell]] = []
    for trial in order:
        row = trial.best(metric) if trial.status != "failed" else None
        lines.append(
            [
                found.trial_cells[trial.number],
                *(space.shown(trial.values[name]) if name in trial.values else "–" for name in trials.names),
                trial.status + (f": {trial.error}" if trial.error else ""),
                str(trial.epoch),
                str(row.epoch) if row else "–",
                figure(metric, row) or "–",
                *([figure("val_accuracy", row) or "–"] if accuracy else []),
                f"{sum(one.train_seconds for one in trial.rows):.1f} s",
            ]
        )
    said = "The best first. Click a column's name to sort. trials.csv has every epoch of every trial."
    if len(trials) > _MOST_TRIALS:
        said += f" {_MOST_TRIALS:,} of {len(trials):,} trials are shown."
    return section("trials", "Trials", table(header, lines, sortable=True, words=(*words, "status")), hint(said),
                   wide=True)  # fmt: skip


def _wordy(found: SearchContents, name: str) -> bool:
    """Whether the values of a searched option are not numbers."""
    axis = next(axis for axis in found.search.space.axes if axis.name == name)
    return axis.kind == "choice" and not all(type(value) in (int, float) for value in axis.values)


def _repeat_section(found: SearchContents) -> str:
    parts = []
    if found.command:
        parts += [command_block(found.command), hint("The search as a whole does not repeat bit-identically if the "
                  "scheduler stops trials: which ones depends on timing.")]  # fmt: skip
    else:
        parts.append(left_out("The data or the network were passed from Python, so no command repeats the search"))
    if found.again:
        parts += [hint("This repeats the best trial, bit-identically:"), command_block(found.again)]
    searched = [(name.replace("_", " "), f"<code>{escaped(text)}</code>") for name, text in
                found.search.space.texts().items()]  # fmt: skip
    parts.append(definitions(searched))
    versions = (found.result or {}).get("versions")
    if isinstance(versions, dict):
        parts.append(hint("Versions: " + ", ".join(f"{name} {number}" for name, number in versions.items())))
    return section("repeat", "Repeating the search", *parts)
