"""The commands that train: train, transfer, study."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from lenet.cli.flags import (
    NO_FLAGS,
    Data,
    DataDir,
    Out,
    Overwrite,
    Recipe,
    Report,
    Resume,
    RunFolder,
    Whole,
    flags_of,
    given,
    help_of,
)
from lenet.cli.interrupt import loading
from lenet.cli.listing import print_openings
from lenet.cli.report import write
from lenet.config import Config
from lenet.config.keywords import FROM_START, TRANSFER_DEFAULTS
from lenet.config.studies import STUDIES

if TYPE_CHECKING:
    Flags = Config
    TransferFlags = Config
else:
    Flags = flags_of(__name__)
    TransferFlags = flags_of(__name__, (*NO_FLAGS, *FROM_START), TRANSFER_DEFAULTS)
_NONE_GIVEN, _NONE_GIVEN_TO_TRANSFER = Flags(), TransferFlags()


def train(
    data: Data = None, /, *, recipe: Recipe = None, out: Out = None, resume: Resume = False,
    overwrite: Overwrite = False, report: Report = False, track: Literal["tensorboard", "mlflow"] | None = None,
    flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:  # fmt: skip
    """Train one network, or several with different seeds, and evaluate the test set once.

    Example: lenet train photos/ --model small-vgg --epochs 30 --seeds 5

    Parameters
    ----------
    track
        Also write each epoch's metrics to the run folder for this viewer: tensorboard (needs "lenet[tensorboard]") or
        mlflow (needs "lenet[mlflow]"). Nothing is sent anywhere. Default: none.
    """
    with loading():
        from lenet.commands.train import train as run_train

    run = run_train(data, recipe=recipe, out=out, resume=resume, overwrite=overwrite, track=track, verbose=True,
                    **given(flags))  # fmt: skip
    if report:
        write(run.path)


def transfer(
    run: RunFolder, data: Data = None, /, *, recipe: Recipe = None, out: Out = None, resume: Resume = False,
    overwrite: Overwrite = False, report: Report = False,
    flags: Annotated[TransferFlags, Parameter(name="*")] = _NONE_GIVEN_TO_TRANSFER,
) -> None:  # fmt: skip
    """Train a finished run's best network on other images or classes, with a new last layer.

    Images are converted to the network's channels and resized to its input
    size. Networks that end in global average pooling (small-vgg, resnet8) also
    take other sizes: --size.
    """
    with loading():
        from lenet.commands.transfer import transfer as run_transfer

    trained = run_transfer(
        run,
        data,
        recipe=recipe,
        out=out,
        resume=resume,
        overwrite=overwrite,
        verbose=True,
        **given(flags),
    )
    if report:
        write(trained.path)


def study(
    name: Annotated[str | None, Parameter(name="STUDY")] = None,
    /,
    *,
    out: Path | None = None,
    seeds: Whole | None = None,
    data_dir: DataDir = None,
    engine: Annotated[str | None, Parameter(help=help_of("engine"))] = None,
) -> None:
    """Train all runs of a study and compare them; an interrupted study is resumed by the same command.

    Parameters
    ----------
    name
        Name of a study that comes with lenet, or a TOML file. Default: list the studies that come with lenet.
    out
        Folder of all runs. Default: runs/STUDY.
    seeds
        Number of networks to train in each run. Default: the study's own.
    """
    if name is None:
        print_openings(STUDIES)
        return
    with loading():
        from lenet.commands.study import study as run_study

    options: dict[str, Any] = {"seeds": seeds, "data_dir": data_dir, "engine": engine}
    run_study(name, out=out, verbose=True, **options)
