"""Tune: a search over the options of a training, its winner trained again over fresh seeds.

Heavy imports wait inside: on a fresh search PyTorch and Ray Tune load while Ray's own processes start.
"""

import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lenet.config import checked
from lenet.data import load_dataset
from lenet.data.dataset import Dataset
from lenet.data.identity import check_images, differing_images
from lenet.data.statistics import pixel_statistics
from lenet.errors import InputError, naming
from lenet.files import write_whole
from lenet.report.console import PlainConsole
from lenet.tuning.search import SEARCH_FILE, STUDY, Search, read_search, resumed_search, values_under, wanted_search
from lenet.tuning.session import Machine, check_ray, ray_session, workers_here

if TYPE_CHECKING:
    from ray.tune import ResultGrid

    from lenet.runs.run import Run
    from lenet.tuning.table import TrialRecord
    from lenet.tuning.trial import Images, Job

_WRITE_SECONDS = 1.0  # between two versions of trials.csv; the trials' own states have what it lacks


@dataclass(frozen=True)
class Tuned:
    """A finished search, as plain data.

    trials: one a trial: number, status, values, seed, rows (a dict an epoch), error
    best: the winner's entry of `trials`; result: result.json
    confirmed: the run of the winner over fresh seeds; None where none was asked for
    result_grid: Ray's own results of the trials that were run now, those added last; None where none were
    """

    path: Path
    trials: list[dict[str, Any]]
    best: dict[str, Any]
    result: dict[str, Any]
    confirmed: "Run | None"
    result_grid: "ResultGrid | None"


def tune(
    data: str | None = None,
    *,
    space: Mapping[str, Any] | Iterable[str] | str | None = None,
    trials: int | None = None,
    metric: str | None = None,
    scheduler: str | None = None,
    search: str | None = None,
    recipe: str | Path | None = None,
    confirm: int | None = None,
    keep: int | None = None,
    workers: int | None = None,
    gpus_per_trial: float = 0,
    address: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
    **options: Any,
) -> Tuned:
    """Search over options of a training, train the winner again over fresh seeds, and return all figures.

    data: as lenet.train takes it; without it CIFAR-10, or the embedded digits where that cannot be had
    space: option -> "choice(4, 8)", "uniform(0.2, 0.5, 0.05)" or "loguniform(1e-4, 1e-2)"; or texts "lr=...", or
        the paths of TOML files
    trials: how many (10); with `resume` how many in all
    metric: val_accuracy (the default), val_loss, train_accuracy or train_loss; scheduler: asha or none
    search: random, tpe or grid; recipe: what is not searched ("none": lenet's defaults; without it the study's)
    confirm: over how many fresh seeds the winner is trained again; keep: how many trials' weights stay
    workers: trials side by side, by default one a core; gpus_per_trial: a share of a GPU for each, as 0.25
    address: a running Ray cluster, "auto" or "HOST:PORT"; without it Ray is started, and ended again
    options: every field of `lenet.config.Config`; epochs is the most a trial gets (10), seed the search's

    Raises InputError (a ValueError) for whatever in these cannot work, Interrupted (a KeyboardInterrupt) on Ctrl-C.
    """
    started = time.perf_counter()
    check_ray()
    given = checked({name: value for name, value in ({"data": data} | options).items() if value is not None}, "")
    asked = {"metric": metric, "scheduler": scheduler, "searcher": search, "confirm": confirm, "keep": keep}
    asked = {name: value for name, value in asked.items() if value is not None}
    machine = Machine(workers, gpus_per_trial, address).check()
    values, named = values_under(recipe), recipe or STUDY
    with naming(named, values, given):
        wanted = wanted_search(given, recipe, space, trials, asked, machine.gpus)
    fresh = not resume and (out is None or not Path(out).exists())
    with ExitStack() as session:
        session.enter_context(naming(named, values, given))
        tuning = _Tuning(wanted, machine, console or PlainConsole(), session, started)
        if fresh:
            tuning.load_images(or_digits=data is None)
            tuning.start_ray()
        from lenet.runs.run import open_run

        run = open_run(out, resume=resume, overwrite=overwrite, marker=SEARCH_FILE)
        try:
            saved = read_search(run.path / SEARCH_FILE)
            if saved is not None:
                again = resumed_search(run.path, saved, wanted, given=given, asked=asked, recipe=recipe, space=space)
                tuning.search = again.extended(trials)
                if run.result is not None and tuning.search == saved:
                    return tuning.again(run)
            elif resume:
                tuning.say(f"note    nothing to resume in {run.path}: starting a new search")
            if not fresh:
                tuning.load_images(or_digits=data is None and saved is None)
            first = next(iter(tuning.datasets.values()))
            if saved is not None:
                check_images(first, saved.config.data_sha256, f"{run.path} was started with")
            check_images(tuning.images, given.get("data_sha256"), "of data_sha256")
            differing = differing_images(tuning.images, named, values, given)
            return tuning.go(run, saved, differing)
        finally:
            if run.path.is_dir() and not any(run.path.iterdir()):
                run.path.rmdir()  # nothing came of it


