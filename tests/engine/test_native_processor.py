"""The native engine on this processor: instruction set levels, a missing extension, too few threads."""

import subprocess
import sys
from pathlib import Path

import pytest

from lenet import extension
from lenet.engine import native
from lenet.engine.base import Settings
from lenet.errors import InputError
from lenet.models import SHAPES
from tests.engine.agreement import (
    assert_gradients_agree,
    in_float,
    make_images,
    make_labels,
    make_model,
    make_plan,
    needs_native,
)

pytestmark = needs_native


def test_gradients_at_every_level_of_this_processor(monkeypatch):
    best = native.level()
    images, labels, plan = make_images(24), make_labels(24), make_plan(24, 9)
    levels = set(extension.module.levels()) - {best}  # test_native.py is about the best
    if not levels:
        pytest.skip(f"this processor has {best} alone")
    for level in levels:
        monkeypatch.setenv("LENET_ISA", level)
        assert native.level() == level
        for name in SHAPES:
            assert_gradients_agree(make_model(name), images, labels, plan)
            assert_gradients_agree(make_model(name).float(), images, labels, plan, tolerance=in_float(name))
        assert level in extension._engines


def test_unknown_levels_are_refused(monkeypatch):
    monkeypatch.setenv("LENET_ISA", "avx9")
    with pytest.raises(InputError, match="LENET_ISA=avx9: no such level"):
        native.level()
    monkeypatch.setenv("LENET_ISA", "x86-64-v4")
    _fake(monkeypatch, extension.module.__file__, "x86-64-v2")
    with pytest.raises(InputError, match="not supported by this processor"):
        native.level()


def test_the_highest_level_that_is_installed_is_used(monkeypatch, tmp_path):
    (tmp_path / "native-x86-64-v2.so").touch()
    _fake(monkeypatch, str(tmp_path / "_native.so"), "x86-64-v4", "x86-64-v3", "x86-64-v2")
    assert native.level() == "x86-64-v2"


def _fake(monkeypatch, file, *levels):
    """An extension of this file, on a processor that supports these levels."""
    monkeypatch.setattr(
        extension, "module", type("Fake", (), {"__file__": file, "levels": staticmethod(lambda: list(levels))})
    )


def test_a_missing_extension_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(extension, "module", None)
    monkeypatch.setattr(extension, "_missing", "no module")
    assert "C++17 compiler" in native.available()
    with pytest.raises(InputError, match="is not installed"):
        native.logits(make_model(), make_images(1), Settings())


_NO_MORE_THREADS = """
import resource
import numpy as np, torch
from pathlib import Path
from lenet.data.plan import epoch_plan
from lenet.engine import native
from lenet.engine.base import Settings
from lenet.models import SHAPES, network_of

images = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 1), dtype=np.uint8)
plan = epoch_plan(np.arange(64), seed=0, epoch=0, epochs=1, batch_size=32, learning_rate=0.1)
# The first limit is enough memory for the call, but not for the stacks of 200 threads.
before = resource.getrlimit(resource.RLIMIT_AS)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
for limit in (used + (256 << 20), before[0]):
    torch.manual_seed(0)
    model = network_of(SHAPES["lenet5-modern"], (16, 16, 1), 10)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    native.train(model, {}, images, np.zeros(64, np.int64), plan, Settings(threads=200))
    print(sum(float(p.double().sum()) for p in model.state_dict().values()))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_training_continues_with_identical_results_if_threads_cannot_be_created():
    done = subprocess.run([sys.executable, "-c", _NO_MORE_THREADS], capture_output=True, text=True, check=True)
    limited, free = done.stdout.split()
    assert limited == free
