"""Producer: what first made a number that is not finite."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..base.isolation import preserve_model, preserve_modes, preserve_random_state, watch_model
from ..base.trees import tree_tensors
from ..base.words import pluralize
from ..data.task import unpack_batch
from ..layers.walk import walk

if TYPE_CHECKING:
    from ..training.loop import Loop

#: Operations that put minus infinity where attention is not to look; what comes of it is another's doing.
_MASKS = ("masked_fill", "where", "full", "full_like", "new_full", "fill", "triu", "tril", "setitem")
#: What operations are sensitive to, by name; and their gradients.
_HINTS = {
    "log": "The logarithm of 0 is infinite and that of a negative number NaN: add a small number first, as (x + 1e-8).",
    "sqrt": "The square root of a negative number is NaN: keep what it is given at 0 or above, as by x.clamp(min=0).",
    "div": "Division by 0: add a small number to what is divided by, as 1e-8.",
    "exp": "In float32 exp() of more than 88 is infinite: subtract the greatest value first, as softmax does.",
    "softmax": "Softmax of a row that is minus infinity throughout is NaN: leave each row one place to look at.",
    "pow": "A power of 0 or of a negative number, or too high a one: keep what it is given above 0.",
}
_BACKWARD_HINTS = {
    "sqrt": "The slope of the square root at 0 is infinite: add a small number first, as (x + 1e-8).sqrt().",
    "pow": "The slope of this power at 0 is infinite: add a small number first.",
    "norm": "The length of a vector of zeros has no slope: add a small number under the root.",
    "div": "Division by nearly 0: add a small number to what is divided by, as 1e-8.",
    "log": "The slope of the logarithm is 1 / x: near 0 it has no bounds. Add a small number first, as (x + 1e-8).",
}
_ALIKE = {"truediv": "div", "rsqrt": "sqrt", "log_softmax": "softmax", "log2": "log", "log10": "log", "log1p": "log"}

#: Numbers of this size have grown over steps; what they do to an operation says nothing of it.
_HUGE = 1e10
_GROWN = (
    "Numbers had grown so far before that the result has no room in float32 (3.4e38): not the layer is to blame, but "
    "the steps before it, which were too long."
)


@dataclass(frozen=True)
class Producer:
    """What first made a number that is not finite.

    Attributes
    ----------
    kind : "batch", "parameter", "module", "between" (an operation between two layers) or "loss".
    path : of the layer, or of the one in whose forward the operation stands; None where it is of none.
    sentence : which it is, with shapes and ranges.
    evidence : the numbers by name.
    hint : what the operation is sensitive to; "" where nothing is known of it.
    """

    kind: str
    path: str | None
    sentence: str
    evidence: Mapping[str, float] = field(default_factory=dict)
    hint: str = ""


def find_producer(loop: Loop, batches: Sequence[Any]) -> Producer | None:
    """Return what made a step's numbers not finite, or None.

    The step is run anew, isolated: weights, gradients, buffers, modes and random numbers are afterwards as before.

    Parameters
    ----------
    batches : those of the step that was not taken, on the device.
    """
    if (found := _in_batches(loop, batches) or _in_parameters(loop.model)) is not None:
        return found
    for batch in batches:
        with _isolated(loop):
            if (found := _Guard(loop.model).run(loop, batch)) is not None:
                return found
    return None


@contextlib.contextmanager
def _isolated(loop: Loop) -> Iterator[None]:
    model, objective = loop.model, loop.objective
    roots = objective.companions.roots.values()
    modes = [(module, module.training) for root in roots for module in root.modules()]
    with contextlib.ExitStack() as stack:
        stack.enter_context(preserve_random_state())
        stack.enter_context(preserve_modes(model))
        stack.enter_context(objective.preserve_companions())
        for module, training in modes:
            module.training = training
        stack.enter_context(preserve_model(model, copied=True))
        stack.enter_context(watch_model(model))
        stack.enter_context(torch.enable_grad())
        if getattr(model, "_orig_mod", model) is not model:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def _in_batches(loop: Loop, batches: Sequence[Any]) -> Producer | None:
    """Name the samples that hold what is not finite."""
    for batch in batches:
        parts = {"batch": batch}
        if loop.objective.custom is None:
            parts = dict(zip(("inputs", "targets"), unpack_batch(batch, loop.objective.target)))
        for name, part in parts.items():
            for tensor in tree_tensors(part):
                if not _bad(tensor):
                    continue
                rows = (~tensor.isfinite()).reshape(len(tensor), -1).any(1).nonzero().flatten().tolist()
                numbers = loop.batches.numbers() if len(batches) == 1 else None
                which = rows if numbers is None or len(numbers) != len(tensor) else [numbers[row] for row in rows]
                listed = ", ".join(f"{one:,}" for one in which[:5]) + (" ..." if len(which) > 5 else "")
                where = "of the batch" if which is rows else "of train"
                share = float((~tensor.isfinite()).float().mean())
                return Producer(
                    "batch", None,
                    f"The {name} hold NaN or infinite values in {pluralize(len(rows), 'sample')} {where} (from 0): "
                    f"{listed}.",
                    {"samples": len(rows), "first": which[0], "share": share},
                )  # fmt: skip
    return None


def _in_parameters(model: nn.Module) -> Producer | None:
    for layer in walk(model):
        for name, parameter in layer.module._parameters.items():
            if parameter is not None and _bad(parameter):
                share = float((~parameter.detach().isfinite()).float().mean())
                whose = f"{layer.path}.{name}" if layer.path else name
                said = f"{_percent(share)} of {whose} ({_shape(parameter)}) was NaN or infinite before this step."
                return Producer("parameter", layer.path, said, {"share": share})
    return None


@dataclass
class _Frame:
    """A layer whose forward runs, and whether it has called others."""

    path: str
    module: nn.Module
    calls: bool = False


@dataclass
class _Place:
    """Where an operation stands, and the layers before and after it."""

    frame: _Frame | None
    after: str | None
    before: str | None = None

    @property
    def path(self) -> str | None:
        return None if self.frame is None else self.frame.path

    @property
    def leaf(self) -> bool:
        return self.frame is not None and not self.frame.calls and self.frame.path != ""

    def words(self) -> str:
        if self.path is None:
            return "in the loss"
        if self.leaf:
            return f"in {self.path}"
        ends = [f"between {self.after} and {self.before}", f"after {self.after}", f"before {self.before}"]
        words = ends[0] if self.after and self.before else ends[1] if self.after else ends[2] if self.before else ""
        inside = f"in the forward of {self.path or 'the model'}"
        return f"{words} ({inside})" if words else inside

    @property
    def kind(self) -> str:
        return "loss" if self.path is None else "module" if self.leaf else "between"


@dataclass
class _Call:
    """An operation whose output is not finite."""

    name: str
    place: _Place
    inputs: list[torch.Tensor]  #: Those that are not finite, as they were.
    inputs_nan: bool
    outputs: list[torch.Tensor]
    said: str
    evidence: dict[str, float]


class _Guard(TorchFunctionMode):
    """Runs a step and follows what is not finite back."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        layers = [layer for layer in walk(model) if not layer.again]
        self._layers, self._thread = layers, threading.get_ident()
        self._stack: list[_Frame] = []
        self._ended: str | None = None
        #: Places that wait for the layer that begins after them.
        self._open: list[_Place] = []
        self._calls: list[_Call] = []
        #: Autograd's nodes -> what made them.
        self._nodes: dict[Any, tuple[_Place, str]] = {}

    def run(self, loop: Loop, batch: Any) -> Producer | None:
        """Return what made a batch's loss or gradients not finite."""
        handles: list[Any] = []
        try:
            for layer in self._layers:
                hook = layer.module.register_forward_pre_hook(
                    lambda module, inputs, path=layer.path: self._enter(path, module)
                )
                handles += [hook, layer.module.register_forward_hook(self._leave)]
            with self, loop.precision.forward():
                loss, _ = loop.objective.loss(batch)
            if _bad(loss):
                return self._origin(loss)
            return self._backward(loop, loss) if loss.requires_grad else None
        finally:
            for handle in handles:
                handle.remove()
            self._calls, self._nodes = [], {}

    # -- the forward

    def _enter(self, path: str, module: nn.Module) -> None:
        if threading.get_ident() == self._thread:
            for place in self._open:
                place.before = path
            self._open = []
            if self._stack:
                self._stack[-1].calls = True
            self._stack.append(_Frame(path, module))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if threading.get_ident() != self._thread or not self._stack:
            return
        with torch._C.DisableTorchFunction():
            found = [one for one in tree_tensors(output) if _bad(one)]
            known = {id(one) for call in self._calls for one in call.outputs}
            if new := [one for one in found if id(one) not in known]:
                # By a function of a person's own, which is not heard.
                given = list(tree_tensors(inputs))
                self._note(type(module).__name__, given, [one for one in given if _bad(one)], new)
            self._claim(output, type(module).__name__)
        self._ended = self._stack.pop().path or self._ended

    def _place(self) -> _Place:
        place = _Place(self._stack[-1] if self._stack else None, self._ended)
        self._open.append(place)
        return place

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if threading.get_ident() != self._thread:
            return func(*args, **kwargs)
        given = [*tree_tensors((args, kwargs))]
        before = [one for one in given if _bad(one)]
        name = getattr(func, "__name__", "an operation")
        # What works in place leaves nothing of what it was given.
        said = [_range(one) for one in given] if name.endswith("_") else None
        output = func(*args, **kwargs)
        changed = args[0] if name == "__setitem__" else output
        if found := [one for one in tree_tensors(changed) if _bad(one)]:
            self._note(name.strip("_"), given, before, found, said)
        self._claim(output, name.strip("_"))
        return output

    def _note(self, name: str, given: list[Any], before: list[Any], found: list[Any], said: Any = None) -> None:
        words, evidence = _statistics(given, said, found[0])
        weights = self._stack[-1].module._parameters.values() if self._stack else ()
        largest = [float(one.detach().abs().amax()) for one in weights if one is not None and one.numel()]
        if largest:
            evidence["weights_largest"] = max(largest)
            words += f" Its weights are up to {max(largest):.3g} in size."
        nan = any(bool(one.detach().isnan().any()) for one in before)
        self._calls.append(_Call(name, self._place(), before, nan, found, words, evidence))

    def _origin(self, loss: torch.Tensor) -> Producer | None:
        """Follow what is not finite back from the loss."""
        at, call, follow = len(self._calls), None, [loss]
        while True:
            made = self._maker(follow, at)
            if made is None:
                break
            at = made
            before, call = call, self._calls[made]
            if call.name in _MASKS and before is not None and not call.inputs:
                call = before  # a mask is meant; who made NaN of it is sought
                break
            follow = sorted(call.inputs, key=lambda one: not bool(one.detach().isnan().any()))
            if not follow:
                break
        return None if call is None else _told(call.place, call.name, call.said, call.evidence)

    def _maker(self, tensors: Sequence[torch.Tensor], before: int) -> int | None:
        """Return which earlier call put one of these tensors out."""
        for tensor in tensors:
            for at in range(before - 1, -1, -1):
                if any(one is tensor for one in self._calls[at].outputs):
                    return at
        return None

    # -- the backward

    def _claim(self, output: Any, name: str) -> None:
        """Note where the nodes of an operation stand."""
        waiting, place = [one.grad_fn for one in tree_tensors(output) if one.grad_fn is not None], None
        while waiting:
            node = waiting.pop()
            if node is None or node in self._nodes:
                continue
            place = place or self._place()
            self._nodes[node] = place, name
            waiting += [one for one, _ in node.next_functions]

    def _backward(self, loop: Loop, loss: torch.Tensor) -> Producer | None:
        found: list[tuple[Any, Any, Any]] = []

        def look(node: Any, made: Any, given: Any) -> None:
            if not found and any(map(_bad, made)) and not any(map(_bad, given)):
                found.append((node, *_statistics(list(given), None, next(filter(_bad, made)))))

        self._claim(loss, "")
        handles = [
            node.register_hook(lambda made, given, node=node: look(node, made, given)) for node in self._nodes
            if node.next_functions
        ]  # fmt: skip
        beside = loop.objective.companions.parameters().values()
        wanted = [one for one in (*loop.model.parameters(), *beside) if one.requires_grad]
        try:
            torch.autograd.grad(loss, wanted, allow_unused=True)
        finally:
            for handle in handles:
                handle.remove()
        if not found:
            return None
        node, said, evidence = found[0]
        place, name = self._nodes[node]
        own = _name_of(node)
        return _told(place, own if own in _BACKWARD_HINTS else name or own, said, evidence, backward=True)


