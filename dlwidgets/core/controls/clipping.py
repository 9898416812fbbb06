"""Gradient clipping, and the check for infinite or NaN gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..base.ledger import Entry
from ..base.time_budget import TimeBudget
from ..base.words import did_you_mean, quote_names
from ..layers.structure import expression_of
from ..layers.walk import walk
from .control import Control, Writer

if TYPE_CHECKING:
    from ..base.history import History

CLIP_MODES = ("off", "norm", "value", "adaptive", "each")
#: What stands for a limit that was not given. Adaptive: lambda of Brock et al. 2021, section 4.1.
_LIMITS = {"adaptive": 0.01}
#: A unit whose weights have a smaller norm is clipped as if they had this one (Brock et al. 2021).
_MIN_NORM = 1e-3


@dataclass(frozen=True)
class Clip:
    """Gradient clipping: by what rule, and how tightly.

    "off"; by total "norm" (Pascanu et al. 2013); by the norm of "each" tensor alone; by "value" of each element; or
    "adaptive" (AGC, Brock et al.
    2021, "High-Performance Large-Scale Image Recognition Without Normalization"): the gradient of each unit,
    a row of a matrix or a filter, is scaled down where its norm is more than `limit` times that of the unit's
    weights. Biases and gains count as one unit each. As in the paper the last linear layer is left out.
    """

    mode: str = "off"
    limit: float = 1.0

    @classmethod
    def read(cls, wanted: Any) -> Clip:
        """Read None or "off", a norm, a mode, or (mode, limit)."""
        if isinstance(wanted, Clip):
            mode, limit = wanted.mode, wanted.limit
        elif wanted is None or wanted is False:
            mode, limit = "off", 1.0
        elif isinstance(wanted, Real) and not isinstance(wanted, bool):
            mode, limit = "norm", wanted
        elif isinstance(wanted, str):
            mode, limit = wanted, _LIMITS.get(wanted, 1.0)
        elif isinstance(wanted, (tuple, list)) and len(wanted) == 2:
            mode, limit = wanted
        else:
            raise ValueError(f'clip={wanted!r}: pass None, a norm such as 1.0, or ("value", 0.5).')
        if mode not in CLIP_MODES:
            hint = did_you_mean(str(mode), CLIP_MODES, " A norm is a number: clip=1.0.")
            raise ValueError(f"clip has the mode {mode!r}, which is none of {', '.join(CLIP_MODES)}.{hint}")
        positive = isinstance(limit, Real) and not isinstance(limit, bool) and 0 < limit < math.inf
        if mode != "off" and not positive:
            raise ValueError(
                f"clip has the limit {limit!r}: a positive number is wanted; None switches clipping off."
            )
        return cls(mode, float(limit) if positive else 1.0)

    def apply(
        self, parameters: Iterable[nn.Parameter], total: torch.Tensor, spared: Iterable[nn.Parameter] = ()
    ) -> tuple[float, bool]:
        """Clip gradients in place; return their new norm, and whether any changed.

        Parameters
        ----------
        total : the gradients' total norm before, as `total_norm` gives it.
        spared : parameters that adaptive clipping leaves alone: see `last_linear`.
        """
        parameters, norm = [p for p in parameters if p.grad is not None], float(total)
        if self.mode == "off" or not parameters:
            return norm, False
        if self.mode == "norm":
            # What clip_grad_norm_ does once it has the norm.
            for some in by_mesh(parameters):
                nn.utils.clip_grads_with_norm_(some, self.limit, total)
            factor = min(1.0, self.limit / (norm + 1e-6))
            return norm * factor, factor < 1
        if self.mode == "each":
            norms = [float(nn.utils.clip_grad_norm_(one, self.limit)) for one in parameters]
            clipped = self.limit < max(norms) + 1e-6
        elif self.mode == "value":
            if clipped := max(map(_largest_element, parameters)) > self.limit:
                for some in by_mesh(parameters):
                    nn.utils.clip_grad_value_(some, self.limit)
        else:
            left = {id(one) for one in spared}
            clipped = clip_adaptively([p for p in parameters if id(p) not in left], self.limit)
        return (float(total_norm(parameters)) if clipped else norm), clipped

    @property
    def pair(self) -> tuple[str, float] | None:
        """(mode, limit), or None where it is off."""
        return None if self.mode == "off" else (self.mode, self.limit)


def _dense_gradient(parameter: nn.Parameter) -> torch.Tensor:
    gradient = parameter.grad if parameter.grad is not None else torch.zeros(())
    return gradient.coalesce().values() if gradient.is_sparse else gradient


def _largest_element(parameter: nn.Parameter) -> float:
    gradient = _dense_gradient(parameter)
    if not gradient.numel():
        return 0.0
    if hasattr(gradient, "full_tensor"):
        return float(_whole(gradient.abs().max()))
    # The norm of order infinity takes five times as long.
    least, greatest = torch.view_as_real(gradient).aminmax() if gradient.is_complex() else gradient.aminmax()
    return max(-float(least), float(greatest))


def total_norm(parameters: Iterable[nn.Parameter]) -> torch.Tensor:
    """Return the total L2 norm of the gradients; 0 without any."""
    # One fused call for all; get_total_norm exists from torch 2.6 on, the oldest supported.
    parts = by_mesh([p for p in parameters if p.grad is not None])
    norms = [_whole(nn.utils.get_total_norm(list(map(_dense_gradient, part)))) for part in parts or [[]]]
    return norms[0] if len(norms) == 1 else nn.utils.get_total_norm(norms)


def by_mesh(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Part parameters by what they are sharded over."""
    parts: dict[Any, list[nn.Parameter]] = {}
    for parameter in parameters:
        parts.setdefault(getattr(parameter, "device_mesh", None), []).append(parameter)
    return list(parts.values())


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def last_linear(model: nn.Module) -> tuple[str | None, list[nn.Parameter]]:
    """Return the path and parameters of the last linear layer.

    It is the last layer that owns parameters, where that is an `nn.Linear`; else (None, []).
    """
    owners = (layer for layer in reversed(walk(model)) if [*layer.module.parameters(recurse=False)])
    last = next(owners, None)
    if last is None or not isinstance(last.module, nn.Linear):
        return None, []
    return last.path, [*last.module.parameters()]


