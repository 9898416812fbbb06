"""Batches that can be resized in mid-epoch and put back: no sample is lost, none is seen twice."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, default_collate

from .data import Rows
from .trees import tensors


def batches_of(data: Any, *, batch_size: int, seed: int, shuffle: bool = True) -> Batches:
    """Return the batches of what `data.read` returned."""
    if isinstance(data, DataLoader):
        return Loaded(data)
    if isinstance(data, Rows) or (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (list, IterableDataset))
    ):
        return Shuffled(data, batch_size, seed, shuffle)
    return Streamed(data, batch_size)


def batch_length(batch: Any) -> int:
    """Return the number of samples in a batch: the length of its first tensor; 0 where it has none."""
    for tensor in tensors(batch):
        return len(tensor) if tensor.ndim else 1
    return 0


class Batches:
    """An endless supply of training batches, epoch after epoch.

    `take()` returns the next batch, or None where the epoch is over; the one after that opens the next
    epoch. `over` says whether that is known beforehand. `batch_size` may be set at any time and holds from
    the next batch on. `put_back()` gives the last batch back, so that a failed step can be taken again.
    `sweep()` yields all data once, in order, and leaves the training's place alone.
    """

    #: Samples in an epoch; None where the source cannot say.
    samples: int | None = None
    #: Whether the current epoch is known to have no batch left.
    over = False
    #: Whether the source can be read once only, and has been.
    used_up = False
    batch_size: int

    def take(self) -> Any:
        """Return the next batch, or None at the end of the epoch."""
        raise NotImplementedError

    def put_back(self) -> None:
        """Give the last batch back: the next `take()` returns the same samples."""
        raise NotImplementedError

    def sweep(self, batch_size: int) -> Iterator[Any]:
        """Yield each sample once, in the source's order, `batch_size` at a time where that can be chosen."""
        raise NotImplementedError

    def few(self, count: int) -> Any:
        """Return a batch of the first `count` samples (or so) without using any up."""
        raise NotImplementedError

    def why_not(self, batch_size: int) -> str | None:
        """Say why the batches cannot have this size, in a clause; None if they can."""
        return None

    def note(self) -> str | None:
        """Say what holds for a change of the batch size, in a clause; None where nothing is to be said."""
        return None

    def steps_left(self) -> int | None:
        """Return how many batches this epoch still has; None where the source cannot say."""
        return None

    def steps_in_epoch(self) -> int | None:
        """Return how many batches an epoch has at this batch size; None where the source cannot say."""
        return None if self.samples is None else -(-self.samples // self.batch_size)


def _fetch(source: Any, index: torch.Tensor) -> Any:
    if isinstance(source, Rows):
        return source.take(index)
    indices = index.tolist()
    many = getattr(source, "__getitems__", None)
    return default_collate(many(indices) if many else [source[i] for i in indices])


class Shuffled(Batches):
    """Batches of rows or of a map-style Dataset, in a new random order each epoch.

    The order of each epoch is `torch.randperm(n, generator=g)`, with one `g = torch.Generator()` seeded
    once: a plain loop that does the same sees the same batches.
    """

    def __init__(self, source: Any, batch_size: int, seed: int, shuffle: bool = True) -> None:
        self.source, self.samples, self.batch_size, self.shuffle = source, len(source), batch_size, shuffle
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)
        self._at = self._before = 0

    @property
    def over(self) -> bool:  # type: ignore[override]
        return 0 < len(self._order) <= self._at

    def take(self) -> Any:
        if self._at >= len(self._order):
            self._order = (
                torch.randperm(self.samples, generator=self._generator)
                if self.shuffle else torch.arange(self.samples)
            )
            self._at = 0
        index = self._order[self._at : self._at + self.batch_size]
        batch = _fetch(self.source, index)
        self._before, self._at = self._at, self._at + len(index)
        return batch

    def put_back(self) -> None:
        self._at = self._before

    def sweep(self, batch_size: int) -> Iterator[Any]:
        for start in range(0, self.samples, batch_size):
            yield _fetch(self.source, torch.arange(start, min(start + batch_size, self.samples)))

    def few(self, count: int) -> Any:
        return _fetch(self.source, torch.arange(min(count, self.samples)))

    def at(self, index: int) -> Any:
        """Return one sample as a batch of size 1."""
        return _fetch(self.source, torch.tensor([index]))

    def steps_left(self) -> int:
        left = len(self._order) - self._at if len(self._order) else self.samples
        return -(-left // self.batch_size)


class _Resizable(BatchSampler):
    """A BatchSampler that reads its batch size before each batch, and takes indices back."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.returned: list[list[int]] = []
        #: The indices handed out whose batch has not been taken yet: workers fetch ahead.
        self.ahead: deque[list[int]] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        self.ahead.clear()
        self.returned.clear()
        indices = iter(self.sampler)
        while True:
            batch = self.returned.pop() if self.returned else list(itertools.islice(indices, self.batch_size))
            if not batch or (self.drop_last and len(batch) < self.batch_size):
                return
            self.ahead.append(batch)
            yield batch


class Loaded(Batches):
    """Batches of a person's DataLoader: its dataset, order, collate and workers; the loader itself is left alone."""

    def __init__(self, loader: DataLoader) -> None:
        #: The person's own loader, never changed.
        self.loader = self._loader = loader
        self._sampler: _Resizable | None = None
        self._iterator: Iterator[Any] | None = None
        self._held: list[Any] = []
        self._last: Any = None
        self._taken = 0
        # A batch sampler of a person's own making decides its sizes itself.
        if type(loader.batch_sampler) is BatchSampler:
            theirs = loader.batch_sampler
            self._sampler = _Resizable(theirs.sampler, theirs.batch_size, theirs.drop_last)
            self._loader = DataLoader(
                loader.dataset, batch_sampler=self._sampler, num_workers=loader.num_workers,
                collate_fn=loader.collate_fn, pin_memory=loader.pin_memory, timeout=loader.timeout,
                worker_init_fn=loader.worker_init_fn, multiprocessing_context=loader.multiprocessing_context,
                generator=loader.generator, prefetch_factor=loader.prefetch_factor,
                persistent_workers=loader.persistent_workers,
            )
            try:
                self.samples = len(theirs.sampler)  # type: ignore[arg-type]
            except TypeError:
                self.samples = None
        self._size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 1

    @property
    def batch_size(self) -> int:  # type: ignore[override]
        return self._size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._size = size
        if self._sampler is not None:
            self._sampler.batch_size = size

    @property
    def over(self) -> bool:  # type: ignore[override]
        if self._iterator is None or self._sampler is None or self.samples is None:
            return False
        if self._held or self._sampler.ahead or self._sampler.returned:
            return False
        left = self.samples - self._taken
        return left < self._size if self._sampler.drop_last else left <= 0

    def take(self) -> Any:
        if self._held:
            self._last = self._held.pop()
            return self._last
        if self._iterator is None or self.over:
            self._iterator, self._taken = iter(self._loader), 0
        try:
            batch = next(self._iterator)
        except StopIteration:
            self._iterator = None
            return None
        except Exception:
            # Without workers the indices are still at hand: the step can be taken again once the cause is mended.
            if self._sampler is not None and self._sampler.ahead and self._loader.num_workers == 0:
                self._sampler.returned.append(self._sampler.ahead.popleft())
            raise
        if self._sampler is not None and self._sampler.ahead:
            self._taken += len(self._sampler.ahead.popleft())
        self._last = batch
        return batch

    def put_back(self) -> None:
        self._held.append(self._last)

    def sweep(self, batch_size: int) -> Iterator[Any]:
        yield from self.loader

    def few(self, count: int) -> Any:
        dataset, collate = self.loader.dataset, self.loader.collate_fn
        if isinstance(dataset, IterableDataset):
            items = list(itertools.islice(iter(dataset), count))
        else:
            items = [dataset[i] for i in range(min(count, len(dataset)))]  # type: ignore[arg-type]
        # batch_size=None: the dataset's items are batches already.
        return collate(items[0]) if self.loader.batch_size is None and self._sampler is None else collate(items)

    def why_not(self, batch_size: int) -> str | None:
        if self._sampler is None and batch_size != self._size:
            return "the DataLoader brings a batch sampler of its own or reads an iterable, which fixes the size"
        return None

    def note(self) -> str | None:
        if self._sampler is not None and self._sampler.ahead:
            batches = len(self._sampler.ahead)
            return f"{batches} batch{'es' if batches > 1 else ''} of the old size were fetched ahead by workers"
        return None

    def steps_left(self) -> int | None:
        if self.samples is None:
            return None
        left = self.samples - (self._taken if self._iterator is not None else 0)
        whole, rest = divmod(left, self._size)
        return whole + (1 if rest and not self._sampler.drop_last else 0)  # type: ignore[union-attr]

    def steps_in_epoch(self) -> int | None:
        if self.samples is None:
            try:
                return len(self.loader)
            except TypeError:
                return None
        whole, rest = divmod(self.samples, self._size)
        return whole + (1 if rest and not self._sampler.drop_last else 0)  # type: ignore[union-attr]


class Streamed(Batches):
    """Batches of an iterable: an IterableDataset gives samples, any other iterable gives ready-made batches."""

    def __init__(self, source: Iterable[Any], batch_size: int) -> None:
        self.source = source
        self._gives_samples = isinstance(source, IterableDataset)
        self._iterator: Iterator[Any] | None = None
        self._held: list[Any] = []
        self._last: Any = None
        self.batch_size = batch_size
        if not self._gives_samples:
            # What the data says, not what was asked for.
            self.batch_size = batch_length(self.few(1)) or batch_size

    def take(self) -> Any:
        if not self._held:
            if self._iterator is None:
                if self.used_up:
                    return None
                self._iterator = iter(self.source)
            batch = self._draw()
            if batch is None:
                # A generator is its own iterator: there is no second epoch in it.
                self.used_up = self._iterator is self.source
                self._iterator = None
                return None
            self._held.append(batch)
        self._last = self._held.pop()
        return self._last

    def _draw(self) -> Any:
        if not self._gives_samples:
            return next(self._iterator, None)  # type: ignore[arg-type]
        items = list(itertools.islice(self._iterator, self.batch_size))  # type: ignore[arg-type]
        return default_collate(items) if items else None

    def put_back(self) -> None:
        self._held.append(self._last)

    def sweep(self, batch_size: int) -> Iterator[Any]:
        if self._gives_samples:
            samples = iter(self.source)
            while items := list(itertools.islice(samples, batch_size)):
                yield default_collate(items)
        else:
            yield from self.source

    def few(self, count: int) -> Any:
        if self._gives_samples:
            items = list(itertools.islice(iter(self.source), count))
            if not items:
                raise ValueError("the IterableDataset gives no samples")
            return default_collate(items)
        if self._held:
            return self._held[-1]
        batches = iter(self.source)
        first = next(batches, None)
        if first is None:
            raise ValueError("the iterable gives no batches")
        if batches is self.source:
            # It can be read once only: what was looked at is kept for training.
            self._iterator = batches
            self._held.append(first)
        return first

    def why_not(self, batch_size: int) -> str | None:
        if not self._gives_samples and batch_size != self.batch_size:
            return "the data comes as ready-made batches"
        return None

    def steps_in_epoch(self) -> int | None:
        if self._gives_samples or not hasattr(self.source, "__len__"):
            return None
        return len(self.source)  # type: ignore[arg-type]