def _name_of(node: Any) -> str:
    """Return the operation of a node of autograd: "sqrt" of SqrtBackward0."""
    return str(node.name()).rpartition("::")[2].partition("Backward")[0].lower()


def _told(
    place: _Place, name: str, said: str, evidence: Mapping[str, float], backward: bool = False
) -> Producer:
    where = place.words()
    where = f"Going backward {where}" if backward else f"{where[0].upper()}{where[1:]}"
    what = f"the gradient of {name}()" if backward else f"{name}()"
    hints, kind = _BACKWARD_HINTS if backward else _HINTS, _ALIKE.get(name, name)
    largest = max(abs(evidence.get("input_least", 0.0)), abs(evidence.get("input_greatest", 0.0)))
    hint = _GROWN if largest > _HUGE else hints.get(kind, "")
    return Producer(
        place.kind, place.path or place.after, f"{where} came the first number that is not finite: {what} {said}",
        dict(evidence), hint,
    )  # fmt: skip


# -- tensors in words


def _bad(one: Any) -> bool:
    """Say whether a tensor holds NaN or infinity."""
    if not isinstance(one, torch.Tensor) or one.is_meta or one.layout != torch.strided or not one.numel():
        return False
    if not (one.is_floating_point() or one.is_complex()):
        return False
    return not bool(one.detach().isfinite().all())


