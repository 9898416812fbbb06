"""A person's sampler, batch by batch, at a size that may change; what was handed out can be given back."""

from __future__ import annotations

import array
import itertools
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from torch.utils.data import BatchSampler

from ..base.random_state import RandomMark
from .position import Sources, runs, unrolled


class Feed(BatchSampler):
    """A person's sampler, batch by batch, at a size that may change; indices can be given back."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool, sources: Sources) -> None:
        super().__init__(sampler, batch_size, drop_last)
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

    def give_back(self, batch: list[int]) -> None:
        """Let `batch`, and all that was handed out after it, come next."""
        self.returned.extendleft(reversed([*batch, *itertools.chain(*self.ahead, *self.ready)]))
        self.ahead.clear()
        self.ready.clear()
        self.sizes.clear()
        self.clean = False

    def go_on(self) -> None:
        """Let the next iteration go on with this epoch instead of beginning another."""
        self._goes_on = True

    def _draw(self, count: int) -> list[int]:
        indices = list(itertools.islice(self._order, count))
        self.drawn += len(indices)
        # At its end a sampler may draw random numbers once more.
        self.ended = self.ended or len(indices) < count
        self.check = _checked(indices, self.check)
        return indices

    def state(self) -> dict[str, Any]:
        """Return where in the epoch the sampler is, and what of it was not taken."""
        return {
            "begun": self.begun, "drawn": self.drawn, "check": self.check, "handed": runs(self.handed),
            "ahead": [list(batch) for batch in (*self.ahead, *self.ready)], "returned": list(self.returned),
            "clean": self.clean, "ended": self.ended,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Go to a place in an epoch, in a feed that was not used yet; the next iteration goes on there.

        Raises
        ------
        ValueError : in a clause: the sampler gives another order now.
        """
        with self._sources.untouched():
            self._sources.install(state["begun"])
            self._order = iter(self.sampler)
            while self.drawn < state["drawn"] and self._draw(min(1024, state["drawn"] - self.drawn)):
                pass
            if state["ended"]:
                self._draw(1)
        self.same_order(state)
        self.begun, self.clean, self._goes_on = state["begun"], state["clean"], True
        self.ready = deque(list(batch) for batch in state["ahead"])
        handed = unrolled(state["handed"])
        self.handed = handed[: len(handed) - len(self.ready)]
        self.returned = deque(state["returned"])

    def same_order(self, state: dict[str, Any]) -> None:
        """Raise a ValueError, in a clause, where the sampler gave other indices than in `state`."""
        if (self.drawn, self.check) != (state["drawn"], state["check"]):
            raise ValueError("the sampler gives another order when it is asked again")


def _checked(indices: list[Any], check: int) -> int:
    try:
        return zlib.crc32(array.array("q", indices).tobytes(), check)
    except (TypeError, OverflowError):
        return zlib.crc32(" ".join(map(str, indices)).encode(), check)
