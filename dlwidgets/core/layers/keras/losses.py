"""Losses of Keras, called as torch's are: `(output, targets) -> scalar tensor`."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import torch
from torch import nn

from ...base.framework_loss import FrameworkLoss
from .outputs import find_output_kind

#: What a loss compares, by its class.
_COMPARES = {
    "SparseCategoricalCrossentropy": "multiclass", "CategoricalCrossentropy": "multiclass",
    "CategoricalFocalCrossentropy": "multiclass", "CategoricalHinge": "multiclass",
    "BinaryCrossentropy": "labels", "BinaryFocalCrossentropy": "labels",
    "MeanSquaredError": "numbers", "MeanAbsoluteError": "numbers", "MeanAbsolutePercentageError": "numbers",
    "MeanSquaredLogarithmicError": "numbers", "CosineSimilarity": "numbers", "LogCosh": "numbers", "Huber": "numbers",
    "Poisson": "numbers",
}  # fmt: skip
#: torch's losses of probabilities and of logits that are the same.
_ALIKE = {
    "SparseCategoricalCrossentropy": ("NLLOfProbabilities", "CrossEntropyLoss"),
    "CategoricalCrossentropy": ("NLLOfProbabilities", "CrossEntropyLoss"),
    "BinaryCrossentropy": ("BCELoss", "BCEWithLogitsLoss"),
}  # fmt: skip


class KerasLoss(FrameworkLoss):
    """A `keras.losses.Loss`: its numbers are Keras's, to the last bit.

    On probabilities a cross-entropy clips them to 1e-7 and 1 - 1e-7, as Keras does.
    """

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.loss = loss
        #: Whether outputs came with a mask, by which their samples count differently.
        self.masked = False

    def forward(self, output: Any, targets: Any) -> torch.Tensor:
        """Return Keras's loss of targets and output."""
        from keras.backend import backend

        self.masked = self.masked or getattr(output, "_keras_mask", None) is not None
        if backend() == "torch":
            if output.ndim > 3 and self.__name__.startswith("Sparse") and self.takes_probabilities:
                # Keras 3.15 moves the classes to the second axis, of which torch's nll_loss2d has no gradient.
                shape = targets.shape
                made = self.loss(targets.reshape(-1), output.reshape(-1, output.shape[-1]))
                return made.reshape(shape) if made.ndim else made
            return self.loss(targets, output)
        made = self.loss(*(one.cpu().numpy() for one in (targets, output)))
        return torch.as_tensor(np.array(made))

    smoothed = "keras.losses.CategoricalCrossentropy has, of one-hot rows, as keras.utils.to_categorical(y) makes them"

    def __repr__(self) -> str:
        return self.source or self.__name__

    @property
    def __name__(self) -> str:
        """Its class in Keras, or the function that it wraps."""
        name = type(self.loss).__name__
        return getattr(self.loss.fn, "__name__", name) if name == "LossFunctionWrapper" else name

    @property
    def compares(self) -> str:  # type: ignore[override]
        return _COMPARES.get(self.__name__, "")

    @property
    def takes_probabilities(self) -> bool | None:  # type: ignore[override]
        logits = self._setting("from_logits")
        return None if logits is None else not logits

    @property
    def takes_signs(self) -> bool:  # type: ignore[override]
        return self.__name__ in ("Hinge", "SquaredHinge")

    @property
    def reduction(self) -> str:
        """ "sum", "none", or that of a mean."""
        return self.loss.reduction or "none"

    @reduction.setter
    def reduction(self, value: str) -> None:
        self.loss = self._changed(reduction=value)

    @property
    def summed(self) -> bool:  # type: ignore[override]
        return self.loss.reduction == "sum"

    @property
    def by_samples(self) -> bool:  # type: ignore[override]
        return not self.masked and self.ignore_index is None and not self.summed

    @property
    def ignore_index(self) -> int | None:
        """The class number that is left out of the mean."""
        return self._setting("ignore_class")

    @ignore_index.setter
    def ignore_index(self, value: int) -> None:
        self.loss = self._changed(ignore_class=value)

    @property
    def label_smoothing(self) -> float | None:
        """That of the loss; None where it has none."""
        return self._setting("label_smoothing")

    @label_smoothing.setter
    def label_smoothing(self, value: float) -> None:
        self.loss = self._changed(label_smoothing=value)

    @property
    def source(self) -> str:  # type: ignore[override]
        kind = type(self.loss)
        if not kind.__module__.startswith("keras.") or kind.__name__ == "LossFunctionWrapper":
            return ""
        usual = {name: one.default for name, one in inspect.signature(kind).parameters.items()}
        set_here = {name: one for name, one in self.loss.get_config().items() if usual.get(name) != one}
        return f"keras.losses.{kind.__name__}({', '.join(f'{name}={one!r}' for name, one in set_here.items())})"

    @property
    def alike(self) -> str:  # type: ignore[override]
        of_probabilities = _ALIKE.get(self.__name__)
        return "" if of_probabilities is None else of_probabilities[not self.takes_probabilities]

    @property
    def cure(self) -> str:  # type: ignore[override]
        return made.source if (made := self.turned()) is not None else ""

    def turned(self) -> KerasLoss | None:
        wants = self.takes_probabilities
        return KerasLoss(self._changed(from_logits=wants)) if wants is not None else None

    def hint(self, targets: Any, output: Any) -> str:
        if not isinstance(targets, torch.Tensor) or not isinstance(output, torch.Tensor):
            return ""
        numbers = targets.ndim < output.ndim or (targets.shape[-1] == 1 and output.shape[-1] > 1)
        name = self.__name__
        if name in ("CategoricalCrossentropy", "BinaryCrossentropy", "CategoricalFocalCrossentropy") and numbers:
            wants = "0 or 1 for each output" if name.startswith("Binary") else "one-hot rows"
            return f' It wants {wants}: for class numbers it is "sparse_categorical_crossentropy".'
        if name == "SparseCategoricalCrossentropy" and targets.shape == output.shape:
            return ' It wants class numbers: for one-hot rows it is "categorical_crossentropy".'
        return ""

    def leave_out_unknown(self) -> nn.Module | None:
        if self.__name__ == "SparseCategoricalCrossentropy":
            return KerasLoss(self._changed(ignore_class=-1)) if self.ignore_index is None else None
        if self.__name__ == "BinaryCrossentropy" and not self.label_smoothing and not self.summed:
            return nn.BCELoss() if self.takes_probabilities else nn.BCEWithLogitsLoss()
        return None

    def _setting(self, name: str) -> Any:
        own = getattr(self.loss, "_fn_kwargs", {})
        return getattr(self.loss, name, own.get(name))

    def _changed(self, **settings: Any) -> Any:
        """Return the loss of Keras with other settings."""
        made = copy.copy(self.loss)
        for name, value in settings.items():
            if hasattr(made, name):
                setattr(made, name, value)
            if name in getattr(made, "_fn_kwargs", {}):
                made._fn_kwargs = {**made._fn_kwargs, name: value}
        return made