@torch.no_grad()
def clip_adaptively(parameters: Sequence[nn.Parameter], limit: float) -> bool:
    """Clip adaptively, in place; return whether any gradient changed."""
    over = []
    for parameter in parameters:
        gradient, weights = parameter.grad, parameter
        if gradient is None or not gradient.numel():
            continue
        if gradient.is_sparse:  # the rows of an embedding that the batch met
            parameter.grad = gradient = gradient.coalesce()
            weights, gradient = parameter[gradient.indices()[0]], gradient.values()
        most = _unit_norms(weights).clamp(min=_MIN_NORM) * limit
        norms = _unit_norms(gradient)
        beyond = norms > most
        gradient.mul_(torch.where(beyond, most / norms.clamp(min=1e-6), 1.0))
        over.append(_whole(beyond.any()))
    return bool(over) and bool(torch.stack([one.to(over[0].device) for one in over]).any())


def _unit_norms(tensor: torch.Tensor) -> torch.Tensor:
    """Return the norm of each row, shaped to multiply the tensor."""
    if tensor.ndim <= 1:
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)


class FiniteCheck:
    """Checks in every step that all gradients are finite.

    It asks the kernel with which `torch.amp.GradScaler` looks for overflow, which reads all gradients in one
    call: 14 µs for an MLP of 82,000 parameters on one CPU thread (2 % of its step), 60 µs for a small CNN
    (0.6 %), whose step leaves the caches cold. What it does not take, as sparse or complex gradients, is
    asked for tensor by tensor.
    """

    def __init__(self) -> None:
        self._of: Sequence[nn.Parameter] = ()
        #: What the kernel writes into and multiplies by; None where it is no help.
        self._kernel: tuple[torch.Tensor, torch.Tensor] | None = None

    def __call__(self, parameters: Sequence[nn.Parameter]) -> bool:
        """Say whether all gradients are finite; they stay as they are.

        `parameters` is the same object from step to step, as long as they are the same.
        """
        if parameters is not self._of:
            self._of, self._kernel = parameters, None
            kinds = [*{(parameter.device, parameter.dtype) for parameter in parameters}]
            # Of one kind alone, and where the fused check is sure to be.
            if len(kinds) == 1 and kinds[0][0].type in ("cpu", "cuda") and kinds[0][1].is_floating_point:
                device = kinds[0][0]
                self._kernel = torch.zeros((), device=device), torch.ones((), device=device)
        gradients = [gradient for p in parameters if (gradient := p.grad) is not None]
        if self._kernel is None or not gradients:
            return all(map(_all_finite, parameters))
        found, one = self._kernel
        try:
            # Multiplied by 1: the values stay, bit for bit. Gradients have no gradient of their own here, and
            # to say so (no_grad) would take as long as the kernel.
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, one)
        except (NotImplementedError, RuntimeError):
            # A gradient of another kind than its parameter: sparse, or one value seen as many.
            found.zero_()
            return all(map(_all_finite, parameters))
        if not found.item():
            return True
        found.zero_()
        return False


