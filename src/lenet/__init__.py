"""lenet trains, tunes and uses small image classifiers, fast, on a CPU.

run = lenet.train("cifar10", epochs=20, seeds=5)
lenet.evaluate(run)
lenet.predict(run, "cat.png")
"""

TYPE_CHECKING = False  # typing is slow to load, and type checkers know this name
if TYPE_CHECKING:
    from typing import Any

    from lenet.commands.audit import audit
    from lenet.commands.augment import augment
    from lenet.commands.check import check
    from lenet.commands.compare import compare
    from lenet.commands.evaluate import evaluate
    from lenet.commands.export import export
    from lenet.commands.predict import load, predict
    from lenet.commands.report import write_report
    from lenet.commands.runs import list_runs
    from lenet.commands.study import study
    from lenet.commands.train import train
    from lenet.commands.transfer import transfer
    from lenet.commands.tune import tune
    from lenet.data.memory import Images
    from lenet.errors import InputError
    from lenet.models import Normalize, Residual

__all__ = [
    "Images",
    "InputError",
    "Normalize",
    "Residual",
    "audit",
    "augment",
    "check",
    "compare",
    "evaluate",
    "export",
    "list_runs",
    "load",
    "predict",
    "study",
    "train",
    "transfer",
    "tune",
    "write_report",
]

# Loaded when first used: importing lenet must not wait for PyTorch, and the command line answers Ctrl-C only after it.
_MODULES = {
    "Images": "lenet.data.memory",
    "InputError": "lenet.errors",
    "Normalize": "lenet.models",
    "Residual": "lenet.models",
    "audit": "lenet.commands.audit",
    "augment": "lenet.commands.augment",
    "check": "lenet.commands.check",
    "compare": "lenet.commands.compare",
    "evaluate": "lenet.commands.evaluate",
    "export": "lenet.commands.export",
    "list_runs": "lenet.commands.runs",
    "load": "lenet.commands.predict",
    "predict": "lenet.commands.predict",
    "study": "lenet.commands.study",
    "train": "lenet.commands.train",
    "transfer": "lenet.commands.transfer",
    "tune": "lenet.commands.tune",
    "write_report": "lenet.commands.report",
}


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module 'lenet' has no attribute '{name}'")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})  # so that shells complete names that are not loaded yet
