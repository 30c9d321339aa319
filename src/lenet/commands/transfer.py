"""Transfer: a trained network's body under a new last layer, for other classes."""

from pathlib import Path
from typing import Any

from rich.console import Console

from lenet.commands.train import train
from lenet.config import Config, recipe_values
from lenet.runs.run import Run

FREEZE = "all-but-last"
# Lower than for a training from scratch, which would undo what the start has learnt.
_LEARNING_RATES = {"sgd": 0.01, "adam": 1e-3, "adamw": 1e-3}


def transfer(
    run: str | Path | Run,
    data: str | None = None,
    *,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    console: Console | None = None,
    **options: Any,
) -> Run:
    """Train a new last layer, or more, on a finished run's best network; test it once, and return the new run's folder.

    run: whose best network is started from; its input's size, channels and fit are those of the images
    data: a named set or a folder of class folders, of any classes
    options: every field of `lenet.config.Config`; above all freeze ("all-but-last", "none" or a number of layers)
        and unfreeze_after (epochs)

    The learning rate, unless told, is 0.01 with sgd, 0.001 with adam and adamw. The rest is as for `lenet.train`.

    Raises InputError where the run does not exist or has no weights, where its network has no last layer to replace,
    and for all that `lenet.train` does.
    """
    start = run.path if isinstance(run, Run) else run
    options = {name: value for name, value in options.items() if value is not None}
    optimizer = {"optimizer": Config.optimizer, **recipe_values(recipe), **options}["optimizer"]
    return train(
        data,
        recipe=recipe,
        out=out,
        resume=resume,
        overwrite=overwrite,
        defaults={"freeze": FREEZE, "lr": _LEARNING_RATES.get(optimizer)},
        console=console,
        start=str(start),
        **options,
    )
