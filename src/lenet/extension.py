"""The native engine's extension module (native/binding.cpp): whether it is installed, and for which processors.

Loads neither PyTorch nor NumPy, so that 'lenet --version' answers at once.
"""

import os
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from lenet.errors import InputError


def _load() -> Any:
    """The extension module. LENET_NATIVE_DIR names a folder with another build, for example with sanitizers."""
    folder = os.environ.get("LENET_NATIVE_DIR")
    if not folder:
        return import_module("lenet._native")
    path = next(Path(folder).glob("_native*.so"), None)
    spec = spec_from_file_location("lenet._native", path) if path else None
    if spec is None or spec.loader is None:
        raise ImportError(f"LENET_NATIVE_DIR: no _native*.so in {folder}")
    module = sys.modules["lenet._native"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


module: Any = None
_missing = ""
try:
    module = _load()
except ImportError as error:
    _missing = str(error)

# The instruction sets that a level's name stands for; "baseline" is any other processor.
LEVELS = {"x86-64-v2": "SSE4.2", "x86-64-v3": "AVX2", "x86-64-v4": "AVX-512"}

_engines: dict[str, Any] = {}  # by level, loaded once per process


def available() -> str | None:
    """Why the engine cannot be used on this machine, and what to do; None if it can."""
    if module is None:
        return f"the native engine is not installed ({_missing}); install a C++17 compiler and run pip install again"
    if not module.levels():
        return "the native engine needs a processor that supports x86-64-v2"
    return None


def _file(level: str) -> Path:
    return Path(module.__file__).with_name(f"native-{level}.so")


def level() -> str:
    """The instruction set level in use: LENET_ISA, or the highest installed and supported. Raises InputError."""
    reason = available()
    if reason:
        raise InputError(reason)
    levels: list[str] = [one for one in module.levels() if _file(one).is_file()] or module.levels()
    forced = os.environ.get("LENET_ISA")
    if not forced:
        return levels[0]
    if forced not in levels:
        if forced in LEVELS:
            use = " or ".join(levels)
            raise InputError(f"LENET_ISA={forced}: not supported by this processor or not installed; use {use}")
        raise InputError(f"LENET_ISA={forced}: no such level; use {' or '.join(LEVELS)}")
    return forced


def described(level: str) -> str:
    """Such as "x86-64-v3 (AVX2)"."""
    return f"{level} ({LEVELS[level]})" if level in LEVELS else level


def engine() -> Any:
    """The engine of the level in use. Raises InputError if it cannot be loaded."""
    name = level()
    if name not in _engines:
        try:
            _engines[name] = module.Engine(str(_file(name)))
        except RuntimeError as error:
            raise InputError(f"the native engine cannot be loaded: {error}; run pip install again") from None
    return _engines[name]
