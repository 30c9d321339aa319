"""The command lines of main.py and tuning.py: the CIFAR-10 study, with a network that the script passes."""

from collections.abc import Sequence
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from lenet.cli.app import SETTINGS, run
from lenet.cli.flags import NO_FLAGS, Out, Overwrite, Resume, flags_of, given, unwrapped
from lenet.cli.tune import tune
from lenet.config import Config, recipe_values
from lenet.config.request import Request
from lenet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    Flags = Config
else:
    Flags = flags_of(__name__, (*NO_FLAGS, "model"))
_NONE_GIVEN = Flags()
_RECIPE = "cifar10-lenet"


def train_main(model: "nn.Sequential", argv: Sequence[str] | None = None) -> int:
    """Train this network on CIFAR-10 and test it once; returns the exit code, as `lenet.cli.main` does.

    If CIFAR-10 is not on disk and cannot be downloaded, the embedded digits take its place, with a note.
    """
    app = App(
        help="Train the CIFAR-10 study's network (model.py), and test it once.",
        version_flags=[],
        usage="Usage: python main.py [OPTIONS]",
        **SETTINGS,
    )

    @app.default
    @unwrapped
    def train(
        data: str | None = None,
        /,
        *,
        recipe: str | None = None,
        out: Out = None,
        resume: Resume = False,
        overwrite: Overwrite = False,
        flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
    ) -> None:
        """Train the CIFAR-10 study's network (model.py), and test it once.

        Parameters
        ----------
        data
            cifar10; 'lenet train DATA' trains on other images.
        recipe
            Recipe: a name ('lenet recipes' lists them) or a TOML file, such as a search's best.toml, which also sets
            the images. It overrides the defaults shown below; flags override it. Default: cifar10-lenet.
        """
        if data not in (None, "cifar10"):
            raise InputError(f"this script trains on cifar10, not on '{data}': use lenet train '{data}'")
        from lenet.commands.train import run_training
        from lenet.training.setup import OWN_MODEL

        # A recipe names its own images: that of a search of this network may be over others. The default one is made
        # of defaults, which a run that is resumed may have overridden.
        defaults = {"data": "cifar10", **({} if recipe else recipe_values(_RECIPE))}
        request = Request.of(recipe, {"data": data, "model": OWN_MODEL, **given(flags)}, defaults)
        run_training(request, own=model, out=out, resume=resume, overwrite=overwrite, verbose=True,
                     or_digits=request.config().data == "cifar10")  # fmt: skip

    return run(app, argv)


def search_main(model: "nn.Sequential", argv: Sequence[str] | None = None) -> int:
    """Search this network's hyperparameters as 'lenet tune' does; returns the exit code, as `lenet.cli.main` does."""
    app = App(help="Search the CIFAR-10 study's hyperparameters, for the network in model.py.", version_flags=[],
              usage="Usage: python tuning.py [DATA] [OPTIONS]", **SETTINGS)  # fmt: skip

    @app.default
    @unwrapped
    @wraps(tune)
    def search(*arguments: Any, **options: Any) -> None:
        tune(*arguments, **options, network=model)

    return run(app, argv)
