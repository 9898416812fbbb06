"""Batches of an iterable: of an IterableDataset's samples, or ready-made ones."""

from __future__ import annotations

import inspect
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import IterableDataset

from ..base.random_state import RandomMark
from ..base.state import Reference, dereference
from ..base.trees import arrays_to_tensors
from ..layers.framework import gives_batches
from .batches import Batches, SourceState, StreamStart, batch_length, begin_pass, fingerprint, read_through
from .detection import collate
from .source import find_length

_END = object()
#: Samples that are looked at.
_FIRST = 32


class StreamBatches(Batches):
    """Batches of an iterable, one pass an epoch; generators only once.

    An object that is its own iterator may begin anew when it is asked for one, or once it has ended.

    Parameters
    ----------
    source : an IterableDataset, whose samples are collated `batch_size` at a time, or an iterable of batches.
    batch_size : samples a batch; ready-made batches have a size of their own.

    Raises ValueError: the source gives nothing.
    """

    def __init__(self, source: Iterable[Any], batch_size: int) -> None:
        super().__init__(batch_size, SourceState(source))
        self.source = source
        self._gives_samples = isinstance(source, IterableDataset)
        self._iterator: Iterator[Any] | None = None
        #: What comes next, before what the source gives: samples, or batches.
        self._held: list[Any] = []
        self._last: list[Any] = []
        self._taken, self._trusted = 0, True
        #: Samples or batches that were read from the source in this pass, and what decided them.
        self._drawn = 0
        self._opening: Any = None
        self._mark = RandomMark()
        self._look: list[Any] = []
        self._start: StreamStart | None = None
        #: Whether it ends once and for all.
        self._ends = isinstance(source, Iterator) and not inspect.isfunction(type(source).__iter__)
        if self._ends:
            # It can be read once only: what was looked at is kept for training.
            self._look = list(itertools.islice(source, 1))
            self._iterator, self._drawn, self._held, self.once = source, 1, list(self._look), True
        else:
            few = not self._gives_samples or isinstance(source, Iterator)
            look = StreamStart(source, 1 if few else _FIRST, self._sources)
            self._look, self._held, self.once = look.items, list(look.held), look.once
            self._start = look
        if not self._gives_samples:
            if not self._look:
                raise ValueError("the iterable gives no batches")
            # What the data says, not what was asked for.
            self.batch_size = batch_length(arrays_to_tensors(self._look[0])) or batch_size

    @property
    def converts(self) -> bool:
        """Whether ready-made batches come as arrays."""
        return not self._gives_samples and arrays_to_tensors(self._look[0]) is not self._look[0]

    @property
    def over(self) -> bool:
        return self._iterator is not None and not self._held and self.steps_left() == 0

    @property
    def midway(self) -> bool:
        return self._taken > 0 and not self.over

    def take(self) -> Any:
        was_over = self.over
        batch = self._draw()
        if batch is _END and was_over:
            # It was known to be over, and nobody needs to be told again: this opens the next epoch.
            batch = self._draw()
        elif was_over:
            self._trusted = False  # the source has more than it says
        return None if batch is _END else batch

    def put_back(self) -> None:
        self._held = self._last + self._held
        self._last = []
        self._taken -= 1

    def sweep(self, batch_size: int) -> Iterator[Any]:
        if not self._gives_samples:
            yield from (arrays_to_tensors(batch) for batch in read_through(self.source))
            return
        samples = read_through(self.source)
        while items := list(itertools.islice(samples, batch_size)):
            yield collate(items)

    def peek(self, count: int) -> Any:
        if not self._gives_samples:
            return arrays_to_tensors(self._look[0])
        if not self._look:
            raise ValueError("the IterableDataset gives no samples")
        return collate(self._look[:count] if self._start is None else self._start.first(count))

    def why_not(self, batch_size: int) -> str | None:
        if not self._gives_samples and batch_size != self.batch_size:
            return "the data comes as ready-made batches"
        return None

    def steps_left(self) -> int | None:
        count = self.steps_in_epoch()
        return max(0, count - self._taken) if self._trusted and count is not None else None

    def steps_in_epoch(self) -> int | None:
        return find_length(self.source) if self._trusted and not self._gives_samples else None

    def state(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size, "taken": self._taken, "trusted": self._trusted,
            "used_up": self.used_up, "drawn": None if self._iterator is None else self._drawn,
            "held": len(self._held), "items": Reference(list(self._held)),
            "batch": len(self._last), "last": fingerprint(self._last), "opening": self._opening,
            "own": self._sources.own_state(),
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> str | None:
        here, held, said = self.state(), dereference(state["items"]), None
        same = all(here[name] == state[name] for name in ("drawn", "held", "taken", "used_up"))
        if self.once:
            if not same:
                raise ValueError("the data can be read once only, as a generator")
        elif state["drawn"] is None:
            self._iterator, self._held = None, []
        else:
            with self._sources.preserve():
                self._sources.install(state["opening"])
                iterator, past = read_through(self.source), deque[Any](maxlen=max(1, state["batch"]))
                wanted, got = state["drawn"] - state["held"], 0
                for item in itertools.islice(iterator, wanted):
                    past.append(item)
                    got += 1
                again = list(itertools.islice(iterator, state["held"]))
            if got < wanted or len(again) < state["held"]:
                raise ValueError("the data gives less when it is read again")
            if fingerprint(list(past)[: state["batch"]]) != state["last"]:
                said = "the data gave other samples when it was read again up to there"
            self._iterator, self._held = iterator, again if held is None else list(held)
        self._drawn, self._taken, self._trusted = state["drawn"] or 0, state["taken"], state["trusted"]
        self.batch_size, self.used_up, self._opening = state["batch_size"], state["used_up"], state["opening"]
        self._last = []
        self._sources.install_own(state["own"])
        self._mark.forget()
        return said

    def approach(self, state: dict[str, Any]) -> str | None:
        if not isinstance(self.source, Iterator) or not self.once or state["drawn"] is None:
            return super().approach(state)
        # Another kernel's generator is read from its beginning.
        if not self._leave_out(state):
            return "the generator gives fewer batches than were taken: the epoch under way begins anew"
        same = fingerprint(self._last[: state["batch"]]) == state["last"]
        return None if same else "the generator gave other batches when it was read again up to there"

    def _leave_out(self, state: dict[str, Any]) -> bool:
        if state["drawn"] is None or (self.once and not isinstance(self.source, Iterator)):
            # What is read once, as a queue, goes on by itself.
            self._iterator = None if state["drawn"] is None else begin_pass(self.source)
            self._taken, self._drawn = state["taken"], len(self._held)
            return True
        if not self.once:
            self._iterator, self._held, self._drawn = None, [], 0
        iterator, past = begin_pass(self.source), deque[Any](maxlen=max(1, state["batch"]))
        left = state["drawn"] - state["held"] - (self._drawn - len(self._held))
        while left > 0:
            if self._held:
                item = self._held.pop(0)
            elif (item := next(iterator, _END)) is _END:
                break
            else:
                self._drawn += 1
            past.append(item)
            left -= 1
        self._iterator = iterator if not left or iterator is self.source else None
        self._last, self._taken = list(past), 0 if left else state["taken"]
        return not left

    def _draw(self) -> Any:
        """Return the next batch, or _END, after which another pass begins."""
        if self._iterator is None:
            if self.used_up:
                return _END
            self._opening = self._sources.state()
            self._iterator, self._taken, self._drawn = begin_pass(self.source), 0, 0
        wanted = self.batch_size if self._gives_samples else 1
        self._mark.set()
        try:
            # One by one: what was drawn before the source raised is not lost.
            while len(self._held) < wanted:
                if (item := next(self._iterator, _END)) is _END:
                    break
                self._held.append(item)
                self._drawn += 1
            items = self._held[:wanted]
            batch = (collate(items) if self._gives_samples else arrays_to_tensors(items[0])) if items else _END
        except BaseException:
            self._mark.restore()
            raise
        if batch is _END:
            # There is no second epoch in a generator.
            self.used_up = self._ends or (self.once and not self._taken)
            self._trusted = self._trusted and self.steps_in_epoch() in (None, self._taken)
            self._iterator, self._taken, self._last = None, 0, []
            if gives_batches(self.source):  # which may shuffle then
                self.source.on_epoch_end()  # type: ignore[attr-defined]
            return _END
        self._held, self._last = self._held[wanted:], items
        self._taken += 1
        if not self._held and self.steps_left() == 0:
            self._read_on()
        return batch

    def _read_on(self) -> None:
        """Look whether the source has more than it says."""
        try:
            more = next(self._iterator, _END)  # type: ignore[arg-type]
        except BaseException:
            self.put_back()
            raise
        if more is not _END:
            self._held, self._trusted = [more], False
            self._drawn += 1
