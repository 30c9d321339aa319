"""What is printed of a run: its figures in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from lenet.config import augmentation_line
from lenet.errors import counted
from lenet.models import parameter_count
from lenet.runs.kinds import how_to_resume
from lenet.runs.metrics import SELECT, selected
from lenet.runs.run import Run
from lenet.training.seen import seen_notes
from lenet.training.setup import Setup
from lenet.training.start import trained_parameters
from lenet.training.training import Training


def opening_lines(setup: Setup, trainings: Sequence[Training]) -> list[str]:
    """What a training starts from."""
    config, dataset, run = setup.config, setup.dataset, setup.run
    height, width, channels = dataset.images.shape[1:]
    folds = f"{len(dataset.folds)} folds of " if dataset.folds else ""
    sizes = f"{folds}{len(dataset.train):,} training, {len(dataset.val):,} validation, {len(dataset.test):,} test"
    threads = f", {setup.settings.threads} threads" if setup.settings.threads > 1 else ""
    lines = [
        f"data    {dataset.name} ({dataset.source})",
        *([f"note    {dataset.substitute}"] if dataset.substitute else []),
        f"images  {sizes}; {height}x{width}x{channels}, {len(dataset.classes)} classes",
        *(f"        {line}" for line in dataset.notes),
        f"model   {config.model}, {parameter_count(setup.networks[0]):,} parameters; "
        f"{config.optimizer} {config.peak_lr:g} {config.schedule}, batch size {config.batch_size}",
        f"augm.   {augmentation_line(config)}",
        *_loss_lines(setup),
        *_start_lines(setup),
        *_teacher_lines(setup),
        f"engine  {setup.choice.name} ({setup.choice.why}){threads}",
        *([f"run     {run.path}"] if run else []),
    ]
    past = {row.engine for training in trainings for row in training.history}
    if past:
        lines.append(f"        resumed after epoch {epochs_trained(trainings)} of {config.epochs}")
    if other := past - {setup.choice.name}:
        lines.append(f"        earlier epochs used the {other.pop()} engine: results differ in their last bits")
    return [*lines, *(f"note    {note}" for note in setup.notes)]


def _loss_lines(setup: Setup) -> list[str]:
    """The lowest and the highest class weight, where there are weights."""
    weights = setup.class_weights()
    if weights is None:
        return []
    named = dict(zip(setup.dataset.classes, weights, strict=True))
    low, high = min(named, key=named.__getitem__), max(named, key=named.__getitem__)
    fold = "; of the first fold" if setup.dataset.folds else ""
    return [f"loss    class weights {named[low]:.3g} ({low}) to {named[high]:.3g} ({high}){fold}"]


def _start_lines(setup: Setup) -> list[str]:
    """Where the weights come from and which layers are trained, in a transfer."""
    network, frozen, config = setup.networks[0], setup.frozen, setup.config
    lines = [f"start   {setup.origin}; a new last layer"] if setup.origin else []
    if frozen:
        until = f" until epoch {config.unfreeze_after}" if config.unfreeze_after else ""
        lines.append(
            f"frozen  the first {frozen} of {len(network)} layers{until}; {trained_parameters(network, frozen):,} "
            "parameters are trained"
        )
    return lines


def _teacher_lines(setup: Setup) -> list[str]:
    """The teachers of a distillation."""
    if setup.teacher is None:
        return []
    networks, config, known = len(setup.teacher.networks), setup.config, setup.teacher.known(setup.dataset.train)
    return [
        f"teacher {counted(networks, 'network')} of {', '.join(config.teacher or ())}; "
        f"weight {config.teacher_weight:g}, temperature {config.teacher_temperature:g}"
        + (f"; logits of {100 * known:.0f}% of the views are known" if known else "")
    ]


def epochs_trained(trainings: Sequence[Training]) -> str:
    """Number of epochs: one number, or one for each network if they differ."""
    epochs = [training.epoch for training in trainings]
    return str(epochs[0]) if len(set(epochs)) == 1 else ", ".join(map(str, epochs))


def stopped(run: Run, trainings: Sequence[Training], command: Literal["train", "audit"] = "train") -> str:
    """Where Ctrl-C stopped the trainings of a run, and how to resume it; command: which of lenet's trained it."""
    config = trainings[0].config
    how = how_to_resume(run.path, command)
    return f"stopped after epoch {epochs_trained(trainings)} of {config.epochs}; resume with: {how}"


