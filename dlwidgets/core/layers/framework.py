"""What the house asks of a framework, and torch's own answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd

from ..base.compiled import Compiled
from ..base.trees import find_stars
from ..base.weight_file import ENDINGS as WEIGHT_ENDINGS

if TYPE_CHECKING:
    from .walk import Layer


def adopt(model: Any) -> Any:
    """Return a model as the module that the house works on.

    A torch module is returned as it is. A Keras model on the torch backend is one, too, but hides its layers: they are
    registered in it, which changes nothing that Keras does. For one on another backend a module that stands for it is
    returned, always the same one. What is no model comes back as it is.
    """
    adapter = _adapter(type(model))
    if adapter is not None:
        return adapter.register_layers(model)
    for layer in _foreign_layers(model):
        adopt(layer)
    return model


def handed_over(model: Any) -> Any:
    """Return what a person handed over, of what `adopt` returned."""
    return getattr(model, "_dlwidgets_stands_for", model)


def channels_last(model: Any) -> bool:
    """Say whether outputs have classes and channels last."""
    return _adapter(type(handed_over(model))) is not None


def added_losses(model: Any) -> Any:
    """Return what lists the losses that a call added, or None.

    It has `renew()`, for when the model's layers may be others.
    """
    if not isinstance(model, nn.Module) or _adapter(type(model)) is None:
        return None
    from .keras.additions import AddedLosses

    return AddedLosses(model)


def constraints(model: Any) -> list[Callable[[], None]]:
    """Return what holds weights within their constraints after each step."""
    if not isinstance(model, nn.Module) or _adapter(type(model)) is None:
        return []
    from .keras.additions import list_constraints

    return list_constraints(model)


def compiled_with(model: Any, given: Collection[str], by_fit: bool = False) -> Compiled | None:
    """Return what a model was compiled with, or None.

    What is `given` to the session itself is left out, and the optimizer where the framework's own fit trains.
    Raises ValueError: something of it has no counterpart.
    """
    own = handed_over(model)
    if _adapter(type(own)) is None:
        return None
    from .keras.compiled import read_compiled

    return read_compiled(own, given, by_fit or own is not model)


def output_names(model: Any) -> tuple[str, ...]:
    """Return the names that a framework gives to a model's outputs."""
    own = handed_over(model)
    return tuple(getattr(own, "output_names", None) or ()) if _adapter(type(own)) is not None else ()


def usual_loss(model: Any, task: str, targets: torch.Tensor, output: torch.Tensor) -> Any:
    """Return the loss that suits outputs; None for torch's usual one."""
    if not channels_last(model):
        return None
    from .keras.losses import find_usual_loss

    return find_usual_loss(handed_over(model), task, targets, output)


def read_framework_loss(loss: Any) -> Any:
    """Return a loss of another framework as `base.framework_loss.FrameworkLoss`; None for any other.

    A text is a name only where `sys.modules` has a framework that might know it.
    """
    if isinstance(loss, str):
        known = "keras" in sys.modules
    else:
        of = loss if isinstance(loss, type) else type(loss)
        known = any(one.__module__ == "keras.src.losses.loss" for one in of.__mro__)
        known = known or (getattr(loss, "__module__", None) or "").startswith("keras.src.losses.")
    if not known:
        return None
    from .keras.losses import read_keras_loss

    return read_keras_loss(loss)


def trains_itself(model: Any) -> bool:
    """Say whether a model trains itself, which a session may follow."""
    return _adapter(type(handed_over(model))) is not None


def acts_as(module: Any, kinds: type | tuple[type, ...]) -> bool:
    """Say whether a layer does what one of torch's kinds does.

    Attributes of a layer of another framework have other names.
    """
    if isinstance(module, kinds):
        return True
    adapter = _adapter(type(module))
    return adapter is not None and issubclass(adapter.counterpart(handed_over(module)), kinds)


def arguments_of(layer: Any) -> str | None:
    """Return the telling arguments of another framework's layer, else None."""
    layer = handed_over(layer)
    if _adapter(type(layer)) is None:
        return None
    from .keras.kinds import describe_arguments

    return describe_arguments(layer)


def input_of(layer: Any) -> Any:
    """Return the input that another framework's layer wants, else None."""
    layer = handed_over(layer)
    if _adapter(type(layer)) is None:
        return None
    from .keras.kinds import wanted_by

    return wanted_by(layer)


