"""One traced forward, with fake tensors where possible, else with real ones."""

from __future__ import annotations

import linecache
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses import fake_tensor as fakes
from torch.nn.parameter import is_lazy

from ..base.isolation import (
    find_device,
    is_offloaded,
    isolate_model,
    preserve_model,
    preserve_random_state,
    try_forward,
    watch_model,
)
from ..base.slices import unpaused
from ..base.trees import tree_map, tree_tensors
from ..base.words import quote_error
from .example_input import Example
from .forward_error import FailureReason, explain
from .framework import PACKAGES, computes_elsewhere
from .operations import OutOfRange
from .stand_in import cloned, fake_tensor, faked, is_small, lent
from .trace import TooSlow, Trace
from .walk import Layer, walk

#: A model that certainly cannot run is run all the same, for the words of torch that its author knows, unless
#: it had computed this much before it failed [MACs].
_CHEAP = 2_000_000_000
#: Numbers of inputs that are run without a thought.
_FEW = 2_000_000
#: Numbers of an input whose values are followed, to find those that a table has no row for.
_KNOWN = 10_000_000
#: Packages whose lines are not the model's; the longest line that is quoted.
_NOT_THE_MODELS, _LINE = PACKAGES | {__name__.partition(".")[0]}, 80
_LONG = "following it without values takes longer"
#: What torch raises where fake tensors will not do, and the reason in words.
_NEEDS_VALUES = {
    fakes.DataDependentOutputException: "{} needs the values of a tensor",
    fakes.DynamicOutputShapeException: "the shape of what {} makes depends on values",
    fakes.UnsupportedOperatorException: "{} cannot be followed without values",
}


@dataclass(frozen=True)
class TracedForward:
    """A forward that was followed."""

    trace: Trace  #: What was written down.
    example: Example  #: The inputs that it was followed with.
    real: str = ""  #: Why the model had to be run for real, a clause; "" where no arithmetic was done.
    copied: bool = False  #: Whether what was run had weights of its own.
    itself: bool = False  #: Whether that was the model itself, since it cannot be copied.
    clash: FailureReason | None = None  #: Why the forward failed; None where it did not.
    error: Exception | None = None  #: What it raised.


def trace_forward(layers: Sequence[Layer], examples: Sequence[Example]) -> TracedForward:
    """Trace a forward with the first example that fits; change nothing.

    At first a stand-in with fake tensors runs: shapes without values. Where that needs values after all (an
    `if` on a tensor, `.item()`, an operation that torch cannot fake), or fails, one real run tells.
    """
    model = layers[0].module
    offloaded = is_offloaded(model)
    has_values = offloaded or _has_values(layers)
    with preserve_random_state():
        best, reason = None, ""
        if (found := _at_once(layers, examples)) is not None:
            return found
        if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
            reason = "it holds TorchScript, whose layers cannot be followed otherwise"
        elif offloaded:
            reason = "its weights are offloaded, and brought in while it runs"
        elif any(tensor.is_nested for tensor in tree_tensors([example.inputs for example in examples])):
            reason = "nested tensors, which have no one shape to be shown, need values"
        else:
            for example in _in_complex(model, examples):
                found = _fake(layers, example)
                if isinstance(found, str):
                    reason = found
                    break
                found = _in_whole_numbers(layers, found)
                if found.error is None:
                    return found
                if best is None or _reach(found) > _reach(best):
                    best = found
        if best is not None:
            reason = f"following it without values said: {_words(best.error)}"
            if (why := _NEEDS_VALUES.get(type(best.error))) is not None:
                reason = why.format(_line_of(best.error))
            certain = best.clash is not None and best.clash.certain
            if not has_values or isinstance(best.error, OutOfRange):
                return best  # on a GPU it would end the process
            if certain and best.trace.records[""].macs > _CHEAP:
                return best
            # A shape that another reading of it takes further is the one that is meant.
            examples = [best.example]
        elif not has_values:
            raise ValueError(f"The model holds no values and cannot be followed without: {reason}.")
        for example in examples:
            found = _real(layers, example, reason, copied=reason == _LONG and is_small(model))
            if found.error is None:
                break
        return found


