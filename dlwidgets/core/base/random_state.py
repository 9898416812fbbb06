"""The states of random generators, read and put back."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .held import GENERATORS, find_held
from .slices import acting_thread
from .time_budget import TimeBudget


def _cuda_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


@dataclass(frozen=True)
class RandomStates:
    """The states of the global generators: torch, each CUDA device, numpy, python."""

    torch_cpu: torch.Tensor
    torch_cuda: list[torch.Tensor]
    numpy: Any
    python: Any

    @classmethod
    def capture(cls) -> RandomStates:
        """Return the states as they are now."""
        return cls(torch.get_rng_state(), _cuda_states(), np.random.get_state(), random.getstate())

    @classmethod
    def from_seed(cls, seed: int, device: torch.device | None = None) -> RandomStates:
        """Return the states that `torch.manual_seed(seed)` and its kin leave.

        A CUDA device's generator is seeded along where training computes there.
        """
        cuda: list[torch.Tensor] = []
        if device is not None and device.type == "cuda":
            torch.cuda.init()
        if torch.cuda.is_initialized():
            cuda = [
                torch.Generator(f"cuda:{number}").manual_seed(seed).get_state()
                for number in range(torch.cuda.device_count())
            ]
        cpu = torch.Generator().manual_seed(seed).get_state()
        return cls(cpu, cuda, np.random.RandomState(seed % 2**32).get_state(), random.Random(seed).getstate())

    def install(self) -> None:
        """Make these the states of the global generators."""
        torch.set_rng_state(self.torch_cpu)
        if self.torch_cuda:
            torch.cuda.set_rng_state_all(self.torch_cuda)
        np.random.set_state(self.numpy)
        random.setstate(self.python)

    def state(self) -> dict[str, Any]:
        """Return the states as plain data."""
        return {
            "torch": self.torch_cpu, "cuda": list(self.torch_cuda), "numpy": self.numpy, "python": self.python
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> RandomStates:
        """Return the states from what `state()` returned."""
        return cls(state["torch"], list(state["cuda"]), state["numpy"], state["python"])

    def same_beside_torch(self, other: RandomStates) -> bool:
        """Say whether numpy's and python's generators are where they are in `other`."""
        ours, theirs = self.numpy, other.numpy
        return ours[2:] == theirs[2:] and np.array_equal(ours[1], theirs[1]) and self.python == other.python


class GeneratorTurn:
    """Lends the global random generators to one thread at a time.

    Who waits gets its turn in order. A run holds it while it computes, and hands it on between two steps
    where another waits: each has its own states back when its turn comes, so that runs side by side draw what
    they draw alone. What the generators were before the first is given back after the last.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._queue: deque[object] = deque()
        self._holder: int | None = None
        self._lent = 0
        self._owners: RandomStates | None = None

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Have the generators for oneself inside; a holder has them already."""
        if self._holder == acting_thread():
            yield
            return
        self._take()
        try:
            yield
        finally:
            self._give()

    @contextmanager
    def lend(self, states: RandomStates) -> Iterator[None]:
        """Have the generators for oneself inside, beginning from `states`."""
        with self.hold():
            if not self._lent:
                self._owners = RandomStates.capture()
            self._lent += 1
            states.install()
            try:
                yield
            finally:
                self._lent -= 1
                if not self._lent and self._owners is not None:
                    self._owners.install()

    def hand_on(self) -> bool:
        """Let others that wait have their turn; say whether any did."""
        if not self._queue:
            return False
        with self.given_up():
            pass
        return True

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Let others have their turn inside, where the caller holds it."""
        if self._holder != acting_thread():
            yield
            return
        states = RandomStates.capture()
        self._give()
        try:
            yield
        finally:
            self._take()
            states.install()

    def _take(self) -> None:
        ticket = object()
        with self._change:
            self._queue.append(ticket)
            try:
                while self._holder is not None or self._queue[0] is not ticket:
                    # With a time-out the main thread wakes for an interrupt.
                    self._change.wait(0.1)
                self._holder = acting_thread()
            finally:
                self._queue.remove(ticket)
                self._change.notify_all()

    def _give(self) -> None:
        with self._change:
            self._holder = None
            self._change.notify_all()


#: The one of this process; a fork has none of its parent's threads.
TURN = GeneratorTurn()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TURN.__init__)


