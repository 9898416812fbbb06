"""A pass over the validation data: loss, scores and metrics; model and random numbers stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..base.isolation import eval_mode
from ..data.batches import Batches, batch_length
from ..data.objective import Objective
from ..data.task import one_number
from .sampling import part_of
from .verdicts import judge_of

if TYPE_CHECKING:
    from .scores import Scores


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the validation data found.

    Attributes
    ----------
    loss : mean over the samples.
    samples : how many there were.
    scores : the scores of a classification task; None for any other. Where a part was evaluated, their
        `sample_ids` are the samples' row numbers in the validation data.
    metrics : by name: "accuracy" (multiclass), "macro_f1" (classes; at a threshold of 0.5, multiclass: of the
        likeliest class), "mean_absolute_error" (regression).
    of : how many samples the validation data has; None where it cannot say.
    note : which samples these were, in a sentence, where it is not all of them; "" where it is.
    """

    loss: float
    samples: int
    scores: Scores | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    of: int | None = None
    note: str = ""

    @property
    def figures(self) -> dict[str, float]:
        """The loss, as "valid_loss", and the metrics."""
        return {"valid_loss": self.loss, **self.metrics}


def evaluate(
    objective: Objective,
    batches: Batches,
    batch_size: int,
    classes: tuple[str, ...] | None = None,
    count: int | None = None,
    seed: int = 0,
    between: Callable[[], None] | None = None,
) -> Evaluation:
    """Return loss and scores over `batches`, in eval mode.

    On a GPU nothing is read from the device before the last batch, so that no batch waits for another.

    Parameters
    ----------
    count, seed : evaluate so many samples only, chosen by the seed: see `sampling.part_of`; None: all.
    between : called before each batch but the first.

    Raises
    ------
    ValueError : the data gave no samples, or the model's output is NaN for some.
    """
    part = part_of(batches, batch_size, count, seed)
    judge = judge_of(objective.task, classes)
    total: Any = 0.0
    samples = 0
    with eval_mode(objective.model):
        for batch in part.batches:
            if between is not None and samples:
                between()
            batch = objective.there(batch)
            size = batch_length(batch)
            if objective.custom is not None:
                loss = _custom_loss(objective, batch)
            else:
                loss, output, targets = objective.judged(batch)
                if judge is not None and all(isinstance(one, torch.Tensor) for one in (output, targets)):
                    judge.add(targets.detach(), output.detach(), part.rows(samples, size))
            total = total + _wide(one_number(loss)[0].detach()) * size
            samples += size
        if not samples:
            raise ValueError("The validation data gave no samples.")
        scores, metrics = (None, {}) if judge is None else judge.found()
    whole = count is None or samples < count or part.of == samples
    return Evaluation(
        float(total) / samples, samples, scores, metrics, samples if whole else part.of,
        "" if whole else f"Evaluated on {part.words}.",
    )  # fmt: skip


def _wide(value: torch.Tensor) -> torch.Tensor:
    """Return a loss in double precision, which some devices lack, so that the sum loses no digit."""
    return (value.cpu() if value.device.type == "mps" else value).double()


def _custom_loss(objective: Objective, batch: Any) -> Any:
    try:
        return objective.custom(objective.model, batch)  # type: ignore[misc]
    except RuntimeError as error:
        # A loss that holds derivatives of the output, as of a differential equation, cannot do without them.
        if "does not require grad" not in str(error):
            raise
        with torch.enable_grad():
            return objective.custom(objective.model, batch)  # type: ignore[misc]
