"""lenet doctor: what it finds, and what it says of a machine on which something is wrong."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest

from lenet import cores, extension
from lenet.commands import doctor as module
from lenet.commands.doctor import doctor


@pytest.fixture(autouse=True)
def _nothing_else(no_data):
    """Neither data nor a cache."""
    Path(os.environ["LENET_DATA"]).mkdir()


def what(found):
    return [problem.what for problem in found.problems]


def test_a_sound_machine_has_no_problem(lenet):
    outcome = lenet("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("lenet     ")
    assert f"torch {version('torch')}" in outcome.out
    assert "digits: embedded" in outcome.out
    if extension.available() is None:
        assert f"native, {extension.level()}" in outcome.out
        assert outcome.out.endswith("no problems found\n")
    folders = (str(Path.cwd()), os.environ["LENET_CACHE"], str(shutil.which("c++")))
    short = [line for line in outcome.out.splitlines() if not any(folder in line for folder in folders)]
    assert max(map(len, short)) <= 80


def test_json_has_the_same(lenet):
    outcome = lenet("doctor", "--json")
    found = json.loads(outcome.out)
    assert (outcome.code, found["ready"]) == (0, True)
    assert found["libraries"]["numpy"] == version("numpy")
    assert found["datasets"]["digits"] == "embedded"
    assert found["cores"]["machine"] >= 1
    assert found["disk_free"] > 0


def test_datasets_and_the_cache_are_found(tmp_path, lenet):
    (tmp_path / "data" / "cifar-100-python").mkdir(parents=True)
    Path(os.environ["LENET_CACHE"]).mkdir()
    Path(os.environ["LENET_CACHE"], "some").write_bytes(bytes(2_500_000))
    found = doctor(data_dir=str(tmp_path / "data"))
    assert found.datasets["cifar100"] == str(tmp_path / "data" / "cifar-100-python")
    assert found.datasets["stl10"] is None
    assert found.cache_bytes == 2_500_000
    assert f"{os.environ['LENET_CACHE']}: 2.5 MB" in lenet("doctor").out


def test_a_missing_engine_prevents_nothing(monkeypatch, lenet):
    monkeypatch.setattr(extension, "module", None)
    outcome = lenet("doctor")
    assert outcome.code == 0
    assert "engine    PyTorch" in outcome.out
    assert "problem   the native engine is not installed" in outcome.out
    assert "install a C++17 compiler" in outcome.out


@pytest.mark.skipif(extension.available() is not None, reason=str(extension.available()))
def test_a_level_that_does_not_exist_prevents_training(monkeypatch, lenet):
    monkeypatch.setenv("LENET_ISA", "avx9")
    outcome = lenet("doctor")
    assert outcome.code == 1
    assert "problem   LENET_ISA=avx9: no such level" in outcome.out


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LENET_CACHE", str(tmp_path / "file" / "cache"))
    found = doctor()
    assert found.ready
    assert what(found)[0].startswith(f"cannot write to the cache folder {tmp_path}/file/cache (Not a directory)")
    Path("runs").touch()
    found = doctor()
    assert not found.ready
    assert "cannot write runs to" in what(found)[0]


def test_a_full_disk_is_told(monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(50_000_000))
    found = doctor()
    assert (found.ready, what(found)) == (True, [f"only 50 MB are free in {Path.cwd()}: make room"])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(5_000_000))
    assert not doctor().ready


def test_a_deleted_working_directory_is_one_problem(process, tmp_path):
    """In a process of its own: PyTorch's libraries end a process that loads them there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.rmdir({str(gone)!r}); from lenet.cli import main; raise SystemExit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.count("problem ") == 1
    assert "change to another one" in done.stdout


def test_a_process_without_a_home_is_sound(tmp_path):
    environment = {name: os.environ[name] for name in ("PATH", "LENET_DATA")}
    command = [sys.executable, "-m", "lenet.cli", "doctor"]
    done = subprocess.run(command, env=environment | {"HOME": ""}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def installed(monkeypatch, **versions):
    """As if these distributions had these versions; None for one that is missing."""

    def found(name):
        if name in versions and versions[name] is None:
            raise PackageNotFoundError(name)
        return versions.get(name) or version(name)

    monkeypatch.setattr(module, "version", found)


def test_missing_and_old_libraries_are_named_with_the_command_that_mends_them(monkeypatch, lenet):
    monkeypatch.setattr(module, "requires", lambda _: [*requires("lenet"), 'ray[tune]>=2; extra == "tune"'])
    installed(monkeypatch, ray=None)
    outcome = lenet("doctor")
    assert outcome.code == 0
    assert 'missing; pip install "lenet[tune]"' in outcome.out
    installed(monkeypatch, numpy="1.26.4")
    assert what(doctor()) == ['numpy is 1.26.4, lenet needs 2: pip install "numpy>=2"']
    installed(monkeypatch, scipy=None)
    outcome = lenet("doctor")
    assert outcome.code == 1
    assert "problem   scipy is not installed: pip install scipy" in outcome.out


def test_a_library_that_cannot_be_imported_prevents_training(monkeypatch):
    def broken(name):
        raise OSError("libgomp.so.1: cannot open shared object file\nand more")

    monkeypatch.setattr(module, "import_module", broken)
    found = doctor()
    assert not found.ready
    mend = "pip install --force-reinstall torch"
    assert f"cannot import torch (OSError: libgomp.so.1: cannot open shared object file): {mend}" in what(found)


def test_limits_of_the_cores_are_explained(monkeypatch, lenet):
    for cpus, text in (
        (cores.Cores(8, 8, None), "cores     8\n"),
        (cores.Cores(8, 2, None), "2 of 8 (the affinity of this process)"),
        (cores.Cores(8, 8, 1.5), "1 of 8 (the container's quota is 1.5)"),
    ):
        monkeypatch.setattr(cores, "cores", lambda cpus=cpus: cpus)
        assert text in lenet("doctor").out


def test_a_data_folder_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("LENET_DATA", "nowhere")
    assert what(doctor()) == ["LENET_DATA=nowhere: no such folder: correct it, or unset it"]


def test_without_a_compiler_and_ray_it_still_answers(monkeypatch, lenet):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "ray", None)
    outcome = lenet("doctor")
    assert outcome.code == 0
    assert "compiler  none" in outcome.out
