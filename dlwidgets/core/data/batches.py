"""Batches that can be resized in mid-epoch and put back."""

from __future__ import annotations

import array
import contextlib
import inspect
import itertools
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import IterableDataset, Sampler, get_worker_info

from ..base.random_state import Generators, RandomMark, RandomStates
from ..base.state import read_attributes, write_attributes
from ..base.trees import arrays_to_tensors, slice_rows, tree_tensors
from ..base.words import pluralize
from ..layers.framework import gives_batches
from .detection import collate, is_target_list
from .source import Rows, find_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Bytes of each tensor of a batch that go into its fingerprint.
_LOOK = 65_536


class SourceState:
    """All that decides what data gives next: random generators and counters.

    Parameters
    ----------
    owners : a dataset, a sampler, a loader: the generators they hold at any depth count, and their numbers;
        of a sampler also its private counts.
    """

    def __init__(self, *owners: Any) -> None:
        self._owners = [owner for owner in owners if hasattr(owner, "__dict__")]
        self._generators = Generators(*owners)
        self._begun = list(map(_numbers_of, self._owners))

    def own_state(self) -> dict[str, Any]:
        """Return the state of what the owners hold."""
        return {
            "generators": self._generators.state(),
            "numbers": list(map(_numbers_of, self._owners)), "begun": self._begun,
        }  # fmt: skip

    def install_generators(self, state: dict[str, Any]) -> None:
        """Put back the generators of what `own_state` returned, and no more."""
        self._generators.install(state["generators"])

    def install_own(self, state: dict[str, Any]) -> None:
        """Put back what `own_state` returned."""
        self.install_generators(state)
        for owner, numbers, then, now in zip(
            self._owners, state["numbers"], state.get("begun", self._begun), self._begun
        ):  # fmt: skip
            # What never moved since it was made, and is made otherwise now, is no state: data that grew.
            moved = {name for name, one in numbers.items() if name not in then or one != then[name]}
            same = {name for name in numbers if then.get(name) == now.get(name)}
            write_attributes(owner, {name: numbers[name] for name in moved | same})

    def state(self) -> dict[str, Any]:
        """Return the state of the owners and of the global generators."""
        return {**self.own_state(), "streams": RandomStates.capture().state()}

    def install(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""
        self.install_own(state)
        RandomStates.from_state(state["streams"]).install()

    @contextmanager
    def preserve(self) -> Iterator[None]:
        """Give everything back as it was."""
        kept = self.state()
        try:
            yield
        finally:
            self.install(kept)


def _numbers_of(owner: Any) -> dict[str, Any]:
    counts = vars(owner) if isinstance(owner, Sampler) else {}
    return {**{name: one for name, one in counts.items() if type(one) is int}, **read_attributes(owner)}


def checksum(indices: Sequence[Any], before: int = 0) -> int:
    """Return a checksum of what a sampler gave, continuing `before`."""
    try:
        numbers = array.array("q", indices).tobytes()
    except (TypeError, OverflowError):  # a sampler may give anything
        numbers = " ".join(map(str, indices)).encode()
    return zlib.crc32(numbers, before)


def fingerprint(batch: Any) -> int:
    """Return a checksum of the beginning of each tensor of a batch."""
    code = 0
    for tensor in tree_tensors(arrays_to_tensors(batch)):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        few = flat[: max(1, _LOOK // max(1, flat.element_size()))]
        code = zlib.crc32(few.view(torch.uint8).numpy().tobytes() if few.numel() else b"", code)
    return code


def draw_rows(of: int, count: int) -> torch.Tensor:
    """Return numbers of `count` rows, drawn the same each time."""
    return torch.randperm(of, generator=torch.Generator().manual_seed(16))[:count].sort().values


def batch_length(batch: Any) -> int:
    """Count the samples in a batch of any form.

    A graph or packed sequence says it itself; a list of samples by its length, also where these are tensors
    of various lengths, and so do lists of the samples' parts, as `zip(*samples)` gives them. Of all else most
    tensors are as long, the first of them where no two are. A batch without tensors counts as one sample.
    """
    if isinstance(batch, torch.Tensor):
        return batch.size(0) if batch.ndim else 1
    if isinstance(batch, PackedSequence):
        return int(batch.batch_sizes[0])
    if isinstance(batch, (tuple, list)) and batch:
        if type(batch) is tuple and len(batch) == 1 and isinstance(batch[0], list):
            return len(batch[0])  # of samples, which are the one argument
        if _holds_parts(batch):
            return len(batch[0])
        if _holds_samples(batch):
            return len(batch)
        if isinstance(batch[0], torch.Tensor):
            return batch_length(batch[0])
        if len(batch) == 2 and isinstance(batch[1], torch.Tensor) and batch[1].ndim:
            # Several inputs, or a list of samples: the targets tell.
            inputs, count = batch[0], len(batch[1])
            return count if isinstance(inputs, list) and len(inputs) == count else batch_length(inputs)
        return batch_length(batch[0])
    said = getattr(batch, "num_graphs", None) or getattr(batch, "batch_size", None)
    if isinstance(said, (tuple, list)):  # as a TensorDict has it
        said = next(iter(said), None)
    if isinstance(said, int) and not isinstance(batch, Mapping):
        return said
    if isinstance(batch, Mapping) and (listed := next(filter(is_target_list, batch.values()), None)) is not None:
        return len(listed)
    lengths = Counter(tensor.size(0) for tensor in tree_tensors(batch) if tensor.ndim)
    return lengths.most_common(1)[0][0] if lengths else 1


def _holds_parts(batch: Sequence[Any]) -> bool:
    """Say whether it is lists: of inputs, and of targets."""
    if len(batch) < 2 or not all(type(one) in (tuple, list) and one for one in batch):
        return False
    kinds = {tuple({(type(one), getattr(one, "ndim", None)) for one in part}) for part in batch}
    alike = all(len(kind) == 1 for kind in kinds) and len(kinds) > 1
    return alike and len(set(map(len, batch))) == 1 and not _holds_several(batch)


def _holds_several(batch: Sequence[Any]) -> bool:
    """Say whether its lists hold batches, all as long."""
    lengths = {one.size(0) if isinstance(one, torch.Tensor) and one.ndim else None for one in chain(*batch)}
    return len(lengths) == 1 and None not in lengths


def _holds_samples(batch: Sequence[Any]) -> bool:
    """Say whether a list holds samples, not inputs and targets."""
    kinds = {type(one) for one in batch}
    if not isinstance(batch, list) or len(kinds) > 1:
        return False
    if kinds == {torch.Tensor}:
        return len({len(one) if one.ndim else None for one in batch}) > 1
    return kinds != {list} or not _holds_several(batch)


#: How many items are read a second time, to see whether a stream can be read again.
_AGAIN = 8
#: Attributes of a stream that are looked at, at most.
_MOST_PARTS = 1000


class StreamStart:
    """The first items of a stream, seen without losing any.

    It is read twice. What gives the same again begins anew each time, and so does what gives other items by
    chance; what goes on where it was, as over an open file or a queue, is read once: what it gave is held.

    Parameters
    ----------
    count : how many.

    Attributes
    ----------
    items : the first of them.
    once, held : whether the stream is read once; what was read then, which comes first.
    """

    def __init__(self, stream: Iterable[Any], count: int, sources: SourceState) -> None:
        before = _sizes(stream)
        with sources.preserve():
            self.items = list(itertools.islice(read_through(stream), count))
        with sources.preserve():
            again = list(itertools.islice(read_through(stream), min(count, _AGAIN)))
        same = [*map(_signature, self.items[: len(again)])] == [*map(_signature, again)]
        goes_on = not again or _keeps_place(stream) or _sizes(stream) != before
        self.once = bool(self.items) and goes_on and not (same and again)
        self.held = [*self.items, *again] if self.once else []
        self._stream, self._count, self._sources = stream, count, sources

    def first(self, count: int) -> list[Any]:
        """Return the first `count`, or fewer where reading would lose any."""
        if count <= self._count or self.once or len(self.items) < self._count:
            return self.items[:count]
        with self._sources.preserve():
            return list(itertools.islice(read_through(self._stream), count))


def begin_pass(stream: Iterable[Any]) -> Iterator[Any]:
    """Return an iterator over a stream, or over batches by number."""
    if gives_batches(stream) and (count := find_length(stream)) is not None:
        return (stream[number] for number in range(count))  # type: ignore[index]
    return iter(stream)


def read_through(stream: Iterable[Any]) -> Iterator[Any]:
    """Yield all that a stream gives, having asked it once to begin."""
    # islice() and for would ask its iterator once more: one that is the stream itself would begin anew.
    iterator, end = begin_pass(stream), object()
    while (item := next(iterator, end)) is not end:
        yield item


def _keeps_place(stream: Any) -> bool:
    """Say whether a stream reads from something that is read once."""
    return any(hasattr(one, "__next__") for one in [stream, *_read_by(stream)])


def _sizes(stream: Any) -> list[int]:
    """Return the sizes of the containers that a stream reads from."""
    found = []
    for part in _read_by(stream):
        with contextlib.suppress(Exception):
            found.append(part.qsize() if hasattr(part, "qsize") else len(part))
    return found


def _read_by(stream: Any) -> list[Any]:
    """List what a stream holds, and the variables that it reads."""
    found = list(itertools.islice(_parts(stream), _MOST_PARTS))
    if inspect.isfunction(read := type(stream).__iter__):
        outside = inspect.getclosurevars(read)
        found += [*outside.nonlocals.values(), *outside.globals.values()]
    return found


def _parts(owner: Any, deep: int = 3) -> Iterator[Any]:
    """Yield the attributes of an object, and theirs."""
    for value in getattr(owner, "__dict__", {}).values() if deep and not isinstance(owner, type) else ():
        yield value
        yield from _parts(value, deep - 1)


def _signature(item: Any) -> tuple[int, str]:
    return fingerprint(item), repr([*_plain_values(item)])


def _plain_values(item: Any) -> Iterator[Any]:
    """Yield the numbers, texts and arrays of a sample."""
    if isinstance(item, (tuple, list, Mapping)):
        for value in item.values() if isinstance(item, Mapping) else item:
            yield from _plain_values(value)
    elif isinstance(item, (str, bytes, bool, int, float, np.generic, np.ndarray)):
        yield item.tobytes() if isinstance(item, np.ndarray) else item


class Continued(IterableDataset):
    """A stream that gives what was looked at first, once."""

    def __init__(self, stream: Any, held: list[Any]) -> None:
        self.stream, self.held = stream, held

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        held, self.held = self.held, []
        return itertools.chain(held if worker is None or worker.id == 0 else (), self.stream)

    def __len__(self) -> int:
        return len(self.stream)


class Batches:
    """An endless supply of training batches, epoch after epoch.

    `batch_size` may be set at any time and holds from the next batch on. If `take()` raises, it has taken
    nothing and the global random numbers are as before. `sweep()` leaves the training's place alone.
    """

    #: Whether a batch that is put back puts its random numbers back.
    puts_draws_back = False

    def __init__(self, batch_size: int, sources: SourceState) -> None:
        self._size, self._sources = batch_size, sources
        #: Samples in an epoch; None where the source cannot say.
        self.samples: int | None = None
        #: The number of each sample's group, as its patient's, in order; None: each stands alone.
        self.groups: NDArray[np.int64] | None = None
        #: The names of the samples, in order; None: they are only numbered.
        self.names: Sequence[Any] | None = None
        #: Whether the source can be read once only; and has been.
        self.once = self.used_up = False
        self._first_batch: Any = None

    @property
    def batch_size(self) -> int:
        """The number of samples in the next batch."""
        return self._size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._size = size

    @property
    def over(self) -> bool:
        """Whether the epoch is known to have no batch left."""
        return False

    @property
    def midway(self) -> bool:
        """Whether a batch of the epoch was taken, and more may follow."""
        raise NotImplementedError

    def take(self) -> Any:
        """Return the next batch; at the end of an epoch None, once."""
        raise NotImplementedError

    def put_back(self) -> None:
        """Give the last batch back, as a failed step is taken again.

        Its samples come next, in the size that holds then, and draw the same random numbers.
        """
        raise NotImplementedError

    def sweep(self, batch_size: int) -> Iterator[Any]:
        """Yield each sample once, in order, in such batches where possible."""
        raise NotImplementedError

    def peek(self, count: int) -> Any:
        """Return a batch of about the first `count` samples, using none up."""
        raise NotImplementedError

    def preview(self, count: int) -> Any:
        """Return a batch of about `count` samples; restore all generators.

        They are spread over the data where it is read by number, lest all are of one class; else the first.
        """
        with self._sources.preserve():
            return slice_rows(self.peek(count), 0, count)

    def count_readable(self) -> int:
        """Count the samples that can be read by number."""
        return batch_length(self._first())

    def read_sample(self, index: int) -> Any:
        """Return a sample as a batch of one; restore all generators."""
        return slice_rows(self._first(), index, index + 1)

    def why_not(self, batch_size: int) -> str | None:
        """Say in a clause why this size is refused, or None."""
        return None

    def note(self) -> str | None:
        """Say in a clause what a change of size means, or None."""
        return None

    def numbers(self) -> list[int] | None:
        """Return which samples of the data come next; None where unknown."""
        return None

    def steps_left(self) -> int | None:
        """Return how many batches this epoch still has, or None where unknown."""
        return None

    def steps_in_epoch(self) -> int | None:
        """Return how many batches an epoch has, or None where unknown."""
        return None if self.samples is None else -(-self.samples // self.batch_size)

    def state(self) -> Any:
        """Return the place in the data and the batch size: see `state.Stateful`."""
        raise NotImplementedError

    def install(self, state: Any) -> str | None:
        """Go to an earlier place, from which the same batches follow.

        The global random generators may be left anywhere. Returns in a clause what could not be had;
        ValueError says in a clause why there is no way back, and leaves the place as before.
        """
        raise NotImplementedError

    def approach(self, state: Any) -> str | None:
        """Install a state as nearly as can be; say what is lost.

        Where its place is not to be had, as many samples are left out as were taken then, so that the epoch
        is as long, in another order; and where that cannot be either, the epoch begins anew.
        """
        try:
            return self.install(state)
        except (KeyError, TypeError, IndexError):
            why, near = "the data is of another kind than then", False
        except (ValueError, RuntimeError) as error:
            why, near = str(error), self._leave_out(state)
        went_on = "the rest of the epoch comes in another order"
        return f"{why}: {went_on if near else 'the epoch under way begins anew'}"

    def _leave_out(self, state: Any) -> bool:
        """Leave out what a state took of its epoch, if possible."""
        return False

    def close(self) -> None:
        """Let go of what fetches ahead."""

    def _first(self) -> Any:
        if self._first_batch is None:
            with self._sources.preserve():
                self._first_batch = self.peek(256)
        return self._first_batch


class IndexedBatches(Batches):
    """Batches of rows or of a map-style Dataset, shuffled anew each epoch.

    The order of each epoch is `torch.randperm(n, generator=g)`, with one `g = torch.Generator()` seeded
    once: a plain loop that does the same sees the same batches.

    Parameters
    ----------
    source : `Rows`, or anything with `__len__` and `__getitem__`.
    shuffle : False: in the source's own order.
    """

    puts_draws_back = True

    def __init__(self, source: Any, batch_size: int, seed: int, shuffle: bool = True) -> None:
        # Rows in memory draw no random numbers; a Dataset that augments does.
        self._draws = not isinstance(source, Rows)
        super().__init__(batch_size, SourceState(source) if self._draws else SourceState())
        self.source, self.shuffle = source, shuffle
        self.samples = self._count = len(source)
        self._generator = torch.Generator().manual_seed(seed)
        self._order = torch.empty(0, dtype=torch.int64)
        #: The place in the order, that before the last batch, and the end: 0 before the first epoch.
        self._at = self._before = self._end = 0
        self._mark = RandomMark()

    @property
    def over(self) -> bool:
        return 0 < self._end <= self._at

    @property
    def midway(self) -> bool:
        return 0 < self._at < self._end

    def take(self) -> Any:
        if self._at >= self._end:
            self._order = torch.arange(self._count)
            if self.shuffle:
                self._order = torch.randperm(self._count, generator=self._generator)
            self._at, self._before, self._end = 0, 0, self._count
        end = min(self._at + self.batch_size, self._end)
        index = self._order[self._at : end]
        if self._draws:
            self._mark.set()
        try:
            batch = self._fetch(index)
        except BaseException:
            self._mark.restore()
            raise
        self._before, self._at = self._at, end
        return batch

    def put_back(self) -> None:
        self._at = self._before
        self._mark.restore()

    def sweep(self, batch_size: int) -> Iterator[Any]:
        for start in range(0, self._count, batch_size):
            yield self._fetch(slice(start, start + batch_size))

    def peek(self, count: int) -> Any:
        return self._fetch(slice(count))

    def preview(self, count: int) -> Any:
        with self._sources.preserve() if self._draws else nullcontext():
            return self._fetch(draw_rows(self._count, count))

    def count_readable(self) -> int:
        return self._count

    def read_sample(self, index: int) -> Any:
        with self._sources.preserve() if self._draws else nullcontext():
            return self._fetch(slice(index, index + 1))

    def numbers(self) -> list[int]:
        return self._order[self._at : min(self._at + self.batch_size, self._end)].tolist()

    def steps_left(self) -> int:
        return -(-(self._end - self._at) // self.batch_size)

    def state(self) -> dict[str, Any]:
        return {
            "generator": self._generator.get_state(), "order": self._order,
            "place": (self._before, self._at, self._end), "batch_size": self.batch_size,
            "own": self._sources.own_state(),
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        if len(state["order"]) not in (0, self._count):
            then = pluralize(len(state["order"]), "sample")
            raise ValueError(f"the data had {then} and has {self._count:,} now")
        self._generator.set_state(state["generator"])
        self._order = state["order"].clone()
        self._before, self._at, self._end = state["place"]
        self.batch_size = state["batch_size"]
        self._sources.install_own(state["own"])
        self._mark.forget()

    def _leave_out(self, state: dict[str, Any]) -> bool:
        self._generator.set_state(state["generator"])
        self.batch_size, (_, taken, end) = state["batch_size"], state["place"]
        if not 0 < taken < min(end, self._count):
            return taken >= end
        self._order = torch.arange(self._count)
        if self.shuffle:
            self._order = torch.randperm(self._count, generator=self._generator)
        self._at, self._before, self._end = taken, taken, self._count
        return True

    def _fetch(self, index: torch.Tensor | slice) -> Any:
        if isinstance(self.source, Rows):
            return self.source.take(index)
        numbers = range(self._count)[index] if isinstance(index, slice) else index.tolist()
        many = getattr(self.source, "__getitems__", None)
        return collate(many(list(numbers)) if many else [self.source[i] for i in numbers])
