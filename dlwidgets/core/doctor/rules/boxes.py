"""Rules on the boxes of a detection batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ...base.words import pluralize
from ..box_facts import BoxFacts
from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule
from .inputs import missing_data

#: The share of boxes that may reach beyond the image or have no area; a few do in most data sets.
_SOME = 0.05


def _missing_boxes(evidence: Evidence) -> str:
    if why := missing_data(evidence):
        return why
    return "" if evidence.data.train.boxes is not None else "no boxes were seen in the targets"


def find_wrong_boxes(evidence: Evidence) -> Iterator[Finding]:
    """Find boxes whose unit, place, area or class is wrong."""
    boxes: BoxFacts = evidence.data.train.boxes
    numbers = {
        "boxes": boxes.count, "outside": boxes.outside, "empty": boxes.empty, "unnumbered": boxes.unnumbered,
        "high": boxes.high,
    }  # fmt: skip
    if (found := _in_wrong_unit(boxes) or _without_class(boxes) or _out_of_place(boxes, evidence)) is not None:
        # What is seen of labels is what was evaluated; of a detector's boxes the sentence names the first picture.
        yield replace(found, evidence=numbers, remedies=() if boxes.form == "corners" else ("show_labels",))


def _in_wrong_unit(boxes: BoxFacts) -> Finding | None:
    size = "" if boxes.image is None else f"{boxes.image[1]} × {boxes.image[0]} pixels"
    if boxes.unit == "pixels":
        return Finding(
            "boxes_wrong", "high", f"The boxes are in pixels: up to {boxes.high:.4g}",
            "Rows of class, x, y, width and height hold shares of the image, from 0 to 1. Divide x and width by the "
            f"image's width, y and height by its height{size and f', here {size}'}.",
            why="Boxes far outside match no anchor, so that the loss counts none of them: it looks low, and nothing "
            "is learnt.",
        )  # fmt: skip
    if boxes.unit == "shares":
        return Finding(
            "boxes_wrong", "high", f"The boxes are in shares of the image: none is above {boxes.high:.4g}",
            "A detector takes x1, y1, x2 and y2 in pixels. Multiply x1 and x2 by the image's width, y1 and y2 by its "
            f"height{size and f', here {size}'}.",
            why="Each box then lies within the first pixel, where it matches no anchor: the loss looks low, and "
            "nothing is learnt.",
        )  # fmt: skip
    return None


def _without_class(boxes: BoxFacts) -> Finding | None:
    if not boxes.unnumbered:
        return None
    wanted = "of 0 or more" if boxes.classes is None else f"from 0 to {boxes.classes - 1}, the {boxes.classes} classes"
    said = f"{_count(boxes, boxes.unnumbered, 'has a label', 'have labels')} of no class, such as {boxes.label}"
    return Finding(
        "boxes_wrong", "high", said,
        f"Labels are whole numbers {wanted}. The first such box is in image {boxes.first['unnumbered']}. Do the labels "
        "count from 1, or is a class missing in classes=?",
        why="Such a label points at no output of the model, or at another class's.",
    )  # fmt: skip


def _out_of_place(boxes: BoxFacts, evidence: Evidence) -> Finding | None:
    size = "" if boxes.image is None else f", of images of {boxes.image[1]} × {boxes.image[0]} pixels"
    where = "all training samples" if evidence.data.train.whole else "the first batch"
    # Of corners one without area is enough: most detectors refuse it, and a loss that divides by it is not finite.
    few = 0 if boxes.form == "corners" else _SOME
    for name, count, least, one, many, cure in (
        ("outside", boxes.outside, _SOME, "reaches beyond the image", "reach beyond the image",
         "Are x and y, or two ways of writing boxes, mixed up?"),
        ("empty", boxes.empty, few, "has no area", "have no area",
         "Leave them out, or look whether corners and sizes are mixed up."),
    ):  # fmt: skip
        if count > least * boxes.count:
            first = f" The first is in image {boxes.first[name]}." if name in boxes.first else ""
            return Finding(
                "boxes_wrong", "high" if few == least or count > boxes.count / 2 else "medium",
                _count(boxes, count, one, many), f"It is so in {where}{size}.{first} {cure}",
                why="The loss of such a box pulls towards a place where nothing is to be seen.",
            )  # fmt: skip
    return None


def _count(boxes: BoxFacts, count: int, one: str, many: str) -> str:
    return f"{count:,} of {pluralize(boxes.count, 'box')} {one if count == 1 else many}"


RULES = (
    Rule(
        "boxes_wrong", "boxes in a wrong unit, beyond the image, without area or class", find_wrong_boxes,
        f"coordinates over 1.5 where shares are wanted, or up to 1 where pixels are; over {_SOME:.0%} beyond the image "
        "by 1 %; any without area, or with the number of no class, that a detector is given",
        _missing_boxes, "start",
    ),
)  # fmt: skip
