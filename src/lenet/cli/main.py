"""The command line: words to one call each. Heavy imports wait until a command runs."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.table import Table
from rich.text import Text

from lenet.cli import transfer as cli_transfer
from lenet.cli.flags import Whole, flags_of, given
from lenet.config import RECIPES, Config
from lenet.errors import InputError
from lenet.report.console import PlainConsole

if TYPE_CHECKING:
    from torch import nn

app = App(
    name="lenet",
    help="Train, test and use small image classifiers, fast, on a CPU.",
    version_flags=["--version"],
    help_format="plaintext",
    usage="Usage: lenet COMMAND [ARGUMENTS] [OPTIONS]",
    suppress_keyboard_interrupt=False,  # main says where the run stands
)


if TYPE_CHECKING:
    Flags = Config
else:
    Flags = flags_of(__name__)
_NONE_GIVEN = Flags()


@app.command
def train(
    data: str | None = None,
    /,
    *,
    recipe: str | None = None,
    out: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:
    """Train one network, or several by different seeds, and test them once.

    Parameters
    ----------
    data
        auto, cifar10, cifar100, stl10, digits, or a folder of class folders. auto is CIFAR-10 where it is on disk,
        otherwise the digits that come with lenet.
    recipe
        Settings by name ('lenet recipes' lists them) or from a TOML file; flags go before them.
    out
        The run's folder; without it a fresh numbered one under runs/.
    resume
        Go on from whatever the folder holds (without --out, the newest run).
    overwrite
        Delete the run the folder holds, and start over.
    """
    from lenet.commands.train import train as run_train

    options = given(flags)
    run_train(
        data,
        recipe=recipe,
        out=out,
        resume=resume,
        overwrite=overwrite,
        console=PlainConsole(),
        model=options.pop("model", None) or _study.get("model"),
        or_digits=bool(_study),
        **options,
    )


@app.command
def tune(
    data: str | None = None,
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
    out: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    flags: Annotated[Flags, Parameter(name="*")] = _NONE_GIVEN,
) -> None:
    """Search over options of 'lenet train', and train the best again over fresh seeds.

    Parameters
    ----------
    data
        As for 'lenet train'; without it CIFAR-10 where it is on disk or can be had, otherwise the digits.
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
    out
        The search's folder; without it a fresh numbered one under runs/.
    resume
        Go on from whatever the folder holds (without --out, the newest search).
    overwrite
        Delete the search the folder holds, and start over.
    """
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


@app.command(name="eval")
def evaluate(
    run: Path, data: str | None = None, /, *, data_dir: str | None = None, member: Whole | None = None,
    out: Path | None = None,
) -> None:  # fmt: skip
    """Test a trained run: accuracy, per-class precision, recall and F1, confusion.

    Parameters
    ----------
    run
        The run's folder.
    data
        Other data than the run's own test split: a named set or a folder of class folders, of which the test images
        are evaluated, or all where it has no test folder.
    data_dir
        Where published sets lie.
    member
        One network of the run alone (0, 1, ...).
    out
        A folder for scores.json, and for per-class.csv and confusion.csv of each network [default: RUN/eval, and for
        other data RUN/eval/NAME-HASH].
    """
    from lenet.commands.evaluate import evaluate as run_evaluate
    from lenet.evaluation.scores import mean_sd
    from lenet.report.text import percent

    judged = run_evaluate(run, data, data_dir=data_dir, member=member)
    console, folder = PlainConsole(), out or judged.folder(run)
    written = judged.write(folder)
    many = len(judged) > 1
    for line in judged.lines():
        console.print(line, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right")
    first = judged[0]
    for number, name in enumerate(first.classes):
        shares = [sum(getattr(one, what)[number] for one in judged) / len(judged) for what in _SHARES]
        table.add_row(name, *(f"{100 * share:.1f}%" for share in shares), f"{first.confusion[number].sum():,}")
    console.print(table)
    of = f" (each figure the mean of {len(judged)} members)" if many else ""
    console.print(f"accuracy {percent(mean_sd([one.accuracy for one in judged]))} of {first.images:,} images{of}",
                  soft_wrap=True)  # fmt: skip
    _say_confusions(console, first, "of member 0 " if many else "")
    console.print(f"files   {folder}: {', '.join(written[:3])}{', ...' if len(written) > 3 else ''}", soft_wrap=True)


_SHARES = ("precision", "recall", "f1")


def _say_confusions(console: PlainConsole, scores: Any, of: str, most: int = 5) -> None:
    """The pairs of classes most often taken for one another."""
    pairs = [
        (int(scores.confusion[true, taken]), scores.classes[true], scores.classes[taken])
        for true in range(len(scores.classes))
        for taken in range(len(scores.classes))
        if true != taken and scores.confusion[true, taken]
    ]
    worst = sorted(pairs, reverse=True)[:most]
    if worst:
        listed = ", ".join(f"{true} as {taken} {count}" for count, true, taken in worst)
        console.print(f"most confused {of}(true as predicted): {listed}", soft_wrap=True)


@app.command
def predict(
    run: Path, images: Annotated[list[Path], Parameter(negative="")], /, *, top: Whole = 5, member: Whole | None = None,
    json_: Annotated[bool, Parameter(name="json", negative="")] = False,
) -> None:  # fmt: skip
    """The most probable classes of images.

    Parameters
    ----------
    run
        The run's folder.
    images
        Image files of any size.
    top
        How many classes an image.
    member
        Which network of the run; by default the best by validation.
    json_
        Print JSON, one list for all images.
    """
    from dataclasses import asdict

    from lenet.commands.predict import predict as run_predict

    found = run_predict(run, images, top=top, member=member)
    if json_:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("image", "left"), ("class", "left"), ("probability", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for one in found:
        for place, (name, share) in enumerate(zip(one.classes, one.probabilities, strict=True)):
            table.add_row(one.image if place == 0 else "", name, f"{100 * share:.1f}%")
    PlainConsole().print(table)


@app.command
def models(*, size: Whole = 32, channels: Whole = 3, classes: Whole = 10, layers: bool = False) -> None:
    """List the named shapes, with their parameters and multiply-adds an image.

    Parameters
    ----------
    size
        Pixels a side.
    channels
        1 or 3.
    classes
        How many classes the last layer tells apart.
    layers
        Every layer of every shape too.
    """
    from lenet.models import SHAPES, lenet, trace

    if not 16 <= size <= 96 or channels not in (1, 3) or not 2 <= classes <= 100_000:
        raise InputError("size must lie between 16 and 96, channels be 1 or 3, and classes at least 2")
    console = PlainConsole()
    console.print(f"for {size}x{size} pixels, {channels} channel(s), {classes} classes")
    for name, shape in SHAPES.items():
        rows = trace(lenet(shape, (size, size, channels), classes), (size, size, channels))
        parameters, adds = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
        console.print(Text.assemble("\n", (name, "bold"), f"  {parameters:,} parameters, {adds:,} multiply-adds"))
        console.print(
            f"  maps {shape.maps[0]} and {shape.maps[1]} of {shape.kernel}x{shape.kernel}, {shape.activation}, "
            f"{shape.pool} pool, fc {shape.fc[0]} and {shape.fc[1]}, batch norm: {shape.batch_norm}, "
            f"dropout {shape.dropout:g}",
        )
        console.print(f"  {shape.origin}")
        if layers:
            table = Table(box=None, pad_edge=False, header_style="dim")
            for column in ("  layer", "output", "parameters", "multiply-adds"):
                table.add_column(column, justify="left" if column == "  layer" else "right")
            for row in rows:
                output = "x".join(map(str, row.output))
                table.add_row(f"  {row.kind}", output, f"{row.parameters:,}", f"{row.multiply_adds:,}")
            console.print(table)


@app.command
def recipes() -> None:
    """List the recipes that come with lenet, each with its first lines."""
    PlainConsole().print_openings(RECIPES)


app.command(cli_transfer.transfer)
app.command(cli_transfer.compare)
app.command(cli_transfer.study)

# What main.py sets: the study's network, in place of a named one, and digits where CIFAR-10 can't be had.
_study: dict[str, Any] = {}


def main(argv: Sequence[str] | None = None, *, model: "nn.Sequential | None" = None) -> int:
    """Run a command and return its exit code: 0 done, 2 something the user can mend, 130 Ctrl-C, 141 a closed pipe.

    model: the network `train` uses where no other is named, with the embedded digits where the data can't be had
    """
    tokens = list(sys.argv[1:] if argv is None else argv)
    _study.clear()
    if model is not None:
        _study["model"] = model
    try:
        app(tokens, console=PlainConsole(), exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
        return 0
    except CycloptsError as error:
        return _fail(_one_line(error))
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "stopped", 130)
    except BrokenPipeError:
        _drop_output()
        return 141
    except OSError as error:  # a full disk under the output, a file that went away meanwhile
        _drop_output()
        return _fail(f"cannot go on: {error.strerror or error} ({error.filename or 'while printing'})")


def _one_line(error: CycloptsError) -> str:
    return " ".join(str(error).split()) + " ('lenet --help' lists commands, 'lenet COMMAND --help' options)"


def _fail(message: str, code: int = 2) -> int:
    print(f"lenet: {message}", file=sys.stderr)
    return code


def _drop_output() -> None:
    """What is still to be printed goes nowhere; otherwise Python would complain of it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
