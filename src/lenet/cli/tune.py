"""The command tune."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from lenet.cli.flags import Out, Overwrite, Resume, Whole, flags_of, given, help_of
from lenet.cli.interrupt import loading
from lenet.config import Config
from lenet.config.keywords import SEARCH_DEFAULTS

if TYPE_CHECKING:
    Flags = Config
else:
    Flags = flags_of(__name__, defaults=SEARCH_DEFAULTS, refused=("start", "minutes", "seeds", "threads"))
_NONE_GIVEN = Flags()
Metric = Literal["val_accuracy", "val_balanced_accuracy", "val_macro_f1", "val_loss", "train_accuracy", "train_loss"]


def tune(
    data: Annotated[str | None, Parameter(help=help_of("data", "the recipe's; cifar10 with cifar10-lenet"))] = None,
    /,
    *,
    space: Annotated[list[str] | None, Parameter(negative_iterable=())] = None,
    trials: Whole | None = None,
    metric: Metric | None = None,
    scheduler: Literal["asha", "none"] | None = None,
    grace_period: Whole | None = None,
    reduction_factor: Whole | None = None,
    search: Literal["random", "tpe", "grid"] | None = None,
    recipe: str | None = None,
    confirm: Whole | None = None,
    keep: Whole | None = None,
    workers: Whole | None = None,
    gpus_per_trial: float = 0,
    address: str | None = None,
    out: Out = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
    network: Annotated[Any, Parameter(parse=False)] = None,
) -> None:
    """Search over options of 'lenet train', then train the best trial's settings with new seeds.

    Parameters
    ----------
    space
        OPTION=VALUES, once for each searched option, or a TOML file of such. VALUES: choice(4,8), uniform(0.2,0.5),
        uniform(0.2,0.5,0.05) in steps, or loguniform(1e-4,1e-2). Default: batch-size choice(4,8,16,32), lr
        loguniform(1e-4,1e-2), dropout uniform(0.2,0.5,0.05).
    trials
        Number of trials; with --resume the total. Default: 10.
    metric
        What the best trial is best by, and what the scheduler compares. Default: the score of --select.
    scheduler
        asha stops the worse trials after epoch 1, 2, 4, 8, ...; none stops no trial. Default: asha.
    grace_period
        Number of epochs that asha lets every trial train. Default: 1.
    reduction_factor
        asha continues the best 1/FACTOR of the trials, and compares them again after FACTOR times as many epochs.
        Default: 2.
    search
        How values are chosen: random; tpe, by Optuna's TPE; or grid, all combinations. Default: random.
    recipe
        Recipe for the options that are not searched: a name or a TOML file. It overrides the defaults shown below,
        except that of --epochs; none keeps them all. Default: cifar10-lenet.
    confirm
        Number of new seeds with which the best trial's settings are trained again; 0: none. Default: 5.
    keep
        Number of the best trials whose weights are kept. Default: 3.
    workers
        Number of trials at once. Default: one per core.
    gpus_per_trial
        Fraction of a GPU for each trial. Default: 0.
    address
        A running Ray cluster: auto, or HOST:PORT. Default: start Ray on this machine.
    """
    with loading():
        from lenet.commands.tune import tune as run_tune

    options = given(flags)
    run_tune(
        data,
        model=options.pop("model", None) or network,
        space=space,
        trials=trials,
        metric=metric,
        scheduler=scheduler,
        grace_period=grace_period,
        reduction_factor=reduction_factor,
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
        verbose=True,
        **options,
    )
