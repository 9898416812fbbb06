"""From which overlap on a box counts as found, as a setting."""

from __future__ import annotations

from typing import Any

from ..base.numbers import read_number
from ..scoring.detections import read_iou
from .control import Setting


class IouThreshold(Setting):
    """The overlap (IoU) from which on a said box counts as found."""

    name = "iou_threshold"
    default = 0.5
    aliases = ("iou", "iou_thres", "iou_thr")

    def read(self, value: Any) -> float:
        number = read_number(value)
        return read_iou(value if number is None else number)