def _shape(one: torch.Tensor) -> str:
    return f"{' x '.join(map(str, one.shape))} values" if one.ndim else "one number"


def _range(one: Any) -> tuple[float, float, float, float] | None:
    """Return (least, greatest, share of NaN, share of infinity) of a tensor."""
    if not isinstance(one, torch.Tensor) or not one.is_floating_point() or not one.numel():
        return None
    x = one.detach().float()
    kept = x[x.isfinite()]
    ends = (float(kept.amin()), float(kept.amax())) if kept.numel() else (float("nan"), float("nan"))
    return *ends, float(x.isnan().float().mean()), float(x.isinf().float().mean())


def _statistics(
    given: Sequence[Any], ranges: Sequence[Any] | None, output: torch.Tensor
) -> tuple[str, dict[str, float]]:
    """Say what an operation was given and what it made of it."""
    words, evidence = "", {}
    ranges = list(map(_range, given)) if ranges is None else ranges
    first = next(((one, ends) for one, ends in zip(given, ranges) if ends is not None), None)
    if first is not None:
        low, high, nan, inf = first[1]
        evidence |= {"input_least": low, "input_greatest": high}
        words = f"was given {_shape(first[0])}" + (f" of {low:.3g} to {high:.3g}" if low <= high else "")
        words += f", of which {_shares(nan, inf)}; " if nan or inf else "; "
    _, _, nan, inf = _range(output) or (0.0, 0.0, 0.0, 0.0)
    evidence |= {"output_nan": nan, "output_infinite": inf}
    evidence = {name: number for name, number in evidence.items() if number == number}
    return f"{words}of the {_shape(output)} that it put out {_shares(nan, inf)}.", evidence


def _shares(nan: float, inf: float) -> str:
    return " and ".join(f"{_percent(share)} are {word}" for share, word in ((nan, "NaN"), (inf, "infinite")) if share)


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
