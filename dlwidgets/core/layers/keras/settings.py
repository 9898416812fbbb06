"""Numbers of Keras layers that are steered while they train."""

from __future__ import annotations

from typing import Any

#: Layers that drop, and those made of them.
_DROPS = {"Dropout", "GaussianDropout", "AlphaDropout"}


def dropout_rate(layer: Any) -> str:
    """Return the attribute that is a dropout layer's rate, or ""."""
    kinds = {kind.__name__ for kind in type(layer).__mro__ if kind.__module__.startswith("keras.")}
    return "rate" if kinds & _DROPS else ""


def lacks_seed(layer: Any) -> str:
    """Say why a dropout layer can drop nothing, in a clause."""
    if hasattr(layer, "seed_generator"):
        return ""
    return f"was made with a rate of 0, and has no random numbers: make it with another, as {type(layer).__name__}(0.1)"


def find_unit_axis(layer: Any, name: str) -> int | None:
    """Return the axis of a weight that counts units, or None.

    A depthwise kernel has a unit for each pair of two axes, and EinsumDense as its equation says.
    """
    kinds = {kind.__name__ for kind in type(layer).__mro__ if kind.__module__.startswith("keras.")}
    if name == "embeddings":
        return 0
    axes = layer._parameters[name].ndim
    if "BaseConvTranspose" in kinds:
        return axes - 2
    usual = name in ("kernel", "pointwise_kernel", "recurrent_kernel") and "BaseDepthwiseConv" not in kinds
    return axes - 1 if usual and not (axes > 2 and "EinsumDense" in kinds) else None


def lacks_rule(layer: Any, rule: Any) -> str:
    """Say why a layer's weight cannot be normalised so, in a clause."""
    if rule == "weight_norm":
        return (
            f"is a {type(layer).__name__} of Keras, whose kernel cannot be split: take 'unit' or 'max_norm' here, or "
            "make the layer with kernel_constraint=keras.constraints.UnitNorm()"
        )
    return "has its inputs on another axis than torch's axis 1: take 'unit'" if rule == "unit_dim1" else ""
