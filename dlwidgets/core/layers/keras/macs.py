"""The MACs of a Keras layer, by arithmetic.

No counter of torch's sees those of TensorFlow and JAX.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from ...base.held import names_in

Shape = tuple[int, ...]
#: Layers of Keras that multiply by no matrix, beside those that are counted; of other layers inside each counts itself.
_FREE = {
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "AutoContrast", "Average", "AveragePooling1D",
    "AveragePooling2D", "AveragePooling3D", "BatchNormalization", "Bidirectional", "CategoryEncoding", "CenterCrop",
    "Concatenate", "Cropping1D", "Cropping2D", "Cropping3D", "Discretization", "Dropout", "ELU", "Embedding",
    "Flatten", "Functional", "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization",
    "HashedCrossing", "Hashing", "Identity", "InputLayer", "IntegerLookup", "LayerNormalization", "LeakyReLU",
    "Masking", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "Maximum", "Minimum", "Multiply", "Normalization",
    "PReLU", "Permute", "RMSNormalization", "RNN", "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip",
    "RandomGrayscale", "RandomInvert", "RandomTranslation", "ReLU", "RepeatVector", "Rescaling", "Reshape",
    "Resizing", "SeedGenerator", "Sequential", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D",
    "SpectralNormalization", "StackedRNNCells", "StringLookup", "Subtract", "TextVectorization", "TimeDistributed",
    "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D",
    "ZeroPadding3D",
}  # fmt: skip
#: Functions, by name, that multiply by matrices.
_MULTIPLY = {
    "matmul", "dot", "einsum", "tensordot", "inner", "outer", "vdot", "conv", "conv1d", "conv2d", "conv3d",
    "depthwise_conv", "separable_conv", "conv_transpose", "dot_product_attention", "convolve", "correlate", "bmm",
    "batch_dot", "conv_general_dilated", "dot_general",
}  # fmt: skip


def count_macs(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> tuple[int, tuple[str, ...]]:
    """Count what one call of a layer takes, without the layers inside.

    Parameters
    ----------
    given, made : shapes of the tensors that it was given and that it has put out.

    Returns
    -------
    macs : multiply-accumulate operations.
    uncounted : names of what may hold more.
    """
    kinds = [one.__name__ for one in type(layer).__mro__ if one.__module__.startswith("keras.")]
    own = type(layer).__module__.startswith("keras.")
    beside = tuple(_uncounted_operations(layer))
    if not own and _multiplies(layer):
        return 0, (f"{type(layer).__name__}.call", *beside)
    for kind in kinds if own else ():
        if kind in _FREE:
            return 0, beside
        if (count := _COUNTS.get(kind)) is not None and given and made:
            macs = count(layer, given, made)
            return (0, (kind,)) if macs is None else (macs, beside)
    return 0, (type(layer).__name__, *beside) if own else beside


def _uncounted_operations(layer: Any) -> Iterator[str]:
    """Name the functions between a Functional model's layers that multiply."""
    for one in getattr(layer, "_operations", ()):
        if type(one).__module__.startswith("keras.src.ops") and one.name.rstrip("_0123456789") in _MULTIPLY:
            yield f"ops.{type(one).__name__.lower()}"


def _multiplies(layer: Any) -> bool:
    """Say whether a person's layer may multiply by a matrix.

    It does where it holds one, or where its code, or a function of the same file that this calls, says so.
    """
    if any(len(one.shape) > 1 for one in layer._trainable_variables):
        return True
    written = [kind for kind in type(layer).__mro__ if not kind.__module__.startswith(("keras.", "builtins"))]
    inside = (value for kind in written for name, value in vars(kind).items() if name != "__init__")
    waiting = [value for value in inside if isinstance(value, types.FunctionType)]
    seen: set[types.FunctionType] = set()
    while waiting:
        if (function := waiting.pop()) in seen:
            continue
        seen.add(function)
        read, _, attributes = names_in(function.__code__)
        if (read | attributes) & _MULTIPLY or any(step.argrepr == "@" for step in dis.get_instructions(function)):
            return True
        called = (function.__globals__.get(name) for name in read)
        own = (one for one in called if isinstance(one, types.FunctionType))
        waiting += [one for one in own if one.__module__ == function.__module__]
    return False


def _convolution(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    return prod(made[0]) * prod(layer.kernel.shape[:-1])


def _transposed(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    return prod(given[0]) * prod(layer.kernel.shape[:-1])


def _depthwise(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    return prod(made[0]) * prod(layer.kernel.shape[:-2])


def _separable(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    places = prod(made[0]) // layer.filters
    return places * (prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape))


def _dense(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    return prod(made[0]) * layer.kernel.shape[0]


def _einsum(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    letters, out = layer.equation.partition(",")[2].split("->")
    return prod(made[0]) * prod(size for letter, size in zip(letters, layer.kernel.shape) if letter not in out)


def _cell(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int:
    # A state has a number for each unit; that of a convolution for each place, too.
    places = prod(made[0][:-1])
    return places * (prod(layer.kernel.shape) + prod(layer.recurrent_kernel.shape))


def _heads(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int | None:
    if len(given) < 2 or len(given[0]) != 3:
        return None  # which axes attend to which is not seen from here
    heads = getattr(layer, "num_query_heads", None) or layer.num_heads
    width = getattr(layer, "head_dim", None) or layer.key_dim
    return given[0][0] * heads * given[0][1] * given[1][1] * (width + (getattr(layer, "value_dim", None) or width))


def _attention(layer: Any, given: Sequence[Shape], made: Sequence[Shape]) -> int | None:
    if len(given) < 2 or len(given[0]) != 3:
        return None
    (samples, queries, width), (_, keys, out) = given[:2]
    scored = 0 if type(layer).__name__ == "AdditiveAttention" else width
    return samples * queries * keys * (scored + out)


_COUNTS = {
    "Dense": _dense, "EinsumDense": _einsum, "SeparableConv1D": _separable, "SeparableConv2D": _separable,
    "BaseDepthwiseConv": _depthwise, "BaseConvTranspose": _transposed, "BaseConv": _convolution,
    "LSTMCell": _cell, "GRUCell": _cell, "SimpleRNNCell": _cell, "ConvLSTMCell": _cell,
    "MultiHeadAttention": _heads, "GroupedQueryAttention": _heads, "Attention": _attention,
    "AdditiveAttention": _attention,
}  # fmt: skip
