"""What a report shows of a run, gathered from its folder and, where they are found, its images."""

import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.config import Config, checked, names_in
from lenet.data import Dataset
from lenet.data.catalog import SETS
from lenet.data.source import MEMORY, Source
from lenet.errors import InputError
from lenet.evaluation.calibration import Calibration, reliability
from lenet.evaluation.evaluation import Predicted
from lenet.evaluation.scores import predicted_scores, probabilities
from lenet.exports.network import Exported, read_network
from lenet.exports.page import Check, page_checks
from lenet.exports.proof import made_up
from lenet.files import MOST_TEXT, read_json, read_regular
from lenet.report.contents import Contents, Mistakes
from lenet.report.data_card import data_card_of
from lenet.report.markdown import repeating
from lenet.runs.checkpoint import Checkpoint
from lenet.runs.metrics import EpochRow, lacks_epochs
from lenet.runs.run import Run
from lenet.runs.trained import as_trained, logits_of, own_config

_SAMPLES = 18  # check images of the live network
_MOST_PARAMETERS = 400_000  # of a network that a report contains, 1.6 MB


def contents_of(
    run: Run, memory: Source | None = None, data: str | None = None, data_dir: str | Path | None = None
) -> Contents:
    """What a report shows of a finished run, or of a trial that a search kept.

    memory, data: the run's images, if they are not where the run found them

    Raises InputError if the run is not finished, result.json is damaged, or memory or data are not the run's images.
    Whatever else is missing or damaged is left out, with the reason.
    """
    return _Gathering(run, memory, data, data_dir).contents()


