"""Keras 3: its answers to what the house asks of a framework."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...base.compiled import Compiled
from ..framework import Framework, adopt, computes_elsewhere, foreign_layers, handed_over
from . import (
    additions,
    adoption,
    calls,
    compiled,
    expressions,
    freezing,
    heads,
    input_shapes,
    kinds,
    layout,
    losses,
    macs,
    mirror,
    operations,
    outputs,
    settings,
    words,
    wrong_inputs,
)  # fmt: skip
from . import weights as weight_files


class Keras(Framework):
    """What Keras answers: see `Framework`."""

    foreign = channels_last = trains_itself = True
    train_flag = "trainable"

    def adopt(self, model: Any) -> Any:
        return adoption.register_layers(model)

    def counterpart(self, layer: Any) -> type:
        return adoption.counterpart(handed_over(layer))

    def added_losses(self, model: Any) -> Any:
        return additions.AddedLosses(model)

    def constraints(self, model: Any) -> list[Callable[[], None]]:
        return additions.list_constraints(model)

    def compiled_with(self, model: Any, given: Collection[str], by_fit: bool = False) -> Compiled | None:
        own = handed_over(model)
        return compiled.read_compiled(own, given, by_fit or own is not model)

    def output_names(self, model: Any) -> tuple[str, ...]:
        return tuple(getattr(handed_over(model), "output_names", None) or ())

    def usual_loss(self, model: Any, task: str, targets: torch.Tensor, output: torch.Tensor) -> Any:
        return losses.find_usual_loss(handed_over(model), task, targets, output)

    def arguments_of(self, layer: Any) -> str | None:
        return kinds.describe_arguments(handed_over(layer))

    def input_of(self, layer: Any) -> Any:
        return kinds.wanted_by(handed_over(layer))

    def counted_beside(self, module: nn.Module) -> list[torch.Tensor]:
        return adoption.statistics_counted(module)

    def replace_parameter(self, module: nn.Module, name: str, value: nn.Parameter) -> None:
        adoption.put_value(module, name, value)

    def why_not_trained(self, module: Any) -> str:
        if not computes_elsewhere(module):
            return ""
        return (
            f"Training here needs a model that torch computes. {mirror.how_to_switch()} Or have Keras train it: "
            "model.fit(..., callbacks=[session.keras_callback()])."
        )

    def stated_macs(
        self, module: nn.Module, given: Sequence[tuple[int, ...]], made: Sequence[tuple[int, ...]]
    ) -> tuple[int, tuple[str, ...]]:
        if not computes_elsewhere(module):
            return 0, ()
        return macs.count_macs(handed_over(module), given, made)

    def channels_of(self, layer: Any, axes: int, given: int | None = None) -> int | None:
        return layout.locate_channels(handed_over(layer), axes, given)

    def activation_of(self, layer: Any, suffix: str = "") -> tuple[str, int | None]:
        return layout.name_activation(handed_over(layer), suffix)

    def ends_with(self, model: Any) -> str | None:
        return outputs.find_output_kind(handed_over(model))

    def without_activation(self, layer: Any) -> AbstractContextManager[None]:
        return layout.linear(layer)

    def kernels_of(self, layer: Any) -> dict[str, torch.Tensor] | None:
        return layout.arrange_kernels(handed_over(layer))

    def bias_of(self, layer: Any) -> torch.Tensor | None:
        return layout.read_bias(handed_over(layer))

    def gates_of(self, layer: Any) -> tuple[tuple[str, ...], torch.Tensor, torch.Tensor] | None:
        return layout.arrange_gates(handed_over(layer))

    def attention_of(self, layer: Any) -> dict[str, torch.Tensor]:
        return layout.arrange_attention(handed_over(layer))

    def operations_of(self, modules: Mapping[str, Any]) -> Mapping[str, Any] | None:
        layers = {path: handed_over(module) for path, module in modules.items()}
        return operations.list_graph_operations(layers)

    def is_whole(self, layer: Any) -> bool:
        return layout.is_own_kind(handed_over(layer))

    def attends_to_nothing(self, layer: Any) -> bool:
        return layout.is_simple(handed_over(layer))

    def stars_of(self, model: Any, inputs: Any) -> str:
        return calls.stars_before(model, inputs)

    def pack_parts(self, model: Any, parts: list[Any]) -> Any:
        return calls.pack_inputs(model, parts)

    def write_own_file(self, model: Any, weights: Mapping[str, torch.Tensor], place: Path) -> Path | None:
        return weight_files.write_file(model, weights, place)

    def describe_numbering(self, model: Any) -> str:
        return (
            " Keras numbers layers as they are made: keras.utils.clear_session() before the line that makes the model "
            "gives them the names of then."
        )

    def expression_inside(self, holder: Any, name: str) -> str | None:
        inside = holder._modules.get(name)
        if inside is not None:
            return expressions.write_layer(holder, inside)
        tensor = holder._parameters.get(name, holder._buffers.get(name))
        return None if tensor is None else expressions.write_variable(holder, tensor)

    def given_name(self, layer: Any) -> str | None:
        return handed_over(layer).name

    def known_inputs(self, model: Any) -> Any:
        return input_shapes.input_tensors(handed_over(model))

    def explain_call(
        self, error: BaseException, modules: Mapping[str, nn.Module], path: str, given: Sequence[Any],
        whole: Sequence[Any],
    ) -> tuple[str, bool] | None:  # fmt: skip
        return wrong_inputs.explain_inputs(error, modules, path, given, whole)

    def follows_statistics(self, module: Any) -> bool:
        return freezing.follows(module)

    def holds_statistics(self, module: Any) -> bool:
        return freezing.holds(module)

    def freezes_weights_alone(self, module: Any) -> bool:
        return freezing.follows(module) and not freezing.holds(module)

    def dropout_rate_of(self, layer: Any) -> str:
        return settings.dropout_rate(handed_over(layer))

    def runs_in_order(self, module: Any) -> bool:
        return module._obj_type() in ("Sequential", "Functional")

    def unit_axis(self, layer: Any, name: str) -> int | None:
        return settings.find_unit_axis(layer, name)

    def refuse_rule(self, layer: Any, rule: Any) -> str:
        return settings.lacks_rule(layer, rule)

    def refuse_dropout(self, layer: Any) -> str:
        if computes_elsewhere(layer):
            return "drops in a step that Keras traces: set rate= of the layer itself, and then model.compile(...)"
        return settings.lacks_seed(layer)

    def say_for(self, model: Any, text: str) -> str:
        return words.say(text)

    def output_size(self, layer: Any) -> int | None:
        return heads.count_outputs(layer)

    def renew_output(self, model: nn.Module, layer: Any, outputs: int) -> bool:
        suits = heads.fit_activation(layer, outputs)
        heads.draw(layer, outputs)
        layer.activation = suits
        adopt(model)
        heads.renew_shapes(foreign_layers(model))
        return True

    def keeps_activation(self, layer: Any, outputs: int) -> bool:
        return heads.fit_activation(layer, outputs) is layer.activation

    def can_draw(self, layer: Any) -> bool:
        return heads.is_drawable(layer)

    def draw_layer(self, layer: Any) -> None:
        heads.draw(layer)
