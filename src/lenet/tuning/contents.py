"""What the report of a search shows, gathered from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from lenet.report.markdown import as_given
from lenet.report.markup import Cell, link_to
from lenet.report.page import REPORT
from lenet.runs.kinds import SEARCH_FILE, how_to_resume, state_of
from lenet.runs.run import Run
from lenet.tuning.folder import confirmation_of, how_to_search, how_to_train, read_trials
from lenet.tuning.search import Search, read_search
from lenet.tuning.trials import Trials


@dataclass(frozen=True)
class Importance:
    """How much each option mattered, 0 to 1 by option, among `trials` trials at `epoch`, which all of them reached."""

    epoch: int
    trials: int
    options: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class SearchContents:
    """What is shown of a search. What is None or empty is left out, for the reason in `missing`.

    path: the search's folder, as the user gave it; result: result.json, None if the search is not finished
    command: repeats the search; again: repeats its best trial; resume: resumes it. Empty if unknown or impossible
    trial_cells: the number of each trial, linked to the report of its weights; confirmed: the path of the confirmation,
        linked to its report
    missing: by part ("importance", "confirmation") the reason, a sentence
    """

    path: str
    search: Search
    trials: Trials
    state: Literal["finished", "interrupted", "running", "failed"]
    result: Mapping[str, Any] | None
    importance: Importance | None
    command: str
    again: str
    resume: str
    trial_cells: Mapping[int, Cell]
    confirmed: Cell = ""
    missing: dict[str, str] = field(default_factory=dict)


def search_contents(folder: Path, page: Path) -> SearchContents:
    """What the report of this search shows, finished or not. page: the report's file, from which links start.

    Raises InputError if search.toml, trials.csv, a trial's recipe or result.json is damaged.
    """
    search = read_search(folder / SEARCH_FILE)
    assert search is not None  # otherwise it is no search
    result, trials = Run(folder).result, read_trials(folder, search)
    state: Literal["finished", "interrupted", "running", "failed"] = "finished"
    if result is None:
        state = "failed" if trials.all_failed(search.trials) else state_of(folder)
    missing: dict[str, str] = {}
    ranked = trials.ranked()
    best = ranked[0] if ranked else None
    if state == "failed":
        missing["confirmation"] = "All trials failed: there is nothing to confirm."
    elif result is None:
        over = sum(trial.over for trial in trials)
        missing["confirmation"] = f"The search is not finished: {over} of {search.trials} trials have ended."
    elif not result["members"]:
        missing["confirmation"] = "The search was told to confirm nothing, with --confirm 0."
    again = folder / "trials" / f"{best.number}.toml" if best else None
    confirmed = confirmation_of(folder, best.number, result) if result and best else None
    return SearchContents(
        path=str(folder),
        search=search,
        trials=trials,
        state=state,
        result=result,
        importance=_importance(trials, search, missing),
        command=command_of(result, search),
        again=how_to_train(again, search.config) if again and again.is_file() else "",
        resume="" if state in ("finished", "failed") else how_to_resume(folder, "tune"),
        trial_cells={
            trial.number: link_to(str(trial.number), folder / "keep" / str(trial.number) / REPORT, page)
            for trial in trials
        },
        confirmed=link_to(str(confirmed), confirmed / REPORT, page) if confirmed and confirmed.is_dir() else "",
        missing=missing,
    )


def _importance(trials: Trials, search: Search, missing: dict[str, str]) -> Importance | None:
    if find_spec("optuna") is None:
        missing["importance"] = 'Optuna computes it and is not installed: pip install "lenet[tune]".'
        return None
    from lenet.tuning.plots import LEAST, importances

    complete = Trials(trials.names, trials.metric, trials.epochs)
    for trial in trials:
        if all(name in trial.values for name in trials.names):
            complete.by_number[trial.number] = trial
    try:
        epoch, count, options = importances(complete, search.space)
    except (ValueError, RuntimeError) as error:  # a value outside of the space, which another program wrote
        missing["importance"] = f"Optuna cannot compute it: {error}."
        return None
    if not options:
        few = f"there are {count}" if count < LEAST else "all have the same"
        missing["importance"] = f"It takes at least {LEAST} trials with different scores; {few}."
        return None
    return Importance(epoch, count, options)


def command_of(result: Mapping[str, Any] | None, search: Search) -> str:
    """The command that was given, or, if that resumed the search or is unknown, one with all settings.

    Empty if that is impossible: the data or the network were passed from Python.
    """
    try:
        given = as_given(str((result or {}).get("command") or ""))
    except ValueError:  # not quoted as a shell has it
        given = ""
    return given if given.startswith(("lenet tune", "python ")) else how_to_search(search)