def read_keras_loss(loss: Any) -> KerasLoss | None:
    """Read a loss of Keras; None where it has none.

    It is given as a name, a function, a class or an object; `compile` also takes a function of a person's own, of
    `(y_true, y_pred)`.
    """
    from keras import losses

    kinds = {name.lower(): kind for name, kind in vars(losses).items() if isinstance(kind, type) and name != "Loss"}
    if isinstance(loss, str):
        try:
            loss = losses.get(loss)
        except ValueError:
            loss = kinds.get(loss.lower().replace("_", "").replace(" ", ""))
            if loss is None:
                return None
    if isinstance(loss, type):
        loss = loss()
    if not isinstance(loss, losses.Loss):
        own = kinds.get(getattr(loss, "__name__", "").replace("_", ""))
        of_keras = (getattr(loss, "__module__", None) or "").startswith("keras.")
        loss = own() if own is not None and of_keras else _wrap(loss)
    return KerasLoss(loss)


def _wrap(function: Any) -> Any:
    from keras.src.losses.losses import LossFunctionWrapper

    return LossFunctionWrapper(function, name=getattr(function, "__name__", None))


def find_usual_loss(model: Any, task: str, targets: torch.Tensor, output: torch.Tensor) -> KerasLoss | None:
    """Return Keras's loss for outputs that torch's usual one does not suit.

    These are probabilities, and classes along the last of more than two axes.
    """
    from keras import losses

    kind = find_output_kind(model)
    if task == "multiclass":
        rows = output.float()
        if kind is None and bool((rows >= 0).all()) and bool(torch.isclose(rows.sum(-1), torch.ones(())).all()):
            kind = "softmax"
        if kind == "softmax" or output.ndim > 2:
            hot = targets.ndim == output.ndim and targets.shape[1:] == output.shape[1:]
            made = losses.CategoricalCrossentropy if hot else losses.SparseCategoricalCrossentropy
            return KerasLoss(made(from_logits=kind != "softmax"))
    if task in ("multilabel", "binary") and kind in ("sigmoid", "softmax"):
        return KerasLoss(losses.BinaryCrossentropy())
    return None
