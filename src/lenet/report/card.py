"""A run's model card: Markdown with the metadata that the Hugging Face Hub reads."""

import json
import re
from typing import Any

import numpy as np

from lenet.characters import visible
from lenet.report.contents import Contents
from lenet.report.text import diverged, epochs_chosen, interval, percent, plus_minus, seen_images

CARD = "MODEL_CARD.md"  # its name in a run's folder
_NAMED = 100  # classes whose names are listed


def card_text(contents: Contents) -> str:
    """The model card."""
    return "\n".join([*_metadata(contents), "", *_body(contents)]) + "\n"


def _metadata(contents: Contents) -> list[str]:
    """YAML, whose texts are quoted as in JSON."""
    lines = ["---", "library_name: lenet", "pipeline_tag: image-classification", "tags:", "- lenet",
             "- image-classification", "metrics:", "- accuracy"]  # fmt: skip
    result = contents.result
    if result and contents.split == "test":
        figures = [("accuracy", "test accuracy", result["test_accuracy"]["mean"])]
        if f1 := result.get("test_macro_f1"):
            figures.append(("f1", "test macro F1", f1["mean"]))
        data = contents.data.name
        lines += ["model-index:", f"- name: {_quoted(contents.model)}", "  results:", "  - task:",
                  "      type: image-classification", "    dataset:", f"      name: {_quoted(data)}",
                  f"      type: {_quoted(data)}", "      split: test", "    metrics:"]  # fmt: skip
        for kind, name, value in figures:
            lines += [f"    - type: {kind}", f"      name: {name}", f"      value: {value:.4f}"]
    return [*lines, "---"]


def _body(contents: Contents) -> list[str]:
    data = contents.data
    lines = [f"# {_text(contents.model)} on {_text(data.name)}", "", _what(contents), "", "## Input", ""]
    if contents.input_shape:
        height, width, channels = contents.input_shape
        kind = "Grey" if channels == 1 else "RGB"
        lines += [
            f"{kind} images of {height}×{width} pixels, uint8. lenet converts other images: upright by their EXIF "
            f"orientation, transparency on white, fit `{contents.fit}`, antialiased bilinear resize. Normalization is "
            "the network's first layer.", ""
        ]  # fmt: skip
    lines += ["## Classes", "", _classes(contents.classes), "", "## Data", "", *_data(contents), ""]
    lines += ["## Results", "", *_results(contents), "", "## Limits", "", *_limits(contents), ""]
    lines += ["## Use", "", "```python", "import lenet", "", f"run = {contents.path!r}"]
    lines.append('lenet.predict(run, "image.png", top=3)  # classes and calibrated probabilities')
    lines += [f"network = lenet.load(run).networks[{contents.best}]  # an nn.Sequential that takes uint8 [B, H, W, C]"]
    lines += ["```", ""]
    if contents.command:
        lines += ["The command that repeats the run:", "", "```sh", visible(contents.command), "```", ""]
    versions = ", ".join(f"{name} {number}" for name, number in contents.versions.items())
    return [*lines, f"Versions: {_text(versions)}."] if versions else lines


def _what(contents: Contents) -> str:
    parameters = f" with {contents.parameters:,} parameters" if contents.parameters else ""
    trained = len(contents.seeds) + len((contents.result or {}).get("failed") or [])
    several = f" This run trained {trained} of them, which differ by seed." if trained > 1 else ""
    return (
        f"A neural network{parameters} that assigns an image to one of {len(contents.classes)} classes, trained "
        f"with lenet.{several}"
    )


def _classes(classes: tuple[str, ...]) -> str:
    shown = ", ".join(map(_text, classes[:_NAMED]))
    return f"{shown}, and {len(classes) - _NAMED} more." if len(classes) > _NAMED else f"{shown}."


def _data(contents: Contents) -> list[str]:
    data = contents.data
    lines = [f"- Dataset: {_text(data.name)} ({_text(data.source)})"]
    lines += [f"- Homepage: <{data.homepage}>"] if data.homepage else []
    lines.append(f"- Licence: {_text(data.licence) if data.licence else 'not known to lenet; state it here'}")
    lines += [f"- Citation: {_text(data.citation)}"] if data.citation else []
    lines.append(f"- Images: {data.sizes}")
    lines += [f"- Copies: {_text(data.copies)}"] if data.copies else []
    return lines + ([f"- SHA-256 of images and labels: `{data.sha256}`"] if data.sha256 else [])


def _results(contents: Contents) -> list[str]:
    result = contents.result
    if result is None or contents.split == "val":
        return [f"Validation accuracy: {100 * contents.best_accuracy:.1f}%. There is no test result."]
    count = len(result["test_accuracy"]["each"])
    lines = [
        f"- Test accuracy: {percent(result['test_accuracy'], always_n=True)}{interval(result.get('test_interval'))}, "
        f"on {result['test_images']:,} images",
        f"- Validation accuracy: {percent(result['val_accuracy'], always_n=True)}",
        *_more(result),
    ]
    if contents.scores:
        counts = contents.scores[0].counts
        recall = 100 * np.mean([one.recall for one in contents.scores], axis=0)
        present = np.flatnonzero(counts)
        if len(present):
            low, high = present[recall[present].argmin()], present[recall[present].argmax()]
            lines.append(
                f"- Accuracy by class: {recall[low]:.1f}% ({_text(contents.classes[low])}) to {recall[high]:.1f}% "
                f"({_text(contents.classes[high])})"
            )
    said = (
        "In parentheses: 95% confidence interval. " if count == 1 else "Mean ± sample standard deviation over n seeds. "
    )
    return [*lines, "", f"{said}{epochs_chosen([contents.options])}; the test set is evaluated once."]


def _more(result: Any) -> list[str]:
    names = {"test_macro_f1": "Macro F1", "test_calibration_error": "Calibration error"}
    return [
        f"- {name}: {plus_minus(result[key], scale=100, unit='%')}" for key, name in names.items() if result.get(key)
    ]


def _limits(contents: Contents) -> list[str]:
    unlike = "Every image is assigned to one of them."
    if contents.rejects_unlike:
        unlike = ("`lenet predict` answers \"unknown\" to images unlike the training images (`--reject-unlike`); other "
                  "programs assign every image to one of the classes.")  # fmt: skip
    lines = [
        f"- It knows only the classes above. {unlike}",
        "- The accuracy holds for images like those of the test set.",
    ]  # fmt: skip
    if contents.result and contents.split == "test":
        lines += [f"- {note[0].upper() + note[1:]}." for note in seen_images(contents.result)]
    if contents.result and contents.split == "test" and (lost := diverged(contents.result)):
        lines.append(f"- {lost}.")
    if len(contents.seeds) == 1 and contents.split == "test":
        lines.append("- The figures are of one network: the interval does not include variation from seed to seed.")
    return lines


def _quoted(text: str) -> str:
    return json.dumps(visible(text), ensure_ascii=False)


def _text(text: str) -> str:
    """The text in Markdown, where nothing in it is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|&])", r"\\\1", visible(text))
