"""The model and the loss of a script, or a marked place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ..base.isolation import eval_mode
from ..base.state import StateCopier, same_state
from ..base.trees import call_model
from ..layers.structure import expression_of
from .draft import Draft
from .module_expression import read_texts, write_module
from .sources import Unwritable, find_lambda_source


def write_model(draft: Draft) -> str:
    """Write the lines that make the model with its first weights.

    Raises
    ------
    Unwritable : these weights were not kept.
    """
    origin = draft.origin
    if origin.weights is None:
        raise Unwritable(f"the weights that the run began with were not kept: {origin.why}")
    path = draft.save_beside("initial", dict(origin.weights), "the weights it began with")
    try:
        with _first_dropouts(draft):
            made, built = write_module(
                draft.model, draft.sources, origin.structure, read_texts(type(draft.model)),
                lambda one: _computes_the_same(draft, one)
            )  # fmt: skip
        made = f"model = {made}"
        for name, layer in built.named_modules():
            if isinstance(layer, _DropoutNd) and layer.p != origin.dropouts.get(name, layer.p):
                made += f"\n{expression_of(draft.model, name)}.p = {origin.dropouts[name]!r}"
    except Unwritable as why:
        kind = type(draft.model).__name__
        draft.note(f"Put the line that makes the {kind} into make_model(): {why}.")
        made = (
            f'def make_model():\n    """Return the {kind} as it was made."""\n'
            f'    raise NotImplementedError("Put the line here that makes the {kind}.")\n\n\n'
            "model = make_model()"
        )
    for slot in draft.loop.normalisation.slots():
        if slot.name in origin.split:
            layer = expression_of(draft.model, slot.name.rpartition(".")[0])
            made += f'\nnn.utils.parametrizations.weight_norm({layer}, "{slot.key}", dim={slot.axis})'
            draft.sources.imports.add("from torch import nn")
    load = f"model.load_state_dict(torch.load({path}, weights_only=True))"
    there = "\nmodel.to(device)" if draft.device != "cpu" else ""
    return f"{made}\n{load}{there}\nmodel.train()"


@contextlib.contextmanager
def _first_dropouts(draft: Draft) -> Iterator[None]:
    """Give the model the dropout rates of the run's beginning, within."""
    layers = draft.loop.dropout.layers()
    own = {path: layer.p for path, layer in layers.items()}
    try:
        for path, layer in layers.items():
            layer.p = draft.origin.dropouts.get(path, layer.p)
        yield
    finally:
        for path, layer in layers.items():
            layer.p = own[path]


def _computes_the_same(draft: Draft, built: nn.Module) -> bool:
    """Say whether a model's outputs with the same weights are ours."""
    model, there = draft.model, draft.loop.objective.to_device(draft.opened.example)
    try:
        built.load_state_dict(draft.loop.normalisation.plain(model.state_dict()))
        built.to(draft.loop.objective.device)
        with eval_mode(model), eval_mode(built):
            built.eval()
            return same_state(
                StateCopier()(call_model(model, there)), StateCopier()(call_model(built, there))
            )
    except Exception:  # noqa: BLE001 - a guess that does not fit may raise anything
        return False


def write_loss(draft: Draft) -> tuple[list[str], str, list[str]]:
    """Write the lines before a batch's loss, its expression, lines after."""
    objective, sources = draft.loop.objective, draft.sources
    if objective.custom is not None:
        name = _name_function(draft, objective.custom, "step")
        several = any(column.startswith("loss_") for column in draft.loop.history.columns)
        after = ["loss = sum(losses.values())"] if several else []
        return [], f"{'losses' if several else 'loss'} = {name}(model, {{batch}})", after
    loss = objective.task.loss
    line = "loss = loss_function(model({inputs}), {targets})"
    if isinstance(loss, nn.Module):
        try:
            made, _ = write_module(loss, sources, None, read_texts(type(loss)))
        except Unwritable as why:
            raise Unwritable(f"the loss cannot be written: {why}") from None
        there = ".to(device)" if draft.device != "cpu" and any(True for _ in loss.buffers()) else ""
        return [f"loss_function = {made}{there}"], line, []
    name = _name_function(draft, loss, "loss")
    return [], line.replace("loss_function", name), []


def _name_function(draft: Draft, function: Any, what: str) -> str:
    """Return the name of a person's own function, marked as theirs."""
    try:
        if getattr(function, "__name__", "") == "<lambda>":
            source = find_lambda_source(function)
            draft.sources._resolve(source, function)
            draft.sources.definitions[f"{what}_function"] = f"{what}_function = {source}"
            return f"\0{what}_function\0"
        return f"\0{draft.sources.use(function)}\0"
    except Unwritable as why:
        raise Unwritable(f"the {what} function cannot be written: {why}") from None
