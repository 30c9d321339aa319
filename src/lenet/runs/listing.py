"""What is known of the runs in a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

State = Literal["finished", "interrupted", "running", "diverged", "failed"]
Order = Literal["date", "name", "val", "test", "time"]


@dataclass(frozen=True)
class Listed:
    """One run, or one search.

    path: its folder; state: "interrupted": it can be resumed; "running": a lenet process is working in it now;
        "diverged": the loss of all its networks stopped being finite; "failed": all trials of the search failed
    epochs: of its settings; done: of the network that has trained the fewest; seeds: number of networks
    val_accuracy, test_accuracy: {mean, sd, n, each}, fractions; None if unknown. Those of a search are of its
        confirmation; an unfinished run has the validation accuracies of its best epochs so far
    date: local time of the result or, without one, of the last epoch; seconds: wall time of all sessions
    resume: the command that resumes it, empty if it is finished, has diverged or failed
    """

    path: Path
    kind: Literal["run", "search"]
    state: State
    data: str
    model: str
    epochs: int
    done: int
    seeds: int
    val_accuracy: Mapping[str, Any] | None
    test_accuracy: Mapping[str, Any] | None
    date: datetime
    seconds: float
    resume: str = ""


@dataclass(frozen=True)
class Listing:
    """The runs in a folder, in the order asked for.

    runs: each run's path, state, data, model, accuracies and date; see `lenet.runs.listing.Listed`
    damaged: by name of the folder, why it cannot be read
    groups: folders that contain runs of their own, such as a study's, and how many
    left_out: number of runs that were not asked for
    """

    folder: Path
    runs: list[Listed] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    left_out: int = 0