def _all_finite(parameter: nn.Parameter) -> bool:
    return bool(_dense_gradient(parameter).isfinite().all())


def not_finite(model: nn.Module) -> list[str]:
    """Return the names of parameters with gradients that are not finite."""
    return [name for name, parameter in model.named_parameters() if not _all_finite(parameter)]


class GradientClipper:
    """Checks, measures and clips the gradients of each step.

    The norm is measured where it is needed for clipping, else in as many steps as 0.2 % of the time allows.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._finite = model, FiniteCheck()
        self._norms = TimeBudget(0.002, least=0.0)
        self._last_linear: list[nn.Parameter] | None = None

    def renew(self) -> None:
        """Take notice that the model's layers may have changed."""
        self._last_linear = None

    def clip(self, clip: Clip, parameters: Sequence[nn.Parameter]) -> dict[str, float] | None:
        """Clip; return the history's values, None for gradients not finite.

        These, and those whose norm float32 cannot hold where it decides, are left as they are.
        """
        if clip.mode == "off":
            if not self._norms.due():
                return {"grad_norm": math.nan} if self._finite(parameters) else None
            began = time.perf_counter()
            norm = float(total_norm(parameters))
            self._norms.spent(time.perf_counter() - began)
            # The norm of finite gradients may be beyond what their dtype holds, which is no fault of theirs.
            return {"grad_norm": norm} if math.isfinite(norm) or self._finite(parameters) else None
        total = total_norm(parameters)
        norm = float(total)
        if not math.isfinite(norm) and (clip.mode == "norm" or not self._finite(parameters)):
            return None
        if clip.mode == "adaptive" and self._last_linear is None:
            self._last_linear = last_linear(self._model)[1]
        after, clipped = clip.apply(parameters, total, self._last_linear or ())
        return {"grad_norm": norm, "clipped_norm": after, "clipped": float(clipped)}

    def blame(self) -> str:
        """Return which gradients are not finite, in a sentence."""
        names = not_finite(self._model)
        if not names:
            return "The norm of the gradients is larger than their dtype can hold."
        count = sum(p.grad is not None for p in self._model.parameters())
        all_of = f"all {count} parameters" if len(names) == count > 1 else quote_names(names, 3)
        return f"Not finite: the gradient of {all_of}."


def clipping(history: History, last: int = 200) -> dict[str, Any]:
    """Return how many of the `last` steps were clipped.

    Returns
    -------
    dict
        steps : how many of them were taken with clipping on.
        clipped : in how many of these it changed a gradient.
        share : the ratio of the two; None where clipping was off in all of them.
    """
    if (column := history.columns.get("clipped")) is None:
        return {"steps": 0, "clipped": 0, "share": None}
    recent = column.values[-last:]
    known = recent[recent == recent]  # NaN where clipping was off
    count = int(known.sum())
    return {"steps": len(known), "clipped": count, "share": count / len(known) if len(known) else None}


#: Mode -> the call in a script, the name of its limit, and what that is.
_CALLS = {
    "norm": "nn.utils.clip_grad_norm_(model.parameters(), {})",
    "value": "nn.utils.clip_grad_value_(model.parameters(), {})",
    "adaptive": "clip_adaptively({}, {})",
    "each": "[nn.utils.clip_grad_norm_(parameter, {}) for parameter in model.parameters()]",
}
_NAMES = {"norm": "max_norm", "value": "max_value", "adaptive": "max_ratio", "each": "max_norm_of_each"}
_WORDS = {
    "norm": "norm", "value": "value", "adaptive": "share of their weights' norm", "each": "norm, each by itself",
}  # fmt: skip