class _Tuning:
    """One call of `tune`: what its steps share."""

    def __init__(self, search: Search, machine: Machine, console: Console, session: ExitStack, started: float) -> None:
        self.search, self.machine, self.console, self.session, self.started = search, machine, console, session, started
        self.images: Dataset  # by the search's own settings, and by those that are searched
        self.datasets: dict[tuple[Any, ...], Dataset] = {}
        self.note = ""
        self.ray: Any = None
        self.cores = 0
        self.grid: ResultGrid | None = None
        self.clocks = {"start": 0.0, "search": 0.0}
        self._written = 0.0

    def load_images(self, *, or_digits: bool) -> None:
        """Every version of the images that the space asks for."""
        search = self.search
        dataset = load_dataset(search.config, or_digits=or_digits)
        self.note = dataset.substitute
        config = search.config
        self.images = dataset
        if dataset.files is not None:
            config = replace(config, data=dataset.source)
        elif dataset.name != config.data:  # digits, for want of others: as large as those were to be
            size, channels = dataset.images.shape[2:]
            config = replace(config, data=dataset.name, size=size, channels=channels)
        self.search = replace(search, config=config)
        for options in search.space.image_options():
            version = load_dataset(replace(config, **options)) if options else dataset
            self.datasets[tuple(options.values())] = version

    def start_ray(self) -> None:
        """Ray, and beside its start the imports that take as long."""
        if self.ray is not None:
            return
        size = sum(dataset.images.nbytes for dataset in self.datasets.values())
        machine = self.machine
        workers = machine.workers or 0 if machine.address else workers_here(machine.workers, size)
        loading = threading.Thread(target=import_module, args=("lenet.tuning.tuner",), daemon=True)
        loading.start()
        self.ray = self.session.enter_context(ray_session(machine.address, workers, size, machine.gpus))
        loading.join()
        resources = self.ray.cluster_resources()
        if resources.get("GPU", 0) < machine.gpus:
            raise InputError(f"--gpus-per-trial {machine.gpus:g}: Ray finds {resources.get('GPU', 0):g} GPUs here")
        self.cores = workers or int(resources.get("CPU", 1))

    def again(self, run: "Run") -> Tuned:
        """A finished search, said again."""
        from lenet.tuning.folder import Folder
        from lenet.tuning.report import say_result

        self.run, self.folder = run, Folder(run.path)
        self.table = self.folder.table(self.search)
        say_result(run, run.result or {}, self.console)
        return self._tuned()

    def say(self, line: str) -> None:
        """Print a line that is not wrapped."""
        self.console.print(line, soft_wrap=True)

    def go(self, run: "Run", saved: Search | None, differing: str) -> Tuned:
        """The search, the files it leaves, the confirmation, the result.

        differing: what to say where the images are others than its recipe's
        """
        from lenet.training.setup import resolved
        from lenet.tuning.folder import Folder
        from lenet.tuning.report import say_opening, search_facts, winner_of
        from lenet.tuning.trial import Images

        self.run, self.folder = run, Folder(run.path)
        first = next(iter(self.datasets.values()))
        self.search = replace(self.search, config=resolved(self.search.config, first))
        if saved != self.search:
            (run.path / "result.json").unlink(missing_ok=True)  # it is there when all the others are
            write_whole(self.folder.search, self.search.text())
        if () in self.datasets:
            self.datasets[()] = run.kept_split(first)
        images = {
            key: Images(dataset, pixel_statistics(dataset.images, dataset.train))
            for key, dataset in self.datasets.items()
        }
        self.table = self.folder.table(self.search)
        earlier = sum(self.table.seconds())
        say_opening(run, self.search, next(iter(images.values())), self.note, self.console)
        if differing:
            self.say(differing)
        try:
            self._run_parts(images)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        finally:
            if self.table.trials:
                self._write()
            self.session.close()  # the cores are the confirmation's now
        winner = winner_of(self.table)
        facts = search_facts(self.search, self.table, winner, self.clocks, self.cores, earlier)
        return self._finish(self._job(images, 0), winner, facts)

    def _interrupted(self) -> KeyboardInterrupt:
        from lenet.commands.train import Interrupted

        over = sum(trial.over for trial in self.table)
        where = f"stopped after {over} of {self.search.trials} trials"
        return Interrupted(f"{where}; go on with: {self.folder.resume_command}")

    def _job(self, images: "dict[tuple[Any, ...], Images]", first: int) -> "Job":
        from lenet.tuning.trial import Job

        search, states = self.search, self.folder.states.absolute()
        return Job(search.config, search.space, images, search.config.seed, first, states, search.metric, search.sign)

    def _run_parts(self, images: "dict[tuple[Any, ...], Images]") -> None:
        """All parts of the search that are not over, by Ray."""
        begins = [sum(self.search.parts[:number]) for number in range(len(self.search.parts))]
        left = [
            (first, count)
            for first, count in zip(begins, self.search.parts, strict=True)
            if not all(self.table.trial(number).over for number in range(first, first + count))
        ]
        if not left:
            return
        self.start_ray()
        from lenet.tuning.display import TrialsView
        from lenet.tuning.tuner import run_part

        with TrialsView(self.table, self.search.trials, self.console) as view:
            for first, count in left:
                job = self._job(images, first)

                def changed(trial: "TrialRecord | None", job: "Job" = job) -> None:
                    self._tick()
                    if trial is not None:
                        self.folder.write_recipe(trial.number, job.config_of(trial.number, trial.asked))
                        if trial.over:
                            self.folder.prune(self.table, self.search.keep)
                    if time.perf_counter() - self._written > _WRITE_SECONDS:
                        self._write()
                    view.update()

                self.grid = run_part(
                    self.search, job, count=count, table=self.table, folder=self.folder.ray / str(first),
                    workers=self.cores, gpus=self.machine.gpus, changed=changed,
                )  # fmt: skip

    def _tick(self) -> None:
        passed = time.perf_counter() - self.started
        if not self.clocks["start"] and self.table.began:
            self.clocks["start"] = max(0.0, passed - (time.time() - self.table.began))
        self.clocks["search"] = passed - self.clocks["start"]

    def _write(self) -> None:
        self.run.check_not_deleted(SEARCH_FILE)  # trials and Ray would make the folder again, in part
        self.table.write(self.folder.trials_csv)
        self._written = time.perf_counter()

    def _finish(self, job: "Job", winner: "TrialRecord", facts: dict[str, Any]) -> Tuned:
        """The winner's recipe, the pictures, the confirmation, and result.json last of all."""
        from lenet.commands.train import train
        from lenet.tuning.plots import draw_search
        from lenet.tuning.report import fresh_seed, result_of, say_result, seen_figure

        search, folder = self.search, self.folder
        kept = folder.write_kept(self.table, job, search.keep)
        folder.prune(self.table, search.keep)
        config = job.config_of(winner.number, winner.asked)
        folder.write_best(winner, config, search, seen_figure(search, winner))
        draw_search(self.table, search.space, self.run.plots)
        confirmed: dict[str, Any] = {}
        if search.confirm:
            self.console.print(f"\nconfirm trial {winner.number}'s values over {search.confirm} fresh seeds")
            seed = fresh_seed(search, search.confirm)
            again = folder.confirmation(winner.number, search.confirm)
            # By its hash, since the images may have changed while the trials ran.
            run = train(recipe=folder.best, out=again, resume=again.exists(), data_sha256=config.data_sha256, seed=seed,
                        seeds=search.confirm, threads=None, verbose=True)  # fmt: skip
            confirmed = dict(run.result or {})
        facts |= {"kept": kept, "disk_bytes": folder.size()}
        facts["seconds"]["confirm"] = confirmed.get("seconds", {}).get("total", 0.0)
        total = time.perf_counter() - self.started
        self.run.check_not_deleted(SEARCH_FILE)
        self.run.write_result(result_of(search, self.table, job, winner, facts, confirmed, total))
        say_result(self.run, self.run.result or {}, self.console)
        if self.note:
            self.console.print(self.note, soft_wrap=True)
        return self._tuned()

    def _tuned(self) -> Tuned:
        from lenet.runs.run import Run

        result = self.run.result or {}
        trials = [asdict(trial) for trial in self.table]
        best = next(trial for trial in trials if trial["number"] == result["search"]["best"]["trial"])
        confirmed = Run(self.folder.confirmation(best["number"], result["members"])) if result["members"] else None
        return Tuned(self.run.path, trials, best, result, confirmed, self.grid)
