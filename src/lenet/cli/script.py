"""The command lines of main.py and tuning.py: the CIFAR-10 study, with a network that the script passes."""

from collections.abc import Sequence
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from lenet.cli.app import SETTINGS, run
from lenet.cli.flags import NO_FLAGS, Out, Overwrite, Resume, flags_of, given, unwrapped
from lenet.cli.tune import tune
from lenet.config import Config, recipe_values
from lenet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    Flags = Config
else:
    Flags = flags_of(__name__, (*NO_FLAGS, "model"))
_NONE_GIVEN = Flags()


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
        recipe: str = "cifar10-lenet",
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
        from lenet.commands.train import train as run_train

        # A recipe names its own images: that of a search of this network may be over others.
        images = data or recipe_values(recipe).get("data", "cifar10")
        run_train(images, model=model, recipe=recipe, out=out, resume=resume, overwrite=overwrite, verbose=True,
                  or_digits=images == "cifar10", **given(flags))  # fmt: skip

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
