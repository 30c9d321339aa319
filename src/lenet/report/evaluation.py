"""What is printed of an evaluation."""

from rich.table import Table

from lenet.evaluation.evaluation import Evaluation
from lenet.evaluation.scores import Scores
from lenet.report.console import visible
from lenet.report.text import by_class, interval, percent, plus_minus

_MOST_CONFUSIONS = 5


def evaluation_lines(evaluation: Evaluation) -> list[str]:
    """What was evaluated."""
    count = f"{evaluation.images:,} images"
    which = f"the run's test split, {count}" if evaluation.own else f"its test split, {count}"
    if evaluation.split == "all":
        which = f"all of its {count}"
    lines = [f"data    {evaluation.data} ({evaluation.source}): {which}"]
    if evaluation.trained_on is None:
        lines.append("note    the run's own images are not where they were: not checked for training images")
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
        table.add_row(visible(name), *(f"{100 * mean:.1f}%" for mean in means), f"{first.confusion[number].sum():,}")
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
    if worst := _confusions(evaluation.scores[0]):
        which = f" of network {evaluation.networks[0]}" if many else ""
        lines.append(f"most frequent confusions{which} (true as predicted): {', '.join(worst)}")
    return lines


def _confusions(scores: Scores) -> list[str]:
    """The pairs of classes most often confused."""
    pairs = [
        (int(scores.confusion[true, predicted]), visible(scores.classes[true]), visible(scores.classes[predicted]))
        for true in range(len(scores.classes))
        for predicted in range(len(scores.classes))
        if true != predicted and scores.confusion[true, predicted]
    ]
    return [
        f"{true} as {predicted} {count}" for count, true, predicted in sorted(pairs, reverse=True)[:_MOST_CONFUSIONS]
    ]
