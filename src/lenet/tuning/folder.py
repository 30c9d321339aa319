"""A search's folder: recipes of its trials, the best few's weights, and nothing that grows without bound."""

import os
import shlex
import shutil
from pathlib import Path
from typing import Any

from lenet.config import Config, recipe_values, to_toml
from lenet.files import make_folder, write_whole
from lenet.runs.checkpoint import Checkpoint, read_tensors, save_checkpoint
from lenet.training.finish import versions
from lenet.training.setup import network_for
from lenet.tuning.search import SEARCH_FILE, Search
from lenet.tuning.table import Table, TrialRecord
from lenet.tuning.trial import STATE_MEND, Job, forget_weights, state_path

_BEST = "best:"  # how Training.state names the best weights


class Folder:
    """Where the files of a search lie, beside those of any run (see lenet.runs.run.Run)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.search, self.trials_csv, self.best = path / SEARCH_FILE, path / "trials.csv", path / "best.toml"
        self.recipes, self.states, self.kept = path / "trials", path / "state", path / "keep"
        self.ray = path / "ray"
        self._pruned: set[int] = set()

    @property
    def resume_command(self) -> str:
        """What to type to go on."""
        return f"lenet tune --resume --out {shlex.quote(str(self.path))}"

    def write_recipe(self, number: int, config: Config) -> None:
        """trials/NUMBER.toml, which `lenet train --recipe` runs again."""
        path = self.recipes / f"{number}.toml"
        text = to_toml(vars(config), f"Trial {number} of a search, to the bit: lenet train --recipe {path}")
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            make_folder(self.recipes)
            write_whole(path, text)

    def asked(self, number: int, names: tuple[str, ...]) -> dict[str, Any]:
        """What the searcher asked of a trial, to the last digit, out of its recipe; empty where it has none."""
        path = self.recipes / f"{number}.toml"
        values = recipe_values(path) if path.is_file() else {}
        return {name: values[name] for name in names if name in values}

    def table(self, search: Search) -> Table:
        """The trials as they stand in trials.csv; what a killed search left running waits."""
        table = Table(search.space.names, search.metric, search.config.epochs)
        if self.trials_csv.is_file():
            table.read(self.trials_csv)
        for number in range(search.trials):
            asked = self.asked(number, table.names)
            if asked or number in table.trials:
                table.trial(number).asked = asked or table.trial(number).values
        for trial in table:
            if trial.status == "running" or trial.broken:
                trial.status, trial.error = "waiting", ""
        return table

    def confirmation(self, number: int, seeds: int) -> Path:
        """Where a winner is trained again: another winner, or more seeds, is another run."""
        return self.path / "confirm" / f"trial-{number}-x{seeds}"

    def write_best(self, trial: TrialRecord, config: Config, search: Search, seen: str) -> None:
        """best.toml: the winner's recipe."""
        comment = (
            f"lenet train --recipe {self.best}\n"
            f"Trial {trial.number}, the best of {search.trials} by {search.metric}: {seen} in the search, which is one "
            "seed's, and chosen for being the highest."
        )
        write_whole(self.best, to_toml(vars(config), comment))

    def prune(self, table: Table, keep: int) -> None:
        """Leave the weights of running trials and of the `keep` best alone; of the others their figures stay."""
        kept = {trial.number for trial in table.ranked()[:keep]}
        for trial in table:
            path = state_path(self.states, trial.number)
            if trial.over and trial.number not in kept | self._pruned and path.is_file():
                forget_weights(path)
                self._pruned.add(trial.number)

    def write_kept(self, table: Table, job: Job, keep: int) -> list[int]:
        """keep/NUMBER: a folder that `lenet predict` and `lenet eval` take, for each of the best trials.

        Returns their numbers; a trial whose state another machine kept to itself is missing from them.
        """
        done = []
        for trial in table.ranked()[:keep]:
            path, best = state_path(self.states, trial.number), trial.best("val_accuracy")
            state = read_tensors(path, mend=STATE_MEND) if path.is_file() else {}
            weights = {name.removeprefix(_BEST): tensor for name, tensor in state.items() if name.startswith(_BEST)}
            if not weights or best is None:
                continue
            config, images = job.config_of(trial.number, trial.asked), job.images_of(trial.asked)
            model = network_for(config, images.dataset, statistics=images.statistics)
            model.load_state_dict(weights)
            height, width, channels = images.dataset.images.shape[1:]
            checkpoint = Checkpoint(
                networks=[model],
                classes=images.dataset.classes,
                input_shape=(height, width, channels),
                fit=config.fit,
                seeds=[config.seed],
                val_accuracy=[best.val_accuracy],
                config=vars(config),
                versions=versions(),
            )
            folder = self.kept / str(trial.number)
            make_folder(folder)
            write_whole(folder / "config.toml", to_toml(vars(config)))
            save_checkpoint(folder / "model", checkpoint)
            done.append(trial.number)
        for folder in self.kept.iterdir() if self.kept.is_dir() else ():
            if folder.name.isdigit() and int(folder.name) not in done:
                shutil.rmtree(folder)  # better trials have come since
        return done

    def size(self) -> int:
        """Bytes that all of it takes."""
        return sum((Path(where) / name).stat().st_size for where, _, names in os.walk(self.path) for name in names)
