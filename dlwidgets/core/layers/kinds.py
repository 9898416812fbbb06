"""torch's own layers: their telling arguments, and the input each wants."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _LPPoolNd, _MaxPoolNd
from torch.nn.parameter import is_lazy

from .framework import acts_as, framework_of

#: Names of the axes of what a convolution over so many dimensions takes, behind batch and channels.
SPACE = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}


def shape_words(shape: Any) -> str:
    """Return a shape in words: "16×64×64"; "scalar" for none."""
    return "×".join(map(str, shape)) or "scalar"


def dtype_name(dtype: torch.dtype) -> str:
    """Return the name of a dtype without its "torch."."""
    return str(dtype).removeprefix("torch.")


def layer_arguments(module: nn.Module) -> str:
    """Return a layer's telling arguments in short: "3×3"; "" for none."""
    if (said := framework_of(module).arguments_of(module)) is not None:
        return said
    if isinstance(module, _ConvNd):
        words = [shape_words(module.kernel_size)]
        if any(step != 1 for step in module.stride):
            words.append(f"/{_one(module.stride)}")
        if module.groups > 1:
            words.append("depthwise" if module.groups == module.in_channels else f"{module.groups} groups")
        if any(step != 1 for step in module.dilation):
            words.append(f"dilated {_one(module.dilation)}")
        return " ".join(words)
    if isinstance(module, (_MaxPoolNd, _AvgPoolNd, _LPPoolNd)):
        size = module.kernel_size
        return shape_words(size if isinstance(size, tuple) else (size,) * _dimensions(module))
    if isinstance(module, (_AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd)):
        size = module.output_size
        size = size if isinstance(size, (tuple, list)) else (size,) * _dimensions(module)
        return "to " + shape_words("·" if part is None else part for part in size)
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return f"{module.p:g}"
    if isinstance(module, (nn.LeakyReLU, nn.ELU, nn.CELU)):
        return f"{getattr(module, 'negative_slope', getattr(module, 'alpha', 0)):g}"
    if isinstance(module, nn.RNNBase):
        words = [f"{module.num_layers} layers"] if module.num_layers > 1 else []
        return " ".join([*words, *(["both ways"] if module.bidirectional else [])])
    if isinstance(module, nn.MultiheadAttention):
        return f"{module.num_heads} heads"
    if isinstance(module, nn.GroupNorm):
        return f"{module.num_groups} groups"
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)):
        return f"of {module.num_embeddings:,}"
    if isinstance(module, nn.Upsample):
        given = module.scale_factor if module.size is None else module.size
        parts = given if isinstance(given, (tuple, list)) else (given,)
        if module.size is not None:
            return "to " + shape_words(parts)
        return "× " + "×".join(f"{part:g}" for part in parts) if given is not None else ""
    return f"× {module.upscale_factor}" if isinstance(module, nn.PixelShuffle) else ""


def packed_weights(module: nn.Module) -> tuple[int, str] | None:
    """Return number and dtype of a quantised layer's packed weights, or None."""
    packed = hasattr(module, "_packed_params") or hasattr(module, "_all_weight_values")
    if not packed or not type(module).__module__.startswith("torch.ao.nn"):
        return None
    try:
        found = module.get_weight() if hasattr(module, "get_weight") else module.weight()
    except (AttributeError, RuntimeError, TypeError):
        return None
    weights = list(found.values()) if isinstance(found, dict) else [found]
    types = dict.fromkeys(dtype_name(weight.dtype) for weight in weights)
    return sum(weight.numel() for weight in weights), "+".join(types)


#: Weights that are looked through for zeros, and the share of zeros that nobody has by chance.
_LOOKED_AT, _MANY_ZEROS = 16_000_000, 0.1
#: Parameters that begin as zeros, those of Keras with two axes.
_MADE_OF_ZEROS = ("bias", "beta", "lora_kernel_b", "lora_embeddings_b")
#: How many of a weight's numbers tell whether it is worth while to count all of them.
_SAMPLED = 512


