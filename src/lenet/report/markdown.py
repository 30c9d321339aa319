"""Finished runs as a Markdown table, such as README's results."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lenet.config.options import SHAPING
from lenet.errors import counted
from lenet.report.comparison import run_notes
from lenet.report.text import clock, epochs_chosen, plus_minus
from lenet.runs.run import Run

# Options that do not change the run, and their number of arguments.
_PLACES = {"--out": 1, "--data-dir": 1, "--overwrite": 0, "--report": 0, "--track": 1}


def markdown_table(runs: Mapping[str, Run], commands: Mapping[str, str]) -> str:
    """A row for each run: its command, network and figures; then what the figures are.

    commands: what repeats each run, by name
    """
    rows = ["| command | network | parameters | validation | test accuracy | time |", "|" + " --- |" * 6]
    for name, run in runs.items():
        figures = run.finished_result()
        cells = (
            f"`{commands[name]}`", network_of(figures), f"{figures['parameters']:,}",
            _per_cent(figures["val_accuracy"]), _with_count(figures["test_accuracy"]),
            clock(figures["seconds"]["total"]),
        )  # fmt: skip
        rows.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*rows, "", *_legend(runs)])


def repeating(command: str, run: Run) -> str:
    """The command that repeats the run, without the options that say where files are.

    A resumed run knows only the command that resumed it; its config.toml repeats it.
    """
    return (as_given(command) if command else "") or shlex.join(
        ["lenet", "train", "--recipe", str(run.path / "config.toml")]
    )


def as_given(command: str) -> str:
    """The command without the options that say where files are; empty if it resumed something."""
    words, kept, skip = shlex.split(command), list[str](), 0
    if "--resume" in words:
        return ""
    for word in words:
        name, given, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in _PLACES:
            skip = 0 if given else _PLACES[name]
        else:
            kept.append(word)
    return shlex.join(kept)


def network_of(figures: Mapping[str, Any]) -> str:
    """The network's name, then what the run set of its shape, and its number of epochs."""
    config, model = figures["config"], figures.get("model") or figures["config"].get("model")
    shape = [f"{name.replace('_', ' ')} {_said(config[name])}" for name in SHAPING if config.get(name) is not None]
    return ", ".join([str(model), *shape, counted(figures["epochs"], "epoch")])


def _said(value: Any) -> str:
    return (" ".join(map(str, value)) or "none") if isinstance(value, list | tuple) else str(value)


def _with_count(figure: Mapping[str, Any]) -> str:
    return f"{_per_cent(figure)} (n = {len(figure['each'])})"


def _per_cent(figure: Mapping[str, Any]) -> str:
    return plus_minus(figure, scale=100, unit="%")


def _legend(runs: Mapping[str, Run]) -> Sequence[str]:
    networks = sum(len(run.finished_result()["test_accuracy"]["each"]) for run in runs.values())
    configs = [run.finished_result()["config"] for run in runs.values()]
    return [
        f"Mean ± sample standard deviation over n seeds. {epochs_chosen(configs)}. These runs evaluated "
        f"the test set {counted(networks, 'time')}: once for each network. Time excludes the PyTorch import.",
        *run_notes({name: run.finished_result() for name, run in runs.items()}),
    ]
