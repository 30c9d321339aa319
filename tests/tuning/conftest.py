"""Fixtures of the search tests: one Ray for all of them, searches on it, and trials without Ray."""

from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

_WITH_RAY = {"ray_here", "cluster"}


def pytest_collection_modifyitems(items):
    for item in items:
        if _WITH_RAY & set(getattr(item, "fixturenames", ())):
            # Ray warns of its own later changes. In tests without Ray warnings are errors, as everywhere.
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="session")
def ray_here():
    """Ray, connected; the searches of these tests use it and leave it running."""
    pytest.importorskip("ray", reason='Ray is missing: pip install "lenet[tune]"')
    pytest.importorskip("optuna", reason='Optuna is missing: pip install "lenet[tune]"')
    from lenet.tuning.session import ray_session

    with ray_session(None, 2, 1 << 20) as ray:
        yield ray


@pytest.fixture(scope="session")
def tuned(ray_here, tmp_path_factory):
    """Calls lenet.tune in this process: on digits, with one worker and no confirmation, unless asked for."""
    import lenet

    def call(*data, **options):
        options = {"workers": 1} | options  # each takes seconds to import PyTorch and Ray Tune
        if not options.get("resume"):
            out = tmp_path_factory.mktemp("search") / "run"
            options = {"confirm": 0, "recipe": "none", "augment": "none", "out": out} | options
        return lenet.tune(*(data or ("digits",)), **options)

    return call


@pytest.fixture
def ray_workers():
    """Lists the worker processes that have a trial, below a process."""

    def find(pid):
        found = []
        for one in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):  # it ended meanwhile
                if "Trainable" in " ".join(one.cmdline()):
                    found.append(one)
        return found

    return find


@pytest.fixture
def job_of(tmp_path):
    """Makes the job of a search on 100 digits, or on other data, without Ray: job_of(space, **options)."""
    from lenet.models import describe
    from lenet.runs.run import Run
    from lenet.tuning.search import request_of, wanted_search
    from lenet.tuning.setup import prepare

    def make(space, *, own=None, asked=None, past=(), **options):
        given = {"data": "digits", "per_class": 10, "epochs": 1, "batch_size": 8} | options
        given |= {"model": "own"} if own is not None else {}
        request = request_of("none", {name: value for name, value in given.items() if name not in space})
        search = wanted_search(request, space, None, asked or {}, layers=None if own is None else describe(own))
        folder = tmp_path / "search"
        folder.mkdir(exist_ok=True)
        job = prepare(search, Run(folder), request, own, or_digits=False, notes=[], memory=None).job
        return replace(job, past={trial.number: trial for trial in past})

    return make