_ADAPTIVE = '''
def unit_norms(tensor):
    """Return the norm of each row or filter, shaped to multiply the tensor."""
    if tensor.ndim <= 1:
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)


@torch.no_grad()
def clip_adaptively(parameters, max_ratio):
    """Scale down gradients that are large beside their weights (AGC, Brock et al. 2021)."""
    for parameter in parameters:
        gradient, weights = parameter.grad, parameter
        if gradient is None or not gradient.numel():
            continue
        if gradient.is_sparse:  # the rows of an embedding that the batch met
            parameter.grad = gradient = gradient.coalesce()
            weights, gradient = parameter[gradient.indices()[0]], gradient.values()
        most = unit_norms(weights).clamp_(min=1e-3).mul_(max_ratio)
        norms = unit_norms(gradient)
        gradient.mul_(torch.where(norms > most, most / norms.clamp(min=1e-6), 1.0))
'''


class ClippingWriter(Writer):
    """Writes the clipping: used modes only, a variable if the limit changed."""

    at_head = True

    def __init__(self, name: str, script: Any) -> None:
        super().__init__(name, script)
        self._first = self._now = self.first
        later = [entry.applied for entry in script.changed("clip") if entry.step > 0]
        self._used = list(dict.fromkeys(clip[0] for clip in (self._first, *later) if clip is not None))
        self._varies = bool(later)
        self._always = len(self._used) == 1 and None not in (self._first, *later)

    def begin(self) -> None:
        if "adaptive" in self._used:
            self.script.definitions.append(_ADAPTIVE.strip("\n"))
        if self._varies:
            for mode in self._used:
                limit = self._first[1] if self._first is not None and self._first[0] == mode else None
                said = f"{_WORDS[mode]}, once it is set" if limit is None else _WORDS[mode]
                line = f"{_NAMES[mode]} = {limit!r}  # gradients are clipped to this {said}"
                self.script.settings.append(line)

    def finish(self) -> None:
        for mode in self._used:
            if mode != "adaptive":
                self.script.sources.imports.add("from torch import nn")
            name = _NAMES[mode]
            call = self._call(mode, name if self._varies else repr(self._first[1]))  # type: ignore[index]
            always = self._always or not self._varies
            self.script.before += [call] if always else [f"if {name} is not None:", f"    {call}"]

    def change(self, entry: Entry) -> list[str]:
        before, now, lines = self._now, entry.applied, []
        self._now = now
        if before is not None and (now is None or before[0] != now[0]):
            lines.append(f"{_NAMES[before[0]]} = None")
        if now is not None:
            lines.append(f"{_NAMES[now[0]]} = {now[1]!r}")
        return lines

    def _call(self, mode: str, limit: str) -> str:
        if mode != "adaptive":
            return _CALLS[mode].format(limit)
        path, _ = last_linear(self.script.model)
        if not path:
            return _CALLS[mode].format("model.parameters()" if path is None else "[]", limit)
        head = expression_of(self.script.model, path)
        self.script.setup.append(
            f"# The last linear layer is left alone by adaptive clipping, as in the paper.\n"
            f"head = {{*{head}.parameters()}}\n"
            "clipped = [parameter for parameter in model.parameters() if parameter not in head]"
        )
        return _CALLS[mode].format("clipped", limit)


class Clipping(Control):
    """Gradient clipping: by what rule, and how tightly."""

    name = "clip"
    aliases = ("grad_clip", "gradient_clip", "clip_norm", "max_norm", "clipnorm")
    of_the_step = True
    bounds = "positive"
    writer = ClippingWriter

    def read(self, value: Any) -> tuple[str, float] | None:
        return Clip.read(value).pair

    def now(self) -> tuple[str, float] | None:
        return self.loop.clip.pair

    def put(self, value: Any) -> str | None:
        self.loop.clip = clip = Clip.read(value)
        path = last_linear(self.loop.model)[0] if clip.mode == "adaptive" else None
        if path == "":
            return "the model is a single linear layer, which adaptive clipping leaves alone"
        return f"the last linear layer ({path}) is left alone, as in the paper" if path else None

    def state(self) -> Any:
        return self.loop.clip.mode, self.loop.clip.limit

    def install(self, state: Any) -> None:
        self.loop.clip = Clip(*state)
