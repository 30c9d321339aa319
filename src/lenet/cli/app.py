"""The command line: its commands, and the exit code and the line on standard error that an error becomes."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Group, Parameter

from lenet.characters import visible
from lenet.cli.audit import audit
from lenet.cli.data import data
from lenet.cli.doctor import doctor, version
from lenet.cli.export import export
from lenet.cli.flags import unwrapped
from lenet.cli.listing import models, recipes
from lenet.cli.predict import predict
from lenet.cli.report import report, runs
from lenet.cli.train import study, train, transfer
from lenet.cli.tune import tune
from lenet.cli.use import compare, evaluate
from lenet.errors import InputError, one_line
from lenet.report.console import PlainConsole, accept_all_characters

SETTINGS: dict[str, Any] = {
    "help_format": "plaintext",
    # The texts say what the default is. A file may be named [x].png: what begins with a bracket is no JSON.
    "default_parameter": Parameter(show_default=False, json_list=False),
    "group_parameters": Group("Options", sort_key=0),
    "suppress_keyboard_interrupt": False,  # lenet's own message says how to resume
}
app = App(
    name="lenet",
    help="Train, evaluate and use small image classifiers on a CPU.\n\nStart with: lenet train digits",
    version=version,
    version_flags=["--version"],
    usage="Usage: lenet COMMAND [ARGUMENTS] [OPTIONS]",
    **SETTINGS,
)
_COMMANDS: tuple[tuple[str, Callable[..., int | None], str], ...] = (
    ("train", train, "[DATA] [OPTIONS]"),
    ("audit", audit, "[DATA] [OPTIONS]"),
    ("eval", evaluate, "RUN [DATA] [OPTIONS]"),
    ("predict", predict, "RUN IMAGE... [OPTIONS]"),
    ("export", export, "RUN FILE [OPTIONS]"),
    ("report", report, "RUN [FILE] [OPTIONS]"),
    ("runs", runs, "[DIR] [OPTIONS]"),
    ("compare", compare, "RUN RUN... [OPTIONS]"),
    ("transfer", transfer, "RUN [DATA] [OPTIONS]"),
    ("tune", tune, "[DATA] [OPTIONS]"),
    ("study", study, "[STUDY] [OPTIONS]"),
    ("models", models, "[OPTIONS]"),
    ("recipes", recipes, ""),
    ("doctor", doctor, "[OPTIONS]"),
)


for _number, (_name, _function, _arguments) in enumerate(_COMMANDS):
    _usage = f"Usage: lenet {_name} {_arguments}".rstrip()
    app.command(unwrapped(_function), name=_name, usage=_usage, sort_key=_number)
data.sort_key = len(_COMMANDS)
app.command(data)


def run(app: App, argv: Sequence[str] | None = None) -> int:
    """Run a command line on these arguments, by default the process's; exit codes as for `lenet.cli.main`."""
    accept_all_characters()
    tokens = list(sys.argv[1:] if argv is None else argv)
    try:
        code = app(tokens, console=PlainConsole(), exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout:  # None where it is closed
            sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        return _fail(_with_hint(error))
    except InputError as error:
        return _fail(str(error))
    except ModuleNotFoundError as error:  # lenet may be installed for 'lenet predict' alone (docs/ship.md)
        missing = (error.name or "lenet").partition(".")[0]
        if missing == "lenet":
            raise
        return _fail(f"this command needs {missing}, which is not installed: 'pip install lenet' installs it")
    except KeyboardInterrupt as stop:
        return _fail(str(stop) or "stopped", 130)
    except BrokenPipeError:
        _drop_output()
        return 141
    except OSError as error:  # a full disk under the output, a file that went away meanwhile
        _drop_output()
        return _fail(f"cannot continue: {error.strerror or error} ({error.filename or 'while printing'})")


def _with_hint(error: CycloptsError) -> str:
    return one_line(error) + " ('lenet --help' lists commands, 'lenet COMMAND --help' options)"


def _fail(message: str, code: int = 2) -> int:
    """Print one line on standard error, whatever names the message holds."""
    if sys.stderr:  # None where it is closed; print would write to standard output
        print(f"lenet: {visible(message)}", file=sys.stderr)
    return code


def _drop_output() -> None:
    """Discard what is still to be printed; otherwise Python would complain of it when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
