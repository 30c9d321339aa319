"""The command doctor, and the text of --version."""

import platform
import sys
from typing import Annotated

from cyclopts import Parameter

from lenet.cli.flags import DataDir
from lenet.cli.interrupt import loading
from lenet.report.console import PlainConsole


def version() -> str:
    """The text of --version, in two lines: versions, and the native engine's level or why it cannot be used."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as version_of

    from lenet import extension
    from lenet.errors import InputError

    def known(name: str) -> str:
        try:
            return version_of(name)
        except PackageNotFoundError:
            return "not installed"

    try:
        engine = f"native engine: {extension.described(extension.level())}"
    except InputError as error:
        engine = f"no native engine: {error}"
    return f"lenet {known('lenet')} (Python {platform.python_version()}, torch {known('torch')})\n{engine}"


def doctor(
    *, data_dir: DataDir = None, json_: Annotated[bool, Parameter(name="json", negative="")] = False
) -> int:  # fmt: skip
    """Examine this installation and machine, and say how to correct what is wrong.

    Prints versions, engine, cores, memory, disk, cache, compiler and the
    datasets found. The exit code is 1 if a problem prevents training, otherwise
    0. Uses no network.

    Parameters
    ----------
    json_
        Print JSON instead.
    """
    with loading():
        from lenet.commands.doctor import doctor as run_doctor
        from lenet.report.doctor import doctor_json, doctor_lines

    found = run_doctor(data_dir=data_dir)
    if json_:
        sys.stdout.write(doctor_json(found))
    else:
        PlainConsole().lines(*doctor_lines(found))
    return 0 if found.ready else 1
