"""An evaluation: loss, scores and metrics over the validation data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.isolation import eval_mode
from ..data.batches import Batches, batch_length
from ..data.objective import Objective
from ..data.task import Task, scalar_loss
from .metrics import compute_rate
from .sampling import draw_subset
from .score_stream import ScoreStream

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

    Model and random numbers stay as they are. On a GPU nothing is read from the device before the last batch,
    so that no batch waits for another.

    Parameters
    ----------
    count, seed : evaluate so many samples only, chosen by the seed: see `sampling.draw_subset`; None: all.
    between : called before each batch but the first.

    Raises
    ------
    ValueError : the data gave no samples, or the model's output is NaN for some.
    """
    part = draw_subset(batches, batch_size, count, seed)
    judge = make_judge(objective.task, classes)
    total: Any = 0.0
    samples = 0
    with eval_mode(objective.model):
        for batch in part.batches:
            if between is not None and samples:
                between()
            batch = objective.to_device(batch)
            size = batch_length(batch)
            if objective.custom is not None:
                loss = _custom_loss(objective, batch)
            else:
                loss, output, targets = objective.compute(batch)
                if judge is not None and all(isinstance(one, torch.Tensor) for one in (output, targets)):
                    judge.add(targets.detach(), output.detach(), part.rows(samples, size))
            total = total + _wide(scalar_loss(loss)[0].detach()) * size
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
    """Return a loss in double precision, so that sums stay exact."""
    # Some devices have none.
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


# -- what the outputs come to

#: What a judge finds: the scores, where there are any, and metrics by name.
Found = tuple["Scores | None", dict[str, float]]


class Judge:
    """Takes in batches and says at the end what they come to.

    `add` reads no value from the device: the host queues the next batch at once. `found` waits for it.
    """

    def __init__(self, task: Task, classes: Sequence[str] | None) -> None:
        self._task = task
        self._stream = ScoreStream(classes)
        self._bad: list[torch.Tensor] = []
        self._numbers: list[int] = []

    def add(self, targets: torch.Tensor, output: torch.Tensor, numbers: list[int] | None = None) -> None:
        """Take in a batch.

        Parameters
        ----------
        numbers : the row numbers of its samples; None where they are those of all, in order.
        """
        # A model that squeezes its output gives a single number for a last batch of one sample.
        self._take(targets.reshape(targets.shape or (1,)), output.reshape(output.shape or (1,)), numbers)

    def found(self) -> Found:
        """Return scores and metrics of all that was taken in.

        Raises
        ------
        ValueError : the model's output is NaN or infinite for some samples.
        """
        raise NotImplementedError

    def _take(self, truth: torch.Tensor, output: torch.Tensor, numbers: list[int] | None) -> None:
        raise NotImplementedError

    def _judged(self, truth: torch.Tensor, guess: torch.Tensor, numbers: list[int] | None) -> None:
        self._bad.append(~guess.isfinite().reshape(len(guess), -1).all(1))
        self._numbers += numbers or ()
        self._stream.add(truth, guess, numbers)

    def _refuse_bad(self) -> None:
        bad = torch.cat(self._bad).cpu()
        if not bool(bad.any()):
            return
        first = int(bad.int().argmax())
        raise ValueError(
            f"The model's output is NaN or infinite for {int(bad.sum())} of {len(bad)} validation samples, "
            f"the first is sample {self._numbers[first] if self._numbers else first}: are its inputs, or the "
            "weights?"
        )


class Labels(Judge):
    """Of a multilabel or binary task."""

    def __init__(self, task: Task, classes: Sequence[str] | None) -> None:
        super().__init__(task, classes)
        self._mixed: list[torch.Tensor] = []

    def _take(self, truth: torch.Tensor, output: torch.Tensor, numbers: list[int] | None) -> None:
        if output.ndim > 2:
            return
        guess = self._task.scores(output)
        truth = truth.reshape(guess.shape)
        self._mixed.append(((truth != 0) & (truth != 1) & ~truth.isnan()).any())
        self._judged(truth.reshape(len(truth), -1), guess.reshape(len(guess), -1), numbers)

    def found(self) -> Found:
        """Return scores and macro F1; nothing where labels are smoothed or mixed."""
        if not self._bad:
            return None, {}
        self._refuse_bad()
        if bool(torch.stack(self._mixed).any()):
            return None, {}
        scores = self._stream.scores()
        return scores, {"macro_f1": float(np.nan_to_num(compute_rate("f1", scores.confusion())).mean())}


class Classes(Judge):
    """Of a multiclass task."""

    def __init__(self, task: Task, classes: Sequence[str] | None) -> None:
        super().__init__(task, classes)
        self._said: list[torch.Tensor] = []
        self._true: list[torch.Tensor] = []
        self._count = 0

    def _take(self, truth: torch.Tensor, output: torch.Tensor, numbers: list[int] | None) -> None:
        if output.ndim > 2:
            return
        guess = self._task.scores(output)
        if truth.ndim == 2:
            truth = truth.argmax(dim=1)
        # Scores know a label of -1 as "unknown"; the loss leaves out its own.
        truth = truth.masked_fill(truth == getattr(self._task.loss, "ignore_index", -100), -1)
        self._said.append(guess.argmax(dim=1))
        self._true.append(truth)
        self._count = guess.shape[1]
        self._judged(truth, guess, numbers)

    def found(self) -> Found:
        """Return scores, accuracy and macro F1; nothing where no label is known."""
        if not self._bad:
            return None, {}
        self._refuse_bad()
        said, truth = torch.cat(self._said).cpu(), torch.cat(self._true).cpu()
        known = truth >= 0
        if not bool(known.any()):
            return None, {}
        said, truth = said[known], truth[known]
        right = said == truth
        hits, predicted, support = (
            torch.bincount(one, minlength=self._count).double() for one in (truth[right], said, truth)
        )
        # 2 TP / (2 TP + FP + FN), whose denominator is what was said and what is so.
        f1 = 2 * hits / (predicted + support).clamp(min=1)
        return self._stream.scores(), {
            "accuracy": float(right.double().mean()), "macro_f1": float(f1.mean()),
        }  # fmt: skip


class Numbers(Judge):
    """Of a regression."""

    def __init__(self, task: Task, classes: Sequence[str] | None) -> None:
        super().__init__(task, classes)
        self._missed: Any = 0.0
        self._values = 0

    def _take(self, truth: torch.Tensor, output: torch.Tensor, numbers: list[int] | None) -> None:
        missed = output.cpu().double() if output.device.type == "mps" else output.double()
        self._missed = self._missed + (missed - truth.to(missed.device).double()).abs().sum()
        self._values += output.numel()

    def found(self) -> Found:
        """Return the mean absolute error."""
        return None, {"mean_absolute_error": float(self._missed) / self._values} if self._values else {}


def make_judge(task: Task, classes: Sequence[str] | None) -> Judge | None:
    """Return what judges a task; None where there is nothing to judge."""
    kinds = {"multilabel": Labels, "binary": Labels, "multiclass": Classes, "regression": Numbers}
    return kinds[task.name](task, classes) if task.name in kinds else None
