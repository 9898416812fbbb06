"""Attribution: Grad-CAM and gradient times input for a class."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from ...base.isolation import isolate_model, run_forward, watch_model
from ...base.outputs import named_tensors, replace_first_tensor
from ...base.trees import call_model, tree_map, tree_tensors
from ...layers.framework import acts_as, framework_of
from ...layers.walk import kind_of
from ..filters import CONVOLUTIONS
from ..forward_pass import on_device_of
from ..layer_choice import layer_paths, no_such_layer


@dataclass(frozen=True)
class Attribution:
    """How much each place of a sample spoke for a class.

    Attributes
    ----------
    values : float32 on the CPU. Of Grad-CAM, the layer's places (h x w), 0 and more; of gradient x input, the
        shape of the input without its batch axis, signed; of tokens, one number for each.
    target : number of the class.
    score : the output for that class, before any softmax or sigmoid.
    layer : the layer whose maps were weighted; for tokens that of the embedding; else "".
    """

    values: torch.Tensor
    target: int
    score: float
    layer: str = ""


def grad_cam(
    model: nn.Module, inputs: Any, target: int | None = None, layer: str | None = None
) -> Attribution:
    """Compute the Grad-CAM of a class for `inputs`, a batch of one.

    As Selvaraju et al. 2017, equations 1 and 2: each map of a layer is weighted by the mean over its places
    of the gradient of the class's output, before softmax or sigmoid; what is negative in the sum is cut off.
    The model runs in eval mode, and is left as it was; no gradient is kept.

    Parameters
    ----------
    target : number of the class; None: the one with the largest output.
    layer : path of a layer that puts out maps, channels x places; None: the last convolution that runs.

    Raises
    ------
    ValueError : in a sentence: there is no convolution, the layer puts out no maps, or the output is none of
        classes.
    """
    modules = layer_paths(model)
    if layer is not None and layer not in modules:
        raise ValueError(no_such_layer(layer, modules))
    convolutions = {path: module for path, module in modules.items() if acts_as(module, CONVOLUTIONS)}
    if layer is None and not convolutions:
        raise ValueError(
            f"Grad-CAM weights the maps of a convolution, and {kind_of(modules[''])} has none: "
            "gradient × input works without."
        )
    seen: list[torch.Tensor] = []

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        first = next((tensor for _, tensor in named_tensors(output)), None)
        if first is None or first.ndim < 3 or not first.is_floating_point() or seen:
            return output
        leaf = first.detach().requires_grad_()
        seen.append(leaf)
        # A copy, since what follows may write into it.
        return replace_first_tensor(output, lambda _: leaf.clone())

    with _differentiating(model) as eager:
        # Copies, since the model may write into what it is given.
        ready = tree_map(torch.clone, on_device_of(eager, inputs))
        # In the same look: to open and close one takes longer than a small model's forward.
        chosen = _last_called(eager, ready, convolutions) if layer is None else layer
        with _before_activation(eager, ready, modules), modules[chosen].register_forward_hook(hook):
            output = call_model(eager, ready)
        if not seen:
            name = chosen or kind_of(modules[chosen])
            raise ValueError(
                f"Grad-CAM weights maps, channels × places, and {name} puts out none: choose a convolution."
            )
        gradient, number, score = _gradient(output, target, seen[0], chosen or "the layer")
        channels = _axis_of(modules[chosen], gradient)
        places = [axis for axis in range(1, gradient.ndim) if axis != channels]
        cam = (gradient.mean(places, keepdim=True) * seen[0]).sum(channels).relu()[0]
        return Attribution(cam.detach().float().cpu(), number, score, chosen)


def gradient_x_input(model: nn.Module, inputs: Any, target: int | None = None) -> Attribution:
    """Compute gradient times input of a class, for a batch of one.

    Of several inputs the first with floating numbers is told of. Tokens, which are whole numbers, go through
    the first embedding that is given them: gradient by its rows, times the rows, summed over features
    (Shrikumar et al. 2017). ValueError: the input has no effect, or the output is none of classes.
    """
    modules = layer_paths(model)
    with _differentiating(model) as eager:
        ready = on_device_of(eager, inputs)
        if not any(tensor.is_floating_point() for tensor in tree_tensors(ready)):
            return _of_tokens(eager, ready, target, modules)
        ready = tree_map(
            lambda tensor: tensor.detach().clone().requires_grad_(tensor.is_floating_point()), ready
        )
        leaf = next(tensor for tensor in tree_tensors(ready) if tensor.is_floating_point())
        # The model may write into what it is given.
        with _before_activation(eager, ready, modules):
            output = call_model(eager, tree_map(torch.clone, ready))
        gradient, number, score = _gradient(output, target, leaf, "the input")
        return Attribution((gradient * leaf)[0].detach().float().cpu(), number, score)


def _of_tokens(
    model: nn.Module, inputs: Any, target: int | None, modules: dict[str, nn.Module]
) -> Attribution:
    tokens = next(tree_tensors(inputs), None)
    embeddings = {path: module for path, module in modules.items() if acts_as(module, nn.Embedding)}
    if tokens is None or not embeddings:
        raise ValueError(
            "The input holds whole numbers, and the model has no nn.Embedding for a gradient to go through."
        )
    seen: list[tuple[str, torch.Tensor]] = []

    def hook(path: str, _module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        given = args[0] if args else None
        # Keras hands them on as numbers of another type.
        same = isinstance(given, torch.Tensor) and torch.equal(given.reshape(-1).to(tokens.dtype), tokens.reshape(-1))
        if seen or not same:
            return output
        leaf = output.detach().requires_grad_()
        seen.append((path, leaf))
        return leaf.clone()

    with ExitStack() as stack:
        stack.enter_context(_before_activation(model, inputs, modules))
        for path, module in embeddings.items():
            stack.enter_context(module.register_forward_hook(partial(hook, path)))
        output = call_model(model, inputs)
    if not seen:
        raise ValueError("None of the model's embeddings was given the tokens as they are.")
    path, rows = seen[0]
    gradient, number, score = _gradient(output, target, rows, "the tokens")
    values = (gradient * rows).sum(-1).reshape(tokens.shape)[0]
    return Attribution(values.detach().float().cpu(), number, score, path)


def _last_called(model: nn.Module, inputs: Any, wanted: dict[str, nn.Module]) -> str:
    """Find the last layer to run, if possible with several places."""
    calls: list[tuple[str, bool]] = []

    def hook(path: str, module: nn.Module, _args: Any, output: torch.Tensor) -> None:
        calls.append((path, output[0].numel() > output.shape[_axis_of(module, output)]))

    with ExitStack() as stack:
        for path, module in wanted.items():
            stack.enter_context(module.register_forward_hook(partial(hook, path)))
        # Copies, since the model may write into what it is given.
        run_forward(model, lambda: call_model(model, tree_map(torch.clone, inputs)))
    wide = [path for path, places in calls if places] or [path for path, _ in calls]
    if not wide:
        raise ValueError("Grad-CAM weights the maps of a convolution, and none ran on this sample.")
    return wide[-1]


@contextmanager
def _before_activation(model: nn.Module, inputs: Any, modules: dict[str, nn.Module]) -> Iterator[None]:
    """Have the last layer end without its softmax or sigmoid.

    Layers of torch never do: a softmax is a layer by itself there, and stays.
    """
    named = {path: framework_of(module).activation_of(module)[0] for path, module in modules.items()}
    ends = {path: modules[path] for path, name in named.items() if name in ("softmax", "sigmoid")}
    made: list[tuple[nn.Module, Any]] = []
    output = None
    with ExitStack() as stack:
        for module in ends.values():
            stack.enter_context(module.register_forward_hook(lambda module, _args, out: made.append((module, out))))
        if ends:
            output = run_forward(model, lambda: call_model(model, tree_map(torch.clone, inputs)))
    first = next((tensor for _, tensor in named_tensors(output)), None)
    last = next((module for module, out in made if out is first), None)
    with framework_of(last).without_activation(last) if last is not None else nullcontext():
        yield


def _axis_of(layer: nn.Module, maps: torch.Tensor) -> int:
    """Return the axis of the channels, 1 in torch."""
    return framework_of(layer).channels_of(layer, maps.ndim) or 1


def _gradient(
    output: Any, target: int | None, leaf: torch.Tensor, what: str
) -> tuple[torch.Tensor, int, float]:
    """Return the gradient of a class's output, its number and that output."""
    first = next((tensor for _, tensor in named_tensors(output)), None)
    if first is None or not first.is_floating_point() or first.numel() == 0:
        raise ValueError("The model puts out no tensor of numbers, one for each class.")
    # One number for each place, as in segmentation, is summed over the places (Vinogradova et al. 2020).
    rows = first.reshape(1, -1) if first.ndim < 2 else first.flatten(2).sum(2) if first.ndim > 2 else first
    if len(rows) != 1:
        raise ValueError(f"The model puts out {len(rows)} rows for one sample: one a sample is wanted.")
    number = int(rows[0].argmax()) if target is None else target
    if not 0 <= number < rows.shape[1]:
        raise ValueError(f"The model has the classes 0 to {rows.shape[1] - 1}, not {number}.")
    score = rows[0, number]
    found = torch.autograd.grad(score, [leaf], allow_unused=True)[0] if score.requires_grad else None
    if found is None:
        raise ValueError(f"The output does not depend on {what}, or not through a gradient.")
    return found, number, float(score.detach())


@contextmanager
def _differentiating(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the module to call, with gradients for the caller alone."""
    with isolate_model(model) as eager, torch.inference_mode(False), torch.enable_grad():
        recurrent = any(acts_as(module, nn.RNNBase) for module in eager.modules())
        # cuDNN has no backward of a recurrent layer in eval mode.
        cudnn = torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent)
        with cudnn, watch_model(eager):
            yield eager