def counted_beside(module: nn.Module) -> list[torch.Tensor]:
    """List the buffers that a layer's framework counts as parameters.

    Keras counts the moving statistics of BatchNormalization; torch counts none.
    """
    adapter = _adapter(type(module))
    return [] if adapter is None else adapter.statistics_counted(module)


def replace_parameter(module: nn.Module, name: str, value: nn.Parameter) -> None:
    """Put another parameter in the place of a layer's own."""
    adapter = _adapter(type(module))
    if adapter is None:
        setattr(module, name, value)
    else:
        adapter.put_value(module, name, value)


def computes_elsewhere(module: Any) -> bool:
    """Say whether a module stands for what torch does not compute."""
    return handed_over(module) is not module


def why_not_trained(module: Any) -> str:
    """Say why torch cannot train a model, or "".

    In sentences, with what to do.
    """
    if not computes_elsewhere(module):
        return ""
    from .keras.mirror import how_to_switch

    return (
        f"Training here needs a model that torch computes. {how_to_switch()} Or have Keras train it: "
        "model.fit(..., callbacks=[session.keras_callback()])."
    )


def stated_macs(
    module: nn.Module, given: Sequence[tuple[int, ...]], made: Sequence[tuple[int, ...]]
) -> tuple[int, tuple[str, ...]]:
    """Return MACs of a call outside torch, and what is uncounted.

    The shapes are those of the tensors given and made; what is computed inside torch is counted there.
    """
    if not computes_elsewhere(module):
        return 0, ()
    from .keras.macs import count_macs

    return count_macs(handed_over(module), given, made)


def channels_of(layer: Any, axes: int, given: int | None = None) -> int | None:
    """Return a layer's axis of channels in so many axes, or None.

    None of torch's own layers. `given` is where they were in what the layer was given, if that had as many axes.
    """
    layout = _layout(layer)
    return None if layout is None else layout.locate_channels(handed_over(layer), axes, given)


def activation_of(layer: Any, suffix: str = "") -> tuple[str, int | None]:
    """Return the activation that a layer ends with, and its axis.

    "" for none; the axis is a softmax's.
    Layers of torch end with none: activations are layers by themselves. `suffix` is for one tensor of several.
    """
    layout = _layout(layer)
    return ("", None) if layout is None else layout.name_activation(handed_over(layer), suffix)


def ends_with(model: Any) -> str | None:
    """Return the activation that a model's first output ends with.

    "softmax", "sigmoid" or another's name; None where its framework does not tell, as of torch.
    """
    model = handed_over(model)
    if _adapter(type(model)) is None:
        return None
    from .keras.outputs import find_output_kind

    return find_output_kind(model)


def without_activation(layer: Any) -> AbstractContextManager[None]:
    """Have a layer end without its activation, for a while."""
    layout = _layout(layer)
    return nullcontext() if layout is None else layout.linear(layer)


def kernels_of(layer: Any) -> dict[str, torch.Tensor] | None:
    """Return weights in torch's order of axes; None of torch's layers."""
    layout = _layout(layer)
    return None if layout is None else layout.arrange_kernels(handed_over(layer))


def bias_of(layer: Any) -> torch.Tensor | None:
    """Return the bias of a layer, a number a unit, or None."""
    layout = _layout(layer)
    return getattr(layer, "bias", None) if layout is None else layout.read_bias(handed_over(layer))


def gates_of(layer: Any) -> tuple[tuple[str, ...], torch.Tensor, torch.Tensor] | None:
    """Return gates and matrices of another framework's recurrent layer, or None."""
    layout = _layout(layer)
    return None if layout is None else layout.arrange_gates(handed_over(layer))


def attention_of(layer: Any) -> dict[str, torch.Tensor]:
    """Return the matrices of another framework's attention, else {}."""
    layout = _layout(layer)
    return {} if layout is None else layout.arrange_attention(handed_over(layer))


