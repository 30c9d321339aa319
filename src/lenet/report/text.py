"""Figures of a run in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from lenet.report.progress import clock
from lenet.runs.run import Run


def say_result(run: Run, console: Console) -> None:
    """The finished run's figures, in a few lines."""
    result = run.result or {}
    seconds, lost = result["seconds"], diverged(result)
    lines = [f"failed  {lost}"] if lost else []
    lines += [
        f"valid.  {percent(result['val_accuracy'], always_n=bool(lost))} "
        f"(epoch {_span(result['best_epoch'])} of {result['epochs']})",
        test_line(result),
        f"took    {clock(seconds['total'])}, {clock(seconds['train'])} of it training at "
        f"{result['images_per_second']:,.0f} images a second",
        f"files   {run.path}: model.safetensors, result.json, plots/curves.png, ...",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def test_line(result: Mapping[str, Any]) -> str:
    """Test accuracy and loss of a finished run; runs of older versions have no test loss."""
    accuracy = percent(result["test_accuracy"], always_n=bool(result.get("failed")))
    loss = f", loss {plus_minus(result['test_loss'], digits=3)}" if result.get("test_loss") else ""
    return f"test    {accuracy}{loss}; {result['test_images']:,} images, evaluated once"


def percent(accuracy: Mapping[str, Any], always_n: bool = False) -> str:
    """75.4%, or 75.4% ± 0.3 (n = 5). always_n: name n for one network too, where others were trained beside it."""
    n = len(accuracy["each"])
    said = plus_minus(accuracy, scale=100, unit="%")
    return f"{said} (n = {n})" if n > 1 or always_n else said


def plus_minus(values: Mapping[str, Any], *, scale: float = 1, digits: int = 1, unit: str = "") -> str:
    """75.4 ± 0.3, mean and sample standard deviation; one value has no sd (runs of older versions say 0)."""
    mean = f"{scale * values['mean']:.{digits}f}{unit}"
    return mean if len(values["each"]) == 1 else f"{mean} ± {scale * values['sd']:.{digits}f}"


def diverged(result: Mapping[str, Any]) -> str | None:
    """Which networks are not in a run's figures because their loss stopped being finite; None where all are."""
    failed = result.get("failed") or []
    if not failed:
        return None
    trained = len(failed) + len(result["test_accuracy"]["each"])
    verb, seeds = ("is", "seed") if len(failed) == 1 else ("are", "seeds")
    named = ", ".join(map(str, failed))
    return f"{len(failed)} of {trained} networks diverged and {verb} not in the mean: {seeds} {named}"


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"
