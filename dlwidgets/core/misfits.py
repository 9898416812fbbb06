"""Why a layer refused its input, in one sentence: the two shapes that clash, and what usually mends it."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

_CONVOLUTIONS = (nn.modules.conv._ConvNd,)


def explain(path: str, module: nn.Module, shape: tuple[int, ...] | None, error: BaseException) -> str:
    """Return a sentence on why `module` at `path` failed on an input of `shape` (batch axis first)."""
    where = f"{path or 'The model'} ({type(module).__name__})"
    clash = find_clash(module, shape)
    if clash is None:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        given = f" on an input of shape {shape}" if shape is not None else ""
        return f"{where} failed{given}: {first}"
    return f"{where} {clash}"


def find_clash(module: nn.Module, shape: tuple[int, ...] | None) -> str | None:
    """Return what clashes between a layer and the shape of its input, with the likely remedy; None if nothing is seen."""
    if not shape:
        return None
    if isinstance(module, nn.Linear) and shape[-1] != module.in_features:
        return _linear(module.in_features, shape)
    if isinstance(module, _CONVOLUTIONS):
        return _convolution(module, shape)
    if isinstance(module, nn.modules.batchnorm._BatchNorm) and len(shape) > 1 and shape[1] != module.num_features:
        return f"normalises {module.num_features} channels, but its input of shape {shape} has {shape[1]}: set num_features={shape[1]}."
    if isinstance(module, nn.RNNBase) and len(shape) in (2, 3) and shape[-1] != module.input_size:
        return f"takes {module.input_size} features a step, but its input of shape {shape} has {shape[-1]}: set input_size={shape[-1]}."
    if isinstance(module, nn.LayerNorm):
        wanted = tuple(module.normalized_shape)
        if shape[-len(wanted):] != wanted:
            return f"normalises the last axes {wanted}, but its input has the shape {shape}."
    return None


def wants(module: nn.Module) -> tuple[str, str] | None:
    """Return what a first layer takes, in words, and an example of `input_shape` for it; None if it does not say."""
    if isinstance(module, nn.Linear):
        return f"{module.in_features} features", f"({module.in_features},)"
    if isinstance(module, _CONVOLUTIONS):
        axes = len(module.kernel_size)
        size = {1: (128,), 2: (32, 32), 3: (16, 32, 32)}[axes]
        kind = {1: "sequences", 2: "images", 3: "volumes"}[axes]
        plural = "s" if module.in_channels != 1 else ""
        return f"{kind} with {module.in_channels} channel{plural}", str((module.in_channels, *size))
    if isinstance(module, nn.Embedding):
        return f"whole numbers below {module.num_embeddings}", "(16,), dtype=torch.long"
    if isinstance(module, nn.RNNBase):
        return f"sequences with {module.input_size} features a step", f"(16, {module.input_size})"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return f"{module.num_features} channels", f"({module.num_features},)"
    return None


def _linear(features: int, shape: tuple[int, ...]) -> str:
    each = math.prod(shape[1:])
    if len(shape) > 2 and each == features:
        return f"takes {features} features, but its input has the shape {shape}: a flatten is missing, put nn.Flatten() before it."
    if len(shape) > 2:
        return (
            f"takes {features} features, but its input of shape {shape} has {shape[-1]} in the last axis: "
            f"with nn.Flatten() before it, in_features must be {each}."
        )
    return f"takes {features} features, but its input of shape {shape} has {shape[-1]}: set in_features={shape[-1]}."


def _convolution(module: Any, shape: tuple[int, ...]) -> str | None:
    axes, channels = len(module.kernel_size), module.in_channels
    if len(shape) == axes + 2:
        if shape[1] == channels:
            small = [s for s, k, p in zip(shape[2:], module.kernel_size, _paddings(module, axes)) if s + 2 * p < k]
            if small and not module.transposed:
                return f"has a kernel of {tuple(module.kernel_size)}, larger than its input of shape {shape}: the image is too small by now."
            return None
        if shape[-1] == channels:
            return f"takes {channels} channels in axis 1, but its input has the shape {shape}: channels come last, use x.movedim(-1, 1)."
        return f"takes {channels} channels, but its input of shape {shape} has {shape[1]}: set in_channels={shape[1]}."
    if len(shape) == axes + 1 and shape[0] != channels:
        return (
            f"takes (batch, {channels}, {', '.join(['size'] * axes)}), but its input has the shape {shape}: "
            "an axis is missing, as x.unsqueeze(1) adds for one channel."
        )
    if len(shape) not in (axes + 1, axes + 2):
        return f"takes {axes + 2} axes (batch, channels, {', '.join(['size'] * axes)}), but its input has the shape {shape}."
    return None


def _paddings(module: Any, axes: int) -> tuple[int, ...]:
    if isinstance(module.padding, str):
        return (10**6,) * axes if module.padding == "same" else (0,) * axes
    return tuple(module.padding)