def operations_of(modules: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the operations between layers, by name, where a framework lists them.

    `modules` are a model's layers by path. None of torch's models; of a model whose operations have no names it is a
    ValueError.
    """
    if _adapter(type(handed_over(modules[""]))) is None:
        return None
    from .keras.operations import list_graph_operations

    return list_graph_operations({path: handed_over(module) for path, module in modules.items()})


def hear_operations(
    operations: Mapping[str, Any], tell: Callable[[str, Any, Any], None]
) -> AbstractContextManager[None]:
    """Tell of each call within: the operation's name, itself, its output."""
    from .keras.operations import hear_calls

    return hear_calls(operations, tell)


def is_whole(layer: Any) -> bool:
    """Say whether a framework makes a layer of others, as attention."""
    layout = _layout(layer)
    return layout is not None and layout.is_own_kind(handed_over(layer))


def is_foreign(model: Any) -> bool:
    """Say whether a model or layer is of another framework than torch."""
    return _adapter(type(model)) is not None


def stars_of(model: Any, inputs: Any) -> str:
    """Return what stands before inputs in a call: "", "*" or "**"."""
    if not is_foreign(model):
        return find_stars(model, inputs)
    from .keras.calls import stars_before

    return stars_before(model, inputs)


def pack_parts(model: Any, parts: list[Any]) -> Any:
    """Return several inputs as a foreign model takes them."""
    from .keras.calls import pack_inputs

    return pack_inputs(model, parts)


def translate_weights(model: Any, weights: Any) -> tuple[Mapping[str, Any], str, list[str]] | None:
    """Return weights under a foreign model's names, a title and notes.

    None for a model of torch, and where the weights need no translation. A file in torch's or safetensors' format is
    read by the house: its tensors come back here.

    Raises
    ------
    ValueError : in a sentence, why they cannot be read.
    """
    if not is_foreign(model) and not is_foreign(weights):
        return None
    from .keras.weights import translate, translate_to_torch

    return translate(model, weights) if is_foreign(model) else translate_to_torch(model, weights)


def write_own_file(model: Any, weights: Mapping[str, torch.Tensor], place: Path) -> Path | None:
    """Write a file of the model's own framework; None: of none.

    Raises
    ------
    OSError, ValueError : it cannot be written.
    """
    if not is_foreign(model):
        return None
    from .keras.weights import write_file

    return write_file(model, weights, place)


def describe_numbering(model: Any) -> str:
    """Return what helps where layers were renumbered; "" for torch."""
    if not is_foreign(model):
        return ""
    return (
        " Keras numbers layers as they are made: keras.utils.clear_session() before the line that makes the model "
        "gives them the names of then."
    )


def describe_no_module(model: Any) -> str:
    """Describe what is no model, and what to do: "not str"."""
    if isinstance(model, type):
        return f"not the class {model.__name__}: {model.__name__}(...) makes a model of it"
    if not isinstance(model, (str, Path)):
        return f"not {type(model).__name__}"
    name = str(model)
    if name.endswith((".weights.h5", *WEIGHT_ENDINGS)):
        return f"not {name!r}, a file of weights: make the model, and dlw.load_weights(model, {name!r}) loads them"
    if not name.endswith((".keras", ".h5", ".hdf5")):
        return f"not {type(model).__name__}"
    from .keras.weights import list_own_classes

    own, more = list_own_classes(Path(name).expanduser()), ""
    if own:
        given = ", ".join(f"{one!r}: {one}" for one in own)
        more = (
            f", custom_objects={{{given}}}) makes the model of it, or without custom_objects once "
            f"@keras.saving.register_keras_serializable() stands above {'each of them' if len(own) > 1 else own[0]}"
        )
    return f"not a path: model = keras.models.load_model({name!r}{more or ') makes the model of it'}"


def public_module(item: Any) -> str:
    """Return the module that people import something of a framework from."""
    if not (getattr(item, "__module__", None) or "").startswith("keras."):
        return ""
    from .keras.expressions import public_name

    return (public_name(item) or "").rpartition(".")[0]


def expression_inside(holder: Any, name: str) -> str | None:
    """Write a layer's own layer or tensor of a name, as ".get_layer('a')".

    None where `holder` is of torch: attributes say it. A tensor that a variable holds is written as the variable.
    """
    if not is_foreign(holder):
        return None
    from .keras import expressions

    inside = holder._modules.get(name)
    if inside is not None:
        return expressions.write_layer(holder, inside)
    tensor = holder._parameters.get(name, holder._buffers.get(name))
    return None if tensor is None else expressions.write_variable(holder, tensor)


def given_name(layer: Any) -> str | None:
    """Return the name that a layer has itself; None of torch's."""
    layer = handed_over(layer)
    return None if _adapter(type(layer)) is None else layer.name


def _layout(layer: Any) -> ModuleType | None:
    if _adapter(type(handed_over(layer))) is None:
        return None
    from .keras import layout

    return layout


def copy_layers(model: nn.Module, memo: dict[int, Any], other: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Copy the layers that `copy.deepcopy` cannot, into its memo.

    `other` copies a tensor that the memo does not have.
    """
    if layers := [one for one in _foreign_layers(model) if handed_over(one) is one]:
        from .keras.copies import LayerCopies

        LayerCopies(memo, other).add(layers)


def is_symbolic(args: Sequence[Any]) -> bool:
    """Say whether a call is to find out shapes, on no tensors."""
    return any(type(one).__name__ == "KerasTensor" for one in args)


def _foreign_layers(model: Any) -> list[nn.Module]:
    """List the layers in a model that are of another framework."""
    if "keras" not in sys.modules or not isinstance(model, nn.Module):
        return []
    return [module for module in model.modules() if _adapter(type(module)) is not None]


def _has_foreign(layers: Sequence[Layer]) -> bool:
    """Say whether a model is, or holds, what is of another framework."""
    return "keras" in sys.modules and any(_adapter(type(handed_over(one.module))) is not None for one in layers)


def refuse_unbuilt(layers: Sequence[Layer]) -> None:
    """Raise ValueError, with the line to write, of an unbuilt model."""
    if is_unbuilt(layers):
        raise ValueError(say_unready(layers, ""))


def known_inputs(model: Any) -> Any:
    """Return empty inputs that a model was built for, or None.

    They hold no values: a tuple, or a dict of keywords. A torch model knows no shapes.
    """
    if _adapter(type(model := handed_over(model))) is None:
        return None
    from .keras.input_shapes import input_tensors

    return input_tensors(model)


def say_unready(layers: Sequence[Layer], call: str) -> str:
    """Say why a model has no shapes of its own.

    Models of torch never have any, and nothing is said of them: "". Those of Keras have, once they are built. `call` is
    how the function is reached that takes a batch.
    """
    if not _has_foreign(layers):
        return ""
    from .keras.unbuilt import say_open, say_unbuilt

    return say_unbuilt(layers, call) or say_open(layers, call)


def is_unbuilt(layers: Sequence[Layer]) -> bool:
    """Say whether a model waits for a shape to have weights."""
    if not _has_foreign(layers):
        return False
    from .keras.unbuilt import find_unbuilt

    return find_unbuilt(layers) is not None


def build_by(layers: Sequence[Layer], inputs: Any, copied: bool = True) -> tuple[nn.Module, str] | None:
    """Build a model that has no shapes yet by a batch.

    Parameters
    ----------
    copied : whether a copy is built, and the model left as it is.

    Returns
    -------
    The built one, and what was done, in a sentence. None: the model is built.

    Raises
    ------
    ValueError : in a sentence, which layer takes no such inputs.
    """
    if not is_unbuilt(layers):
        return None
    from .keras.building import build_for

    return build_for(layers, inputs, copied)


def explain_call(
    error: BaseException, modules: Mapping[str, nn.Module], path: str, given: Sequence[Any], whole: Sequence[Any]
) -> tuple[str, bool] | None:
    """Say why a call of another framework's model failed.

    Parameters
    ----------
    modules : path -> layer, of the whole model.
    path : the layer that was called last; "" for the model.
    given, whole : the shapes of what that layer was given, and of what the model was.

    Returns
    -------
    A sentence, and whether shapes and weights prove it. None: the model is torch's.
    """
    if _adapter(type(handed_over(modules[""]))) is None:
        return None
    from .keras.wrong_inputs import explain_inputs

    return explain_inputs(error, modules, path, given, whole)


def idle_arguments(layers: Sequence[Layer]) -> list[str]:
    """Say which arguments do nothing where they stand, or are missing."""
    if not _has_foreign(layers):
        return []
    from .keras.kinds import say_deaf
    from .keras.unbuilt import idle_shapes

    return [*idle_shapes(layers), *say_deaf(layers)]


def follows_statistics(module: Any) -> bool:
    """Say whether a layer of a framework follows its inputs' statistics.

    It does in training, as a BatchNormalization. torch's own are told by their buffers.
    """
    return _adapter(type(module)) is not None and _freezing().follows(module)


def holds_statistics(module: Any) -> bool:
    """Say whether a layer infers in training by its own flag.

    Keras's BatchNormalization does with `trainable = False`; torch's layers have no such flag.
    """
    return _adapter(type(module)) is not None and _freezing().holds(module)


def freezes_weights_alone(module: Any) -> bool:
    """Say whether statistics move on in a layer frozen by its flags.

    They do in torch's; in Keras's only where the flags of its variables were set, and not its own.
    """
    return _adapter(type(module)) is None or (_freezing().follows(module) and not _freezing().holds(module))


def settle_trainable(model: nn.Module, held: Mapping[int, bool]) -> None:
    """Have a framework's own flags say what trains, by `requires_grad`.

    Parameters
    ----------
    held : the identity of layers with statistics -> whether they are to hold them; others stay as they are.
    """
    if layers := [one for one in model.modules() if _adapter(type(one)) is not None]:
        _freezing().settle(layers, held)


def modes_set_by_calls(model: nn.Module) -> set[int]:
    """Return the identities of modules whose mode each call sets.

    Keras does so to the torch modules that it wraps.
    """
    wrapped = [one for layer in _foreign_layers(model) for one in layer._modules.values() if one is not None]
    return {id(one) for module in wrapped if _adapter(type(module)) is None for one in module.modules()}


def train_flag(model: Any) -> str:
    """Return the flag by which a person freezes by hand."""
    return "requires_grad" if _adapter(type(model)) is None else "trainable"


def tensor_of(value: Any) -> Any:
    """Return the tensor of a framework's variable; all else as it is."""
    ours = any(one.__module__ == "keras.src.backend.common.variables" for one in type(value).__mro__)
    return value._value if ours else value


def dropout_rate_of(layer: Any) -> str:
    """Return the attribute that is a dropout layer's rate, or ""."""
    if isinstance(layer, _DropoutNd):
        return "p"
    return _settings().dropout_rate(layer) if _adapter(type(layer)) is not None else ""


def runs_in_order(module: Any) -> bool:
    """Say whether a model of a framework is layers and their order.

    Keras's Sequential and Functional models are, which have no code of their own.
    """
    return _adapter(type(module)) is not None and module._obj_type() in ("Sequential", "Functional")


def unit_axis(layer: Any, name: str) -> int | None:
    """Return the axis of a weight that counts units, or None."""
    if _adapter(type(layer)) is not None:
        return _settings().find_unit_axis(layer, name)
    return 1 if isinstance(layer, _ConvTransposeNd) else 0


def refuse_rule(layer: Any, rule: Any) -> str:
    """Say why a weight cannot be normalised so; "" where it can."""
    return "" if _adapter(type(layer)) is None else _settings().lacks_rule(layer, rule)


def refuse_dropout(layer: Any) -> str:
    """Say why a dropout layer can drop nothing; "" where it can."""
    return "" if _adapter(type(layer)) is None else _settings().lacks_seed(layer)


def say_for(model: Any, text: str) -> str:
    """Return a text in the words of a model's framework."""
    if _adapter(type(handed_over(model))) is None:
        return text
    from .keras.words import say

    return say(text)


def output_size(layer: Any) -> int | None:
    """Return how many values another framework's layer puts out, or None."""
    return _heads().count_outputs(layer) if _adapter(type(layer)) is not None else None


def renew_output(model: nn.Module, layer: Any, outputs: int) -> bool:
    """Have another framework's layer put out so many values, drawn anew.

    The layer stays where it stands. False of torch's layers, which are left alone.
    """
    if _adapter(type(layer)) is None:
        return False
    suits = _heads().fit_activation(layer, outputs)
    _heads().draw(layer, outputs)
    layer.activation = suits
    adopt(model)
    _heads().renew_shapes(_foreign_layers(model))
    return True


def keeps_activation(layer: Any, outputs: int) -> bool:
    """Say whether a layer's activation suits so many outputs."""
    return _adapter(type(layer)) is None or _heads().fit_activation(layer, outputs) is layer.activation


def follow_parameters(model: nn.Module) -> None:
    """Have another framework's layers go by the parameters that stand in them."""
    if layers := _foreign_layers(model):
        _heads().take_parameters(layers)
        _heads().renew_shapes(layers)


def can_draw(layer: Any) -> bool:
    """Say whether another framework's layer can be drawn anew."""
    return _adapter(type(layer)) is not None and _heads().is_drawable(layer)


def draw_layer(layer: Any) -> None:
    """Draw another framework's layer as it was first."""
    _heads().draw(layer)


def _heads() -> ModuleType:
    from .keras import heads

    return heads


def _settings() -> ModuleType:
    from .keras import settings

    return settings


def _freezing() -> ModuleType:
    from .keras import freezing

    return freezing


#: The packages whose lines in a traceback are not a model's.
PACKAGES = frozenset({"torch", "keras"})


@cache
def _adapter(kind: type) -> ModuleType | None:
    """Return what knows a class's framework; None for torch's own."""
    kind = getattr(kind, "stands_for", kind)
    if any(one.__module__ == "keras.src.layers.layer" for one in kind.__mro__):
        from .keras import adoption

        return adoption
    return None
