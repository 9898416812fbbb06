"""Proofs that what is frozen stays as it was."""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parameter import is_lazy

from ..base.time_budget import TimeBudget
from ..controls.patterns import statistics_of
from ..layers.walk import uncompiled

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from ..controls.trainable import Freezing

#: The share of the time that proofs may take: one follows each epoch that takes fifty times as long, and others now
#: and then. 130 tensors take 10 ms, 100 MB 0.1 s.
SHARE = 0.02
#: Bytes of a digest: two states with the same one by chance are out of reach (2 ** 64 tries, RFC 7693).
_SIZE = 16
#: Of statistics that nobody holds, buffers of so many numbers are measured at most [numbers].
_SMALL = 100_000
#: Of what is frozen so much is copied, to say how far it moved; of more, snapshots say it [bytes].
_COPIED = 32 * 2**20


@dataclass(frozen=True)
class Proof:
    """What a comparison of the frozen tensors, then and now, has found.

    Frozen are the parameters that do not train, and the running statistics that are held with them.

    Attributes
    ----------
    step, epoch : steps taken, and the epoch of the last one, from 1.
    tensors, parameters : how many tensors are frozen, held statistics among them; the numbers in the parameters.
    digest : BLAKE2b over the bytes, types and shapes of all of them now, as 32 hexadecimal digits.
    before : the same of when each was frozen: equal where nothing has changed.
    changed : the names of those that are not what they were when they were frozen, in the order of the model.
    moved : name -> the largest change of a number in it; NaN where the numbers of then are not kept.
    since : name -> the last step after which it still was as then.
    moving : those of `changed` that have changed since the proof before, too.
    by_hand : those of `changed` that are frozen by `requires_grad` alone, not by the session.
    drifting : name -> how far running statistics have moved that belong to layers frozen by hand: nobody holds them.
    seconds : what it took.
    """

    step: int
    epoch: int
    tensors: int
    parameters: int
    digest: str
    changed: tuple[str, ...] = ()
    before: str = ""
    moved: Mapping[str, float] = field(default_factory=dict)
    since: Mapping[str, int] = field(default_factory=dict)
    moving: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    drifting: Mapping[str, float] = field(default_factory=dict)
    seconds: float = field(default=0.0, compare=False)

    @property
    def holds(self) -> bool:
        """Whether nothing that is frozen has changed."""
        return not self.changed

    def sentence(self) -> str:
        """Return it in words: "62 frozen tensors are unchanged"."""
        said = f"{self.tensors:,} frozen tensor{'s' * (self.tensors != 1)}"
        if self.holds:
            return f"{said} ({self.parameters:,} parameters) as when frozen"
        return f"{len(self.changed):,} of {said} changed: {'; '.join(map(self.describe, self.changed[:3]))}"

    def describe(self, name: str, others: str = "") -> str:
        """Return how far a tensor moved: "bn.running_mean by 0.013 since step 120"."""
        moved, since = self.moved.get(name, math.nan), self.since.get(name, 0)
        return f"{name}{others}{'' if math.isnan(moved) else f' by {moved:.3g}'} since step {since:,}"


def digest_tensor(tensor: torch.Tensor) -> str:
    """Return the BLAKE2b digest of a tensor's type, shape and bytes."""
    flat = tensor.detach().cpu().contiguous()
    made = hashlib.blake2b(f"{flat.dtype} {tuple(flat.shape)}".encode(), digest_size=_SIZE)
    if flat.numel():
        made.update(memoryview(flat.reshape(-1).view(torch.uint8).numpy()))
    return made.hexdigest()


def digest_all(digests: Mapping[str, str]) -> str:
    """Return one digest of many, by name."""
    text = "\n".join(f"{name} {one}" for name, one in digests.items())
    return hashlib.blake2b(text.encode(), digest_size=_SIZE).hexdigest()


