"""What the house asks of a framework, and torch's own answers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.modules.dropout import _DropoutNd

from ..base.compiled import Compiled
from ..base.trees import find_stars
from ..base.weight_file import ENDINGS as WEIGHT_ENDINGS

#: The packages whose lines in a traceback are not a model's.
PACKAGES = frozenset({"torch", "keras"})


class Framework:
    """The answers of a model's framework; these are torch's own.

    Attributes
    ----------
    foreign : whether it is another than torch.
    channels_last : whether outputs have classes and channels last.
    trains_itself : whether a model trains itself, which a session may follow.
    train_flag : the flag by which a person freezes by hand.
    """

    foreign = channels_last = trains_itself = False
    train_flag = "requires_grad"

    def adopt(self, model: Any) -> Any:
        """Return a model as a module: see `adopt`."""
        for layer in foreign_layers(model):
            adopt(layer)
        return model

    def counterpart(self, layer: Any) -> type:
        """Return the class of torch that does what a layer does."""
        return type(layer)

    def added_losses(self, model: Any) -> Any:
        """Return what lists the losses that a call added, or None.

        It has `renew()`, for when the model's layers may be others.
        """
        return None

    def constraints(self, model: Any) -> list[Callable[[], None]]:
        """Return what holds weights within their constraints after each step."""
        return []

    def compiled_with(self, model: Any, given: Collection[str], by_fit: bool = False) -> Compiled | None:
        """Return what a model was compiled with, or None.

        What is `given` to the session itself is left out, and the optimizer where the framework's own fit trains.
        Raises ValueError: something of it has no counterpart.
        """
        return None

    def output_names(self, model: Any) -> tuple[str, ...]:
        """Return the names that a framework gives to a model's outputs."""
        return ()

    def usual_loss(self, model: Any, task: str, targets: torch.Tensor, output: torch.Tensor) -> Any:
        """Return the loss that suits outputs; None for torch's usual one."""
        return None

    def arguments_of(self, layer: Any) -> str | None:
        """Return the telling arguments of another framework's layer, else None."""
        return None

    def input_of(self, layer: Any) -> Any:
        """Return the input that another framework's layer wants, else None."""
        return None

    def counted_beside(self, module: nn.Module) -> list[torch.Tensor]:
        """List the buffers that a layer's framework counts as parameters.

        Keras counts the moving statistics of BatchNormalization; torch counts none.
        """
        return []

    def replace_parameter(self, module: nn.Module, name: str, value: nn.Parameter) -> None:
        """Put another parameter in the place of a layer's own."""
        setattr(module, name, value)

    def why_not_trained(self, module: Any) -> str:
        """Say why torch cannot train a model, or "".

        In sentences, with what to do.
        """
        return ""

    def stated_macs(
        self, module: nn.Module, given: Sequence[tuple[int, ...]], made: Sequence[tuple[int, ...]]
    ) -> tuple[int, tuple[str, ...]]:
        """Return MACs of a call outside torch, and what is uncounted.

        The shapes are those of the tensors given and made; what is computed inside torch is counted there.
        """
        return 0, ()

    def channels_of(self, layer: Any, axes: int, given: int | None = None) -> int | None:
        """Return a layer's axis of channels in so many axes, or None.

        None of torch's own layers. `given` is where they were in what the layer was given, if that had as many axes.
        """
        return None

    def activation_of(self, layer: Any, suffix: str = "") -> tuple[str, int | None]:
        """Return the activation that a layer ends with, and its axis.

        "" for none; the axis is a softmax's.
        Layers of torch end with none: activations are layers by themselves. `suffix` is for one tensor of several.
        """
        return "", None

    def ends_with(self, model: Any) -> str | None:
        """Return the activation that a model's first output ends with.

        "softmax", "sigmoid" or another's name; None where its framework does not tell, as of torch.
        """
        return None

    def without_activation(self, layer: Any) -> AbstractContextManager[None]:
        """Have a layer end without its activation, for a while."""
        return nullcontext()

    def kernels_of(self, layer: Any) -> dict[str, torch.Tensor] | None:
        """Return weights in torch's order of axes; None of torch's layers."""
        return None

    def bias_of(self, layer: Any) -> torch.Tensor | None:
        """Return the bias of a layer, a number a unit, or None."""
        return getattr(layer, "bias", None)

    def gates_of(self, layer: Any) -> tuple[tuple[str, ...], torch.Tensor, torch.Tensor] | None:
        """Return gates and matrices of another framework's recurrent layer, or None."""
        return None

    def attention_of(self, layer: Any) -> dict[str, torch.Tensor]:
        """Return the matrices of another framework's attention, else {}."""
        return {}

    def operations_of(self, modules: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the operations between layers, by name, where a framework lists them.

        `modules` are a model's layers by path. None of torch's models; of a model whose operations have no names it is
        a ValueError.
        """
        return None

    def is_whole(self, layer: Any) -> bool:
        """Say whether a framework makes a layer of others, as attention."""
        return False

    def attends_to_nothing(self, layer: Any) -> bool:
        """Say whether a layer of the framework's own computes no attention itself."""
        return type(layer).__module__.startswith("torch.nn.modules.")

    def stars_of(self, model: Any, inputs: Any) -> str:
        """Return what stands before inputs in a call: "", "*" or "**"."""
        return find_stars(model, inputs)

    def pack_parts(self, model: Any, parts: list[Any]) -> Any:
        """Return several inputs as a foreign model takes them."""
        raise NotImplementedError

    def write_own_file(self, model: Any, weights: Mapping[str, torch.Tensor], place: Path) -> Path | None:
        """Write a file of the model's own framework; None: of none.

        Raises
        ------
        OSError, ValueError : it cannot be written.
        """
        return None

    def describe_numbering(self, model: Any) -> str:
        """Return what helps where layers were renumbered; "" for torch."""
        return ""

    def expression_inside(self, holder: Any, name: str) -> str | None:
        """Write a layer's own layer or tensor of a name, as ".get_layer('a')".

        None where `holder` is of torch: attributes say it. A tensor that a variable holds is written as the variable.
        """
        return None

    def given_name(self, layer: Any) -> str | None:
        """Return the name that a layer has itself; None of torch's."""
        return None

    def known_inputs(self, model: Any) -> Any:
        """Return empty inputs that a model was built for, or None.

        They hold no values: a tuple, or a dict of keywords. A torch model knows no shapes.
        """
        return None

    def explain_call(
        self, error: BaseException, modules: Mapping[str, nn.Module], path: str, given: Sequence[Any],
        whole: Sequence[Any],
    ) -> tuple[str, bool] | None:  # fmt: skip
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
        return None

    def follows_statistics(self, module: Any) -> bool:
        """Say whether a layer of a framework follows its inputs' statistics.

        It does in training, as a BatchNormalization. torch's own are told by their buffers.
        """
        return False

    def holds_statistics(self, module: Any) -> bool:
        """Say whether a layer infers in training by its own flag.

        Keras's BatchNormalization does with `trainable = False`; torch's layers have no such flag.
        """
        return False

    def freezes_weights_alone(self, module: Any) -> bool:
        """Say whether statistics move on in a layer frozen by its flags.

        They do in torch's; in Keras's only where the flags of its variables were set, and not its own.
        """
        return True

    def dropout_rate_of(self, layer: Any) -> str:
        """Return the attribute that is a dropout layer's rate, or ""."""
        return "p" if isinstance(layer, _DropoutNd) else ""

    def runs_in_order(self, module: Any) -> bool:
        """Say whether a model of a framework is layers and their order.

        Keras's Sequential and Functional models are, which have no code of their own.
        """
        return False

    def unit_axis(self, layer: Any, name: str) -> int | None:
        """Return the axis of a weight that counts units, or None."""
        return 1 if isinstance(layer, _ConvTransposeNd) else 0

    def refuse_rule(self, layer: Any, rule: Any) -> str:
        """Say why a weight cannot be normalised so; "" where it can."""
        return ""

    def refuse_dropout(self, layer: Any) -> str:
        """Say why a dropout layer can drop nothing; "" where it can."""
        return ""

    def say_for(self, model: Any, text: str) -> str:
        """Return a text in the words of a model's framework."""
        return text

    def output_size(self, layer: Any) -> int | None:
        """Return how many values another framework's layer puts out, or None."""
        return None

    def renew_output(self, model: nn.Module, layer: Any, outputs: int) -> bool:
        """Have another framework's layer put out so many values, drawn anew.

        The layer stays where it stands. False of torch's layers, which are left alone.
        """
        return False

    def keeps_activation(self, layer: Any, outputs: int) -> bool:
        """Say whether a layer's activation suits so many outputs."""
        return True

    def can_draw(self, layer: Any) -> bool:
        """Say whether another framework's layer can be drawn anew."""
        return False

    def draw_layer(self, layer: Any) -> None:
        """Draw another framework's layer as it was first."""
        raise NotImplementedError


def framework_of(model: Any) -> Framework:
    """Return what answers for a model or layer."""
    return _framework(type(model))


@cache
def _framework(kind: type) -> Framework:
    if is_layer(getattr(kind, "stands_for", kind)):
        from .keras.adapter import Keras

        return Keras()
    return Framework()


@cache
def is_layer(kind: type) -> bool:
    """Say whether a class is a layer of Keras."""
    return any(one.__module__ == "keras.src.layers.layer" for one in kind.__mro__)


def adopt(model: Any) -> Any:
    """Return a model as the module that the house works on.

    A torch module is returned as it is. A Keras model on the torch backend is one, too, but hides its layers: they are
    registered in it, which changes nothing that Keras does. For one on another backend a module that stands for it is
    returned, always the same one. What is no model comes back as it is.
    """
    return framework_of(model).adopt(model)


def handed_over(model: Any) -> Any:
    """Return what a person handed over, of what `adopt` returned."""
    return getattr(model, "_dlwidgets_stands_for", model)


def acts_as(module: Any, kinds: type | tuple[type, ...]) -> bool:
    """Say whether a layer does what one of torch's kinds does.

    Attributes of a layer of another framework have other names.
    """
    return isinstance(module, kinds) or issubclass(framework_of(module).counterpart(module), kinds)


def gives_batches(data: Any) -> bool:
    """Say whether data with a length gives batches by number, not samples."""
    return any(one.__module__.startswith("keras.") and one.__name__ == "PyDataset" for one in type(data).__mro__)


def rows_of_table(module: Any) -> int | None:
    """Return how many rows an embedding has; None of other layers."""
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return module.num_embeddings
    return getattr(handed_over(module), "input_dim", None) if acts_as(module, nn.Embedding) else None


def is_foreign(model: Any) -> bool:
    """Say whether a model or layer is of another framework than torch."""
    return framework_of(model).foreign


def computes_elsewhere(module: Any) -> bool:
    """Say whether a module stands for what torch does not compute."""
    return handed_over(module) is not module


def foreign_layers(model: Any) -> list[nn.Module]:
    """List the layers in a model that are of another framework."""
    if "keras" not in sys.modules or not isinstance(model, nn.Module):
        return []
    return [module for module in model.modules() if is_foreign(module)]


def tensor_of(value: Any) -> Any:
    """Return the tensor of a framework's variable; all else as it is."""
    ours = any(one.__module__ == "keras.src.backend.common.variables" for one in type(value).__mro__)
    return value._value if ours else value


def is_symbolic(args: Sequence[Any]) -> bool:
    """Say whether a call is to find out shapes, on no tensors."""
    return any(type(one).__name__ == "KerasTensor" for one in args)


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


def hear_operations(
    operations: Mapping[str, Any], tell: Callable[[str, Any, Any], None]
) -> AbstractContextManager[None]:
    """Tell of each call within: the operation's name, itself, its output."""
    from .keras.operations import hear_calls

    return hear_calls(operations, tell)


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