class RandomMark:
    """A place in the random numbers, cheap to set in every step.

    Reading numpy's and python's generators takes 40 µs, and most training draws from neither: they are read
    in the first two steps, and later as far as 0.02 % of the time goes, unless a number is seen to be drawn.
    """

    def __init__(self) -> None:
        self._torch: torch.Tensor | None = None
        self._cuda: list[torch.Tensor] = []
        self._read: RandomStates | None = None
        self._goes_on = self._settled = self._drawn_from = False
        self._time_budget = TimeBudget(0.0002, least=0.0)

    def set(self) -> None:
        """Mark the place of now."""
        if self._settled and not self._drawn_from and not self._time_budget.due():
            self._torch, self._cuda = torch.get_rng_state(), _cuda_states()
            return
        began = time.perf_counter()
        now = RandomStates.capture()
        if self._goes_on and self._read is not None:
            self._drawn_from = self._drawn_from or not now.same_beside_torch(self._read)
            self._settled = True
            self._time_budget.spent(time.perf_counter() - began)
        self._read, self._torch, self._cuda, self._goes_on = now, now.torch_cpu, now.torch_cuda, True

    def forget(self) -> None:
        """Begin anew: the random numbers were put somewhere else, by no training."""
        self._read = self._torch = None
        self._goes_on = self._settled = False

    @property
    def torch_state(self) -> torch.Tensor | None:
        """Where torch's generator was at the mark."""
        return self._torch

    def restore(self) -> None:
        """Make the random numbers go on from the mark."""
        if self._read is None or self._torch is None:
            return
        RandomStates(self._torch, self._cuda, self._read.numpy, self._read.python).install()
        # What is drawn between two marks cannot be seen where the numbers were put back in between.
        self._goes_on = False


class StrayDraws:
    """Finds that somebody else draws from torch's generator on the CPU meanwhile.

    There is one in a process: what a cell draws, a step misses. A training draws as many numbers in each of
    like stretches of its way, as a step of so many samples; one that is unlike many in a row before it is the
    sign. What draws by chance itself, as a random augmentation, is never sure enough.

    Attributes
    ----------
    told : whether any were found: the first say enough.
    """

    #: How many like stretches in a row are sure.
    SURE = 20

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None
        self._usual: dict[Any, tuple[tuple[int, int], int]] = {}
        self._draws = self.told = False

    def forget(self) -> None:
        """Go on from elsewhere."""
        self._last = None

    def passed(self, state: torch.Tensor, stretch: Any) -> bool:
        """Say whether strange numbers were drawn in a stretch that ended.

        `state` is the generator's now, `stretch` what is alike in stretches. Where the training itself draws
        none, strange ones do no harm, and are not told.
        """
        # The seed it was set to, and how many of a block of 624 numbers are left.
        raw = state.numpy()
        now = int(raw[:8].view(np.int64)[0]), int(raw[8:12].view(np.int32)[0])
        before, self._last = self._last, now
        if before is None:
            return False
        moved = now[0] - before[0], (before[1] - now[1]) % 624
        usual, times = self._usual.get(stretch, (moved, 0))
        if moved == usual:
            self._usual[stretch] = usual, times + 1
            self._draws = self._draws or (times >= self.SURE and moved != (0, 0))
            return False
        if times < self.SURE:
            self._usual[stretch] = moved, 1
            return False
        self.told = self._draws
        return self._draws


class Generators:
    """The random generators that objects hold: see `find_held`."""

    def __init__(self, *owners: Any) -> None:
        # Data with a lock, as around a file, draws from generators as any other does.
        self._found = [one for one in find_held(owners, locked=True) if isinstance(one, GENERATORS)]

    def state(self) -> list[Any]:
        """Return the state of each generator."""
        return [read_generator(generator) for generator in self._found]

    def install(self, state: list[Any]) -> None:
        """Put each generator where it was, if they are as many."""
        for generator, one in zip(self._found, state if len(state) == len(self._found) else ()):
            write_generator(generator, one)


def read_generator(generator: Any) -> Any:
    """Return the state of a random generator of torch, numpy or python."""
    if isinstance(generator, (np.random.Generator, np.random.BitGenerator)):
        return getattr(generator, "bit_generator", generator).state
    return generator.getstate() if isinstance(generator, random.Random) else generator.get_state()


def write_generator(generator: Any, state: Any) -> None:
    """Put a random generator into a state that `read_generator` returned."""
    if isinstance(generator, (np.random.Generator, np.random.BitGenerator)):
        getattr(generator, "bit_generator", generator).state = state
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    else:
        generator.set_state(state)
