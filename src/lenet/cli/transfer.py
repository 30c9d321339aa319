"""The words of transfer, compare and study. Heavy imports wait until a command runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lenet.cli.flags import Whole, flags_of, given
from lenet.config import SHAPING, Config
from lenet.config.studies import STUDIES
from lenet.report.console import PlainConsole

if TYPE_CHECKING:
    TransferFlags = Config
else:
    _DEFAULTS = {"freeze": "all-but-last", "lr": "0.01 with sgd, 0.001 with adam and adamw"}
    _FROM_THE_START = ("model", *SHAPING, "start", "size", "channels")
    TransferFlags = flags_of(__name__, ("data", "data_sha256", *_FROM_THE_START), _DEFAULTS)
_NONE_GIVEN = TransferFlags()


def transfer(
    run: Path,
    data: str | None = None,
    /,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    flags: Annotated[TransferFlags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:
    """Train a new last layer on a finished run's best network, for other classes.

    Parameters
    ----------
    run
        The finished run's folder.
    data
        The new images: cifar10, cifar100, stl10, digits, or a folder of class folders. They are brought to the
        network's size and channels.
    recipe
        Settings by name ('lenet recipes' lists them) or from a TOML file; flags go before them.
    out
        The new run's folder; without it a fresh numbered one under runs/.
    resume
        Go on from whatever the folder holds (without --out, the newest run).
    overwrite
        Delete the run the folder holds, and start over.
    """
    from lenet.commands.transfer import transfer as run_transfer

    run_transfer(
        run,
        data,
        recipe=recipe,
        out=out,
        resume=resume,
        overwrite=overwrite,
        console=PlainConsole(),
        **given(flags),
    )


def compare(runs: Annotated[list[Path], Parameter(negative="")], /, *, out: Path = Path("comparison")) -> None:
    """Compare finished runs: a table, their curves, and what the difference is worth.

    Parameters
    ----------
    runs
        The runs' folders. Each of the others is compared with the first, where both were judged on the same images.
    out
        The folder that comparison.json and curves.png go to.
    """
    from lenet.commands.compare import compare as run_compare

    run_compare(runs, out=out, console=PlainConsole())


def study(
    name: str | None = None,
    /,
    *,
    out: Path | None = None,
    seeds: Whole | None = None,
    data_dir: str | None = None,
    engine: str | None = None,
) -> None:
    """Train all runs of a study, and compare them. Goes on where it was cut.

    Parameters
    ----------
    name
        A study that comes with lenet, or a TOML file; without it, those that come with lenet are listed.
    out
        The folder for all of its runs [default: runs/NAME].
    seeds
        Members of each run, in place of the study's own number.
    data_dir
        Where published sets lie.
    engine
        auto, native or torch.
    """
    if name is None:
        PlainConsole().print_openings(STUDIES)
        return
    from lenet.commands.study import study as run_study

    options = {option: value for option, value in (("data_dir", data_dir), ("engine", engine)) if value is not None}
    run_study(name, out=out, seeds=seeds, console=PlainConsole(), **options)