def find_out_of_range(model: nn.Module, inputs: Any) -> str | None:
    """Say which numbers an embedding has no row for, or None.

    None where there are none, or where the model cannot be followed without values.
    """
    found = _fake(walk(model), Example(inputs if isinstance(inputs, (tuple, dict)) else (inputs,)))
    if isinstance(found, str) or not isinstance(found.error, OutOfRange) or found.clash is None:
        return None
    return found.clash.sentence


def explain_failure(model: nn.Module, inputs: Any) -> str:
    """Say why a forward fails, as the table does; "" if uncertain."""
    found = _fake(walk(model), Example(inputs if isinstance(inputs, (tuple, dict)) else (inputs,)))
    if isinstance(found, str) or found.clash is None or not found.clash.certain:
        return ""
    return found.clash.sentence


def _has_values(layers: Sequence[Layer]) -> bool:
    modules = (layer.module for layer in layers)
    kept = (kept for one in modules for kept in (*one._parameters.values(), *one._buffers.values()))
    return not any(tensor is not None and tensor.is_meta and not is_lazy(tensor) for tensor in kept)


def _at_once(layers: Sequence[Layer], examples: Sequence[Example]) -> TracedForward | None:
    """Run a copy of a small model, before torch's compiler is loaded.

    Following it would load that, which takes over a second, once. None: it is not small, takes long or
    fails.
    """
    model = layers[0].module
    if "torch._dynamo" in sys.modules or not is_small(model) or not _has_values(layers) or computes_elsewhere(model):
        return None
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return None
    for example in examples:
        if sum(tensor.numel() for tensor in tree_tensors(example.inputs)) > _FEW:
            return None
        try:
            found = _real(layers, example, "", copied=True, pressed=True)
        except TooSlow:
            return None
        if found.error is None:
            return None if found.trace.needs_values else found
    return None


def _reach(found: TracedForward) -> tuple[int, int, bool]:
    """Say how far a forward came; of equals, the sure one wins."""
    ran = sum(record.calls > 0 for record in found.trace.records.values())
    return ran, found.trace.records[""].macs, not found.example.guess


def _in_complex(model: nn.Module, examples: Sequence[Example]) -> list[Example]:
    """Add complex examples for a model that has such weights."""
    kinds = {parameter.is_complex() for parameter in model.parameters() if not is_lazy(parameter)}
    if True not in kinds:
        return list(examples)
    return [*examples, *(example.complex() for example in examples if not example.typed)]


def _in_whole_numbers(layers: Sequence[Layer], found: TracedForward) -> TracedForward:
    """Try inputs of no chosen dtype as whole numbers, one by one.

    A change that brings the forward further is kept: so categories are told from numbers beside them.
    """
    if found.error is None or found.example.typed:
        return found
    if not any(isinstance(layer.module, (nn.Embedding, nn.EmbeddingBag)) for layer in layers):
        return found
    further = True
    while further:
        further = False
        for place, tensor in enumerate(tree_tensors(found.example.inputs)):
            if not tensor.is_floating_point():
                continue
            other = _fake(layers, found.example.whole(place))
            if isinstance(other, str):
                return found
            if other.error is None:
                return other
            if _reach(other) > _reach(found):
                found, further = other, True
    return found


def _fake(layers: Sequence[Layer], example: Example) -> TracedForward | str:
    """Run a fake stand-in; return why not where there can be none."""
    model = layers[0].module
    device, has_values = find_device(model), _has_values(layers)

    def ready(gradients: bool) -> tuple[Trace, Any]:
        if computes_elsewhere(model):
            return Trace(lent(model), layers), tree_map(partial(torch.empty_like, device="meta"), example.inputs)
        mode = fakes.FakeTensorMode(allow_non_fake_inputs=True)
        twin = faked(model, mode)
        inputs = tree_map(partial(_fake_input, mode=mode, device=device), example.inputs)
        return Trace(twin, layers, mode, gradients, pressed=has_values), inputs

    try:
        with _quiet(), preserve_model(model, None, caught=True), watch_model(model):
            return _run(ready, example)
    except TooSlow:
        return _LONG
    except _NoStandIn as error:
        return _why_not_copied(error.__cause__)


