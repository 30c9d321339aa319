"""Ray: started for one search and stopped after it, or joined where it runs and left as it was."""

import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from lenet.config.values import shown
from lenet.cores import free_memory, usable_cores
from lenet.errors import InputError

_MOST_WORKERS = 100_000
_WORKER_BYTES = 450 << 20  # a process with Ray and PyTorch in it
_RAY_BYTES = 600 << 20  # Ray's own processes together
_LEAST_STORE = 80 << 20  # Ray refuses less than 75 MiB
_MOST_PATH = 20  # Ray adds some 85 characters to it, and a socket's path has at most 107
_PATIENCE = 5.0  # seconds that Ray's processes have to end before they are killed
_PREFIX = "lenet-ray-"
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # lenet shows the trials itself
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends a search at once; finished epochs are kept
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_THRESHOLD_S": "1e9",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # lenet does not read Ray's snapshots
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns that it will change its mind on this
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
}
LOCAL = {
    "RAY_AUTH_MODE": "disabled",  # a token would be written into the home folder; nothing listens beyond this machine
    "RAY_DISABLE_IMPORT_WARNING": "1",
}


@dataclass(frozen=True)
class Machine:
    """Where trials run: `workers` at once (None: one per core), here or in the cluster at `address`."""

    workers: int | None
    address: str | None

    def check(self) -> "Machine":
        """The machine itself. Raises InputError where it is impossible."""
        workers, address = self.workers, self.address
        if workers is not None and (type(workers) is not int or not 1 <= workers <= _MOST_WORKERS):
            raise InputError(f"workers must be a whole number between 1 and {_MOST_WORKERS:,}, not {shown(workers)}")
        if address is not None and not isinstance(address, str):
            raise InputError(f"address takes auto or HOST:PORT, not {shown(address)}")
        return self


def check_ray() -> None:
    """Raises InputError where ray or optuna is not installed."""
    for name in ("ray", "optuna"):
        if find_spec(name) is None:
            raise InputError(f'a search needs {name}: pip install "lenet[tune]"')


def workers_here(wanted: int | None, image_bytes: int) -> int:
    """How many trials run at once here: one per core by default. Raises InputError where memory is too small."""
    workers = wanted or usable_cores()
    need = workers * _WORKER_BYTES + _RAY_BYTES + 2 * image_bytes
    free = free_memory()
    if need > free:
        most = max(0, int((free - _RAY_BYTES - 2 * image_bytes) // _WORKER_BYTES))
        raise InputError(
            f"{workers} workers need about {need / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free: "
            + (f"use --workers {most} or fewer" if most else "free some, or search on another machine with --address")
        )
    return workers


@contextlib.contextmanager
def ray_session(address: str | None, workers: int, image_bytes: int, gpus: float = 0) -> Iterator[Any]:
    """The module ray, connected: to `address`, or to a Ray of our own that ends with this context.

    Raises InputError where nothing answers at the address.
    """
    if address is not None:
        _check_address(address)
    os.environ.update(QUIET)
    if address is None:
        os.environ.update({name: os.environ.get(name, value) for name, value in LOCAL.items()})
    import ray

    if ray.is_initialized():  # from Python: the caller's own, which stays
        yield ray
        return
    handler = signal.getsignal(signal.SIGTERM)
    if address is not None:
        try:
            _join(ray, address)
            _answer_sigterm(handler)
            yield ray
        finally:
            ray.shutdown()
            _answer_sigterm(handler)
        return
    with temporary_folder() as folder:
        try:
            _start(ray, folder, workers, image_bytes, gpus)
            _answer_sigterm(handler)
            yield ray
        finally:
            started = [process for process in psutil.Process().children(recursive=True) if _is_ray(process, folder)]
            ray.shutdown()
            _answer_sigterm(handler)
            for process in psutil.wait_procs(started, timeout=_PATIENCE)[1]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def _answer_sigterm(handler: Any) -> None:
    """Answer SIGTERM as before: Ray replaces the handler when it starts, and removes its own when it ends."""
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _start(ray: Any, folder: Path, workers: int, image_bytes: int, gpus: float) -> None:
    try:
        ray.init(
            num_cpus=workers,
            num_gpus=None if gpus else 0,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            configure_logging=True,
            object_store_memory=max(_LEAST_STORE, int(1.3 * image_bytes) + (64 << 20)),
            runtime_env=_runtime_env(),
            _temp_dir=str(folder),
            _node_ip_address="127.0.0.1",
        )
    except Exception as error:  # a bare one, where Ray's processes do not start in time
        raise InputError(
            f"Ray did not start ({_first_line(error)}): the machine may be overloaded; stop other programs, or set a "
            "lower --workers"
        ) from error


def _runtime_env() -> dict[str, Any]:
    # The variables that Tune sets for its actors: with equal ones they take workers that Ray has started already.
    return {"env_vars": {"PL_DISABLE_FORK": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}}


def _check_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not re.fullmatch("[0-9]{1,5}", port):
        raise InputError(f"--address takes auto or HOST:PORT, not '{address}'")
    try:
        socket.create_connection((host.removeprefix("[").removesuffix("]"), int(port)), timeout=5).close()
    except (OSError, OverflowError, UnicodeError) as error:  # a port above 65535, a name that is none
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"no Ray cluster answers at {address} ({reason}): start one with 'ray start --head'") from None


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, runtime_env=_runtime_env())
    except Exception as error:  # of several kinds, a bare one among them
        raise InputError(
            f"no Ray cluster at --address {address} ({_first_line(error)}): start one with 'ray start --head'"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder for what Ray writes, removed afterwards; those of killed searches are removed too."""
    wanted = tempfile.gettempdir()
    parent = Path(wanted if len(wanted) <= _MOST_PATH else "/tmp")
    for left_over in parent.glob(f"{_PREFIX}*"):
        owner = left_over.name.removeprefix(_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ray(process: psutil.Process, folder: Path) -> bool:
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return command.startswith("ray::") or str(folder) in command