def masked_weights(module: nn.Module) -> tuple[int, int, bool] | None:
    """Count a layer's pruned weights.

    Returns how many, of how many, and whether a mask holds them; None where there are none.
    Masks are those of torch.nn.utils.prune, and of parametrizations with a `mask`. Without a mask it is the
    zeros in matrices and kernels, where these are a tenth or more.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return None
    masks = [mask for name, mask in module._buffers.items() if name.endswith("_mask")
             and f"{name.removesuffix('_mask')}_orig" in module._parameters]  # fmt: skip
    for listed in getattr(module, "parametrizations", {}).values():
        masks += [mask for one in listed for name, mask in one._buffers.items() if name == "mask"]
    weights = masks or [
        weight for name, weight in module._parameters.items()
        if weight is not None and not is_lazy(weight) and weight.ndim > 1 and weight.numel() <= _LOOKED_AT
        and type(weight) is nn.Parameter and not acts_as(module, (nn.Embedding, nn.EmbeddingBag))
        and name not in _MADE_OF_ZEROS
    ]  # fmt: skip
    weights = [weight for weight in weights if weight is not None and not weight.is_meta]
    if not masks and not any(map(_may_hold_zeros, weights)):
        return None
    count, zeros = sum(w.numel() for w in weights), sum(w.numel() - int(torch.count_nonzero(w)) for w in weights)
    return (zeros, count, bool(masks)) if zeros and (masks or zeros >= _MANY_ZEROS * count) else None


def _may_hold_zeros(weight: torch.Tensor) -> bool:
    """Say whether zeros stand among some hundreds of a weight's numbers.

    They are taken at a distance that shares no factor with any axis, so that pruned rows, columns and
    channels are met in proportion.
    """
    step = max(weight.numel() // _SAMPLED, 1)
    while any(gcd(step, size) > 1 for size in weight.shape):
        step += 1
    some = weight.detach().reshape(-1)[::step]
    return int(torch.count_nonzero(some)) < some.numel()


@dataclass(frozen=True)
class WantedInput:
    """What a layer wants as input."""

    shape: str  #: In words, batch axis first: "N×3×H×W".
    #: The shape of one sample in code, a letter where an axis is free to choose: (3, "H", "W").
    sample: tuple[int | str, ...]
    whole_numbers: bool = False  #: Whether it wants integers.
    also: str = ""  #: What else there is to know, a clause; "" for nothing.


def wanted_input(module: nn.Module) -> WantedInput | None:
    """Return the input that a layer wants; None where unknown."""
    if (wanted := framework_of(module).input_of(module)) is not None:
        return wanted
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        axes = SPACE.get(_dimensions(module), ()) if isinstance(module, (_ConvNd, _NormBase)) else ()
        sample = ("C", *axes) if axes else ("features",)
        also = "it is not built yet and takes the number that it meets first"
        return WantedInput(shape_words(("N", *sample)), sample, also=also)
    if isinstance(module, _ConvNd):
        sample = (module.in_channels, *SPACE[_dimensions(module)])
        return WantedInput(shape_words(("N", *sample)), sample)
    if isinstance(module, nn.Linear):
        return WantedInput(f"N×{module.in_features}", (module.in_features,))
    if isinstance(module, nn.Embedding):
        return WantedInput(
            "N×L", ("L",), True, f"whole numbers from 0 to {module.num_embeddings - 1:,} (torch.long)"
        )
    if isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
        axes, attends = "N×L" if module.batch_first else "L×N", isinstance(module, nn.MultiheadAttention)
        size = module.embed_dim if attends else module.input_size
        return WantedInput(f"{axes}×{size}", ("L", size), also="as query, key and value" if attends else "")
    if isinstance(module, _NormBase):
        axes = SPACE.get(_dimensions(module), ())
        sample = (module.num_features, *(axes if len(axes) > 1 else ()))
        return WantedInput(shape_words(("N", *sample)), sample)
    if isinstance(module, nn.LayerNorm):
        return WantedInput(f"N×{shape_words(module.normalized_shape)}", tuple(module.normalized_shape))
    return None


def _dimensions(module: nn.Module) -> int:
    """Return a layer's spatial dimensions: 2 for Conv2d; 0 for none."""
    name = next((cls.__name__ for cls in type(module).__mro__ if cls.__name__[-2:] in ("1d", "2d", "3d")), "")
    return int(name[-2]) if name else 0


def _one(values: tuple[int, ...]) -> str:
    return str(values[0]) if len(set(values)) == 1 else shape_words(values)
