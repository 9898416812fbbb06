"""Attribution: Grad-CAM and gradient times input for a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...base.isolation import isolate_model
from ...base.outputs import named_tensors, replace_first_tensor
from ...base.trees import call_model, tree_map, tree_tensors
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

    def over(self, size: tuple[int, ...]) -> torch.Tensor:
        """Interpolate the values of Grad-CAM to the size of the input."""
        if tuple(self.values.shape) == tuple(size):
            return self.values
        mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[self.values.ndim]
        return F.interpolate(self.values[None, None], size=tuple(size), mode=mode, align_corners=False)[0, 0]


def grad_cam(
    model: nn.Module, inputs: Any, target: int | None = None, layer: str | None = None
) -> Attribution:
    """Compute the Grad-CAM of a class for `inputs`, a batch of one.

    As Selvaraju et al. 2017, equations 1 and 2.

    Each map of a layer is weighted by the mean over its places of the gradient of the class's output, before
    softmax or sigmoid; what is negative in the sum is cut off. The model runs once in eval mode, and is left
    as it was; no gradient is kept.

    Parameters
    ----------
    target : number of the class; None: the one with the largest output.
    layer : path of a layer that puts out maps, N x C x places; None: the last convolution that runs.

    Raises
    ------
    ValueError : in a sentence: there is no convolution, the layer puts out no maps, or the output is none of
        classes.
    """
    modules = layer_paths(model)
    if layer is not None and layer not in modules:
        raise ValueError(no_such_layer(layer, modules))
    wanted = [layer] if layer is not None else _convolutions(modules)
    if not wanted:
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
        ready = on_device_of(eager, inputs)
        # In the same look: to open and close one takes longer than a small model's forward.
        chosen = _last_called(eager, ready, wanted, modules) if layer is None else layer
        with _hooked(modules[chosen], hook):
            output = call_model(eager, ready)
        if not seen:
            raise ValueError(_no_maps(chosen, modules))
        maps = seen[0]
        score, number = _of_class(output, target)
        (gradient,) = _gradients(score, [maps], chosen)
        places = tuple(range(2, maps.ndim))
        weights = gradient.mean(places, keepdim=True)
        cam = (weights * maps).sum(1).relu()[0]
        return Attribution(cam.detach().float().cpu(), number, float(score.detach()), chosen)


def gradient_x_input(model: nn.Module, inputs: Any, target: int | None = None) -> Attribution:
    """Compute gradient times input of a class for `inputs`.

    `inputs` is a batch of one; the gradient is that of the class's output by the input.

    Of several inputs the first with floating numbers is told of. Tokens, which are whole numbers, go through
    the first embedding that is given them: gradient by its rows, times the rows, summed over features
    (Shrikumar et al. 2017).

    Raises
    ------
    ValueError : in a sentence: the input has no effect, or the output is none of classes.
    """
    modules = layer_paths(model)
    with _differentiating(model) as eager, ExitStack() as stack:
        ready = on_device_of(eager, inputs)
        if not any(tensor.is_floating_point() for tensor in tree_tensors(ready)):
            return _of_tokens(eager, ready, target, modules, stack)
        ready = tree_map(
            lambda tensor: tensor.detach().clone().requires_grad_(tensor.is_floating_point()), ready
        )
        leaf = next(tensor for tensor in tree_tensors(ready) if tensor.is_floating_point())
        # The model may write into what it is given.
        given = tree_map(lambda tensor: tensor.clone(), ready)
        score, number = _of_class(call_model(eager, given), target)
        (gradient,) = _gradients(score, [leaf], "the input")
        return Attribution((gradient * leaf)[0].detach().float().cpu(), number, float(score.detach()))


def _of_tokens(
    model: nn.Module, inputs: Any, target: int | None, modules: dict[str, nn.Module], stack: ExitStack
) -> Attribution:
    tokens = next(tree_tensors(inputs), None)
    embeddings = {path: module for path, module in modules.items() if isinstance(module, nn.Embedding)}
    if tokens is None or not embeddings:
        raise ValueError(
            "The input holds whole numbers, and the model has no nn.Embedding for a gradient to go through."
        )
    seen: list[tuple[str, torch.Tensor]] = []

    def hook(path: str) -> Callable[..., Any]:
        def run(_module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            same = args and isinstance(args[0], torch.Tensor) and args[0].numel() == tokens.numel()
            if seen or not same or not torch.equal(args[0].reshape(-1), tokens.reshape(-1)):
                return output
            leaf = output.detach().requires_grad_()
            seen.append((path, leaf))
            return leaf.clone()

        return run

    for path, module in embeddings.items():
        stack.enter_context(_hooked(module, hook(path)))
    output = call_model(model, inputs)
    if not seen:
        raise ValueError("None of the model's embeddings was given the tokens as they are.")
    path, rows = seen[0]
    score, number = _of_class(output, target)
    (gradient,) = _gradients(score, [rows], "the tokens")
    values = (gradient * rows).sum(-1).reshape(tokens.shape)[0]
    return Attribution(values.detach().float().cpu(), number, float(score.detach()), path)


def _convolutions(modules: dict[str, nn.Module]) -> list[str]:
    return [path for path, module in modules.items() if isinstance(module, CONVOLUTIONS)]


def _last_called(model: nn.Module, inputs: Any, wanted: list[str], modules: dict[str, nn.Module]) -> str:
    """Find the last layer to run, if possible with several places."""
    calls: list[tuple[str, bool]] = []

    def hook(path: str) -> Callable[..., None]:
        def run(_module: nn.Module, _args: Any, output: torch.Tensor) -> None:
            calls.append((path, output.shape[2:].numel() > 1))

        return run

    with torch.no_grad(), ExitStack() as stack:
        for path in wanted:
            stack.enter_context(_hooked(modules[path], hook(path)))
        # Copies, since the model may write into what it is given.
        call_model(model, tree_map(torch.clone, inputs))
    wide = [path for path, places in calls if places] or [path for path, _ in calls]
    if not wide:
        raise ValueError("Grad-CAM weights the maps of a convolution, and none ran on this sample.")
    return wide[-1]


def _no_maps(path: str, modules: dict[str, nn.Module]) -> str:
    name = path or kind_of(modules[path])
    return f"Grad-CAM weights maps, channels × places, and {name} puts out none: choose a convolution."


def _of_class(output: Any, target: int | None) -> tuple[torch.Tensor, int]:
    """Return the output for a class, and the number of that class."""
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
    return rows[0, number], number


def _gradients(score: torch.Tensor, leaves: list[torch.Tensor], what: str) -> tuple[torch.Tensor, ...]:
    if score.requires_grad:
        found = torch.autograd.grad(score, leaves, allow_unused=True)
        if found[0] is not None:
            return found
    raise ValueError(f"The output does not depend on {what or 'the layer'}, or not through a gradient.")


@contextmanager
def _differentiating(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the module to call, with gradients for the caller alone."""
    with isolate_model(model) as eager, torch.inference_mode(False), torch.enable_grad():
        recurrent = any(isinstance(module, nn.RNNBase) for module in eager.modules())
        # cuDNN has no backward of a recurrent layer in eval mode.
        with torch.backends.cudnn.flags(enabled=torch.backends.cudnn.enabled and not recurrent):
            yield eager


@contextmanager
def _hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