class Proofs:
    """Keeps the digests of what is frozen, and compares it with them.

    `follow` is called before a step where something may have been frozen or unfrozen: it takes the digest of what is
    frozen anew. Nothing else is done in a step.

    Attributes
    ----------
    by_turns : says of a tensor whether a training step may train it by turns, as each of two networks: that its flag
        is off at the end of a step does not mean then that it is frozen.
    budget : says after an epoch whether there is time for a proof.
    stale : whether `follow` is to be called before the next step.
    """

    def __init__(self, model: nn.Module, freezing: Freezing) -> None:
        self._model, self._freezing = model, freezing
        self.by_turns: Callable[[torch.Tensor], bool] = lambda tensor: False
        self._turns: set[str] = set()
        self.budget, self.stale = TimeBudget(SHARE, least=0.0), True
        #: name -> digest of when it was frozen, and the last step after which it was still so.
        self._then: dict[str, str] = {}
        self._good: dict[str, int] = {}
        #: The digests of the last proof, and its step; those of the last one at an earlier step.
        self._last: dict[str, str] = {}
        self._at, self._earlier = -1, dict[str, str]()
        #: What was frozen, as it was then, as far as there is room.
        self._copies: dict[str, torch.Tensor] = {}
        #: Statistics that nobody holds, as they were first seen.
        self._loose: dict[str, torch.Tensor] = {}

    def frozen(self) -> dict[str, torch.Tensor]:
        """Return what is frozen, by name: parameters, then held statistics."""
        model = uncompiled(self._model)
        held = {id(module) for module in self._freezing.held_layers}
        off = {name: one for name, one in model.named_parameters() if not one.requires_grad and name not in self._turns}
        found = {name: one for name, one in off.items() if not is_lazy(one) and _is_readable(one) and _can_train(one)}
        for path, module in model.named_modules() if held else ():
            if id(module) in held:
                found |= dict(_buffers(path, module))
        return found

    def loose(self) -> dict[str, torch.Tensor]:
        """Return the running statistics of layers frozen by hand, which move on."""
        held, found = {id(module) for module in self._freezing.held_layers}, dict[str, torch.Tensor]()
        for path, module in uncompiled(self._model).named_modules():
            own = [one for one in module.parameters(recurse=False)]
            if own and not any(one.requires_grad for one in own) and id(module) not in held and statistics_of(module):
                small = ((name, one) for name, one in _buffers(path, module) if one.numel() <= _SMALL)
                found |= {name: one for name, one in small if one.is_floating_point()}
        return found

    def follow(self, step: int) -> None:
        """Take the digest of what was frozen since; forget what trains again."""
        self.stale = False
        frozen, loose = self.frozen(), self.loose()
        room = _COPIED - sum(one.nbytes for one in self._copies.values())
        for name in frozen.keys() - self._then.keys():
            room -= frozen[name].nbytes
            if room >= 0:
                self._copies[name] = frozen[name].detach().to("cpu", copy=True)
        self._copies = {name: one for name, one in self._copies.items() if name in frozen}
        self._then = {name: self._then.get(name) or digest_tensor(one) for name, one in frozen.items()}
        self._good = {name: self._good.get(name, step) for name in frozen}
        self._loose = {name: self._loose[name] if name in self._loose else one.clone() for name, one in loose.items()}

    def forget(self, names: Iterable[str] | None = None) -> None:
        """Let these (None: all), changed on purpose, count from now on."""
        for name in [*self._then] if names is None else names:
            for kept in (self._then, self._good, self._last, self._copies):
                kept.pop(name, None)
        self.stale = True

    def changed_at_rest(self) -> list[str]:
        """Return what was changed since the last proof; accept it."""
        now = {name: digest_tensor(one) for name, one in self.frozen().items() if name in self._last}
        names = [name for name, digest in now.items() if digest != self._last[name]]
        self.forget(names)
        return names

    def make(self, step: int, epoch: int, states: Iterable[Mapping[str, Any]] = ()) -> Proof | None:
        """Compare what is frozen with then; None where nothing is frozen.

        Parameters
        ----------
        states : states of the run that are kept, the newest first: they have the numbers of then.
        """
        began = time.perf_counter()
        self.follow(step)
        frozen = self.frozen()
        if not frozen:
            return None
        now, wished = {name: digest_tensor(one) for name, one in frozen.items()}, self._freezing.names_frozen()
        changed = tuple(name for name in now if now[name] != self._then[name])
        if turns := {name for name in changed if name not in wished and self.by_turns(frozen[name])}:
            self._turns |= turns
            return self.make(step, epoch, states)
        for name in now:
            if name not in changed:
                self._good[name] = step
        moved = dict.fromkeys(changed, math.nan)
        if changed:
            kept = itertools.chain([self._copies], (state["weights"]["tensors"] for state in states))
            moved |= _measure(frozen, {name: self._then[name] for name in changed}, kept)
        loose = self.loose()
        drifting = {name: _distance(one, self._loose[name]) for name, one in loose.items() if name in self._loose}
        if step != self._at:
            self._at, self._earlier = step, self._last
        self._last = now
        owned = dict(uncompiled(self._model).named_parameters())
        parameters = {name: one for name, one in frozen.items() if name in owned}
        return Proof(
            step, epoch, len(frozen), sum(map(torch.numel, parameters.values())),
            digest_all(now), changed, digest_all(self._then), moved, {name: self._good[name] for name in changed},
            tuple(name for name in changed if now[name] != self._earlier.get(name, self._then[name])),
            tuple(name for name in changed if name in parameters and name not in wished),
            {name: far for name, far in drifting.items() if far}, time.perf_counter() - began,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Return the digests of then: see `base.state.Stateful`."""
        digests = {"then": self._then, "good": self._good, "last": self._last}
        return {**{name: dict(one) for name, one in digests.items()}, "loose": dict(self._loose)}

    def install(self, state: dict[str, Any]) -> None:
        """Have that as what was frozen, and when."""
        self._then, self._good, self._last = (dict(state[name]) for name in ("then", "good", "last"))
        self._at, self._earlier = -1, {}
        self._loose = {name: one.clone() for name, one in state["loose"].items()}
        self.stale = True


def _is_readable(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_meta


def _can_train(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _buffers(path: str, module: nn.Module) -> Iterable[tuple[str, torch.Tensor]]:
    """Yield the buffers of one module by their full names."""
    for name, buffer in module.named_buffers(path, recurse=False):
        if _is_readable(buffer):
            yield name, buffer


def _distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference; NaN where the shapes differ."""
    if one.shape != other.shape or not one.numel():
        return math.nan
    kind = torch.complex128 if one.is_complex() else torch.float64
    return float((one.detach().to("cpu", kind) - other.detach().to("cpu", kind)).abs().max())


def _measure(
    frozen: Mapping[str, torch.Tensor], then: Mapping[str, str], kept: Iterable[Mapping[str, torch.Tensor]]
) -> dict[str, float]:
    """Return how far tensors moved, by copies of then."""
    found: dict[str, float] = {}
    for tensors in kept:
        for name in then.keys() - found.keys():
            if name in tensors and digest_tensor(tensors[name]) == then[name]:
                found[name] = _distance(frozen[name], tensors[name])
        if len(found) == len(then):
            break
    return found


def proofs_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return proofs as a data frame: see `Session.proofs`."""
    import pandas as pd

    made = [Proof(**row) for row in rows]
    table = [
        (one.epoch, one.tensors, one.parameters, one.holds, "; ".join(map(one.describe, one.changed)), one.before,
         one.digest, one.seconds)
        for one in made
    ]  # fmt: skip
    columns = ["epoch", "tensors", "parameters", "holds", "changed", "before", "digest", "seconds"]
    return pd.DataFrame(table, columns=columns, index=pd.Index([one.step for one in made], dtype=int, name="step"))
