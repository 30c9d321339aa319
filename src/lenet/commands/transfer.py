"""Transfer: trains a finished run's best network, with a new last layer, on other images or classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from lenet.commands.train import run_training
from lenet.config import Config
from lenet.config.keywords import (
    FROM_START,
    TRANSFER_DEFAULTS,
    TRANSFER_FREEZE,
    TRANSFER_LR,
    TransferOptions,
    with_options,
)
from lenet.config.request import Request
from lenet.data.memory import Images, given_data
from lenet.errors import InputError
from lenet.runs.run import Run
from lenet.training.loop import Watch


@with_options(leave_out=FROM_START, defaults=TRANSFER_DEFAULTS)
def transfer(
    run: str | Path | Run,
    data: str | Path | Images | Any = None,
    *,
    recipe: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    verbose: bool = False,
    watch: Watch | None = None,
    **options: Unpack[TransferOptions],
) -> Run:
    """Train a new last layer, or all layers, of a finished run's best network; evaluate it once on the test set.

    Returns the new run.

    run: the finished run; images are converted to the channels and fit of its networks, and to their size unless
        `size` names another, which networks like small-vgg accept
    data: as for `lenet.train`, with any classes
    recipe: a recipe's name, or the path of a TOML file; options override it
    out, resume, overwrite, verbose, watch: as for `lenet.train`

    Raises InputError if the run does not exist or has no weights, if its network's last layer is not linear, and as
    `lenet.train` does.
    """
    start = run.path if isinstance(run, Run) else run
    if isinstance(options.get("model"), nn.Module):
        raise InputError(f"the network comes from {start}: leave model out", options=["model"])
    named, memory = given_data(data)
    request = Request.of(recipe, {"data": named, "start": str(start), **options})
    optimizer = request.settings.get("optimizer", Config.optimizer)
    request = replace(request, defaults={"freeze": TRANSFER_FREEZE, "lr": TRANSFER_LR[optimizer]})
    return run_training(
        request, memory=memory, out=out, resume=resume, overwrite=overwrite, verbose=verbose, watch=watch
    )
