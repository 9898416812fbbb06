"""Along which axes of a layer's output its samples and its channels lie."""

from __future__ import annotations

import torch
from torch import nn

#: Layers of one spatial axis, N x C x L; a sequence, N x T x D, has three axes too.
_ONE_AXIS = (
    nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d,
    nn.BatchNorm1d, nn.InstanceNorm1d, nn.LPPool1d, nn.Dropout1d, nn.GroupNorm, nn.LocalResponseNorm, nn.Upsample,
)  # fmt: skip
#: Layers that work along the last axis, whatever the axes before it.
_LAST = (
    nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention,
    nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder,
    nn.TransformerDecoder,
)  # fmt: skip


def channel_axis(layer: nn.Module, tensor: torch.Tensor) -> int:
    """Return the axis of the channels (units, features) in `tensor`, a batch that `layer` put out.

    Axis 1 of images, volumes and what works along one spatial axis, the last one of vectors and sequences,
    and of layers that say so themselves (dense, norm over the last axis, Keras layers with channels last).

    Raises
    ------
    ValueError : `tensor` has no axis beside the batch's.
    """
    if tensor.ndim < 2:
        raise ValueError(f"An output of shape {tuple(tensor.shape)} has no channels.")
    said = getattr(layer, "data_format", None)
    if said in ("channels_last", "channels_first"):
        return tensor.ndim - 1 if said == "channels_last" else 1
    if isinstance(layer, _LAST) or tensor.ndim == 2:
        return tensor.ndim - 1
    if tensor.ndim == 3 and not isinstance(layer, _ONE_AXIS):
        return 2
    return 1


def samples_first(layer: nn.Module, tensor: torch.Tensor, count: int) -> torch.Tensor:
    """Return `tensor`, what `layer` put out for `count` samples, as count x channels x positions.

    Layers with time first have their samples on axis 1. Where a layer was given several pieces of each sample
    along axis 0, as the windows of an image, they are taken for positions.

    Raises
    ------
    ValueError : in a clause, why samples or channels cannot be told apart.
    """
    if tensor.ndim < 2:
        raise ValueError("puts out one number, without channels" if tensor.ndim == 0 else "has no channels")
    axis = channel_axis(layer, tensor)
    first = not (_time_first(layer) or tensor.shape[0] != count and tensor.shape[1] == count and axis != 1)
    if tensor.ndim == 3 and not first and tensor.shape[1] == count:
        return tensor.permute(1, 2, 0)
    if count == 0 or tensor.shape[0] % count:
        raise ValueError(f"puts out {tensor.shape[0]} rows for {count} samples, so that none is known apart")
    rows = tensor.movedim(axis, 1).flatten(2) if tensor.ndim > 2 else tensor[:, :, None]
    pieces = len(rows) // count
    return rows if pieces == 1 else rows.unflatten(0, (count, pieces)).transpose(1, 2).flatten(2)


def spatial_shape(layer: nn.Module, tensor: torch.Tensor, count: int) -> tuple[int, ...]:
    """Return the sizes of the axes that `samples_first` flattens into positions; () where there are none."""
    axis = channel_axis(layer, tensor)
    if tensor.ndim == 3 and tensor.shape[0] != count and tensor.shape[1] == count and axis != 1:
        return (tensor.shape[0],)
    if tensor.ndim == 3 and _time_first(layer) and tensor.shape[1] == count:
        return (tensor.shape[0],)
    rest = tuple(size for number, size in enumerate(tensor.shape) if number not in (0, axis))
    return rest if tensor.shape[0] == count else (tensor.shape[0] // max(1, count), *rest)


def _time_first(layer: nn.Module) -> bool:
    if isinstance(layer, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        layer = layer.self_attn
    return isinstance(layer, (nn.RNNBase, nn.MultiheadAttention)) and not layer.batch_first
