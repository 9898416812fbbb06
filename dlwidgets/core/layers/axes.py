"""The batch and channel axes of a layer's output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..pictures.picture import time_first
from .framework import framework_of
from .walk import kind_of

#: Layers of one spatial axis, N x C x L; a sequence, N x T x D, has three axes too.
_ONE_AXIS = (
    nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d,
    nn.BatchNorm1d, nn.InstanceNorm1d, nn.LPPool1d, nn.Dropout1d, nn.GroupNorm, nn.LocalResponseNorm,
    nn.Upsample,
)  # fmt: skip
#: Layers that work along the last axis, whatever the axes before it.
_LAST = (
    nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention,
    nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder,
    nn.TransformerDecoder,
)  # fmt: skip
#: Layers that say by their kind where the channels are; any other keeps those of what it was given.
_KNOWN = (
    *_LAST, nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LocalResponseNorm,
    nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd, nn.PixelShuffle, nn.PixelUnshuffle, nn.Upsample, nn.RNNCellBase,
)  # fmt: skip
#: The axis of the channels of a tensor, how many axes it has, and how many channels; -1 for any number.
Known = tuple[int, int, int]


def channel_axis(layer: nn.Module, tensor: torch.Tensor, given: Known | None = None) -> int | None:
    """Find the axis of the channels (units, features), or None.

    Axis 1 of images, volumes and what works along one spatial axis, the last one of vectors and sequences,
    and of layers that say so themselves (dense, norm over the last axis, Keras layers with channels last).

    Parameters
    ----------
    tensor : a batch that `layer` put out.
    given : what is known of the tensor that the layer was given: an activation function after a 1-D
        convolution has its channels where the convolution has them.
    """
    if tensor.ndim < 2:
        return None
    kept = None
    if given is not None:
        axis, axes, count = given
        # What puts axes in another order has other sizes there.
        kept = axis if axes == tensor.ndim and count in (-1, tensor.shape[axis]) else None
    if (own := framework_of(layer).channels_of(layer, tensor.ndim, kept)) is not None:
        return own
    if kept is not None and not isinstance(layer, _KNOWN):
        return kept
    said = getattr(layer, "data_format", None)
    if said in ("channels_last", "channels_first"):
        return tensor.ndim - 1 if said == "channels_last" else 1
    if isinstance(layer, _LAST) or tensor.ndim == 2:
        return tensor.ndim - 1
    return 2 if tensor.ndim == 3 and not isinstance(layer, _ONE_AXIS) else 1


def sample_axis(
    layer: nn.Module, shape: Sequence[int], samples: int | None, suffix: str = "", channels: int | None = None
) -> tuple[int, int] | None:
    """Find the axis of the samples, and the rows of each.

    Layers with time first have their samples on axis 1. Where a layer was given several pieces of each sample
    along axis 0, as the windows of an image or heads, each sample has several rows. None: no axis holds them.

    Parameters
    ----------
    shape : of a tensor that `layer` put out.
    samples : how many samples the model was given; None where its inputs do not say.
    suffix : which tensor of the output it is, as "[1][0]" for the hidden state of an LSTM.
    channels : the axis of the channels, which cannot be that of the samples.
    """
    if not samples or not shape:
        return None
    if len(shape) == 3 and _time_first(layer, suffix):
        return (1, 1) if shape[1] == samples else None
    if shape[0] == samples:
        return 0, 1
    if len(shape) > 1 and shape[1] == samples and channels != 1:
        return 1, 1
    return (0, shape[0] // samples) if shape[0] and shape[0] % samples == 0 else None


def samples_first(layer: nn.Module, tensor: torch.Tensor, count: int) -> tuple[torch.Tensor, tuple[int, ...]]:
    """Arrange an output as samples x channels x positions.

    Returns the tensor, and the sizes of the axes that were flattened into positions; () where there are none.
    Raises ValueError: in a clause, why samples or channels cannot be told apart.
    """
    channels = channel_axis(layer, tensor)
    if channels is None:
        raise ValueError("puts out one number, without channels" if tensor.ndim == 0 else "has no channels")
    found = sample_axis(layer, tensor.shape, count, channels=channels)
    if found is None or found[0] == channels:
        raise ValueError(f"puts out {tensor.shape[0]} rows for {count} samples, so that none is known apart")
    rows = tensor.movedim((found[0], channels), (0, 1))
    places, pieces = tuple(rows.shape[2:]), found[1]
    rows = rows.flatten(2) if places else rows[:, :, None]
    if pieces == 1:
        return rows, places
    return rows.unflatten(0, (count, pieces)).transpose(1, 2).flatten(2), (pieces, *places)


def time_first_sentence(path: str, layer: nn.Module) -> str:
    """Say that a layer takes axis 0 for time."""
    return (
        f"{path or 'It'} ({kind_of(layer)}) takes axis 0 of the input for time, and axis 1 for the samples "
        "(batch_first=False). Where axis 0 counts samples, make it with batch_first=True."
    )


def _time_first(layer: nn.Module, suffix: str) -> bool:
    if suffix.startswith("[1]"):  # the states of a recurrence have their layers first
        return isinstance(layer, nn.RNNBase)
    return time_first(layer)
