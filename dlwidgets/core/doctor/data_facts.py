"""DataFacts: what a look at the data found, as rules read it."""

from __future__ import annotations

import contextlib
import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..base.trees import tree_tensors
from ..data.detection import DetectionSamples, is_target_list
from ..data.source import Rows
from ..data.task import find_unknown, ignored_class, unpack_batch
from .box_facts import BoxFacts, find_boxes, measure_targets_of_detector
from .row_matches import Agreement, Repeats, compare_neighbours, find_repeats

if TYPE_CHECKING:
    from ..data.session_data import SessionData
    from ..data.task import Task

#: Samples, and numbers, of the inputs that are looked at: some milliseconds.
SAMPLES, _NUMBERS = 2_048, 1_000_000
#: Numbers of the targets that are counted, and images whose boxes are.
_TARGETS, _IMAGES = 4_000_000, 20_000


@dataclass(frozen=True)
class ArrayFacts:
    """Statistics of one array over its samples.

    Attributes
    ----------
    shape, dtype, samples : of one sample; the array's; how many were looked at.
    means, deviations, lows, highs : float64, for each column of a table or channel of images, else of all in one.
    fixed : numbers of the columns that are the same in all samples; of images whether all are.
    same : whether all samples are equal.
    whole : whether those of the first 64 samples are all whole numbers.
    bad, first_bad : samples that hold NaN or infinity, and the number of the first.
    """

    shape: tuple[int, ...]
    dtype: str
    samples: int
    means: np.ndarray
    deviations: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    fixed: tuple[int, ...] = ()
    same: bool = False
    whole: bool = False
    bad: int = 0
    first_bad: int = -1

    @property
    def scales(self) -> np.ndarray:
        """The root mean square of each column or channel."""
        return np.sqrt(self.means**2 + self.deviations**2)

    @property
    def mean(self) -> float:
        """The mean of all numbers."""
        return float(self.means.mean())

    @property
    def deviation(self) -> float:
        """The standard deviation of all numbers."""
        return float(np.sqrt(np.mean(self.scales**2) - self.mean**2))

    @property
    def scale(self) -> float:
        """The root mean square of all numbers."""
        return float(np.sqrt(np.mean(self.scales**2)))

    @property
    def range(self) -> str:
        """The least and the largest number, in words."""
        return f"{self.lows.min():.4g} to {self.highs.max():.4g}"


@dataclass(frozen=True)
class TargetFacts:
    """What targets hold.

    Attributes
    ----------
    samples : how many were counted.
    counts : samples of each class, of labels in columns the positives; None where there are no classes.
    known : the share of labels that are known and not left out by the loss.
    low, high, mean, deviation : of the known ones.
    one_each : whether each sample has exactly one 1 in its columns.
    """

    samples: int
    counts: np.ndarray | None
    known: float
    low: float
    high: float
    mean: float
    deviation: float
    one_each: bool = False


@dataclass(frozen=True)
class PartFacts:
    """What was found of train or valid.

    Attributes
    ----------
    whole : whether it lies in memory, and its targets were all counted; False: it is one batch.
    samples : how many it has, or how many the batch has.
    inputs : of the largest array of the inputs; None where they are no tensors.
    targets, boxes : None where there are none, or none that could be read.
    """

    whole: bool
    samples: int
    inputs: ArrayFacts | None = None
    targets: TargetFacts | None = None
    boxes: BoxFacts | None = None


@dataclass(frozen=True)
class Entrance:
    """What the first layer with weights was given.

    Attributes
    ----------
    layer, kind : its path and class.
    values : statistics of its input.
    channels : the channels that it wants on axis 1; None where it is no convolution.
    normalises : whether it is a normalisation layer itself.
    """

    layer: str
    kind: str
    values: ArrayFacts
    channels: int | None = None
    normalises: bool = False


@dataclass(frozen=True)
class DataFacts:
    """What a look at the data found.

    Attributes
    ----------
    train, valid : None where there is none, or it was not looked at.
    entrance : None where the model was not run yet.
    repeats : validation samples that are in train too; None where both do not lie in memory.
    agreement : how far neighbours have like labels; None where that cannot be said.
    """

    train: PartFacts
    valid: PartFacts | None = None
    entrance: Entrance | None = None
    repeats: Repeats | None = None
    agreement: Agreement | None = None


