"""What the tests of searches share: one Ray of two cores for all that run in this process."""

import io

import pytest
from rich.console import Console

_WITH_RAY = {"ray_here", "tuned", "cluster", "uninterrupted", "search"}


def pytest_collection_modifyitems(items):
    for item in items:
        if _WITH_RAY & set(getattr(item, "fixturenames", ())):
            # Ray's own code warns of what it will do next year. Tests without it have warnings for errors like all.
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.fixture(scope="module")
def ray_here(tmp_path_factory):
    """Ray, connected; searches of this process use it and leave it."""
    pytest.importorskip("ray", reason='no ray here: pip install "lenet[tune]"')
    pytest.importorskip("optuna", reason='no optuna here: pip install "lenet[tune]"')
    from lenet.tuning.session import ray_session

    with ray_session(None, 2, 1 << 20) as ray:
        yield ray


@pytest.fixture(scope="module")
def tuned(ray_here, tmp_path_factory):
    """Calls lenet.tune in this process, on digits, without confirming unless told."""
    import lenet

    def call(*data, **options):
        quiet = Console(file=io.StringIO())
        if not options.get("resume"):
            out = tmp_path_factory.mktemp("search") / "run"
            options = {"confirm": 0, "recipe": "none", "augment": "none", "out": out} | options
        return lenet.tune(*(data or ("digits",)), console=quiet, **options)

    return call