def result_lines(run: Run) -> list[str]:
    """The figures of a finished run."""
    result = run.result or {}
    seconds, lost = result["seconds"], diverged(result)
    return [
        *([f"failed  {lost}"] if lost else []),
        f"valid.  {percent(result['val_accuracy'], always_n=bool(lost))} "
        f"(epoch {_span(result['best_epoch'])} of {result['epochs']})",
        *_chosen_by(result),
        *test_lines(result),
        *(f"        {note}" for note in seen_images(result)),
        *calibration_lines(result),
        f"time    {clock(seconds['total'])}, of which training {clock(seconds['train'])} at "
        f"{result['images_per_second']:,.0f} images/s",
        f"files   {run.path}: model.safetensors, result.json, plots/curves.png, ...",
    ]


def _chosen_by(result: Mapping[str, Any]) -> list[str]:
    """The validation score that chose the epoch, unless that is the accuracy."""
    metric = selected(result["config"])
    if metric == "val_accuracy" or not result.get(metric):
        return []
    loss, values = metric.endswith("loss"), result[metric]
    shown = plus_minus(values, digits=3) if loss else plus_minus(values, scale=100, unit="%")
    return [f"        chosen by {metric_name(metric)}: {shown}"]


def metric_name(metric: str) -> str:
    """val_macro_f1 as "macro F1"; of the training images "training loss"."""
    words = metric.replace("_f1", "_F1").replace("train_", "training_").split("_")
    return " ".join(words[1:] if words[0] == "val" else words)


def test_lines(result: Mapping[str, Any]) -> list[str]:
    """The test scores of a finished run."""
    accuracy = percent(result["test_accuracy"], always_n=bool(result["failed"])) + interval(result["test_interval"])
    loss = plus_minus(result["test_loss"], digits=3)
    return [
        f"test    {accuracy}, loss {loss}; {result['test_images']:,} images, evaluated once",
        f"        {by_class(result['test_balanced_accuracy'], result['test_macro_f1'])}",
    ]


def by_class(balanced: Mapping[str, Any], f1: Mapping[str, Any]) -> str:
    """Balanced accuracy and macro F1, in which each class counts the same."""
    each = (plus_minus(values, scale=100, unit="%") for values in (balanced, f1))
    return "balanced accuracy {}, macro F1 {}".format(*each)


def interval(bounds: Sequence[float] | None) -> str:
    """(95%: 94.4 to 99.1), or nothing for several networks."""
    return "" if bounds is None else f" (95%: {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"


def calibration_lines(result: Mapping[str, Any]) -> list[str]:
    """Expected calibration error on the test set, in points."""
    names = ("test_calibration_error", "test_calibration_error_uncalibrated")
    said = [plus_minus(result[name], scale=100, unit="%") for name in names]
    return [f"calib.  calibration error {said[0]} on the test set; uncalibrated {said[1]}"]


def percent(accuracy: Mapping[str, Any], always_n: bool = False) -> str:
    """75.4%, or 75.4% ± 0.3 (n = 5). always_n: name n for one network too, where others were trained beside it."""
    n = len(accuracy["each"])
    said = plus_minus(accuracy, scale=100, unit="%")
    return f"{said} (n = {n})" if n > 1 or always_n else said


def plus_minus(values: Mapping[str, Any], *, scale: float = 1, digits: int = 1, unit: str = "") -> str:
    """75.4 ± 0.3, mean and sample standard deviation; one value has no sd."""
    mean = f"{scale * values['mean']:.{digits}f}{unit}"
    return mean if len(values["each"]) == 1 else f"{mean} ± {scale * values['sd']:.{digits}f}"


def diverged(result: Mapping[str, Any]) -> str | None:
    """Which networks are not in a run's figures because their loss stopped being finite; None where all are."""
    failed = result.get("failed")  # without a result, as of a kept trial, there is none
    if not failed:
        return None
    trained = len(failed) + len(result["test_accuracy"]["each"])
    verb, seeds = ("is", "seed") if len(failed) == 1 else ("are", "seeds")
    named = ", ".join(map(str, failed))
    return f"{len(failed)} of {trained} networks diverged and {verb} not in the mean: {seeds} {named}"


def epochs_chosen(configs: Iterable[Mapping[str, Any]]) -> str:
    """How runs with these options chose the epochs whose weights they evaluated."""
    chosen = {selected(config) == SELECT["last"] for config in configs}
    if chosen == {True}:
        return "The weights are those of the last epoch"
    return "The epoch is chosen by validation" + (", or is the last (select last)" if True in chosen else "")


def seen_images(result: Mapping[str, Any]) -> list[str]:
    """How many test and validation images were known to the networks that the run started or learned from."""
    seen = {which: result.get(f"{which}_images_seen") or 0 for which in ("test", "val")}
    return seen_notes(seen, {which: result.get(f"{which}_images") or 0 for which in seen})


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}-{high}"


def clock(seconds: float) -> str:
    """12 s, 3:05, 1:02:03."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
