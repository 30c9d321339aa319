"""The report's confusion matrix, whose cells open images, and the most confident mistakes."""

import math
from dataclasses import dataclass

import numpy as np

from lenet.errors import counted
from lenet.evaluation.scores import Scores
from lenet.exports.page import script_json
from lenet.report.contents import Contents
from lenet.report.markup import escaped, hint, left_out, png_url, section
from lenet.report.sprite import Sprite, by_turns, sprite_of

_NUMBERED = 25  # up to this number of classes, the cells have numbers
_SHORT = 3  # characters of a class name that is not turned above its column
_DRAWN = 200  # up to this number of classes, there is a matrix
_LISTED = 20  # most frequent confusions
_CONFIDENT = 24  # most confident mistakes


@dataclass(frozen=True, eq=False)
class Shown:
    """The mistakes that the page contains.

    order: the position in `Mistakes` of image k of the sprite
    """

    sprite: Sprite
    order: list[int]


def shown_mistakes(contents: Contents, most_bytes: int) -> Shown:
    """As many mistakes as fit: the most confident ones, then some of each cell."""
    found = contents.mistakes
    if found is None:
        return Shown(sprite_of([], 0), [])
    cells = found.predicted.labels * len(contents.classes) + found.predicted.predicted
    order = by_turns(cells, _CONFIDENT).tolist()
    sprite = sprite_of([found.images[position] for position in order], most_bytes)
    return Shown(sprite, order[: sprite.count])


def sprite_style(shown: Shown) -> str:
    """The CSS of an image of the sprite."""
    if not shown.sprite.count:
        return ""
    size = f"{100 * shown.sprite.columns}% {100 * shown.sprite.rows}%"
    return f".tile {{ background-image: url({png_url(shown.sprite.png)}); background-size: {size}; }}"


def mistakes_json(contents: Contents, shown: Shown) -> str:
    """The images of the sprite for the page's script: [true class, predicted class, confidence or null, name] each."""
    found = contents.mistakes
    tiles = []
    for position in shown.order if found else []:
        assert found is not None
        confidence = float(found.predicted.confidence[position])
        true, predicted = (int(part[position]) for part in (found.predicted.labels, found.predicted.predicted))
        told = None if math.isnan(confidence) else round(confidence, 4)
        tiles.append([true, predicted, told, str(found.names[position])])
    facts = {"classes": contents.classes, "columns": shown.sprite.columns, "rows": shown.sprite.rows, "tiles": tiles}
    return script_json(facts)


def confusion_section(contents: Contents, shown: Shown) -> str:
    """The matrix, the most frequent confusions, and how many images can be opened."""
    title = "Confusion matrix"
    if not contents.scores:
        return section("confusion", title, left_out(contents.missing.get("scores", "")), wide=True)
    number = min(contents.best, len(contents.scores) - 1)
    scores = contents.scores[number]
    wrong = scores.images - scores.correct
    of = f" by the network{contents.with_seed}" if contents.with_seed else ""
    said = f"{counted(wrong, 'mistake')} among {scores.images:,} {contents.images_named}{of}."
    if not wrong:
        said += " Every image was classified correctly."
    if contents.mistakes is not None and wrong:
        count = "all" if shown.sprite.count == wrong else f"{shown.sprite.count:,}"
        said += f" This page contains {count} of these {wrong:,} images: click a cell to see them."
    parts, matrix, listed = [hint(said)], [], []
    if len(contents.classes) <= _DRAWN:
        matrix.append(_matrix(contents, scores.confusion))
        matrix.append(hint("Rows: true class; columns: predicted class. Colour: fraction of the row."))
    else:
        matrix.append(hint(f"{len(contents.classes)} classes are too many for a matrix here."))
    if wrong:
        listed.append(_most_frequent(contents, scores))
        if contents.mistakes is None:
            listed.append(left_out(contents.missing.get("mistakes", "")))
    kind = "beside" if len(contents.classes) <= _NUMBERED else "beside long"
    parts.append(f'<div class="{kind}"><div>{"".join(matrix)}</div><div>{"".join(listed)}</div></div>')
    dialog = (
        '<dialog id="cell" aria-labelledby="cell-title"><div class="dialog-head"><h3 id="cell-title"></h3>'
        '<button type="button" id="cell-close">Close</button></div><p class="hint" id="cell-said"></p>'
        '<div class="tiles" id="cell-tiles"></div></dialog>'
    )
    return section("confusion", title, *parts, dialog, wide=True)


