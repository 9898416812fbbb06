"""What a Keras model puts out, by its last layer."""

from __future__ import annotations

from typing import Any

#: Layers after which outputs mean what they meant before.
_KEEPING = ("Reshape", "Flatten", "Permute", "Dropout", "Identity", "Cast", "Squeeze", "ActivityRegularization")


def find_output_kind(model: Any, output: int = 0) -> str | None:
    """Return "softmax", "sigmoid" or "linear"; None where layers do not tell."""
    tensors = getattr(model, "outputs", None) if getattr(model, "_is_graph_network", True) else None
    if tensors:
        return _kind_of(tensors[output])
    layers = getattr(model, "_layers", None)
    found = _kind_of_layer(layers[-1]) if layers else None
    # The layer that was made last may be called before another.
    return found if found in ("softmax", "sigmoid") else None


def _kind_of(tensor: Any) -> str | None:
    layer, node, place = tensor._keras_history
    kind = _kind_of_layer(layer, place)
    if kind == "linear" and (type(layer).__name__ in _KEEPING or type(layer).__name__ == "Activation"):
        inputs = layer._inbound_nodes[node].input_tensors
        return _kind_of(inputs[0]) if inputs else kind
    return kind


def _kind_of_layer(layer: Any, place: int = 0) -> str | None:
    name = type(layer).__name__
    if name in ("Softmax", "Sigmoid"):
        return name.lower()
    if name in _KEEPING:
        return "linear"
    if getattr(layer, "outputs", None) and hasattr(layer, "layers"):
        return find_output_kind(layer, place)
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear" if name in ("Dense", "EinsumDense") or name.startswith("Conv") else None
    return getattr(activation, "__name__", None)
