"""The model and the loss of a script, or a marked place."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ..base.framework_loss import FrameworkLoss
from ..base.isolation import eval_mode, preserve_random_state, run_forward
from ..base.ledger import Entry
from ..base.state import StateCopier, same_state
from ..base.trees import call_model
from ..base.words import pluralize
from ..data.output_losses import OutputLosses
from ..data.task import KnownLabelsLoss, NLLOfProbabilities, Task, find_unknown, ignored_class
from ..layers.structure import expression_of, structure
from ..layers.walk import uncompiled
from .companions import CompanionWriter
from .draft import Draft
from .keras import write_first_model, write_keras_loss
from .module_expression import read_compilation, read_texts, write_exchanged, write_module
from .sources import Unwritable
from .text import format_call
from .wrappings import find_wrappings


def write_model(draft: Draft) -> str:
    """Write the lines that make the model with its first weights."""
    origin = draft.origin
    if origin.weights is None:
        raise Unwritable(f"the weights that the run began with were not kept: {origin.why}")
    if draft.foreign:
        return write_first_model(draft)
    path = draft.save_beside("initial", dict(origin.weights), "the weights it began with")
    model = uncompiled(draft.model)
    head: Any = next(one for one in draft.controls if one.name == "head")
    try:
        with head.as_at(origin.structure):
            made = _write_architecture(draft, model)
    except Unwritable as why:
        made = draft.mark_model(why)
    for slot in draft.loop.normalisation.slots():
        if slot.name in origin.split:
            layer = expression_of(model, slot.name.rpartition(".")[0])
            made += f'\nnn.utils.parametrizations.weight_norm({layer}, "{slot.key}", dim={slot.axis})'
            draft.sources.imports.add("from torch import nn")
    if model is not draft.model:
        draft.sources.imports.add("import torch")
        made += f"\nmodel = {format_call('torch.compile', ['model'], read_compilation(draft.model))}"
    for place, layer in model.named_modules():
        if layer._compiled_call_impl is not None:
            made += f"\n{format_call(f'{expression_of(model, place)}.compile', [], read_compilation(layer))}"
    load = f"model.load_state_dict(torch.load({path}, weights_only=True))"
    there = f"\nmodel{draft.to_device}" if draft.to_device else ""
    return f"{made}\n{load}{there}\nmodel.train()"


def _write_architecture(draft: Draft, model: nn.Module) -> str:
    """Return the lines that make the model as it began, uncompiled."""
    loop, first, wanted = draft.loop, draft.origin.dropouts, draft.origin.structure
    if model is not draft.model:
        wanted = wanted.inside("_orig_mod")
    layers = loop.dropout.layers()
    rates = loop.dropout.rates()
    objective, inputs = loop.objective, loop.objective.to_device(draft.opened.example)

    def call(one: nn.Module) -> Any:
        if objective.custom is None:
            return call_model(one, inputs)
        try:
            return call_model(one, inputs)
        except Exception:  # noqa: BLE001 - the step alone knows what it gives to the model
            return objective.custom(one, objective.to_device(loop.batches.preview(4)))

    # What the control has split is split in the script as in the run.
    split = {(*slot.name.rpartition(".")[::2],) for slot in loop.normalisation.slots()}
    wrappings = [one for one in find_wrappings(model) if (one.path, one.key) not in split]
    put_on: list[str] = []

    def computes_the_same(built: nn.Module) -> bool:
        try:
            there = [*find_wrappings(built)]
            with preserve_random_state():
                put_on[:] = [one.put_on(built, draft.sources) for one in wrappings if one not in there]
            if structure(built) != wanted:
                return False
            built.load_state_dict(loop.normalisation.plain(model.state_dict()))
            built.to(objective.device)
            with eval_mode(model), eval_mode(built), loop.scaling.applied(built), objective.preserve_companions():
                outputs = (run_forward(one, partial(call, one)) for one in (model, built))
                ours, theirs = map(StateCopier(), outputs)
            return same_state(ours, theirs)
        except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
            return False

    try:
        for path, layer in layers.items():
            layer.p = first.get(path, layer.p)
        given = draft.sources, wanted, read_texts(type(model)), computes_the_same
        try:
            (text, built), exchanged = write_module(model, *given), []
        except Unwritable as why:
            try:
                text, exchanged, built = write_exchanged(model, *given)
            except Unwritable:
                raise why from None
    finally:
        for path, layer in layers.items():
            layer.p = rates[path]
    lines = [f"model = {text}", *exchanged, *put_on]
    for name, layer in built.named_modules():
        if isinstance(layer, _DropoutNd) and layer.p != first.get(name, layer.p):
            lines.append(f"{expression_of(model, name)}.p = {first[name]!r}")
    return "\n".join(lines)


#: `core.data.task.KnownLabelsLoss` in a script.
_MASKED = '''\
def loss_function(output, targets):
    """Return the mean loss of the labels that are known: neither -1 nor NaN."""
    known = targets >= 0
    each = torch.where(known, loss_of_each(output, torch.where(known, targets, 0.0)), 0.0)
    return each.sum() / known.sum().clamp(min=1e-9)'''


def write_loss(draft: Draft) -> tuple[list[str], str, list[str]]:
    """Write the lines before a batch's loss, its expression, lines after."""
    objective, sources = draft.loop.objective, draft.sources
    beside = CompanionWriter(draft)
    sources.bring_object, sources.first_value = beside.bring, beside.first_value
    if objective.custom is not None:
        name = _name_function(draft, objective.custom, "step", beside)
        return beside.lines, *_write_given(draft, f"{name}(model, {{batch}})")
    if (own := objective.task.own) is not None:
        targets = f"{own.key}={{targets}}" if own.by_name else "{targets}"
        return beside.lines, *_write_given(draft, f"model({{inputs}}, {targets})")
    draft.losses = LossLines(draft, beside)
    before, name = draft.losses.first
    given = [draft.call("{inputs}"), "{targets}"]
    call = f"{name}({', '.join(given[::-1] if draft.losses.targets_first else given)})"
    if "regularization" not in draft.loop.objective.names:
        return [*beside.lines, *before], *_write_given(draft, call)
    if draft.weighs:
        parts = f'{{{{"data": {call}, "regularization": sum(model.losses)}}}}'
        return [*beside.lines, *before], *_write_given(draft, parts, ".values()")
    return [*beside.lines, *before], f"loss = {call} + sum(model.losses)", []


