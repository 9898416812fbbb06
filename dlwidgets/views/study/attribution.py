"""The section "where": Grad-CAM or gradient x input for a class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...core.activations.look import number
from ...core.activations.study.ablation import scores_under
from ...core.activations.study.attribution import grad_cam, gradient_x_input
from ...core.layers.framework import framework_of
from ...core.pictures.tiles import make_tiles
from .section import Section, StudySubject

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

METHODS = ("grad_cam", "gradient_x_input")
#: The bytes of the map, and the classes that are offered.
_BUDGET, _CLASSES = 16_384, 200


class AttributionSection(Section):
    """The method, class and layer that a person chose, and their map."""

    trait, empty = "where", {"where": {}, "where_map": b""}

    def __init__(self) -> None:
        super().__init__()
        self.method, self.target, self.here = "grad_cam", None, False

    @property
    def key(self) -> Any:
        return self.method, self.target, self.here

    def choose(self, name: str, value: Any) -> None:
        """Choose the method, the class (None: predicted), or the layer."""
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

    def work(self, subject: StudySubject, seconds: float) -> bool:
        inputs, layout = subject.inputs(), subject.layout
        scores = scores_under(subject.model, inputs, [{}], subject.scores)[0]
        order = torch.argsort(-scores.nan_to_num(-math.inf), stable=True).tolist()
        target = self.target if self.target is not None and self.target < len(scores) else None
        names, points = subject.names(len(scores)), [number(score) for score in scores.tolist()]
        first = layout.axis == 0 or framework_of(subject.model).channels_of(subject.model, 4) is not None
        usable = first and len(layout.shape) >= 2 and math.prod(layout.shape) > layout.channels
        words: dict[str, Any] = {
            "method": self.method, "chosen": target, "here": self.here, "predicted": order[0],
            "classes": [[i, names[i], points[i]] for i in sorted(order[:_CLASSES])],
            "step": subject.step, "usable": usable, "shown": subject.layer, "reason": "",
        }  # fmt: skip
        by_input = self.method == "gradient_x_input"
        try:
            if by_input:
                found = gradient_x_input(subject.model, inputs, target)
            else:
                layer = subject.layer if self.here and usable else None
                found = grad_cam(subject.model, inputs, target, layer)
        except ValueError as error:
            self.found = {"where": {**words, "reason": str(error)}}
            return False
        model, axes = subject.model, found.values.ndim + 1
        axis = framework_of(model).channels_of(model, axes) if axes > 3 else None
        form, values = _drawable(found.values, by_input, by_input and bool(found.layer), axis)
        drawn = make_tiles(values[None], budget=_BUDGET)
        words.update(
            target=found.target, layer=found.layer, score=points[found.target], form=form,
            size=list(drawn.maps.shape[1:]), peak=float(drawn.scale[0]), shape=list(found.values.shape),
        )  # fmt: skip
        self.found = {"where": words, "where_map": drawn.maps.tobytes()}
        return False

    def values(self) -> dict[str, Any]:
        return {**self.empty, "where": {"method": self.method}, **self.found}

    def figure(self, values: dict[str, Any], image: np.ndarray | None) -> Figure | None:
        from ...core.figures.study import attribution_figure

        found = values["where"]
        if "peak" not in found:
            return None
        name = next((row[1] for row in found["classes"] if row[0] == found["target"]), found["target"])
        word = "Grad-CAM" if found["method"] == "grad_cam" else "gradient × input"
        under = image if found["form"] == "map" else None
        return attribution_figure(_decode(values), under, f"{word} for {name}")

    def frame(self, values: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(_decode(values) if "peak" in values["where"] else None)


def _drawable(
    values: torch.Tensor, by_input: bool, tokens: bool, channels: int | None = None
) -> tuple[str, torch.Tensor]:
    """Return the form, "map", "line", "matrix" or "tokens", and a matrix.

    `channels` is their axis in a batch of inputs, where the model's framework says it.
    """
    if tokens or values.ndim <= 1:
        return "tokens" if tokens else "line", values.reshape(1, -1)
    if by_input and values.ndim == 2:
        return "matrix", values
    if by_input and values.ndim > 2:
        # Summed over the channels, which are first, or last as in images of three colours.
        last = values.ndim == 3 and values.shape[0] not in (1, 3) and values.shape[-1] in (1, 3)
        values = values.sum(channels - 1 if channels is not None else -1 if last else 0)
    if values.ndim == 3:
        values = values[values.shape[0] // 2]
    return "map" if values.ndim == 2 else "line", values.reshape(-1, values.shape[-1])


def _decode(values: dict[str, Any]) -> np.ndarray:
    """Return the numbers of the map; NaN where they are not finite."""
    codes = np.frombuffer(values["where_map"], np.uint8).reshape(values["where"]["size"]).astype(float)
    return np.where(codes == 0, np.nan, (codes - 128) * values["where"]["peak"] / 127)
