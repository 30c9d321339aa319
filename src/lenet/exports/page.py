"""A network as one HTML page that classifies images in the browser: no server, no network access, no other files.

The page's network, its fit and its check images are in it; page_source/ contains its HTML, CSS and JavaScript. The
parts named live are also in the report of a run.
"""

import html
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lenet.exports.fit import tall_first
from lenet.exports.network import Exported
from lenet.exports.proof import network_probabilities
from lenet.exports.steps import Activation, AveragePool, Conv, Flatten, Linear, MaxPool, Residual, Scale, Span, Step

SOURCE = Path(__file__).with_name("page_source")
Check = tuple[NDArray[np.uint8], NDArray[np.floating]]


def page_bytes(exported: Exported, checks: Sequence[Check]) -> bytes:
    """The HTML file.

    checks: images, uint8 [H, W, C] of any size, and lenet's probabilities of each, [classes]. The page compares its
        own with them when it loads; it shows those of the network's size
    """
    live = live_parts(exported, checks)
    title = html.escape(f"{exported.provenance.data} classifier")
    style = f"{source_text(SOURCE / 'base.css')}\n{live['STYLE']}"
    parts = live | {"TITLE": title, "STYLE": style, "ABOUT": about(exported)}
    return filled(source_text(SOURCE / "page.html"), parts).encode()


def live_parts(exported: Exported, checks: Sequence[Check], heading: str = "h2") -> dict[str, str]:
    """What a page needs to run the network: LIVE, its sections, whose headings are `heading` elements; SCRIPTS, which
    must follow them; STYLE, which needs base.css. Arguments as for `page_bytes`.
    """
    model = script_json(_model(exported, checks))
    scripts = {name.upper(): source_text(SOURCE / f"{name}.js") for name in ("network", "view", "sources")}
    return {
        "LIVE": filled(source_text(SOURCE / "live.html"), {"HEADING": heading}),
        "SCRIPTS": filled(source_text(SOURCE / "live_scripts.html"), scripts | {"MODEL": model}),
        "STYLE": source_text(SOURCE / "live.css"),
    }


def page_checks(exported: Exported, network: nn.Sequential, images: NDArray[np.uint8]) -> list[Check]:
    """Check images for a page: these, uint8 [N, side, side, C], and two of other sizes, with their probabilities."""
    checks = [*images, *other_sizes(images)]
    return [(image, network_probabilities(exported, network, image[None])[0]) for image in checks]


def filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with each {{NAME}} replaced by a part; braces in a part are left alone."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def source_text(path: Path) -> str:
    """The text of a template, style or script that comes with lenet."""
    return path.read_text(encoding="utf-8").strip()


def page_use(exported: Exported) -> str:
    """How the file is used, in a line."""
    return "open it in a browser; its check images are verified when it loads"


def other_sizes(images: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Two images [H, W, C] of other sizes, a wide and a tall one, tiled from uint8 [N, side, side, C]."""
    side = images.shape[1]
    sizes = ((side + side // 2 + 1, 2 * side + 3), (3 * side + 1, side + 5))
    found = []
    for number, (height, width) in enumerate(sizes):
        tiled = np.tile(images[number % len(images)], (4, 4, 1))
        found.append(np.ascontiguousarray(tiled[:height, :width]))
    return found


def about(exported: Exported) -> str:
    """What the network is and what it is not, as HTML."""
    origin, (side, _, channels) = exported.provenance, exported.input_shape
    accuracy = ""
    if origin.test_accuracy is not None:
        accuracy = f", with a test accuracy of {100 * origin.test_accuracy:.1f}%"
        if origin.test_interval:
            low, high = origin.test_interval
            accuracy += f" (95% confidence interval {100 * low:.1f}% to {100 * high:.1f}%)"
    kind = "grey" if channels == 1 else "colour"
    sentences = (
        f"A neural network that assigns an image to one of {len(exported.classes)} classes, trained on "
        f"{origin.data}{accuracy}.",
        f"It takes {kind} images of {side} × {side} pixels; other images are resized (fit: {exported.fit}). "
        "The probabilities are calibrated.",
        "It knows only these classes: an image of anything else is assigned to one of them too.",
        f"Written by lenet {origin.lenet}. Images stay in this page, which makes no network requests.",
    )
    return "\n".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def script_json(value: Any) -> str:
    """JSON for a script element, which "<" could end."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _base64(values: NDArray[Any], kind: str) -> str:
    return b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()


def _model(exported: Exported, checks: Sequence[Check]) -> dict[str, Any]:
    arrays: list[NDArray[np.float32]] = []
    steps = [_step(step, arrays) for step in exported.steps]
    side, _, channels = exported.input_shape
    return {
        "classes": exported.classes,
        "side": side,
        "channels": channels,
        "fit": exported.fit,
        "tall_first": tall_first(),
        "mean": exported.mean.tolist(),
        "std": exported.std.tolist(),
        "temperature": exported.temperature,
        "steps": steps,
        "checks": [
            {
                "height": image.shape[0],
                "width": image.shape[1],
                "pixels": _base64(image, "u1"),
                "probabilities": _base64(wanted, "<f4"),
            }
            for image, wanted in checks
        ],
        "weights": _base64(np.concatenate([np.empty(0, np.float32), *arrays]), "<f4"),
    }


def _step(step: Step, arrays: list[NDArray[np.float32]]) -> dict[str, Any]:
    """The step as JSON; its arrays are added to `arrays`, of which the JSON gives the position in floats."""
    facts: dict[str, Any] = {"where": step.where, "input": step.input, "output": step.output}
    places: dict[str, tuple[int, int]] = {}
    for name in ("weight", "bias", "factor", "shift"):
        values = getattr(step, name, None)
        if values is not None:
            begin = sum(map(len, arrays))
            arrays.append(values.reshape(-1))
            places[name] = begin, begin + values.size
    if isinstance(step, Residual):
        facts["branches"] = [[_step(one, arrays) for one in branch] for branch in (step.body, step.shortcut)]
    return facts | {"kind": _KINDS[type(step)], "arrays": places} | _settings(step)


_KINDS: dict[type[Step], str] = {
    Conv: "conv",
    Linear: "linear",
    Scale: "scale",
    Activation: "activation",
    MaxPool: "max_pool",
    AveragePool: "average_pool",
    Flatten: "flatten",
    Residual: "residual",
}


def _settings(step: Step) -> dict[str, Any]:
    match step:
        case Conv():
            rows, columns = step.padded_from()
            return {
                "kernel": step.weight.shape[2:],
                "stride": step.stride,
                "dilation": step.dilation,
                "groups": step.groups,
                "rows": rows,
                "columns": columns,
            }
        case Activation():
            return {"function": step.function, "slope": step.slope}
        case MaxPool():
            return {
                "kernel": step.kernel,
                "stride": step.stride,
                "dilation": step.dilation,
                "padding": step.padding,
            }
        case AveragePool():
            return {"rows": _spans(step.rows), "columns": _spans(step.columns)}
    return {}


def _spans(spans: Sequence[Span]) -> list[tuple[int, int, float]]:
    return [(span.begin, span.end, span.weight) for span in spans]
