"""Rules on the boxes of a detection batch."""

from __future__ import annotations

from collections.abc import Iterator

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
    """Find boxes in pixels, beyond the image, or without area."""
    boxes: BoxFacts = evidence.data.train.boxes
    size = "" if boxes.image is None else f"{boxes.image[1]} × {boxes.image[0]} pixels"
    numbers = {"boxes": boxes.count, "outside": boxes.outside, "empty": boxes.empty, "high": boxes.high}
    if boxes.pixels:
        yield Finding(
            "boxes_wrong", "high", f"The boxes are in pixels: up to {boxes.high:.4g}",
            "Rows of class, x, y, width and height hold shares of the image, from 0 to 1. Divide x and width by the "
            f"image's width, y and height by its height{size and f', here {size}'}.",
            why="Boxes far outside match no anchor, so that the loss counts none of them: it looks low, and nothing "
            "is learnt.", evidence=numbers, remedies=("show_labels",),
        )  # fmt: skip
        return
    for count, what, cure in (
        (boxes.outside, "reach beyond the image", "Are x and y, or two ways of writing boxes, mixed up?"),
        (boxes.empty, "have no area", "Leave them out, or look whether corners and sizes are mixed up."),
    ):
        if count > _SOME * boxes.count:
            yield Finding(
                "boxes_wrong", "high" if count > boxes.count / 2 else "medium",
                f"{count:,} of {pluralize(boxes.count, 'box')} {what}",
                f"It is so in the first batch{size and f', of images of {size}'}. {cure}",
                why="The loss of such a box pulls towards a place where nothing is to be seen.", evidence=numbers,
                remedies=("show_labels",),
            )  # fmt: skip
            return


RULES = (
    Rule(
        "boxes_wrong", "boxes in pixels, beyond the image, without area", find_wrong_boxes,
        f"coordinates over 1.5 where shares are wanted; over {_SOME:.0%} beyond the image by 1 %, or without area",
        _missing_boxes, "start",
    ),
)  # fmt: skip
