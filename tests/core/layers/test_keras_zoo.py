"""summary() of Keras's own architectures, against Keras's counts, its shapes and published figures."""

from __future__ import annotations

from math import prod

import pytest

keras = pytest.importorskip("keras")

import dlwidgets as dlw

pytestmark = [pytest.mark.keras, pytest.mark.slow]


def macs_by_hand(model) -> int:
    """Multiply each kernel by the places that Keras says its layer puts out."""
    found = 0
    for layer in model._flatten_layers():
        if hasattr(layer, "kernel") and not layer._layers:
            places = layer.output.shape[1:-1]
            found += prod(places) * prod(layer.kernel.shape)
    return found


# MACs as published, in billions: He et al. 2015 (ResNet, table 1); Howard et al. 2019 (MobileNetV3, table 4);
# Tan and Le 2021 (EfficientNetV2, B0 in their code's table); Liu et al. 2022 (ConvNeXt, table 9).
@pytest.mark.parametrize(
    ("name", "published"),
    [("ResNet50", 3.8), ("MobileNetV3Small", 0.056), ("EfficientNetV2B0", 0.72), ("ConvNeXtTiny", 4.5)],
)
def test_an_architecture_of_keras(name, published):
    model = getattr(keras.applications, name)(weights=None, input_shape=(224, 224, 3))
    found = dlw.summary(model, input_shape=(224, 224, 3))
    assert found.complete and not found.uncounted
    assert found.total_parameters == model.count_params()
    assert found.trainable_parameters == sum(prod(one.shape) for one in model.trainable_weights)
    assert {row.path: row.parameters for row in found.rows if row.depth == 1} == {
        layer.name: layer.count_params() for layer in model.layers if type(layer).__name__ != "InputLayer"
    }  # fmt: skip
    assert found.total_macs == macs_by_hand(model)
    assert found.total_macs / 1e9 == pytest.approx(published, rel=0.02)
    for layer in model.layers[1:]:
        assert found[layer.name].output_shape == (1, *layer.output.shape[1:])
