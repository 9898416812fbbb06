"""The section "where": Grad-CAM or gradient x input for a class."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...core.activations.study.ablation import scores_under
from ...core.activations.study.attribution import Attribution, grad_cam, gradient_x_input
from ...core.pictures.tiles import make_tiles
from .subject import StudySubject

METHODS = ("grad_cam", "gradient_x_input")
#: The bytes of the map, the bars of a vector, and the classes that are offered.
_BUDGET, _BARS, _CLASSES = 16_384, 512, 200


class AttributionSection:
    """The method, class and layer that a person chose, and their map."""

    def __init__(self) -> None:
        self.method, self.target, self.here = "grad_cam", None, False
        self._values: dict[str, Any] = {}

    @property
    def key(self) -> Any:
        """What a person decides."""
        return self.method, self.target, self.here

    def choose(self, name: str, value: Any) -> None:
        """Choose the method, the class, or the layer that is weighted.

        The class None is the predicted one; the layer is that which is shown, or the last convolution.

        Raises
        ------
        ValueError : it is none of these.
        """
        if name == "where_method":
            if value not in METHODS:
                raise ValueError(f"The methods are {' and '.join(METHODS)}, not {value!r}.")
            self.method = value
        elif name == "where_target":
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
                raise ValueError(f"A class is a number, or None for the predicted one, not {value!r}.")
            self.target = value
        else:
            self.here = bool(value)

    def forget(self) -> None:
        """Let go what was computed."""
        self._values = {}

    def work(self, subject: StudySubject, _seconds: float = 0.0) -> bool:
        """Compute the map."""
        inputs = subject.inputs
        scores = scores_under(subject.model, inputs, [{}], subject.scores)[0]
        target = self.target if self.target is not None and self.target < len(scores) else None
        words = self._about(subject, scores, target)
        try:
            found = self._attribution(subject, inputs, target)
        except ValueError as error:
            words["reason"] = str(error)
            self._values = {"where": words, "where_map": b""}
            return False
        words["target"], words["layer"] = found.target, found.layer
        words["score"] = _number(scores[found.target])
        form, values = _drawable(found, self.method)
        drawn = make_tiles(values[None], budget=_BUDGET)
        words.update(
            form=form, size=list(drawn.maps.shape[1:]), peak=float(drawn.scale[0]),
            shape=list(found.values.shape),
        )  # fmt: skip
        self._values = {"where": words, "where_map": drawn.maps.tobytes()}
        return False

    def values(self) -> dict[str, Any]:
        """Return the picture as values of traits."""
        return {"where": {"method": self.method}, "where_map": b"", **self._values}

    # -- inside

    def _about(self, subject: StudySubject, scores: torch.Tensor, target: int | None) -> dict[str, Any]:
        names = subject.names(len(scores))
        order = torch.argsort(-scores.nan_to_num(-math.inf), stable=True).tolist()
        listed = range(len(scores)) if len(scores) <= _CLASSES else sorted(order[:_CLASSES])
        return {
            "method": self.method, "chosen": target, "here": self.here, "predicted": order[0],
            "classes": [[i, names[i], _number(scores[i])] for i in listed],
            "step": subject.step, "usable": _has_maps(subject), "shown": subject.layer, "reason": "",
        }  # fmt: skip

    def _attribution(self, subject: StudySubject, inputs: Any, target: int | None) -> Attribution:
        if self.method == "gradient_x_input":
            return gradient_x_input(subject.model, inputs, target)
        layer = subject.layer if self.here and _has_maps(subject) else None
        return grad_cam(subject.model, inputs, target, layer)


def _has_maps(subject: StudySubject) -> bool:
    layout = subject.layout
    return layout.axis == 0 and len(layout.shape) >= 2 and math.prod(layout.shape[1:]) > 1


def _drawable(found: Attribution, method: str) -> tuple[str, torch.Tensor]:
    """Return the form, "map", "line", "matrix" or "tokens", and a matrix."""
    values = found.values
    if method == "gradient_x_input" and found.layer:
        return "tokens", values.reshape(1, -1)
    if values.ndim <= 1:
        return "line", values.reshape(1, -1)
    if method == "gradient_x_input":
        # Summed over the channels, which are first, or last as in images of three colours.
        last = values.ndim == 3 and values.shape[0] not in (1, 3) and values.shape[-1] in (1, 3)
        values = values.sum(-1) if last else values.sum(0) if values.ndim > 2 else values
    if values.ndim == 3:
        values = values[values.shape[0] // 2]
    if method == "gradient_x_input" and found.values.ndim == 2:
        return "matrix", values
    return "map" if values.ndim == 2 else "line", values.reshape(-1, values.shape[-1])


def _number(value: torch.Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
