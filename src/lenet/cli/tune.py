"""The command tune."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lenet.cli.flags import Data, Out, Overwrite, Resume, flags_of, given
from lenet.cli.interrupt import loading
from lenet.config import Config
from lenet.report.console import PlainConsole

if TYPE_CHECKING:
    Flags = Config
else:
    Flags = flags_of(__name__)
_NONE_GIVEN = Flags()


def tune(
    data: Data = None,
    /,
    *,
    space: Annotated[list[str] | None, Parameter(negative_iterable=())] = None,
    trials: int | None = None,
    metric: str | None = None,
    scheduler: str | None = None,
    search: str | None = None,
    recipe: str | None = None,
    confirm: int | None = None,
    keep: int | None = None,
    workers: int | None = None,
    gpus_per_trial: float = 0,
    address: str | None = None,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:
    """Search over options of 'lenet train', and train the best again over fresh seeds.

    Parameters
    ----------
    space
        OPTION=VALUES, once for each searched option, or a TOML file of such; VALUES are choice(4,8),
        uniform(0.2,0.5), uniform(0.2,0.5,0.05) in steps, or loguniform(1e-4,1e-2). [default: batch size out of 4, 8,
        16, 32, learning rate loguniform(1e-4,1e-2), dropout uniform(0.2,0.5,0.05)]
    trials
        How many [default: 10]; with --resume how many in all.
    metric
        val_accuracy, val_loss, train_accuracy or train_loss [default: val_accuracy].
    scheduler
        asha ends the worse half of the trials after epoch 1, 2, 4, 8, ...; none lets all go on [default: asha].
    search
        random, tpe (Optuna's) or grid [default: random].
    recipe
        What is not searched, by name or from a TOML file; 'none' for lenet's defaults [default: cifar10-lenet].
    confirm
        Over how many fresh seeds the winner is trained again; 0 for none [default: 5].
    keep
        How many of the best trials' weights are kept [default: 3].
    workers
        Trials side by side [default: one a core].
    gpus_per_trial
        A share of a GPU for each trial.
    address
        A running Ray cluster: auto, or HOST:PORT.
    """
    with loading():
        from lenet.commands.tune import tune as run_tune

    run_tune(
        data,
        space=space,
        trials=trials,
        metric=metric,
        scheduler=scheduler,
        search=search,
        recipe=recipe,
        confirm=confirm,
        keep=keep,
        workers=workers,
        gpus_per_trial=gpus_per_trial,
        address=address,
        out=out,
        resume=resume,
        overwrite=overwrite,
        console=PlainConsole(),
        **given(flags),
    )
