"""An evaluation: loss, scores and metrics over validation data."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
)

from ..base.isolation import eval_mode, run_forward
from ..base.trees import slice_rows
from ..data.batches import Batches, IndexedBatches, batch_length
from ..data.detection import collate, holds_targets, on_cpu
from ..data.loader import LoaderBatches
from ..data.objective import Objective
from ..data.output_losses import OutputLosses
from ..data.reduction import LossCalls, LossTotal, to_double
from ..data.source import Rows
from ..data.task import Task
from .detections import Detections
from .inputs import TASKS, sample_names
from .metrics import compute_rate
from .scores import Scores, ScoreStream

_BY_SAMPLES = (
    "The validation loss is averaged over batches by their samples: what the loss of a batch divides by "
    "could not be told, so that it may depend a little on the batch size."
)

#: What a part of a person's loader is fetched with: not with its generator, from which an iteration draws.
_KEPT = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context")


class NotFiniteOutput(ValueError):
    """The model's output is infinite or NaN for samples to be evaluated."""

    batch_is_finite: ClassVar[bool] = True
    batches: Sequence[Any] = ()


@dataclass(frozen=True)
class Evaluation:
    """What a pass over the validation data found.

    Attributes
    ----------
    loss : that of the whole set, as if it were one batch; of a loss that cannot be split, the mean over the
        batches, weighted by samples, and `loss_note` says so.
    samples : how many there were.
    scores : the scores of a classification task; None for any other. Their `sample_ids` are the index of the
        validation data, or where a part was evaluated and there is none, the samples' row numbers in it.
    metrics : by name: "accuracy" (multiclass), "macro_f1" (classes; at a threshold of 0.5, multiclass: of the
        likeliest class), "mean_absolute_error" (regression), "map50" (detection), "perplexity" (the next token).
    parts : what the loss is the sum of by name, or was returned along with it, as means over the samples; of a step or
        a model that returns several. Weights of `loss_weights` are in neither these nor the loss.
    detections : of a detection, the boxes that were found and the true ones; `scores` are theirs at one IoU.
    of : how many samples the validation data has; None where it cannot say.
    note : which samples these were, in a sentence, where it is not all of them; "" where it is.
    loss_note : how the loss was averaged, in a sentence, where that is by samples; "" where it is exact.
    """

    loss: float
    samples: int
    scores: Scores | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    detections: Detections | None = None
    of: int | None = None
    note: str = ""
    loss_note: str = ""

    @property
    def figures(self) -> dict[str, float]:
        """The loss, as "valid_loss", its parts, as "valid_loss_box", and the metrics."""
        return {"valid_loss": self.loss, **{f"valid_{name}": one for name, one in self.parts.items()}, **self.metrics}


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
    count, seed : evaluate so many samples only, chosen by the seed: see `draw_subset`; None: all.
    between : called before each batch but the first.

    Raises
    ------
    ValueError : the data gave no samples, or the model's output is NaN for some.
    """
    part = draw_subset(batches, batch_size, count, seed)
    detects = objective.task.name == "detection"
    judge: Any = DetectionJudge(classes) if detects else Judge(objective.task, classes)
    if isinstance(objective.task.loss, OutputLosses):
        judge = OutputJudge(objective.task.loss)
    total, beside, samples = LossTotal(), LossTotal(by_rows=True), 0
    with eval_mode(objective.model), objective.preserve_companions():
        if detects:
            torch.manual_seed(seed)  # its losses may be those of boxes drawn by chance: of the same each time
        for batch in part.batches:
            if between is not None and samples:
                between()
            batch = objective.to_device(batch)
            size = batch_length(batch)

            def measure(batch: Any = batch, size: int = size) -> tuple[Any, Any]:
                calls = LossCalls(size)
                found, output, targets = objective.measure(batch, calls)
                total.known = total.known and not holds_targets(batch)
                total.add(found.parts or found.total, calls, size)
                beside.add(found.beside, calls, size)
                return output, targets

            output, targets = run_forward(objective.model, measure)
            whole = detects or isinstance(judge, OutputJudge)
            if whole or (isinstance(output, torch.Tensor) and isinstance(targets, torch.Tensor)):
                judge.add(targets, output, part.rows(samples, size))
            samples += size
        if not samples:
            raise ValueError("The validation data gave no samples.")
        scores, metrics = judge.found(*(part.pick(one, samples) for one in (batches.groups, batches.names)))
    if objective.task.own is not None and objective.task.own.next_token:
        metrics = {**metrics, "perplexity": math.exp(min(total.value(), 700.0))}
    whole = count is None or samples < count or part.of == samples
    of, note = (samples, "") if whole else (part.of, f"Evaluated on {part.words}.")
    exact = total.known or getattr(objective.task.loss, "by_samples", False)
    averaged, detections = "" if exact else _BY_SAMPLES, judge.detections if detects else None
    parts = {f"loss_{name}": value for name, value in total.values().items() if name} | beside.values()
    return Evaluation(total.value(), samples, scores, metrics, parts, detections, of, note, averaged)


class Judge:
    """Takes in batches of outputs and says what they come to.

    `add` reads no value from the device: the host queues the next batch at once. `found` waits for it.
    """

    def __init__(self, task: Task, classes: Sequence[str] | None) -> None:
        self._task = task
        scored = task.name if task.name in TASKS else None
        self._stream = ScoreStream(classes, scored, logits=not task.probabilities)
        self._numbers: list[int] = []
        #: Of each batch: which outputs are not finite; whether a label is neither 0 nor 1, as a smoothed one.
        self._bad: list[torch.Tensor] = []
        self._mixed: list[torch.Tensor] = []
        #: Of a regression: the sum of the errors, and how many they are.
        self._missed: Any = 0.0
        self._values = 0

    def add(self, truth: torch.Tensor, output: torch.Tensor, numbers: list[int] | None = None) -> None:
        """Take in a batch; `numbers`: its rows, None: all in order."""
        # A model that squeezes its output gives a single number for a last batch of one sample.
        truth, output = truth.reshape(truth.shape or (1,)), output.reshape(output.shape or (1,))
        if self._task.name == "regression" and output.shape == truth.shape:
            missed = to_double(output)
            self._missed = self._missed + (missed - truth.to(missed.device).double()).abs().sum()
            self._values += output.numel()
        if self._task.name not in ("multilabel", "binary", "multiclass") or output.ndim > 2:
            return
        truth, output = truth.float(), output.detach()
        # NaN is unknown to Scores without a question; the loss leaves out its own.
        if self._task.name == "multiclass":
            truth = truth.argmax(dim=1).float() if truth.ndim == 2 else truth
            ignored = getattr(self._task.loss, "ignore_index", -100)
            truth = truth.masked_fill((truth == ignored) | (truth == -1), torch.nan)
        else:
            truth, output = truth.reshape(len(truth), -1), output.reshape(len(output), -1)
            truth = truth.masked_fill(truth == -1, 0.0 if self._task.signed else torch.nan)
            self._mixed.append(((truth != 0) & (truth != 1) & ~truth.isnan()).any())
        self._bad.append(~output.isfinite().reshape(len(output), -1).all(1))
        self._numbers += numbers or ()
        self._stream.add(truth, output, numbers)

    def found(self, groups: Any = None, names: Any = None) -> tuple[Scores | None, dict[str, float]]:
        """Return the scores, where there are any, and metrics by name.

        There are none of labels that are smoothed or mixed, or of which none is known. `groups` and `names`
        are those of the samples, as for Scores.

        Raises
        ------
        NotFiniteOutput : the model's output is NaN or infinite for some samples.
        """
        if self._values:
            return None, {"mean_absolute_error": float(self._missed) / self._values}
        if not self._bad:
            return None, {}
        bad = torch.cat(self._bad).cpu()
        if bool(bad.any()):
            first = int(bad.int().argmax())
            raise NotFiniteOutput(
                f"The model's output is NaN or infinite for {int(bad.sum())} of {len(bad)} validation "
                f"samples, the first is sample {self._numbers[first] if self._numbers else first}: are its "
                "inputs, or the weights?"
            )
        if self._mixed and bool(torch.stack(self._mixed).any()):
            return None, {}
        scores = self._stream.scores(groups)
        scores.numbers = np.array(self._numbers, np.int64) if self._numbers else None
        if names is not None:
            scores.sample_ids = sample_names(names, scores.n_samples)
        confusion = scores.confusion(None)
        macro_f1 = {"macro_f1": float(np.nan_to_num(compute_rate("f1", confusion)).mean())}
        if self._task.name != "multiclass":
            return scores, macro_f1
        known = confusion[0].sum()
        if not known:
            return None, {}
        return scores, {"accuracy": float(confusion[:, 1, 1].sum() / known), **macro_f1}


class OutputJudge:
    """Takes in batches of several outputs: a `Judge` for each.

    The scores are those of the first output that has any; the names of metrics begin with the output's.
    """

    def __init__(self, losses: OutputLosses) -> None:
        self._losses = losses
        self._judges = {name: Judge(task, None) for name, task in losses.tasks.items()}

    def add(self, truth: Any, output: Any, numbers: list[int] | None = None) -> None:
        """Take in a batch."""
        for name, _, one, wanted in self._losses.pair(output, truth):
            self._judges[name].add(wanted, one, numbers)

    def found(self, groups: Any = None, names: Any = None) -> tuple[Scores | None, dict[str, float]]:
        """Return scores and metrics: see `Judge.found`."""
        found = {name: judge.found(groups, names) for name, judge in self._judges.items()}
        metrics = {f"{name}_{key}": value for name, (_, own) in found.items() for key, value in own.items()}
        return next((scores for scores, _ in found.values() if scores is not None), None), metrics


class DetectionJudge:
    """Takes in batches of detections, and says what they come to.

    Attributes
    ----------
    detections : what was found, against what is true; None before `found`.
    """

    def __init__(self, classes: Sequence[str] | None) -> None:
        self._classes, self._numbers = classes, list[int]()
        self._said: list[dict[str, torch.Tensor]] = []
        self._true: list[dict[str, torch.Tensor]] = []
        self.detections: Detections | None = None

    def add(self, truth: Sequence[Any], output: Sequence[Any], numbers: list[int] | None = None) -> None:
        """Take in a batch: a dict of boxes for each image."""
        self._said += on_cpu(output)
        self._true += on_cpu(truth)
        self._numbers += numbers or ()

    def found(self, groups: Any = None, names: Any = None) -> tuple[Scores, dict[str, float]]:
        """Return the scores at an IoU of 0.5, and metrics by name.

        Raises
        ------
        NotFiniteOutput : a score is NaN or infinite.
        """
        bad = [n for n, one in enumerate(self._said) if not bool(torch.as_tensor(one["scores"]).isfinite().all())]
        if bad:
            first = self._numbers[bad[0]] if self._numbers else bad[0]
            raise NotFiniteOutput(
                f"The model's scores are NaN or infinite for {len(bad)} of {len(self._said)} validation samples, the "
                f"first is sample {first}: are its inputs, or the weights?"
            )
        numbers = self._numbers or None
        self.detections = found = Detections(self._true, self._said, self._classes, names, numbers=numbers)
        return found.scores(), {"map50": found.map50}


# -- the part that is evaluated


@dataclass(frozen=True)
class Subset:
    """A part of a data set, or all of it.

    Attributes
    ----------
    batches : yields it, batch by batch.
    numbers : the row numbers of its samples, in that order; None where all are evaluated, or have no numbers.
    of : how many samples the whole has; None where it cannot say.
    words : which they are, to follow "Evaluated on"; "" where it is all of them.
    """

    batches: Iterator[Any]
    numbers: torch.Tensor | None = None
    of: int | None = None
    words: str = ""

    def rows(self, first: int, count: int) -> list[int] | None:
        """Return the row numbers of `count` samples from the `first` on."""
        return None if self.numbers is None else self.numbers[first : first + count].tolist()

    def pick(self, given: Any, count: int) -> Any:
        """Return what belongs to its `count` samples."""
        if given is None:
            return None
        return given[:count] if self.numbers is None else np.asarray(given, object)[self.numbers.numpy()]


def draw_subset(batches: Batches, batch_size: int, count: int | None = None, seed: int = 0) -> Subset:
    """Return `count` samples of a source, or all of them.

    They are drawn at random without replacement, and are the same each time: those of a smaller count are
    among those of a larger one. Where the samples have no numbers, they are the first.
    """
    whole = batches.samples
    if count is None or (whole is not None and count >= whole):
        return Subset(batches.sweep(batch_size), of=whole)
    if (known := _numbers(batches)) is None:
        said = f"the first {count:,}" + ("" if whole is None else f" of {whole:,}")
        words = f"{said} validation samples: they have no numbers to be drawn by"
        return Subset(_first(batches.sweep(batch_size), count), of=whole, words=words)
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    chosen = known[order[:count].sort().values]
    words = f"{count:,} of {len(known):,} validation samples, drawn at random once and the same each time"
    return Subset(_fetched(batches, chosen, batch_size), chosen, len(known), words)


def _numbers(batches: Batches) -> torch.Tensor | None:
    """Return the row numbers of all samples, ascending, or None."""
    if isinstance(batches, IndexedBatches):
        return torch.arange(len(batches.source))
    loader = batches.loader if isinstance(batches, LoaderBatches) else None
    if loader is None or type(loader.batch_sampler) is not BatchSampler:
        return None
    dataset, sampler = loader.dataset, loader.batch_sampler.sampler
    if isinstance(dataset, IterableDataset) or type(loader).__iter__ is not DataLoader.__iter__:
        return None
    if type(sampler) is SubsetRandomSampler:
        return torch.as_tensor(sorted(set(map(int, sampler.indices))))
    drawn_once = type(sampler) is RandomSampler and not sampler.replacement
    if type(sampler) is SequentialSampler or (drawn_once and len(sampler) == len(dataset)):  # type: ignore[arg-type]
        return torch.arange(len(dataset))  # type: ignore[arg-type]
    return None


def _fetched(batches: Batches, chosen: torch.Tensor, batch_size: int) -> Iterator[Any]:
    source, options = getattr(batches, "source", None), {"collate_fn": collate}
    if isinstance(source, Rows):
        for part in chosen.split(batch_size):
            yield source.take(part)
        return
    if isinstance(batches, LoaderBatches):
        source, options = batches.loader.dataset, {name: getattr(batches.loader, name) for name in _KEPT}
    parts = [part.tolist() for part in chosen.split(batch_size)]
    yield from DataLoader(source, batch_sampler=parts, **options)


def _first(batches: Iterator[Any], count: int) -> Iterator[Any]:
    with contextlib.closing(batches):  # type: ignore[type-var]
        for batch in batches:
            size = batch_length(batch)
            yield batch if size <= count else slice_rows(batch, 0, count)
            count -= size
            if count <= 0:
                return