def measure_data(data: SessionData, batch: Any = None, target: str | None = None) -> DataFacts | None:
    """Look at data that lies in memory, else at `batch`; draw nothing.

    None where there is neither. `target` is the entry of a dict batch that is the target.
    """
    rows = rows_in_memory(data.train)
    if rows is None:
        pictures = getattr(data.train, "source", None)
        if isinstance(pictures, DetectionSamples):
            return DataFacts(_measure_part(pictures.images, pictures.targets, data.task, whole=True))
        if batch is None:
            return None
        inputs, targets = _split(batch, data.task, target)
        train = _measure_part(inputs, targets, data.task, batch=batch)
        return DataFacts(train, _measure_rows(rows_in_memory(data.valid), data.task))
    given, valid = rows_in_memory(data.valid), None
    valid = _measure_rows(given, data.task)
    return DataFacts(
        _measure_rows(rows, data.task), valid, None,  # type: ignore[arg-type]
        None if given is None else find_repeats(largest(rows.inputs), largest(given.inputs)),
        compare_neighbours(largest(rows.inputs), rows.targets, data.task.name),
    )  # fmt: skip


def rows_in_memory(batches: Any) -> Rows | None:
    """Return the rows in memory that batches are made of, or None."""
    source = getattr(batches, "source", None)
    return source if isinstance(source, Rows) else None


def largest(inputs: Any) -> torch.Tensor | None:
    """Return the tensor of the inputs that has the most numbers."""
    return max(tree_tensors(inputs), key=torch.Tensor.numel, default=None)


def _split(batch: Any, task: Task, target: str | None) -> tuple[Any, Any]:
    try:
        return unpack_batch(batch, target)
    except TypeError:  # a batch for a step of one's own: its first part is the best guess
        return (batch[0] if isinstance(batch, (tuple, list)) and batch else batch), None


def _measure_rows(rows: Rows | None, task: Task) -> PartFacts | None:
    if rows is None:
        return None
    return _measure_part(rows.inputs, rows.targets, task, whole=True)


def _measure_part(inputs: Any, targets: Any, task: Task, whole: bool = False, batch: Any = None) -> PartFacts:
    array, size = largest(inputs), None
    if array is not None and array.ndim and not array.is_nested:
        size = len(array)
    return PartFacts(
        whole, size or 0, measure_array(array) if size else None, measure_targets(targets, task),
        _measure_boxes(inputs, targets, task, batch),
    )  # fmt: skip


def _measure_boxes(inputs: Any, targets: Any, task: Task, batch: Any) -> BoxFacts | None:
    if task.name == "detection" and is_target_list(targets):
        return measure_targets_of_detector(inputs, targets[:_IMAGES], len(task.classes) if task.classes else None)
    return find_boxes(batch, inputs)


