"""Outputs and targets gathered batch by batch, and what they come to: scores and metrics of the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..data.task import Task
from .stream import ScoreStream

if TYPE_CHECKING:
    from .scores import Scores

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
        """Return scores and macro F1; nothing where labels are smoothed or mixed, neither true nor false."""
        if not self._bad:
            return None, {}
        self._refuse_bad()
        if bool(torch.stack(self._mixed).any()):
            return None, {}
        scores = self._stream.scores()
        return scores, {"macro_f1": macro_f1(scores)}


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


def judge_of(task: Task, classes: Sequence[str] | None) -> Judge | None:
    """Return what judges a task; None where there is nothing to judge."""
    kinds = {"multilabel": Labels, "binary": Labels, "multiclass": Classes, "regression": Numbers}
    return kinds[task.name](task, classes) if task.name in kinds else None


def macro_f1(scores: Scores, thresholds: Any = 0.5) -> float:
    """Return the mean over the classes of F1 = 2 TP / (2 TP + FP + FN), 0 where a class has neither."""
    counts = scores.confusion(thresholds)
    tp, wrong = counts[:, 1, 1].astype(float), (counts[:, 0, 1] + counts[:, 1, 0]).astype(float)
    return float((2 * tp / (2 * tp + wrong).clip(min=1)).mean())
