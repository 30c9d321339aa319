"""What all tests share: a home of their own, no network, and small real data to train on."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Set before anything of lenet, torch or matplotlib is imported, and inherited by every process a test starts.
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
    os.environ[name] = "http://127.0.0.1:9"  # nobody listens there: a test that asks the network fails at once
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = "127.0.0.1,localhost"
for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CLICOLOR_FORCE"):
    os.environ.pop(name, None)
if os.environ.get("LENET_DATA"):
    os.environ["LENET_DATA"] = str(Path(os.environ["LENET_DATA"]).absolute())  # tests run in folders of their own


def pytest_sessionstart() -> None:
    """Without the native engine most of what matters would be skipped; where it can be built, it must be there."""
    if os.environ.get("LENET_REQUIRE_NATIVE"):
        from lenet.engine import native

        if reason := native.available():
            pytest.exit(f"LENET_REQUIRE_NATIVE is set: {reason}", returncode=1)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path_factory, monkeypatch):
    """Every test runs in an empty folder: what it leaves there, and a ./data of ours, concern no other."""
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def root():
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_data():
    """The folder that holds CIFAR-10, as its publisher laid it out."""
    folder = Path(os.environ.get("LENET_DATA") or "/nowhere")
    if not (folder / "cifar-10-batches-py").is_dir():
        pytest.skip("no CIFAR-10 here: set LENET_DATA to the folder that holds cifar-10-batches-py")
    return folder


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """No published set is on disk."""
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "no-cache"))


@dataclass
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str


@pytest.fixture
def lenet(capsys):
    """Calls the command line in this process."""
    from lenet.cli import main

    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Outcome(code, said.out, said.err)

    return call


@pytest.fixture
def process():
    """Starts the command line in a process of its own; whatever still runs at the test's end is killed."""
    started = []

    def start(*words, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        # Whoever started the tests may have told them to ignore Ctrl-C (a shell does so with what it runs in the
        # background), and a child would inherit that.
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
    """The embedded digits, 16x16 and grey."""
    from lenet.config import DataConfig
    from lenet.data import load_dataset

    return load_dataset(DataConfig(data="digits"))


@pytest.fixture(scope="session")
def few_digits(digits):
    """A few of them: an epoch takes milliseconds."""
    return replace(digits, train=digits.train[:150], val=digits.val[:50], test=digits.test[:50])


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A finished run of two members on digits; not to be changed."""

    import lenet

    path = tmp_path_factory.mktemp("finished") / "run"
    settings = {"epochs": 2, "seeds": 2, "batch_size": 32, "optimizer": "adam", "lr": 0.005}
    return lenet.train("digits", **settings, out=path)


@pytest.fixture(scope="session")
def low_run(tmp_path_factory):
    """A finished run of two members on the digits 0 to 4; not to be changed."""

    import lenet

    path = tmp_path_factory.mktemp("finished") / "low"
    settings = {
        "epochs": 2,
        "seeds": 2,
        "batch_size": 32,
        "optimizer": "adam",
        "lr": 0.005,
        "model": "lenet5-tuned",
    }
    return lenet.train("digits", classes="0,1,2,3,4", **settings, out=path)


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs of this test draw nothing: of short ones that is most of the time they take."""
    for name in ("draw_curves", "draw_confusion"):
        monkeypatch.setattr(f"lenet.report.plots.{name}", lambda *_: None)


@pytest.fixture(scope="session")
def stl10_images():
    """uint8 [140, 16, 16, 3]: what `small_stl10` holds, 100 to train on and 40 to test."""
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (140, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def small_stl10(stl10_images, monkeypatch, tmp_path):
    """The folder of an STL-10 of 140 images of 16x16, as its publisher writes it; its parent is a data folder."""
    from lenet.data import catalog

    small = replace(catalog.STL10, size=16, train_size=16, train_count=100, test_count=40)
    monkeypatch.setitem(catalog.SETS, "stl10", small)
    folder = tmp_path / "store" / "stl10_binary"
    folder.mkdir(parents=True)
    planes = stl10_images.transpose(0, 3, 2, 1)  # [N, C, W, H]: a plane's columns one after the other
    for part, chosen in (("train", slice(100)), ("test", slice(100, None))):
        (folder / f"{part}_X.bin").write_bytes(planes[chosen].tobytes())
        (folder / f"{part}_y.bin").write_bytes(bytes(k % 10 + 1 for k in range(len(planes[chosen]))))
    (folder / "class_names.txt").write_text("\n".join(small.classes) + "\n")
    folds = [range(fold * 10, fold * 10 + 20) for fold in range(8)] + [range(0, 100, 2), range(20, 50)]
    (folder / "fold_indices.txt").write_text("\n".join(" ".join(map(str, fold)) + " " for fold in folds) + "\n")
    return folder


@pytest.fixture(params=["torch", "native"])
def engine(request):
    """The name of each engine that is here."""
    from lenet.engine import native

    if request.param == "native" and (reason := native.available()):
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="session")
def written_tensors():
    """Makes a comparable value of a safetensors file: name -> bytes."""
    from safetensors.torch import load_file

    def read(path):
        return {name: tensor.numpy().tobytes() for name, tensor in load_file(path).items()}

    return read