def _write_given(draft: Draft, call: str, form: str | None = None) -> tuple[str, list[str]]:
    """Return the lines of a loss that a call gives."""
    form = (draft.loop.objective.form if form is None else form) or ""
    if form not in (".values()", "[:]"):
        return f"loss = {call}{form}", []
    if draft.weighs:
        items = "losses.items()" if form == ".values()" else "enumerate(losses)"
        weighed = f"loss = sum(value * loss_weights.get(name, 1.0) for name, value in {items})"
        return f"losses = {call}", [weighed]
    return f"losses = {call}", [f"loss = sum(losses{form.removesuffix('[:]')})"]


class LossLines:
    """The losses of a script, in order.

    Attributes
    ----------
    first : the lines that make the first, and what it is called.
    divide_alike : whether the means of all divide by the same.
    targets_first : whether it is called with the targets before the output, as Keras calls its losses.
    """

    def __init__(self, draft: Draft, beside: CompanionWriter) -> None:
        self._draft, self._beside, tasks = draft, beside, draft.tasks
        self._several, changed = len(tasks) > 1, draft.changed("loss_function")
        losses, objective = [task.loss for task in tasks], draft.loop.objective
        if any(isinstance(loss, OutputLosses) for loss in losses):
            raise Unwritable("the model has several outputs with a loss each, for which there is no writer yet")
        unknown = objective.met_unknown or bool(find_unknown(objective.tried[1]).any())
        if unknown and len(set(map(ignored_class, losses))) > 1:
            raise Unwritable("unknown classes have other numbers under one loss of the run than under another")
        if draft.masks and not all(isinstance(loss, KnownLabelsLoss) for loss in losses):
            raise Unwritable("unknown labels were left out by one loss of the run, and not by another")
        if draft.masks:
            draft.definitions.append(_MASKED)
        self.targets_first = isinstance(losses[0], FrameworkLoss) and not self._several
        self.first = self._make(losses[0], 1)
        self._lines = {id(one): self._make(loss, n)[0] for n, (one, loss) in enumerate(zip(changed, losses[1:]), 2)}
        self.divide_alike = all(_read_divisor(task) == _read_divisor(tasks[0]) for task in tasks)

    def change(self, entry: Entry) -> list[str]:
        """Return the lines of a change."""
        return self._lines[id(entry)]

    def _make(self, loss: Any, number: int) -> tuple[list[str], str]:
        """Return the lines that make a loss, and its name."""
        draft, sources, name = self._draft, self._draft.sources, "loss_function"
        if not isinstance(loss, nn.Module):
            name = _name_function(draft, loss, f"loss_{number}" if self._several else "loss", self._beside)
            return ([f"loss_function = {name}"], "loss_function") if self._several else ([], name)
        if isinstance(loss, KnownLabelsLoss):
            loss = loss.each if draft.masks else loss.whole
        called, own = "loss_of_each" if draft.masks else name, not type(loss).__module__.startswith("torch.nn.")
        if isinstance(loss, FrameworkLoss):
            return [f"{called} = {write_keras_loss(draft, loss, self.targets_first)}"], called
        if isinstance(loss, NLLOfProbabilities):
            made = "NLLOfProbabilities(" + (f"{loss.ignore_index})" if loss.ignore_index != -100 else ")")
            sources.definitions[NLLOfProbabilities.__name__] = inspect.getsource(NLLOfProbabilities).rstrip()
        else:
            try:
                made, _ = write_module(loss, sources, None, read_texts(type(loss)))
            except Unwritable as why:
                raise Unwritable(f"the loss cannot be written: {why}") from None
        kept = loss.state_dict()
        lines = [f"{called} = {made}{draft.to_device if kept else ''}"]
        if own and kept:
            if self._several:
                raise Unwritable("a loss that keeps tensors of its own was exchanged")
            path = draft.save_beside("loss", dict(draft.origin.loss or {}), "the loss as it began")
            lines.append(f"{name}.load_state_dict(torch.load({path}, weights_only=True))")
        return lines, name


def _read_divisor(task: Task) -> Any:
    """Return what a task's loss divides by, to be compared."""
    found = task.reduction
    if found is None:
        return None
    weight = None if found.weight is None else found.weight.tolist()
    return found.summed, found.of_classes, found.masked, found.ignored, weight


def _name_function(draft: Draft, function: Any, what: str, beside: CompanionWriter) -> str:
    """Return the name of a person's own function, marked as theirs."""
    try:
        if not inspect.isfunction(function) and not inspect.isbuiltin(function):
            beside.lines.append(f"{what}_function = {beside.write(function, what)}")
            return f"{what}_function"
        name = draft.sources.use_function(function)
    except Unwritable as why:
        if optimizers := draft.loop.objective.companions.optimizers:
            raise Unwritable(
                f"training_step= moves weights with {pluralize(len(optimizers), 'optimizer')} of its own, which "
                "only the code that made it can make again: session.save() keeps the model's weights"
            ) from None
        raise Unwritable(f"the {what} function cannot be written: {why}") from None
    if getattr(function, "__name__", "") == "<lambda>":
        source, name = name, f"{what}_function"
        draft.sources.definitions[name] = f"{name} = {source}"
    return f"\0{name}\0"