@dataclass
class _Gathering:
    run: Run
    memory: Source | None
    data: str | None
    data_dir: str | Path | None
    missing: dict[str, str] = field(default_factory=dict)

    def contents(self) -> Contents:
        run = self.run
        result, checkpoint = run.result, self.checkpoint()
        if result is None and (checkpoint is None or not run.is_kept_trial):
            run.finished_result()  # raises
        config = own_config(run, checkpoint, self.data_dir)
        dataset = self.dataset(config)
        classes = self.classes(checkpoint, config, dataset)
        best = checkpoint.best if checkpoint else (result or {}).get("best_network") or 0
        val_accuracy = result["val_accuracy"]["each"] if result else checkpoint.val_accuracy if checkpoint else []
        seeds = checkpoint.seeds if checkpoint else _seeds(result or {}, config, len(val_accuracy))
        split: Literal["test", "val"] = "test" if result and result["test_accuracy"] else "val"
        logits = self.logits(checkpoint, config, dataset, split)
        predictions, labels, indices = self.predictions(split, len(classes), logits, dataset, best)
        shown = dataset if dataset and (split == "val" or np.array_equal(dataset.test, indices)) else None
        own = logits if shown is not None and logits is not None and len(logits) == len(labels) else None
        temperature = checkpoint.temperature[best] if checkpoint else 1.0
        network, checks = self.live(checkpoint, best, shown)
        rows = self.rows()
        versions = (result or {}).get("versions") or (checkpoint.versions if checkpoint else {})
        options = result["config"] if result else vars(config)
        return Contents(
            path=str(run.path),
            model=config.model,
            parameters=(result or {}).get("parameters"),
            classes=classes,
            input_shape=checkpoint.input_shape if checkpoint else None,
            fit=checkpoint.fit if checkpoint else config.fit,
            seeds=seeds,
            best=best,
            val_accuracy=val_accuracy,
            split=split,
            scores=[predicted_scores(each, labels, classes) for each in predictions],
            data=data_card_of(run, config, dataset, result or {}),
            command=self.command(result or {}),
            config=self.config_text(),
            options=options,
            versions=versions if isinstance(versions, dict) else {},
            rejects_unlike=checkpoint is not None and checkpoint.likeness[best] is not None,
            result=result,
            rows=rows,
            mistakes=self.mistakes(predictions, best, labels, indices, shown, own, temperature),
            calibration=self.calibration(own, labels, temperature),
            filters=self.filters(checkpoint, best),
            network=network,
            checks=checks,
            missing=self.missing,
        )

    def checkpoint(self) -> Checkpoint | None:
        try:
            return self.run.checkpoint()
        except InputError as error:
            for part in ("live", "filters", "calibration"):
                self.missing[part] = f"The network's weights cannot be read: {error}."
            return None

    def dataset(self, config: Config) -> Dataset | None:
        """The run's images, with its split."""
        if self.data is not None or self.memory:
            config = replace(config, **checked({"data": MEMORY if self.memory else self.data}))
        try:
            return as_trained(self.run, config, self.memory, download=False)
        except (InputError, OSError) as error:
            if isinstance(error, InputError) and (self.data is not None or self.memory):
                raise
            for part in ("mistakes", "calibration", "copies"):
                self.missing.setdefault(part, f"The run's images were not found: {error}.")
            return None

    def classes(self, checkpoint: Checkpoint | None, config: Config, dataset: Dataset | None) -> tuple[str, ...]:
        """The names of the classes; numbers if nothing has them."""
        for known in (checkpoint, dataset):
            if known:
                return known.classes
        try:
            kept = read_json(self.run.path / "model.json", "restore it")["classes"]
            if isinstance(kept, list) and kept and all(isinstance(name, str) for name in kept):
                return tuple(kept)
        except (InputError, KeyError, TypeError):
            pass
        if config.data in SETS and not names_in(config.classes):
            return SETS[config.data].classes
        kept_predictions = self.run.predictions()
        count = 1 + max(int(kept_predictions["predictions"].max()), int(kept_predictions["labels"].max()))
        return tuple(map(str, range(count)))

    def logits(
        self, checkpoint: Checkpoint | None, config: Config, dataset: Dataset | None, split: str
    ) -> NDArray[np.float32] | None:
        """float32 [images, classes] of the best network on the images that are evaluated."""
        if checkpoint is None or dataset is None:
            return None
        own = dataset.for_network(checkpoint.seeds[checkpoint.best] - config.seed) if dataset.folds else dataset
        try:
            return logits_of(checkpoint, checkpoint.best, dataset.images, own.test if split == "test" else own.val)
        except InputError as error:  # its weights overflow
            for part in ("live", "calibration"):
                self.missing[part] = f"The network cannot be evaluated: {error}."
            return None

    def predictions(
        self, split: str, classes: int, logits: NDArray[np.float32] | None, dataset: Dataset | None, best: int
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.int64], NDArray[np.int64]]:
        """The classes that each network predicted, the labels and the images' indices, [N] each; all empty if unknown.

        Without the file of predictions, those of the best network alone.
        """
        reason = ""
        if split == "test":
            try:
                kept = self.run.predictions()
                highest = max(int(kept[name].max()) for name in ("predictions", "labels"))
                if highest < classes and best < len(kept["predictions"]):
                    return list(kept["predictions"]), kept["labels"], kept["indices"]
                reason = "The predictions of the run do not fit its classes."
            except InputError as error:
                reason = f"The predictions on the test images cannot be read: {error}."
        if logits is not None and dataset is not None:
            indices = dataset.test if split == "test" else dataset.val
            return [logits.argmax(axis=1)] * (1 if len(logits) else 0), dataset.labels[indices], indices
        reason = reason or self.missing.get("mistakes", "")
        self.missing |= {"scores": reason, "mistakes": reason}
        return [], np.empty(0, np.int64), np.empty(0, np.int64)

    def mistakes(
        self, predictions: list[NDArray[np.int64]], best: int, labels: NDArray[np.int64], indices: NDArray[np.int64],
        dataset: Dataset | None, logits: NDArray[np.float32] | None, temperature: float,
    ) -> Mistakes | None:  # fmt: skip
        """The wrong predictions of the best network, the most confident first."""
        if dataset is None or not predictions:
            self.missing.setdefault("mistakes", "The images that the run was tested on are not those of its split.")
            return None
        predicted = predictions[best if best < len(predictions) else 0]
        confidence = np.full(len(labels), np.nan)
        if logits is not None:
            confidence = probabilities(logits / temperature)[np.arange(len(labels)), predicted]
        found = Predicted(indices, labels, predicted, confidence)
        wrong = found.errors()
        chosen = Predicted(indices[wrong], labels[wrong], predicted[wrong], confidence[wrong])
        images = [dataset.images[index] for index in chosen.indices.tolist()]
        names = [dataset.caption_of(index) for index in chosen.indices.tolist()]
        return Mistakes(chosen, images, names)

    def calibration(
        self, logits: NDArray[np.float32] | None, labels: NDArray[np.int64], temperature: float
    ) -> Calibration | None:
        if logits is None or not len(labels):
            return None
        return Calibration(temperature, reliability(logits, labels), reliability(logits / temperature, labels))

    def filters(self, checkpoint: Checkpoint | None, best: int) -> NDArray[np.float32] | None:
        """float32 [count, height, width, channels] of the first layer with weights, if that is a convolution."""
        if checkpoint is None:
            return None
        layers = checkpoint.networks[best].modules()
        first = next((layer for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)), None)
        if not isinstance(first, nn.Conv2d) or first.weight.shape[1] not in (1, 3) or max(first.kernel_size) < 2:
            self.missing["filters"] = "The network does not begin with a convolution of the image."
            return None
        found: NDArray[np.float32] = first.weight.detach().cpu().numpy().transpose(0, 2, 3, 1)
        return found

    def live(
        self, checkpoint: Checkpoint | None, best: int, dataset: Dataset | None
    ) -> tuple[Exported | None, list[Check]]:
        """The best network as the page runs it, and its check images."""
        if checkpoint is None or "live" in self.missing:
            return None, []
        network = checkpoint.networks[best]
        count = sum(parameter.numel() for parameter in network.parameters())
        if count > _MOST_PARAMETERS:
            self.missing["live"] = (
                f"The network has {count:,} parameters; a report contains networks of up to {_MOST_PARAMETERS:,}. "
                f"'lenet export {shlex.quote(str(self.run.path))} net.html' writes it as a page of its own."
            )
            return None, []
        try:
            described = read_network(self.run, checkpoint, best)
        except InputError as error:
            self.missing["live"] = f"The network cannot run in a page: {error}."
            return None, []
        images = made_up(described)[:_SAMPLES]
        if dataset is not None and len(indices := dataset.test if len(dataset.test) else dataset.val):
            images = dataset.images[indices[np.linspace(0, len(indices) - 1, min(len(indices), _SAMPLES)).astype(int)]]
        return described, page_checks(described, network, images)

    def rows(self) -> list[EpochRow]:
        """metrics.csv."""
        if self.run.is_kept_trial:
            self.missing["curves"] = (
                "A search does not keep the epochs of its trials here; its trials.csv has the last."
            )
            return []
        try:
            rows = self.run.rows()
        except InputError as error:
            self.missing["curves"] = f"The figures of the epochs cannot be read: {error}."
            return []
        if self.run.result is not None and lacks_epochs(rows):
            self.missing["curves"] = f"{self.run.path}/metrics.csv lacks epochs: restore it."
            return []
        return rows

    def command(self, result: dict[str, object]) -> str:
        """The command that repeats the run; empty if it is unknown."""
        try:
            return repeating(str(result["command"]), self.run)
        except (KeyError, ValueError):  # not quoted as a shell has it
            return ""

    def config_text(self) -> str:
        try:
            return read_regular(self.run.path / "config.toml", MOST_TEXT).decode()
        except (OSError, ValueError, InputError):
            return ""


def _seeds(result: dict[str, Any], config: Config, networks: int) -> list[int]:
    """The seeds of the `networks` that did not diverge."""
    failed = result.get("failed") or []
    return [seed for seed in range(config.seed, config.seed + networks + len(failed)) if seed not in failed][:networks]
