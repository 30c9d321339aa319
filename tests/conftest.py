"""Shared fixtures: a temporary home directory, no network access, processes and small datasets."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

pytest_plugins = ["tests.finished"]
ROOT = Path(__file__).parents[1]

# Set before lenet, torch and matplotlib are imported; processes that a test starts inherit it.
_home = tempfile.mkdtemp(prefix="lenet-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
for name, folder in {
    "HOME": "home",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "MPLCONFIGDIR": "matplotlib",
    "LENET_CACHE": "lenet",
}.items():
    os.environ[name] = str(Path(_home, folder))
    Path(_home, folder).mkdir()
for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
    os.environ[name] = "http://127.0.0.1:9"  # no server listens there, so network access fails at once
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = "127.0.0.1,localhost"
for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
# Ray runs its workers niced: beside other tests they would wait for a core, and the tests for them.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 (the name is Ray's)
os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 (30 s are too few beside other work)
if os.environ.get("LENET_DATA"):
    os.environ["LENET_DATA"] = str(Path(os.environ["LENET_DATA"]).absolute())  # since each test changes its directory


def pytest_sessionstart() -> None:
    """With LENET_REQUIRE_NATIVE set, a missing native engine is an error; otherwise its tests are skipped."""
    if os.environ.get("LENET_REQUIRE_NATIVE"):
        from lenet.engine import native

        if reason := native.available():
            pytest.exit(f"LENET_REQUIRE_NATIVE is set: {reason}", returncode=1)


def pytest_collection_modifyitems(items) -> None:
    """Folders with the longest tests first: with two files at a time, a long last one would be tested alone."""
    order = {"tuning": 0, "contracts": 1, "exports": 2}
    items.sort(key=lambda item: order.get(item.path.parent.name, 3))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path_factory, monkeypatch):
    """Every test runs in its own empty directory, without the repository's ./data."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture(autouse=True)
def _threads_of_pytorch():
    """A test may change PyTorch's number of threads; those after it have the number from before."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if before:
        torch.set_num_threads(before)


@pytest.fixture
def root():
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def real_data():
    """The data folder with CIFAR-10's original files. Skips the test if there is none."""
    folder = Path(os.environ.get("LENET_DATA") or "/nowhere")
    if not (folder / "cifar-10-batches-py").is_dir():
        pytest.skip("CIFAR-10 is not on disk: set LENET_DATA to the folder that contains cifar-10-batches-py")
    return folder


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """No dataset is on disk."""
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "no-cache"))


