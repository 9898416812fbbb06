"""Which axis of what a layer puts out counts its samples, and which its channels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..layers.axes import channel_axis

#: Layers that say by their kind where the channels are; any other keeps those of what it was given.
_KNOWN = (
    nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LocalResponseNorm,
    nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd, nn.PixelShuffle, nn.PixelUnshuffle, nn.Upsample,
    nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention,
    nn.RNNBase, nn.RNNCellBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer,
    nn.TransformerEncoder, nn.TransformerDecoder,
)  # fmt: skip
#: The axis of the channels of a tensor, how many axes it has, and how many channels; -1 for any number.
Known = tuple[int, int, int]


def axis_of_channels(module: nn.Module, tensor: torch.Tensor, given: Known | None = None) -> int | None:
    """Return the axis of the channels in a batch that `module` put out; None where it has none.

    `given` is what is known of the tensor that the module was given: an activation function after a 1-D
    convolution has its channels where the convolution has them.
    """
    if tensor.ndim < 2:
        return None
    if not isinstance(module, _KNOWN) and given is not None:
        axis, axes, count = given
        # What puts axes in another order has other sizes there.
        if axes == tensor.ndim and count in (-1, tensor.shape[axis]):
            return axis
    return channel_axis(module, tensor)


def axis_of_samples(
    module: nn.Module, suffix: str, shape: Sequence[int], samples: int | None
) -> tuple[int, int] | None:
    """Return the axis along which the samples lie, and how many rows of it belong to each; None for none.

    Parameters
    ----------
    suffix : which tensor of the output it is, as "[1][0]" for the hidden state of an LSTM.
    shape : of the tensor.
    samples : how many samples the model was given; None where its inputs do not say.
    """
    if not samples or not shape:
        return None
    if isinstance(module, nn.RNNBase) and len(shape) == 3:
        if suffix.startswith("[1]") or not module.batch_first:
            return (1, 1) if shape[1] == samples else None
    if shape[0] == samples:
        return 0, 1
    if len(shape) > 1 and shape[1] == samples:
        return 1, 1
    # Windows of an image, or heads, that were stacked along the axis of the samples.
    return (0, shape[0] // samples) if shape[0] and shape[0] % samples == 0 else None
