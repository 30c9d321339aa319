"""What is printed of an evaluation."""

from pathlib import Path

import numpy as np
from rich.table import Table

from lenet.characters import visible
from lenet.data import Dataset
from lenet.evaluation.evaluation import Evaluation, Predicted
from lenet.evaluation.scores import Scores
from lenet.files import text_written_whole
from lenet.report.contact_sheet import draw_contact_sheet
from lenet.report.sheet import Sheet
from lenet.report.text import by_class, interval, percent, plus_minus

_MOST_CONFUSIONS = 5
_MOST_DRAWN = 64  # errors on a contact sheet


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """What was evaluated."""
    count = f"{evaluation.images:,} images"
    named = {"train": "training", "val": "validation"}.get(evaluation.split, "test")
    which = f"the run's {named} split, {count}" if evaluation.own else f"its test split, {count}"
    if evaluation.split == "all":
        which = f"all of its {count}"
    lines = [f"data    {evaluation.data} ({evaluation.source}): {which}"]
    if evaluation.dataset.renamed:
        lines.append(f"note    {evaluation.dataset.renamed}")
    if evaluation.trained_on is None:
        lines.append("note    the run's own images were not found: these may include images that it was trained on")
    elif evaluation.own and evaluation.split != "test":
        lines.append("note    the run used these images: the accuracy says little about new images")
    elif evaluation.trained_on:
        lines.append(
            f"note    {evaluation.trained_on:,} of these {count} were used for training or validation: the accuracy "
            "says little about new images"
        )
    elif not evaluation.own:
        lines.append("note    these are not the images that the run was trained on")
    return lines


def per_class_table(evaluation: Evaluation) -> Table:
    """Precision, recall and F1 by class, each the mean over networks."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", overflow="fold")
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right", no_wrap=True)
    first = evaluation.scores[0]
    for number, name in enumerate(first.classes):
        means = [
            sum(getattr(one, what)[number] for one in evaluation.scores) / len(evaluation.scores)
            for what in ("precision", "recall", "f1")
        ]
        table.add_row(visible(name), *(f"{100 * mean:.1f}%" for mean in means), f"{first.counts[number]:,}")
    return table


def result_lines(evaluation: Evaluation) -> list[str]:
    """Accuracy, loss and the most frequent confusions."""
    many = len(evaluation.scores) > 1
    of = f" (mean of {len(evaluation.scores)} networks)" if many else ""
    accuracy, loss = percent(evaluation.accuracy) + interval(evaluation.interval), plus_minus(evaluation.loss, digits=3)
    lines = [
        f"accuracy {accuracy}, loss {loss}; {evaluation.images:,} images{of}",
        by_class(evaluation.balanced_accuracy, evaluation.macro_f1),
    ]
    if evaluation.augmented_accuracy:
        lines.append(
            f"accuracy {percent(evaluation.augmented_accuracy)} by mean probabilities over views of each image"
        )
    if worst := _confusions(evaluation.scores[0]):
        which = f" of network {evaluation.networks[0]}" if many else ""
        lines.append(f"most frequent confusions{which} (true as predicted: images): {', '.join(worst)}")
    return lines


def write_predictions(path: Path, dataset: Dataset, predicted: Predicted, positions: np.ndarray | None = None) -> None:
    """Write CSV with one line per image: file or index, true and predicted class, confidence; safe for spreadsheets.

    file: path relative to the dataset's folder; a dataset that is no folder of images has an index, which counts its
        training images first
    positions: the images to write, in this order; by default all

    Raises InputError if the file cannot be written.
    """
    with text_written_whole(path) as file:
        sheet = Sheet(file)
        sheet.row(["index" if dataset.files is None else "file", "true", "predicted", "confidence"])
        for position in range(len(predicted.labels)) if positions is None else positions.tolist():
            index = int(predicted.indices[position])
            true, guess = (dataset.classes[numbers[position]] for numbers in (predicted.labels, predicted.predicted))
            sheet.row([dataset.name_of(index), true, guess, f"{predicted.confidence[position]:.6f}"])


def draw_errors(evaluation: Evaluation, predicted: Predicted, path: Path) -> bool:
    """Draw a contact sheet of the most confident errors of one network; without an error, draw none and return False.

    Raises InputError if the file cannot be written.
    """
    errors, dataset = predicted.errors(), evaluation.dataset
    if not len(errors):
        return False
    shown = errors[:_MOST_DRAWN]
    captions = []
    for position, index in zip(shown.tolist(), predicted.indices[shown].tolist(), strict=True):
        true, guess = (dataset.classes[numbers[position]] for numbers in (predicted.labels, predicted.predicted))
        captions.append(
            f"{dataset.caption_of(index)}\ntrue: {true}\npredicted: {guess}\n"
            f"confidence: {100 * predicted.confidence[position]:.1f}%"
        )
    first = f"; the {len(shown)} most confident" if len(shown) < len(errors) else ", the most confident first"
    title = f"{evaluation.data}: {len(errors):,} of {len(predicted.labels):,} images predicted wrong{first}"
    draw_contact_sheet([dataset.images[index] for index in predicted.indices[shown]], captions, path, title)
    return True


def _confusions(scores: Scores) -> list[str]:
    """The pairs of classes most often confused."""
    pairs = [
        (images, visible(scores.classes[true]), visible(scores.classes[predicted]))
        for images, true, predicted in scores.confused()
    ]
    return [
        f"{true} as {predicted}: {count}" for count, true, predicted in sorted(pairs, reverse=True)[:_MOST_CONFUSIONS]
    ]
