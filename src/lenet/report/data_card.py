"""Where a run's images come from, and what is known of them."""

from collections.abc import Mapping

import numpy as np

from lenet.config import Config
from lenet.data import Dataset
from lenet.data.catalog import SETS
from lenet.data.copies import image_facts, summary
from lenet.data.source import MEMORY
from lenet.errors import InputError
from lenet.report.contents import DataCard
from lenet.runs.run import Run

_MOST_COMPARED = 200_000  # images that are searched for copies


def data_card_of(run: Run, config: Config, dataset: Dataset | None, result: Mapping[str, object]) -> DataCard:
    """What is known of the run's images.

    dataset: None if the images were not found; result: the run's result.json, empty if there is none
    """
    name = dataset.name if dataset else str(result.get("data") or config.data)
    # A folder of the user's own may have the name of a published dataset.
    published = SETS.get(name if config.data == "auto" else config.data)
    per_class, copies = None, ""
    if dataset:
        per_class = np.bincount(dataset.labels[dataset.train], minlength=len(dataset.classes))
        if dataset.facts or len(dataset.images) <= _MOST_COMPARED:
            facts = dataset.facts or image_facts(dataset.images)
            parts = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
            found = summary(facts, dataset.labels, dataset.classes, parts)
            copies = "; ".join(found) or "no exact copies and no near-constant images"
    own = "passed from Python" if config.data == MEMORY else config.data
    return DataCard(
        name=name,
        source=("comes with lenet" if not published.layouts else "published dataset") if published else own,
        sha256=str(result.get("data_sha256") or config.data_sha256 or ""),
        licence=published.licence if published else "",
        citation=published.citation if published else "",
        homepage=published.homepage if published else "",
        splits=_splits(run, dataset),
        folds=len(dataset.folds) if dataset else 0,
        per_class=per_class,
        copies=copies,
    )


def _splits(run: Run, dataset: Dataset | None) -> dict[str, int]:
    """Numbers of images, from the dataset or else from the run's split; empty if unknown."""
    if dataset:
        return {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)}
    try:
        return run.split.sizes()
    except InputError:
        return {}
