"""Tensors held within a cap of bytes, sampled where they exceed it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .attention import Attended

#: Bytes of activations that are held unless one asks for more: a small server has 1 to 2 GB for all.
CAP = 2**28
#: Positions of an axis that are held as long as another axis can be thinned.
_FEW = 8


@dataclass
class _Held:
    """What is held of a tensor of shape `full`.

    `rows` are the axis of the samples and how many rows belong to each, `channels` is the axis of the
    channels, thinned last; or None. `steps`: every how many-th entry is held, along each axis.
    """

    tensor: torch.Tensor
    full: tuple[int, ...]
    rows: tuple[int, int] | None
    channels: int | None
    steps: list[int]

    @property
    def samples(self) -> int:
        """How many samples are held."""
        return self.tensor.shape[self.rows[0]] // self.rows[1] if self.rows is not None else 1

    @property
    def size(self) -> int:
        """How many bytes are held."""
        count = self.tensor.numel() if self.tensor.layout == torch.strided else self.tensor._nnz()
        return count * self.tensor.element_size()

    def shortened(self, samples: int) -> None:
        """Hold the first `samples` alone."""
        if self.rows is not None and self.samples > samples:
            axis, each = self.rows
            self.tensor = self.tensor.narrow(axis, 0, samples * each).clone()

    def thinned(self) -> bool:
        """Hold every second entry along one more axis, if one is left."""
        shape = self.tensor.shape
        rows = self.rows[0] if self.rows is not None else None
        places = [axis for axis in range(len(shape)) if axis not in (rows, self.channels)]
        long = [axis for axis in places if shape[axis] > _FEW]
        if not long and self.channels is not None and shape[self.channels] > 1:
            long = [self.channels]
        long = long or [axis for axis in places if shape[axis] > 1]
        if not long or self.tensor.layout != torch.strided:
            return False
        axis = max(long, key=shape.__getitem__)
        # A clone, since a view would hold the whole.
        self.tensor = self.tensor[(slice(None),) * axis + (slice(None, None, 2),)].clone()
        self.steps[axis] *= 2
        return True

    def sentence(self, cap: int) -> str:
        """Say what is held; "" where it is everything."""
        words = []
        if self.rows is not None and self.tensor.shape[self.rows[0]] < self.full[self.rows[0]]:
            axis = self.rows[0]
            words.append(f"the first {self.tensor.shape[axis]} of {self.full[axis]} rows (axis {axis})")
        for axis, step in enumerate(self.steps):
            if step > 1:
                what = "channel" if axis == self.channels else "position"
                # Powers of two: 2nd, 4th, 8th, 16th, 32nd, 512th.
                nth = f"{step}{'nd' if step % 10 == 2 and step % 100 != 12 else 'th'}"
                words.append(f"every {nth} {what} of {self.full[axis]} along axis {axis}")
        if not words:
            return ""
        listed = " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
        return f"Holds {listed}, so that all layers together stay within the cap of {megabytes(cap)}."


class CappedTensors:
    """Holds copies of tensors by key, together at most `cap` bytes.

    None is any number. Where they are too many, all hold the first samples alone, as many everywhere; with
    one left, the largest tensors hold every second position, and last every second channel, and so on.
    """

    def __init__(self, cap: int | None, samples: int | None) -> None:
        self._cap, self.samples = cap, samples
        self._held: dict[str, _Held] = {}
        self._total = 0
        #: Samples that are held of each tensor at most.
        self.most = samples

    def add(
        self,
        key: str,
        tensor: torch.Tensor,
        rows: tuple[int, int] | None,
        channels: int | None,
        full: Sequence[int] | None = None,
        steps: Sequence[int] | None = None,
    ) -> None:
        """Hold a copy; `full` and `steps` where it is thinned already."""
        full = tuple(tensor.shape if full is None else full)
        steps = [1] * len(full) if steps is None else list(steps)
        if tensor.layout != torch.strided:  # sparse ones are neither narrowed nor thinned
            rows, channels = None, None
        held = _Held(tensor.detach(), full, rows, channels, steps)
        if rows is not None:
            if self._cap is not None and held.size > self._cap and held.samples > 1:
                self.limit(max(1, held.samples * self._cap // held.size))
            if self.most is not None and held.samples > self.most:
                held.tensor = held.tensor.narrow(rows[0], 0, self.most * rows[1])
        # Where it alone is too much, it is thinned, which copies, before it is copied.
        copied = False
        while self._cap is not None and held.size > self._cap and held.thinned():
            copied = True
        held.tensor = held.tensor if copied else held.tensor.clone()
        self._held[key] = held
        self._total += held.size
        while self._cap is not None and self._total > self._cap:
            most = max(held.samples for held in self._held.values())
            if most > 1:
                # By halves: each halving copies what is held, so that there are few of them.
                self.limit(most // 2)
                continue
            by_size = sorted(self._held.values(), key=lambda held: held.size, reverse=True)
            if not any(held.thinned() for held in by_size):
                break
            self._total = sum(held.size for held in self._held.values())

    def add_attention(self, key: str, attended: Attended) -> None:
        """Hold attention weights, computing no more of them than fit."""
        shape, step = attended.shape, 1
        each = shape[0] // self.samples if self.samples and shape[0] % self.samples == 0 else 0
        count = self.most * each if each and self.most is not None else shape[0]
        size = attended.itemsize * math.prod(shape[1:])
        if self._cap is not None and each and size * count > self._cap:
            count = max(1, min(self.most or 1, self._cap // (size * each))) * each
            self.limit(count // each)
        while self._cap is not None and size * count // step > self._cap and step < shape[-2]:
            step *= 2
        rows = (0, each) if each else None
        self.add(key, attended.weights(count, step), rows, 1, shape, [1, 1, step, 1])

    def limit(self, samples: int) -> None:
        """Hold the first `samples` at most, of all tensors."""
        self.most = samples if self.most is None else min(self.most, samples)
        for held in self._held.values():
            held.shortened(self.most)
        self._total = sum(held.size for held in self._held.values())

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what is held, in the order in which it came."""
        return {key: held.tensor for key, held in self._held.items()}

    def sampled(self) -> dict[str, str]:
        """Return a sentence for each tensor that is not whole."""
        if self._cap is None:
            return {}
        found = {key: held.sentence(self._cap) for key, held in self._held.items()}
        return {key: sentence for key, sentence in found.items() if sentence}


def megabytes(size: int) -> str:
    """Write a number of bytes: "256 MB", "64 KB", "100 bytes"."""
    if size < 2**10:
        return f"{size} bytes"
    return f"{size / 2**20:,.4g} MB" if size >= 2**20 else f"{size / 2**10:,.4g} KB"