@dataclass
class Outcome:
    """Exit code, standard output and standard error of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def lenet(capsys):
    """A function that runs the command line in this process and returns its Outcome."""
    from lenet.cli import main

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def refused():
    """A function that asserts that a command failed with one line on standard error that contains these parts."""

    def check(outcome, *parts):
        assert outcome.code == 2, outcome
        assert outcome.err.startswith("lenet: ")
        assert outcome.err.count("\n") == 1, outcome.err
        assert "Traceback" not in outcome.err + outcome.out
        for part in parts:
            assert part in outcome.err, outcome.err

    return check


@pytest.fixture
def peak_memory():
    """Starts to measure; returns a function that gives the bytes by which the process has grown at most since."""
    reset, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")

    def measured(name):
        return next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name))

    def start():
        try:
            reset.write_text("5")
        except OSError as error:
            pytest.skip(f"the peak of a process's memory cannot be measured here ({error})")
        before = measured("VmRSS:")
        return lambda: measured("VmHWM:") - before

    return start


@pytest.fixture
def process():
    """A function that starts the command line in a new process, which is killed at the end of the test."""
    started = []

    def start(*words, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        # The tests may have been started with SIGINT ignored (a shell does so for background jobs), which a child
        # process would inherit.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        running = subprocess.Popen([sys.executable, "-m", "lenet.cli", *map(str, words)], **options)
        signal.signal(signal.SIGINT, before)
        started.append(running)
        return running

    yield start
    for running in started:
        running.kill()
        running.wait()
        for pipe in (running.stdin, running.stdout, running.stderr):
            if pipe:
                pipe.close()


@pytest.fixture(scope="session")
def digits():
    """The embedded digits, uint8 [1797, 16, 16, 1]."""
    from lenet.config import DataConfig
    from lenet.data import load_dataset

    return load_dataset(DataConfig(data="digits"))


@pytest.fixture(scope="session")
def few_digits(digits):
    """The digits with 150 training, 50 validation and 50 test images: an epoch takes milliseconds."""
    return replace(digits, train=digits.train[:150], val=digits.val[:50], test=digits.test[:50])


@pytest.fixture
def interrupt_after(monkeypatch):
    """A context manager in which a run is interrupted, as by Ctrl-C, after this many epochs of all its networks.

    The last of these epochs is in the networks' states, and not in metrics.csv, into which none is written.
    """
    from lenet.runs.run import Run

    @contextmanager
    def interrupted(epochs):
        rows = []

        def append(run, row):
            rows.append(row)
            if len(rows) >= epochs:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Run, "append_metrics", append)
            yield

    return interrupted


@pytest.fixture(scope="session")
def photos():
    """A function that writes class folders of random images, brighter from class to class, and returns their folder."""
    import numpy as np
    from PIL import Image

    def write(folder, seed=0, each=20, classes=("cat", "dog"), sides=(20, 20)):
        for number, name in enumerate(classes):
            (folder / name).mkdir(parents=True)
            for image in range(each):
                pixels = np.random.default_rng([seed, number, image]).integers(0, 200, (*sides, 3), np.uint8)
                Image.fromarray(pixels + 50 * number).save(folder / name / f"{image}.png")
        return folder

    return write


def _draw_nothing(patch):
    for name in ("plots.draw_curves", "plots.draw_confusion", "reliability.draw_reliability"):
        patch.setattr(f"lenet.report.{name}", lambda *_: None)


@pytest.fixture(scope="session", autouse=True)
def _no_plots():
    """Runs draw no plots, which take most of the time of short runs, unless the test asks for `plots`."""
    with pytest.MonkeyPatch.context() as patch:
        _draw_nothing(patch)
        yield patch


@pytest.fixture
def plots(_no_plots):
    """Runs in this test draw their plots."""
    _no_plots.undo()
    yield
    _draw_nothing(_no_plots)


@pytest.fixture(scope="session")
def stl10_images():
    """The images of `small_stl10`, uint8 [140, 16, 16, 3]: 100 training and 40 test images."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (140, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def small_stl10(stl10_images, monkeypatch, tmp_path):
    """The folder of a small STL-10, 140 images of 16x16 pixels in the original file format, in a data folder."""
    from lenet.data import catalog

    small = replace(catalog.STL10, size=16, train_size=16, train_count=100, test_count=40)
    monkeypatch.setitem(catalog.SETS, "stl10", small)
    folder = tmp_path / "store" / "stl10_binary"
    folder.mkdir(parents=True)
    planes = stl10_images.transpose(0, 3, 2, 1)  # [N, C, W, H]: STL-10 stores each plane column by column
    for part, chosen in (("train", slice(100)), ("test", slice(100, None))):
        (folder / f"{part}_X.bin").write_bytes(planes[chosen].tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(k % 10 + 1 for k in range(len(planes[chosen]))))
    (folder / "class_names.txt").write_text("\n".join(small.classes) + "\n")
    folds = [range(fold * 10, fold * 10 + 20) for fold in range(8)] + [range(0, 100, 2), range(20, 50)]
    (folder / "fold_indices.txt").write_text("\n".join(" ".join(map(str, fold)) + " " for fold in folds) + "\n")
    return folder


@pytest.fixture(params=["torch", "native"])
def engine(request):
    """The name of each engine. Skips the native engine if it is not available."""
    from lenet.engine import native

    if request.param == "native" and (reason := native.available()):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def written_tensors():
    """A function that reads a safetensors file into a dict of bytes by name."""
    from safetensors.torch import load_file

    def read(path):
        return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}

    return read
