"""Sampling of validation data: the part that an evaluation takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
)

from ..base.trees import slice_rows
from ..data.batches import Batches, IndexedBatches, batch_length
from ..data.loader import LoaderBatches
from ..data.source import Rows

#: What a part of a person's loader is fetched with.
_KEPT = ("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context")


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
        return Subset(
            _first(batches.sweep(batch_size), count), of=whole,
            words=f"{said} validation samples: they have no numbers to be drawn by",
        )  # fmt: skip
    order = torch.randperm(len(known), generator=torch.Generator().manual_seed(seed))
    chosen = known[order[:count].sort().values]
    return Subset(
        _fetched(batches, chosen, batch_size), chosen, len(known),
        f"{count:,} of {len(known):,} validation samples, drawn at random once and the same each time",
    )  # fmt: skip


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
    source = getattr(batches, "source", None)
    if isinstance(source, Rows):
        for part in chosen.split(batch_size):
            yield source.take(part)
        return
    options: dict[str, Any] = {}
    if isinstance(batches, LoaderBatches):
        # Without its generator, from which an iteration draws: it is the person's own.
        loader, source = batches.loader, batches.loader.dataset
        options = {name: getattr(loader, name) for name in _KEPT}
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
