"""A pass over the validation data: loss, scores and metrics; model and random numbers stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ..data.batches import Batches, batch_length
from ..models.borrowed import looking
from ..training.objective import Objective
from ..training.tasks import Task, one_number

if TYPE_CHECKING:
    from .scores import Scores


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the validation data found.

    Attributes
    ----------
    loss : mean over the samples.
    samples : how many there were.
    scores : the scores of a classification task; None for any other.
    metrics : by name: "accuracy" (multiclass), "macro_f1" (classes; at a threshold of 0.5, multiclass: of the
        likeliest class), "mean_absolute_error" (regression).
    """

    loss: float
    samples: int
    scores: Scores | None = None
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, float]:
        """The loss, as "valid_loss", and the metrics."""
        return {"valid_loss": self.loss, **self.metrics}


def evaluate(
    objective: Objective, batches: Batches, batch_size: int, classes: tuple[str, ...] | None = None
) -> Evaluation:
    """Return loss and scores over all of `batches`, in eval mode.

    Raises
    ------
    ValueError : the data gave no samples, or the model's output is NaN for some.
    """
    total, samples = 0.0, 0
    truths: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    with looking(objective.model):
        for batch in batches.sweep(batch_size):
            batch = objective.there(batch)
            size = batch_length(batch)
            if objective.custom is not None:
                loss = _custom_loss(objective, batch)
            else:
                loss, output, targets = objective.judged(batch)
                if isinstance(output, torch.Tensor) and isinstance(targets, torch.Tensor):
                    # A model that squeezes its output gives a single number for a last batch of one sample.
                    truths.append(targets.detach().reshape(targets.shape or (1,)).cpu())
                    outputs.append(output.detach().reshape(output.shape or (1,)).cpu())
            total += float(one_number(loss)[0]) * size
            samples += size
    if not samples:
        raise ValueError("The validation data gave no samples.")
    scores: Scores | None = None
    metrics: dict[str, float] = {}
    if truths:
        scores, metrics = _judge(objective.task, torch.cat(truths), torch.cat(outputs), classes)
    return Evaluation(total / samples, samples, scores, metrics)


def _custom_loss(objective: Objective, batch: Any) -> Any:
    try:
        return objective.custom(objective.model, batch)  # type: ignore[misc]
    except RuntimeError as error:
        # A loss that holds derivatives of the output, as of a differential equation, cannot do without them.
        if "does not require grad" not in str(error):
            raise
        with torch.enable_grad():
            return objective.custom(objective.model, batch)  # type: ignore[misc]


def _judge(
    task: Task, truth: torch.Tensor, output: torch.Tensor, classes: tuple[str, ...] | None
) -> tuple[Scores | None, dict[str, float]]:
    if task.name == "regression":
        return None, {"mean_absolute_error": float((output.double() - truth.double()).abs().mean())}
    if task.name not in ("multilabel", "multiclass", "binary") or output.ndim > 2:
        return None, {}
    guess = task.scores(output)
    bad = ~guess.isfinite().reshape(len(guess), -1).all(1)
    if bool(bad.any()):
        raise ValueError(
            f"The model's output is NaN or infinite for {int(bad.sum())} of {len(guess)} validation samples, "
            f"the first is sample {int(bad.int().argmax())}: are its inputs, or the weights?"
        )
    if task.name == "multiclass":
        return _of_classes(task, truth, guess, classes)
    truth, guess = truth.reshape(guess.shape), guess
    known = truth[~truth.isnan()]
    if not bool(((known == 0) | (known == 1)).all()):
        return None, {}  # smoothed or mixed labels are neither true nor false
    from .scores import Scores

    shape = (len(guess), -1)
    scores = Scores(truth.reshape(shape).numpy(), guess.reshape(shape).numpy(), classes)
    return scores, {"macro_f1": macro_f1(scores)}


def _of_classes(
    task: Task, truth: torch.Tensor, guess: torch.Tensor, classes: tuple[str, ...] | None
) -> tuple[Scores | None, dict[str, float]]:
    from .scores import Scores

    if truth.ndim == 2:
        truth = truth.argmax(dim=1)
    # Scores know a label of -1 as "unknown"; the loss leaves out its own.
    truth = truth.masked_fill(truth == getattr(task.loss, "ignore_index", -100), -1)
    known = truth >= 0
    if not bool(known.any()):
        return None, {}
    said = guess.argmax(dim=1)
    hot = torch.nn.functional.one_hot(said, guess.shape[1])
    return Scores(truth.numpy(), guess.numpy(), classes), {
        "accuracy": float((said == truth)[known].double().mean()),
        "macro_f1": macro_f1(Scores(truth.numpy(), hot.double().numpy(), classes)),
    }


def macro_f1(scores: Scores, thresholds: Any = 0.5) -> float:
    """Return the mean over the classes of F1 = 2 TP / (2 TP + FP + FN), 0 where a class has neither."""
    counts = scores.confusion(thresholds)
    tp, wrong = counts[:, 1, 1].astype(float), (counts[:, 0, 1] + counts[:, 1, 0]).astype(float)
    return float((2 * tp / (2 * tp + wrong).clip(min=1)).mean())