def _fake_input(tensor: torch.Tensor, mode: fakes.FakeTensorMode, device: torch.device) -> torch.Tensor:
    made = fake_tensor(tensor, mode, device)
    if type(tensor) is torch.Tensor and not tensor.is_meta and tensor.numel() <= _KNOWN:
        made.known_values = tensor.detach().cpu()  # type: ignore[attr-defined]
    return made


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from logging in this thread what it could not follow."""
    log, here = logging.getLogger(fakes.__name__), threading.get_ident()

    def others(record: logging.LogRecord) -> bool:
        return record.thread != here

    log.addFilter(others)
    try:
        yield
    finally:
        log.removeFilter(others)


def _real(
    layers: Sequence[Layer], example: Example, reason: str, copied: bool = False, pressed: bool = False
) -> TracedForward:
    """Run a stand-in with values, with copied weights or the model's own."""
    model = layers[0].module
    made = cloned if copied else lent
    device = find_device(model)

    def ready(tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_meta:
            return tensor.to(device)
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype, device=device)
        generator = torch.Generator().manual_seed(0)
        return torch.rand(tensor.shape, generator=generator).to(device, tensor.dtype)

    inputs = tree_map(ready, example.inputs)

    def lend(gradients: bool) -> tuple[Trace, Any]:
        if is_offloaded(model):
            raise ValueError("a copy would hold all weights once more")
        trace = Trace(made(model), layers, gradients=gradients, pressed=pressed)
        return trace, tree_map(torch.clone, inputs)

    def borrow(gradients: bool) -> tuple[Trace, Any]:
        return Trace(eager, layers, gradients=gradients), tree_map(torch.clone, inputs)

    # The weights of a large model are the model's own, and must not be trained meanwhile.
    with nullcontext() if is_small(model) else unpaused():
        try:
            # Into weights of its own it may write, and watching that takes as long as running it.
            with preserve_model(model, None if copied else False, caught=True), watch_model(model):
                return replace(_run(lend, example, reason), copied=copied)
        except _NoStandIn:
            with unpaused(), isolate_model(model) as eager, watch_model(model):
                return replace(_run(borrow, example, reason), itself=True)


class _NoStandIn(Exception):
    """A model that cannot be copied; the cause says why."""


def _run(ready: Callable[[bool], tuple[Trace, Any]], example: Example, reason: str = "") -> TracedForward:
    """Run a trace that `ready` makes, with gradients or without."""
    trace: Trace | None = None

    def attempt(gradients: bool) -> None:
        nonlocal trace
        try:
            trace, inputs = ready(gradients)
        except Exception as error:
            raise _NoStandIn from error
        trace.run(inputs)
        if missed := trace.missed():
            trace, inputs = ready(gradients)
            trace.run(inputs, missed)

    try:
        try_forward(attempt)
    except _NoStandIn:
        raise
    except Exception as error:  # noqa: BLE001 - told in the table
        failure = trace.failure
        whole = [tuple(tensor.shape) for tensor in tree_tensors(example.inputs) if not tensor.is_nested]
        clash = explain(failure, trace.modules, whole) if failure is not None else None
        found = TracedForward(trace, example, reason, clash=clash, error=error)
        trace = None  # what the error's frames know would hold on to it
        return found
    return TracedForward(trace, example, reason)


def clear_frames(error: BaseException) -> None:
    """Clear what an exception's frames hold: every tensor of the forward."""
    traceback.clear_frames(error.__traceback__)
    step = error.__traceback__
    while step is not None:
        frame = step.tb_frame.f_back
        while frame is not None:
            try:
                frame.clear()
            except RuntimeError:  # it is running: so are those around it
                break
            frame = frame.f_back
        step = step.tb_next


def _line_of(error: Any) -> str:
    """Quote the model's line where an error arose; else the operation."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _NOT_THE_MODELS:
            line = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
            if 0 < len(line) <= _LINE:
                return f"the line “{line}”"
    return str(error.func).removeprefix("aten.").partition(".")[0].strip("_")


def _why_not_copied(error: BaseException | None) -> str:
    """Say as a clause why a stand-in could not be made."""
    words = quote_error(error).rstrip(".")
    if (kind := re.search(r"cannot pickle '(?:[\w.]*\.)?(\w+)'", words)) is not None:
        what = "Python module" if kind[1] == "module" else kind[1].lower()
        return f"it holds a {what}, which cannot be copied"
    return f"it cannot be copied: {words}"


def _words(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0].rstrip('.')}" if lines else type(error).__name__
