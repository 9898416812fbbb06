"""Ablation: scores with channels of a model switched off or scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from ...base.isolation import isolate_model, run_forward
from ...base.outputs import named_tensors, replace_first_tensor
from ...base.trees import call_model, tree_map
from ...data.detection import holds_detections
from ...layers.axes import channel_axis
from ...layers.framework import acts_as
from ...layers.walk import kind_of
from ..forward_pass import on_device_of
from ..layer_choice import layer_paths, no_such_layer

#: Path of a layer -> channel -> the factor that its values are multiplied by; 0 switches it off.
Factors = Mapping[str, Mapping[int, float]]
#: Turns outputs of the model into scores.
Scores = Callable[[torch.Tensor], torch.Tensor] | None
#: Path of a layer that works on each number by itself -> the layer whose channels it hands on.
Behind = Mapping[str, nn.Module]


@contextmanager
def scaled_channels(model: nn.Module, factors: Factors, behind: Behind | None = None) -> Iterator[nn.Module]:
    """Yield the module to call, with channels multiplied by `factors`.

    The model is isolated (see `isolate_model`), and only copies of what layers hand on are changed, at each
    call: of an output with several tensors the first, and of recurrent layers also the last hidden state.
    ValueError: there is no such layer or channel, found when the layer is called, or it cannot be touched.

    Parameters
    ----------
    factors : they are read at each call of a layer, so that they may be changed within, but for their paths.
    behind : what tells along which axis the channels of an elementwise layer lie, where its own shape does
        not: three axes are channels x positions behind a 1-D convolution, else positions x features.
    """
    modules = layer_paths(model)
    for path in factors:
        if path not in modules:
            raise ValueError(no_such_layer(path, modules))
        if isinstance(modules[path], torch.jit.ScriptModule):
            raise ValueError(f"{path or 'The model'} runs inside TorchScript, where nothing can be touched.")
    with isolate_model(model) as eager, ExitStack() as stack:
        for path in factors:
            hook = partial(_scale_output, path, factors, (behind or {}).get(path))
            stack.enter_context(modules[path].register_forward_hook(hook))
        yield eager


def channel_variants(
    layer: str, channel: int, steps: Sequence[float], factors: Factors | None = None
) -> list[dict[str, Mapping[int, float]]]:
    """Return `factors` with one channel at each of several factors."""
    others = dict(factors or {})
    return [{**others, layer: {**others.get(layer, {}), channel: step}} for step in steps]


def scores_under(
    model: nn.Module,
    inputs: Any,
    variants: Sequence[Factors],
    scores: Scores = None,
    behind: Behind | None = None,
) -> list[torch.Tensor]:
    """Compute the scores of `inputs` under each of several factors.

    `inputs` is a batch of one; scores are float32, on the CPU. All share one look: to open and close it takes
    longer than a small model's forward.
    """
    paths = dict.fromkeys(path for factors in variants for path in factors)
    now: dict[str, Mapping[int, float]] = {path: {} for path in paths}
    found = []
    with scaled_channels(model, now, behind) as eager:
        ready = on_device_of(eager, inputs)
        for factors in variants:
            now.update({path: factors.get(path, {}) for path in paths})
            # A copy each time, since a model may write into what it is given.
            given = tree_map(torch.clone, ready)
            output = run_forward(eager, partial(call_model, eager, given))
            if holds_detections(output):
                raise ValueError(
                    "A detector puts out boxes, and no row of scores for each sample: they are drawn over the picture."
                )
            rows = next((tensor for _, tensor in named_tensors(output)), None)
            if rows is None or not rows.is_floating_point() or rows.ndim > 2 or rows.numel() == 0:
                what = "no tensor" if rows is None else f"a tensor of {tuple(rows.shape)}"
                raise ValueError(f"The model puts out {what} for a sample: one row of scores is wanted.")
            rows = rows if rows.ndim == 2 else rows.reshape(1, -1)
            found.append((rows if scores is None else scores(rows)).reshape(-1).float().cpu())
    return found


def _scale_output(
    path: str, factors: Factors, behind: nn.Module | None, module: nn.Module, _args: Any, output: Any
) -> Any:
    channels = factors[path]
    if not channels:
        return output
    if not isinstance(module, nn.RNNBase):
        if isinstance(output, (list, tuple)) and acts_as(module, nn.RNNBase):  # the hidden state is the second
            parts = [_scaled(path, module, one, channels) if at < 2 else one for at, one in enumerate(output)]
            return type(output)(parts)
        by = module if behind is None else behind
        made = replace_first_tensor(output, lambda tensor: _scaled(path, by, tensor, channels))
        if made is None:
            raise ValueError(f"{path or kind_of(module)} puts out no tensor that could be touched.")
        return made
    sequence, state = output
    packed = isinstance(sequence, PackedSequence)
    values = _scaled(path, module, sequence.data if packed else sequence, channels)
    hidden = (state[0] if isinstance(state, tuple) else state).clone()
    directions, width = 2 if module.bidirectional else 1, hidden.shape[-1]
    for channel, factor in channels.items():
        # The last layer's states come last, one for each direction.
        _scale(hidden[-directions + channel // width].select(-1, channel % width), factor)
    made = (hidden, *state[1:]) if isinstance(state, tuple) else hidden
    return (sequence._replace(data=values) if packed else values), made


def _scaled(path: str, module: nn.Module, tensor: torch.Tensor, factors: Mapping[int, float]) -> torch.Tensor:
    name = path or kind_of(module)
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise ValueError(f"{name} puts out {tensor.dtype}, which has no half or double.")
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} puts out a sparse tensor, which cannot be touched.")
    axis = channel_axis(module, tensor)
    if axis is None:
        raise ValueError(f"An output of shape {tuple(tensor.shape)} has no channels.")
    made = tensor.clone()
    for channel, factor in factors.items():
        if not 0 <= channel < tensor.shape[axis]:
            raise ValueError(f"{name} has the channels 0 to {tensor.shape[axis] - 1}, not {channel}.")
        _scale(made.select(axis, channel), factor)
    return made


def _scale(part: torch.Tensor, factor: float) -> None:
    # Zero times infinity is no number, and what is off is off.
    part.zero_() if factor == 0 else part.mul_(factor)
