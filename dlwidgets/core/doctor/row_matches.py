"""Rows held against one another: repeats, and labels of neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

#: Numbers of a row that are its key, samples that are compared at most, and numbers that may be copied for it.
_KEY, _MOST, _COPIED = 32, 200_000, 20_000_000
#: Samples whose neighbours are looked at, numbers of each, neighbours, and shuffles that they are held against.
_SAMPLES, _NUMBERS, _NEAREST, _SHUFFLES = 512, 256, 5, 20
#: Columns of whole numbers up to which they are a table's, and no tokens.
_COLUMNS = 8
#: Numbers of a picture that are looked at.
_LARGE = 4_096
#: The share of labels that may be unknown.
_UNKNOWN = 0.2
#: Of no other's choosing: with seed 0, which people take, these would be the very samples that they shuffled first.
_SEED = 512_256_520


@dataclass(frozen=True)
class Repeats:
    """Validation samples whose inputs are in the training data too.

    Attributes
    ----------
    count, of : how many of how many.
    exact : how many of them are equal to the last bit; the others to three digits.
    pairs : numbers (valid, train) of the first few.
    usual : the share of training samples that repeat an earlier one, as data with few possible values does.
    """

    count: int
    of: int
    exact: int
    pairs: tuple[tuple[int, int], ...]
    usual: float


@dataclass(frozen=True)
class Agreement:
    """How far samples with like inputs have like labels.

    Attributes
    ----------
    samples, nearest : samples that were compared, each with so many neighbours.
    found : the mean product of a sample's standardised label and its neighbours': 1 where all agree, 0 by chance.
    sigmas : how many standard deviations that is above what shuffled labels give.
    """

    samples: int
    nearest: int
    found: float
    sigmas: float


def find_repeats(train: torch.Tensor | None, valid: torch.Tensor | None) -> Repeats | None:
    """Find validation rows that are in train, to three digits."""
    if train is None or valid is None or train.shape[1:] != valid.shape[1:] or len(train) > _MOST:
        return None
    if not train.is_contiguous() and train.numel() > _COPIED:
        return None
    train, valid = (one.detach().reshape(len(one), -1) for one in (train, valid))
    columns = _varied(train)
    if columns is None or train.is_complex():
        return None
    at: dict[bytes, int] = {}
    again = 0
    for number, key in enumerate(_keys(train, columns)):
        again += key in at and _same(train[at[key]], train[number])
        at.setdefault(key, number)
    pairs = [(row, at[key]) for row, key in enumerate(_keys(valid, columns)) if key in at]
    pairs = [(row, there) for row, there in pairs if _same(valid[row], train[there])]
    exact = sum(bool(torch.equal(valid[row], train[there])) for row, there in pairs)
    return Repeats(len(pairs), len(valid), exact, tuple(pairs[:3]), again / len(train))


def _varied(rows: torch.Tensor) -> torch.Tensor | None:
    """Choose columns in which rows differ most, the same each time."""
    some = rows[:: max(1, len(rows) // 64)].float()
    spread = torch.nan_to_num(some.var(0, correction=0))
    found = spread.argsort(descending=True, stable=True)[: int((spread > 0).sum())]
    if not len(found):
        return None
    # Spread over them: in a picture those that differ most lie side by side.
    return found[torch.linspace(0, len(found) - 1, min(_KEY, len(found))).long().to(found.device)]


def _keys(rows: torch.Tensor, columns: torch.Tensor) -> Iterator[bytes]:
    """Yield the rounded numbers of each row that tell it from others."""
    chosen = rows.index_select(1, columns)
    chosen = chosen.to(torch.bfloat16).view(torch.int16) if chosen.is_floating_point() else chosen
    width = chosen.shape[1] * chosen.element_size()
    memory = chosen.cpu().numpy().tobytes()
    return (memory[start : start + width] for start in range(0, len(memory), width))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    if not one.is_floating_point():
        return bool(torch.equal(one, other))
    return bool(torch.allclose(one, other, rtol=1e-3, atol=1e-6, equal_nan=True))


def compare_neighbours(inputs: torch.Tensor | None, targets: torch.Tensor, task: str) -> Agreement | None:
    """Compare the labels of samples whose inputs are nearest.

    Inputs are standardised number by number, at most 512 samples of 256 numbers each; of tokens, their counts.
    None where there is nothing to compare, as a target for each position. The same in each call: nothing is drawn
    from outside.
    """
    if inputs is None or inputs.is_complex() or len(inputs) < 50:
        return None
    chance = torch.Generator().manual_seed(_SEED)
    chosen = torch.randperm(len(inputs), generator=chance)[:_SAMPLES].to(inputs.device)
    flat = _shortened(inputs.detach(), chosen).cpu()
    labels = _standardised(targets.detach()[chosen.to(targets.device)].cpu(), task)
    spread = flat.std(0)
    flat = ((flat - flat.mean(0)) / spread)[:, spread > 0]
    if labels is None or not flat.numel() or not bool(flat.isfinite().all()):
        return None
    distance = torch.cdist(flat, flat).fill_diagonal_(math.inf)
    near = distance.topk(_NEAREST, largest=False).indices

    def measure(labels: torch.Tensor) -> float:
        return float((labels * labels[near].mean(1)).mean())

    count = len(labels)
    shuffled = torch.tensor([measure(labels[torch.randperm(count, generator=chance)]) for _ in range(_SHUFFLES)])
    found = measure(labels)
    return Agreement(count, _NEAREST, found, float((found - shuffled.mean()) / shuffled.std().clamp(min=1e-9)))


def _shortened(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return float32 rows of at most 256 numbers; of pictures, means."""
    whole: Any = chosen
    if not rows.is_contiguous():
        rows, whole = rows[chosen], slice(None)  # lest all are copied
    flat = rows.flatten(1)
    if rows.dtype in (torch.int32, torch.int64) and flat.shape[1] > _COLUMNS:
        return _count_tokens(flat[whole])
    if rows.ndim < 3:
        return flat[:, :: math.ceil(flat.shape[1] / _NUMBERS)][whole].float()
    # Of large pictures every so many numbers; an odd step does not keep to columns of pixels.
    flat = flat[:, :: flat.shape[1] // _LARGE | 1][whole].float()
    step = math.ceil(flat.shape[1] / _NUMBERS)
    return flat[:, : flat.shape[1] // step * step].reshape(len(flat), -1, step).mean(2)


def _count_tokens(rows: torch.Tensor) -> torch.Tensor:
    """Return how often each token comes, hashed to 256 bins.

    Numbers of words that lie close by mean nothing alike. The root evens out frequent ones (Rao 1995, Hellinger's
    distance).
    """
    counts = torch.zeros(len(rows), _NUMBERS, device=rows.device)
    return counts.scatter_add_(1, rows.long() % _NUMBERS, torch.ones_like(rows, dtype=torch.float32)).sqrt()


def _standardised(targets: torch.Tensor, task: str) -> torch.Tensor | None:
    """Return samples x columns of labels with mean 0 and deviation 1."""
    labels = targets.reshape(len(targets), -1)
    if labels.shape[1] > 64:
        return None
    if task == "multiclass" and labels.shape[1] == 1:
        numbers = labels[:, 0].long()
        if float((numbers < 0).float().mean()) > _UNKNOWN:
            return None
        labels = F.one_hot(numbers.clamp(min=0))
    labels = labels.float()
    spread = labels.std(0)
    labels = ((labels - labels.mean(0)) / spread)[:, spread > 0]
    return labels if labels.numel() and bool(labels.isfinite().all()) else None