def measure_array(tensor: torch.Tensor, channels: bool = True) -> ArrayFacts | None:
    """Return statistics over axis 0; None where there are no numbers.

    Some 2,000 samples are looked at, spread over all.
    """
    if tensor.is_complex() or tensor.layout != torch.strided or not tensor.numel():
        return None
    each = max(1, tensor[0].numel())
    step = max(1, math.ceil(len(tensor) / max(16, min(SAMPLES, _NUMBERS // each))))
    values = tensor.detach()[::step]
    values = values if values.dtype in (torch.float32, torch.float64) else values.float()
    shape = tuple(values.shape[1:])
    flat, bad = values.reshape(len(values), -1), None
    if not bool(flat.sum().isfinite()):
        bad = ~flat.isfinite().all(1)
        flat = torch.where(flat.isfinite(), flat, 0.0)
    low, high = (one.double().cpu().numpy() for one in torch.aminmax(flat, dim=0))
    # About the first sample: quicker than var(), and as exact where numbers are large.
    moved = flat - flat[0]
    shift = moved.mean(0)
    spread = (moved.square().mean(0) - shift.square()).clamp(min=0).double().cpu().numpy()
    mean = (flat[0] + shift).double().cpu().numpy()
    # Per column of a table and channel of images; else of all numbers as one.
    rows = shape[0] if channels and (len(shape) == 1 or len(shape) >= 3) else 1
    low, high, mean, spread = (one.reshape(rows, -1) for one in (low, high, mean, spread))
    constant = (low == high).all(1)
    few = flat[:64]
    whole = bool((few == few.floor()).all())
    found = () if bad is None else bad.nonzero().flatten().tolist()
    return ArrayFacts(
        shape, str(tensor.dtype).removeprefix("torch."), len(flat), mean.mean(1),
        np.sqrt(spread.mean(1) + mean.var(1)), low.min(1), high.max(1),
        tuple(map(int, np.flatnonzero(constant))) if len(shape) == 1 else (),
        len(flat) > 1 and bool(constant.all()), whole, len(found), found[0] * step if found else -1,
    )  # fmt: skip


def measure_targets(targets: Any, task: Task) -> TargetFacts | None:
    """Count the classes of targets, or measure their numbers."""
    if not isinstance(targets, torch.Tensor) or not targets.ndim or not targets.numel() or targets.is_complex():
        return None
    step = math.ceil(targets.numel() / _TARGETS)
    values = targets.detach()[::step]
    unknown = find_unknown(values)
    if task.signed or task.name in ("regression", "custom"):
        unknown = values != values
    if task.name == "multiclass" and (ignored := ignored_class(task.loss)) is not None:
        unknown = unknown | (values == ignored)
    hidden = bool(unknown.any())
    known = values[~unknown] if hidden else values.reshape(-1)
    share = known.numel() / values.numel()
    if not known.numel():
        return TargetFacts(len(values), None, 0.0, math.nan, math.nan, math.nan, math.nan)
    low, high = (float(one) for one in torch.aminmax(known))
    counts, one_each = None, False
    if task.name == "multiclass":
        counts = _count_numbers(values, known, task.outputs or 0)
    elif task.name == "binary":
        counts = np.array([int((known <= 0).sum()), int((known > 0).sum())])
    elif task.name == "multilabel" and values.ndim == 2:
        positive = (values > 0) & ~unknown
        counts = positive.sum(0).cpu().numpy()
        one_each = not hidden and low >= 0 and bool((positive.sum(1) == 1).all())
    real = known.double()
    return TargetFacts(
        len(values), counts, share, low, high, float(real.mean()), float(real.std(correction=0)), one_each
    )


def _count_numbers(values: torch.Tensor, known: torch.Tensor, outputs: int) -> np.ndarray | None:
    """Count samples, or places, of each class."""
    if values.ndim > 1 and values.is_floating_point() and values.shape[1] == outputs:  # a number for each class
        best = values.argmax(1).reshape(-1)
        return torch.bincount(best, minlength=outputs).cpu().numpy()
    numbers = known.long()
    if bool((numbers < 0).any()):
        return None
    return torch.bincount(numbers.reshape(-1), minlength=outputs).cpu().numpy()


class EntranceProbe:
    """Measures what the first layer with weights is given, in one forward."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handles: list[Any] = []
        self.found: Entrance | None = None

    def hang(self) -> None:
        """Have the next forward looked at; not that of a compiled model."""
        if hasattr(self._model, "_orig_mod"):
            return
        for path, module in self._model.named_modules():
            own = any(one is not None for one in module._parameters.values())
            if own and not isinstance(module, torch.jit.ScriptModule):
                hook = functools.partial(self._see, path)
                self._handles.append(module.register_forward_pre_hook(hook))

    def _see(self, path: str, module: nn.Module, given: Any) -> None:
        self.remove()  # the first one is enough
        # What cannot be measured, as a tensor that is split over processes, must not fail the step.
        with contextlib.suppress(Exception):
            if given and isinstance(given[0], torch.Tensor) and given[0].ndim:
                kind = type(module).__name__
                if (values := measure_array(given[0])) is not None:
                    wants = getattr(module, "in_channels", None) if "Conv" in kind else None
                    self.found = Entrance(path, kind, values, wants, "Norm" in kind)

    def remove(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


class BatchLook:
    """Looks at a step's first batch, and what enters the model.

    Parameters
    ----------
    target : the entry of a dict batch that is the target.

    Attributes
    ----------
    seen : whether it has looked.
    batch : what it was shown, until the end of the step.
    """

    def __init__(self, data: SessionData, model: nn.Module, target: str | None) -> None:
        self._data, self._target, self._probe = data, target, EntranceProbe(model)
        self._facts: DataFacts | None = None
        self.seen = False
        self.batch: Any = None

    def __call__(self, batch: Any, count: int = 1) -> None:
        """Look at a batch: see `Loop.look_next`."""
        self.seen, self.batch = True, batch
        # What cannot be looked at is not known; the step is taken.
        with contextlib.suppress(Exception), torch.no_grad():
            self._facts = measure_data(self._data, batch, self._target)
            self._probe.hang()

    def end(self) -> DataFacts | None:
        """Return what was found; leave no hook behind."""
        self._probe.remove()
        return None if self._facts is None else replace(self._facts, entrance=self._probe.found)