def _matrix(contents: Contents, confusion: np.ndarray) -> str:
    count = len(contents.classes)
    numbered = count <= _NUMBERED
    opens = contents.mistakes is not None
    names = [escaped(name) for name in contents.classes]
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    rows = []
    totals = np.maximum(confusion.sum(axis=1), 1)
    for true in range(count):
        cells = []
        for predicted, images in enumerate(confusion[true].tolist()):
            if not images:
                cells.append("<td>")
                continue
            part = images / totals[true]
            # Among many classes a hundredth would be invisible: the colour follows the square root there.
            depth = part if numbered else part**0.5
            kind = "right" if true == predicted else "wrong"
            text = f"{images:,}" if numbered else ""
            style = f'class="{kind}{" deep" if depth > 0.55 else ""}" style="--p:{max(4, round(100 * depth))}%"'
            if true == predicted or not opens:
                cells.append(f"<td {style}>{text}" if numbered else f"<td {style} data-n={images}>")
            else:
                keys = "" if numbered else " tabindex=-1"
                cells.append(
                    f"<td {style}><button data-c={true * count + predicted} data-n={images}{keys}>{text}</button>"
                )
        rows.append(f'<tr><th scope="row">{names[true]}</th>{"".join(cells)}')
    kind = "numbered" if numbered else "fine"
    kind += " short" if max(map(len, contents.classes)) <= _SHORT else ""
    return (
        f'<div class="scroll"><table class="matrix {kind}"><caption class="unseen">True class by row, predicted class '
        f"by column</caption><thead><tr><td>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _most_frequent(contents: Contents, scores: Scores) -> str:
    items = []
    for images, true, predicted in sorted(scores.confused(), key=lambda pair: -pair[0])[:_LISTED]:
        cell = true * len(contents.classes) + predicted
        name = f"{escaped(contents.classes[true])} → {escaped(contents.classes[predicted])} <b>{images:,}</b>"
        if contents.mistakes is None:
            items.append(f"<li>{name}</li>")
        else:
            items.append(f'<li><button type="button" data-c={cell} data-n={images}>{name}</button></li>')
    return f'<h3>Most frequent confusions (true → predicted)</h3><ul class="pairs">{"".join(items)}</ul>'


def confident_section(contents: Contents, shown: Shown) -> str:
    """The wrong predictions with the highest confidence."""
    title, found = "Most confident mistakes", contents.mistakes
    reason = contents.missing.get("mistakes", "")
    if found is not None and len(found.names) and np.isnan(found.predicted.confidence).any():
        reason = contents.missing.get("live", "The confidence of the predictions is unknown.")
    if found is None or (reason and len(found.names)):
        return section("confident", title, left_out(reason), wide=True)
    if not len(found.names):
        return section("confident", title, hint("There are none."), wide=True)
    tiles = []
    for tile, position in enumerate(shown.order[:_CONFIDENT]):
        true, predicted = (
            escaped(contents.classes[int(part[position])])
            for part in (found.predicted.labels, found.predicted.predicted)
        )
        percent = f"{100 * float(found.predicted.confidence[position]):.1f}%"
        name = escaped(found.names[position])
        picture = tile_html(shown.sprite, tile, f"{name}: true {true}, predicted {predicted}")
        tiles.append(
            f"<figure>{picture}<figcaption><b>{predicted}</b> {percent}<br>true: {true}<br>"
            f'<span class="file" title="{name}">{name}</span></figcaption></figure>'
        )
    calibrated = "Confidence is the calibrated probability of the predicted class."
    parts = (f'<div class="tiles">{"".join(tiles)}</div>', hint(calibrated))
    return section("confident", title, *parts, wide=True)


def tile_html(sprite: Sprite, number: int, label: str) -> str:
    """An image of the sprite; `label` is escaped already."""
    row, column = divmod(number, sprite.columns)
    across, down = (100 * place / max(1, of - 1) for place, of in ((column, sprite.columns), (row, sprite.rows)))
    style = f"background-position: {across:.4f}% {down:.4f}%"
    return f'<div class="tile" role="img" aria-label="{label}" style="{style}"></div>'
