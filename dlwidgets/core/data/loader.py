"""Batches of a DataLoader, resizable where its sampler is an ordinary one."""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from ..base.isolation import preserve_random_state
from ..base.random_state import RandomMark
from ..base.state import Reference, dereference
from ..base.trees import arrays_to_tensors
from ..base.words import pluralize
from .batches import Batches, Continued, SourceState, StreamStart, batch_length, checksum, draw_rows, fingerprint
from .source import find_length

_END = object()
#: Samples of a stream that are looked at.
_FIRST = 32


class LoaderBatches(Batches):
    """Batches of a person's DataLoader, which itself is never changed.

    Where the loader's batches are made by an ordinary BatchSampler, they are made here in its stead, by the
    same sampler, so that their size can change and a failed batch can come back. Any other loader (a batch
    sampler of a person's own, an IterableDataset, a subclass with an iteration of its own) is read as it is.
    """

    def __init__(self, loader: DataLoader) -> None:
        self.loader = self._loader = loader
        sources = SourceState(loader, loader.sampler, loader.batch_sampler, loader.dataset)
        super().__init__(loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 1, sources)
        self._sampler: ResizableSampler | None = None
        self._opened: Iterator[Any] | None = None
        self._ending = weakref.finalize(self, _shut_down, None)
        self._held: list[Any] = []
        self._last: Any = None
        self._indices: list[int] = []
        #: Samples taken in this epoch; batches, where there is no sampler.
        self._taken = 0
        #: Known when a batch was taken; another size does not change it any more.
        self._over = False
        self._trusted, self._broken_off = True, False
        #: Whether this epoch is of workers that had an epoch before it.
        self._reused = False
        #: What decided this epoch's batches when it was opened.
        self._opening: Any = None
        #: Where the loader's generator was before the first epoch; None without one.
        self.began: torch.Tensor | None = None
        #: What was looked at of a stream.
        self._look: StreamStart | None = None
        theirs, samplers = loader.batch_sampler, type(getattr(loader, "sampler", None))
        #: Whether the length is torch's own to tell.
        self._counts = samplers.__module__.startswith("torch.utils.data")
        own_iteration = type(loader).__iter__ is not DataLoader.__iter__
        own = own_iteration or isinstance(loader.dataset, IterableDataset)
        if type(theirs) is BatchSampler and not own:
            self._sampler = ResizableSampler(theirs, theirs.batch_size, self._sources)
            self._loader = _with_sampler(loader, self._sampler)
            self.samples = find_length(theirs.sampler)
            return
        self._counts = False
        if isinstance(loader.dataset, IterableDataset):
            self._look_at_stream(loader.dataset)
        elif loader.batch_size is None:
            self._look_at_sampler()

    def _look_at_stream(self, stream: IterableDataset) -> None:
        """Look at the first samples; lose none of them."""
        single = self.loader.batch_sampler is None  # its items are batches already
        self._look = StreamStart(stream, 1 if single else _FIRST, self._sources)
        if self._look.held:
            self.once = self._look.once
            self._loader = _make_twin(self.loader, dataset=Continued(stream, list(self._look.held)))
        if single and self._look.items:
            self._size = batch_length(self._collate(self._look.items[0]))

    def _look_at_sampler(self) -> None:
        """Find the size of batches that nobody told; check their order."""
        sampler = self.loader.batch_sampler
        with self._sources.preserve():
            if sampler is None:
                self._size = batch_length(self.peek(1))
            elif getattr(sampler, "batch_size", None) is None:
                with _preserve_lists(sampler):
                    first = next(iter(sampler), ())
                self._size, self.once = len(first) or 1, isinstance(sampler, Iterator)
                if self.once:
                    sampler = itertools.chain([first] if first else [], sampler)
        if sampler is not None:
            self._loader = _make_twin(self.loader, batch_sampler=CheckedSampler(sampler))

    @property
    def generator(self) -> torch.Generator | None:
        """The random generator of the loader, or else that of its sampler."""
        owners = (self.loader, self.loader.sampler, self.loader.batch_sampler)
        return next(filter(None, (getattr(owner, "generator", None) for owner in owners)), None)

    @property
    def _iterator(self) -> Iterator[Any] | None:
        """The epoch that is open."""
        return self._opened

    @_iterator.setter
    def _iterator(self, iterator: Iterator[Any] | None) -> None:
        # Its workers end with this object. In a cycle their queue may be collected, and so closed, before the word
        # to end is put into it: torch then waits 5 s for each worker, in whatever thread the collection fell.
        self._opened = iterator
        self._ending.detach()
        self._ending = weakref.finalize(self, _shut_down, self._resting() if iterator is None else iterator)
        self._ending.atexit = False

    def _resting(self) -> Any:
        """Return the iterator whose workers wait for the next epoch."""
        return None if self._loader is self.loader else getattr(self._loader, "_iterator", None)

    @property
    def resizable(self) -> bool:
        """Whether the batches are made here, so that their size can change."""
        return self._sampler is not None

    @Batches.batch_size.setter
    def batch_size(self, size: int) -> None:
        self._size = size
        if self._sampler is not None:
            self._sampler.batch_size = size

    @property
    def over(self) -> bool:
        return self._over

    @property
    def midway(self) -> bool:
        return self._taken > 0 and not self._over

    def take(self) -> Any:
        if self._held:
            return self._note_taken(self._held.pop())
        if self._over and not self._counts:
            self._end_epoch()  # it was read to its end
        elif self._over:
            # As the plain loop does: a sampler may draw from its generator when it is read to its end.
            if self._sampler is not None:
                self._sampler.last = True
            batch = next(self._iterator, _END)  # type: ignore[arg-type]
            if batch is not _END:
                self._trusted = False
                return self._note_taken(batch)
            self._end_epoch()
        if self._iterator is None and self._broken_off:
            # The workers were let go in mid-epoch: new ones go on, and no random number is drawn for that.
            self._broken_off = False
            self._sampler.resume_epoch()  # type: ignore[union-attr]
            with preserve_random_state(), _preserve_generators(self.loader):
                self._iterator = iter(self._loader)
        elif self._iterator is None:
            if self._opening is None and self.generator is not None:
                self.began = self.generator.get_state()
            self._opening = self._sources.state()
            self._reused = getattr(self._loader, "_iterator", None) is not None
            self._iterator = iter(self._loader)
        try:
            batch = next(self._iterator)
        except StopIteration:
            if not self._counts:
                self._trusted = self._trusted and self.steps_in_epoch() in (None, self._taken)
                # There is no second epoch in a stream that is read once.
                self.used_up = self.once and not self._taken
            self._end_epoch()
            return None
        except BaseException:
            self._return_indices([])
            raise
        return self._note_taken(batch)

    def put_back(self) -> None:
        self._over = False
        if self._sampler is None:
            self._held.append(self._last)
            self._taken -= 1
        else:
            self._taken -= len(self._indices)
            self._held.clear()  # its indices are among those that are ahead
            self._return_indices(self._indices)

    def sweep(self, batch_size: int) -> Iterator[Any]:
        with _preserve_generators(self.loader):
            held = self._look is not None and self._look.held
            yield from map(arrays_to_tensors, self._loader if held else self.loader)

    def peek(self, count: int) -> Any:
        dataset, collate = self.loader.dataset, self._collate
        if self.loader.batch_sampler is None:
            # batch_size=None: the dataset's items are batches already.
            if self._look is not None:
                return collate(self._look.items[0])
            return collate(next(iter(dataset)) if isinstance(dataset, IterableDataset) else dataset[0])
        if isinstance(dataset, IterableDataset):
            return collate(self._look.first(count))  # type: ignore[union-attr]
        return collate([dataset[i] for i in range(min(count, len(dataset)))])  # type: ignore[arg-type]

    def _collate(self, samples: Any) -> Any:
        return arrays_to_tensors(self.loader.collate_fn(samples))

    def preview(self, count: int) -> Any:
        if not self._by_number():
            return super().preview(count)
        with self._sources.preserve():
            rows = draw_rows(len(self.loader.dataset), count)  # type: ignore[arg-type]
            return self._collate([self.loader.dataset[row] for row in rows.tolist()])

    def count_readable(self) -> int:
        return len(self.loader.dataset) if self._by_number() else super().count_readable()  # type: ignore[arg-type]

    def read_sample(self, index: int) -> Any:
        if not self._by_number():
            return super().read_sample(index)
        with self._sources.preserve():
            return self._collate([self.loader.dataset[index]])

    def why_not(self, batch_size: int) -> str | None:
        if self._sampler is not None:
            few = self._sampler.drop_last and self.samples is not None and batch_size > self.samples
            only = f"there are only {self.samples} samples"
            return f"the DataLoader drops batches that are not full, and {only}" if few else None
        if batch_size == self._size:
            return None
        if isinstance(self.loader.dataset, IterableDataset):
            return "the DataLoader reads an IterableDataset, which fixes the size"
        return "the DataLoader makes its batches in a way of its own, which fixes the size"

    def note(self) -> str | None:
        ahead = 0 if self._sampler is None else len(self._sampler.ahead) + len(self._sampler.ready)
        said = f"{pluralize(ahead, 'batch')} of the old size had been fetched ahead by workers"
        return said if ahead else None

    def steps_left(self) -> int | None:
        if not self._trusted:
            return None
        if self._sampler is not None:
            return None if self.samples is None else self._count_batches(self.samples - self._taken)
        count = self.steps_in_epoch()
        return None if count is None else max(0, count - self._taken)

    def steps_in_epoch(self) -> int | None:
        if self._sampler is not None:
            return None if self.samples is None else self._count_batches(self.samples)
        return find_length(self.loader) if self._trusted else None

    def close(self) -> None:
        _shut_down(self._resting() if self._iterator is None else self._iterator)
        if self._sampler is not None:
            self._loader = _with_sampler(self.loader, self._sampler)
        elif self._loader is not self.loader:
            self._loader = _make_twin(self._loader)
        self._iterator = None

    def state(self) -> dict[str, Any]:
        sampler = self._sampler
        return {
            "batch_size": self._size, "taken": self._taken, "over": self._over, "trusted": self._trusted,
            "broken_off": self._broken_off, "open": self._iterator is not None, "reused": self._reused,
            "opening": self._opening, "own": self._sources.own_state(),
            "feed": None if sampler is None or sampler.begun is None else sampler.state(),
            "held": Reference(list(self._held)), "count": self._taken + len(self._held),
            "checks": _checks_at(self._loader, self._taken, self._taken + len(self._held)),
            "last": fingerprint(self._last) if self._reads_again and not self._held else None,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> str | None:
        said = None
        if self.once:
            if (state["taken"], state["open"]) != (self._taken, self._iterator is not None):
                raise ValueError("the data can be read once only")
        elif state["open"] or state["broken_off"]:
            with self._sources.preserve():
                said = self._reopen(state)
        else:
            if self._sampler is not None:  # that of now may wait to go on
                self._sampler = ResizableSampler(self._sampler, state["batch_size"], self._sources)
            self.close()
        self._broken_off = state["broken_off"] and not state["open"]
        self._taken, self._over, self._trusted = state["taken"], state["over"], state["trusted"]
        if not self.once:
            self._held = [] if self._sampler is not None else list(dereference(state["held"]) or [])
        self._indices = []
        self._reused = state.get("reused", False)
        self._opening = state["opening"]
        self.batch_size = state["batch_size"]
        self._sources.install_own(state["own"])
        if self._sampler is not None:
            self._sampler.mark.forget()
        return said

    @property
    def _reads_again(self) -> bool:
        """Whether a place is reached only by fetching earlier batches again."""
        return self._loader.num_workers > 0 or isinstance(self.loader.dataset, IterableDataset)

    def _reopen(self, state: dict[str, Any]) -> str | None:
        """Open the epoch of `state` at its place; close the current one."""
        sampler, loader, was = None, self._loader, state["feed"]
        if self._sampler is None:
            loader = loader if loader is self.loader else _make_twin(loader)
        else:
            if was is None:
                raise ValueError("the sampler had failed")
            sampler = ResizableSampler(self._sampler, state["batch_size"], self._sources)
            loader = _with_sampler(self.loader, sampler)
        iterator, said = None, None
        # Workers that go on draw no new seed for an epoch, as new ones do: they cannot be had again.
        again = sampler is None or (
            loader.num_workers and state["open"] and was["clean"] and not state.get("reused")
        )
        if again:
            iterator, said = self._read_again(loader, sampler, state)
        else:
            sampler.install(was)
            iterator = iter(loader) if state["open"] else None
            if loader.num_workers:
                said = "the workers of the DataLoader began their random numbers anew"
        self.close()
        self._loader, self._sampler, self._iterator = loader, sampler, iterator
        return said

    def _leave_out(self, state: dict[str, Any]) -> bool:
        if self._sampler is not None:
            self._sampler = ResizableSampler(self._sampler, self._size, self._sources)
        self.close()
        self._taken, self._over, self._trusted, self._broken_off = 0, False, True, False
        self._held, self._indices = [], []
        if not (state["open"] or state["broken_off"]):
            return True
        self._sources.install_generators(state["own"])
        if self._sampler is not None:
            self.batch_size, there = state["batch_size"], self._sampler.leave_out(state["taken"])
            self._iterator = iter(self._loader) if there else None
        else:
            # What is read once, as a queue, goes on by itself.
            self._iterator, count = iter(self._loader), 0 if self._look and self.once else state["taken"]
            own = None if self._reads_again else getattr(self._iterator, "_sampler_iter", None)
            there = count == sum(1 for _ in itertools.islice(own or self._iterator, count))
        self._taken = state["taken"] if there else 0
        if not there:
            if self._sampler is not None:
                self._sampler = ResizableSampler(self._sampler, self._size, self._sources)
            self.close()
        return there

    def _read_again(
        self, loader: DataLoader, sampler: ResizableSampler | None, state: dict[str, Any]
    ) -> tuple[Iterator[Any], str | None]:
        count = state["count"] if dereference(state["held"]) else state["taken"]
        self._sources.install(state["opening"])
        if sampler is not None:
            sizes = _expand_runs(state["feed"]["handed"])
            count, sampler.sizes = len(sizes) - len(state["feed"]["ahead"]), deque(sizes)
        iterator = iter(loader)
        try:
            return self._read_up_to(loader, iterator, sampler, state, count)
        except BaseException:
            _shut_down(iterator)
            raise

    def _read_up_to(
        self, loader: DataLoader, iterator: Any, sampler: ResizableSampler | None, state: dict[str, Any],
        count: int,
    ) -> tuple[Iterator[Any], str | None]:  # fmt: skip
        got, last = 0, None
        own = getattr(iterator, "_sampler_iter", None)
        if own is not None and not self._reads_again:
            # The samples themselves need not be fetched: their random numbers are the global generators'.
            got = sum(1 for _ in itertools.islice(own, count))
        else:
            for batch in itertools.islice(iterator, count):
                got, last = got + 1, batch
                if sampler is not None:
                    sampler.ahead.popleft()
        if got < count:
            raise ValueError("the DataLoader gives fewer batches when it is read again")
        if sampler is not None:
            sampler.check_order(state["feed"])
        elif (wanted := state.get("checks")) and not {*_checks_at(loader, count)} <= {*wanted}:
            return iterator, "the batch sampler gave other batches when it was asked again up to there"
        if state["last"] is not None and fingerprint(last) != state["last"]:
            return iterator, "the DataLoader gave other samples when it was read again up to there"
        return iterator, None

    def _note_taken(self, batch: Any) -> Any:
        self._last = batch = arrays_to_tensors(batch)
        if self._sampler is None:
            self._taken += 1
        else:
            self._indices = self._sampler.ahead.popleft()
            self._taken += len(self._indices)
        ahead = self._held or (self._sampler is not None and self._sampler.ahead)
        self._over = not ahead and self.steps_left() == 0
        if self._over and not self._counts and self._iterator is not None:
            self._over = self._read_to_end(batch)
        return batch

    def _read_to_end(self, batch: Any) -> bool:
        """Say whether the data ends after `batch`, as its length says."""
        try:
            more = next(self._iterator, _END)  # type: ignore[arg-type]
        except BaseException:
            self._held.append(batch)
            raise
        if more is not _END:
            self._held.append(more)
            self._trusted = False
        return more is _END


    def _end_epoch(self) -> None:
        self._iterator, self._taken, self._over = None, 0, False

    def _return_indices(self, indices: list[int]) -> None:
        """Let the samples of a failed batch come next."""
        sampler = self._sampler
        if sampler is None:
            return
        sampler.return_indices(indices)
        self._indices = []
        if not sampler.returned:
            self._end_epoch()  # the sampler itself failed: the epoch begins anew
        elif self._loader.num_workers == 0:
            sampler.mark.restore()
        else:
            # Workers have copies of the dataset, and batches of the old size on their way: they start anew.
            self._broken_off = True
            self.close()

    def _count_batches(self, samples: int) -> int:
        full, rest = divmod(max(0, samples), self._size)
        return full + (1 if rest and not self._sampler.drop_last else 0)  # type: ignore[union-attr]

    def _by_number(self) -> bool:
        dataset = self.loader.dataset
        numbered = hasattr(dataset, "__getitem__") and not isinstance(dataset, IterableDataset)
        return numbered and self.loader.batch_sampler is not None


def _shut_down(iterator: Any) -> None:
    """End an iterator's workers."""
    # At once, and not when it is collected: that may be in a worker forked later, which complains.
    getattr(iterator, "_shutdown_workers", lambda: None)()


def _with_sampler(loader: DataLoader, sampler: ResizableSampler) -> DataLoader:
    """Return a DataLoader like the person's own whose batches `sampler` makes."""
    return _copy_loader(loader, loader.dataset, batch_sampler=sampler)


@contextlib.contextmanager
def _preserve_lists(sampler: Any) -> Iterator[None]:
    """Give back the lists of a sampler, from which it may take."""
    own = getattr(sampler, "__dict__", {})
    names, lists = dict(own), [(one, list(one)) for one in own.values() if isinstance(one, list)]
    try:
        yield
    finally:
        own.update(names)
        for one, entries in lists:
            one[:] = entries


def _make_twin(loader: DataLoader, **parts: Any) -> DataLoader:
    """Return a person's loader, whatever its class does, with other parts."""
    twin = copy.copy(loader)
    if isinstance(checked := loader.batch_sampler, CheckedSampler):
        parts = {"batch_sampler": CheckedSampler(checked.sampler), **parts}
    for name, part in {"_iterator": None, **parts}.items():
        object.__setattr__(twin, name, part)  # a loader lets nobody set them
    return twin


def _copy_loader(loader: DataLoader, dataset: Any, **others: Any) -> DataLoader:
    same = (
        "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
        "generator", "prefetch_factor", "persistent_workers", "pin_memory_device", "in_order",
    )  # fmt: skip
    known = inspect.signature(DataLoader).parameters
    options = {name: getattr(loader, name) for name in same if name in known and hasattr(loader, name)}
    return DataLoader(dataset, **options, **others)


@contextlib.contextmanager
def _preserve_generators(loader: DataLoader) -> Iterator[None]:
    """Give back a loader's and its sampler's generators: training may share them."""
    owners = (loader, loader.sampler, loader.batch_sampler)
    found = (getattr(owner, "generator", None) for owner in owners)
    kept = [(one, one.get_state()) for one in found if isinstance(one, torch.Generator)]
    try:
        yield
    finally:
        for generator, state in kept:
            generator.set_state(state)


class CheckedSampler:
    """A person's batch sampler, with a checksum at each place."""

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.checks = sampler, [0]

    def __iter__(self) -> Iterator[Any]:
        self.checks = [0]
        for batch in self.sampler:
            self.checks.append(checksum(batch, self.checks[-1]))
            yield batch

    def __len__(self) -> int:
        return len(self.sampler)


def _checks_at(loader: DataLoader, *places: int) -> list[int]:
    """Return the checksums of a person's batch sampler at these places."""
    given = getattr(loader.batch_sampler, "checks", ())
    return [given[place] for place in places if place < len(given)]


class ResizableSampler(BatchSampler):
    """A person's sampler in batches of changing size, which can be returned."""

    def __init__(self, like: BatchSampler, batch_size: int, sources: SourceState) -> None:
        super().__init__(like.sampler, batch_size, like.drop_last)
        self._order: Iterator[int] = iter(())
        self._goes_on = False
        #: Batches of indices that come before all others, as they are; sizes that come before `batch_size`.
        self.ready: deque[list[int]] = deque()
        self.sizes: deque[int] = deque()
        #: What decided the sampler's order in this epoch, how many indices it gave, and their checksum.
        self.begun: Any = None
        self.drawn = self.check = 0
        self.ended = False
        #: The sizes of the batches handed out in this epoch, and whether none was given back.
        self.handed: list[int] = []
        self.clean = True
        self._sources = sources
        #: Whether what is left is to be dropped, though another size would make a batch of it.
        self.last = False
        #: Indices that come next, before those of the sampler.
        self.returned: deque[int] = deque()
        #: The batches of indices handed out that were not taken yet: workers fetch ahead.
        self.ahead: deque[list[int]] = deque()
        #: The place in the random numbers where the last indices were handed out.
        self.mark = RandomMark()

    def __iter__(self) -> Iterator[list[int]]:
        if not self._goes_on:
            self.begun = self._sources.state()
            self._order = iter(self.sampler)
            self.returned.clear()
            self.ready.clear()
            self.handed, self.drawn, self.check, self.clean, self.ended = [], 0, 0, True, False
        self._goes_on = self.last = False
        self.ahead.clear()
        while True:
            size = self.sizes.popleft() if self.sizes else self.batch_size
            if self.ready:
                batch = self.ready.popleft()
            else:
                batch = [self.returned.popleft() for _ in range(min(size, len(self.returned)))]
                batch += self._draw(size - len(batch))
                if not batch or (self.drop_last and (len(batch) < size or self.last)):
                    return
            self.ahead.append(batch)
            self.handed.append(len(batch))
            self.mark.set()
            yield batch

    def return_indices(self, batch: list[int]) -> None:
        """Let `batch`, and all that was handed out after it, come next."""
        self.returned.extendleft(reversed([*batch, *itertools.chain(*self.ahead, *self.ready)]))
        self.ahead.clear()
        self.ready.clear()
        self.sizes.clear()
        self.clean = False

    def leave_out(self, count: int) -> bool:
        """Begin an epoch after `count` indices; say whether it has more."""
        self.begun, self._goes_on = self._sources.state(), True
        self._order = iter(self.sampler)
        while self.drawn < count and self._draw(min(1024, count - self.drawn)):
            pass
        self.returned.extend(self._draw(1))
        self.clean = False
        return self.drawn > count

    def resume_epoch(self) -> None:
        """Let the next iteration continue this epoch instead of beginning another."""
        self._goes_on = True

    def _draw(self, count: int) -> list[int]:
        indices = list(itertools.islice(self._order, count))
        self.drawn += len(indices)
        # At its end a sampler may draw random numbers once more.
        self.ended = self.ended or len(indices) < count
        self.check = checksum(indices, self.check)
        return indices

    def state(self) -> dict[str, Any]:
        """Return the sampler's place in the epoch, and what was not taken."""
        return {
            "begun": self.begun, "drawn": self.drawn, "check": self.check,
            "handed": [[size, len(list(same))] for size, same in itertools.groupby(self.handed)],
            "ahead": list(map(list, (*self.ahead, *self.ready))), "returned": list(self.returned),
            "clean": self.clean, "ended": self.ended,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Go to a place in an epoch, before first use; see `check_order`."""
        with self._sources.preserve():
            self._sources.install(state["begun"])
            self._order = iter(self.sampler)
            while self.drawn < state["drawn"] and self._draw(min(1024, state["drawn"] - self.drawn)):
                pass
            if state["ended"]:
                self._draw(1)
        self.check_order(state)
        self.begun, self.clean, self._goes_on = state["begun"], state["clean"], True
        self.ready = deque(map(list, state["ahead"]))
        handed = _expand_runs(state["handed"])
        self.handed = handed[: len(handed) - len(self.ready)]
        self.returned = deque(state["returned"])

    def check_order(self, state: dict[str, Any]) -> None:
        """Raise ValueError, in a clause, where the sampler gave other indices."""
        if (self.drawn, self.check) != (state["drawn"], state["check"]):
            raise ValueError("the sampler gives another order when it is asked again")


def _expand_runs(counts: list[list[int]]) -> list[int]:
    """Return numbers of which [number, how often in a row] is given."""
    return [number for number, count in counts for _ in range(count)]
