"""Dead units of Keras layers: those that end with an activation, and those before one."""

import numpy as np
import pytest
import torch

from dlwidgets.core.layers.dead_units import UnitProbe
from dlwidgets.core.layers.framework import adopt

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras
L = keras.layers


def draw(*parts):
    keras.utils.set_random_seed(3)
    return adopt(keras.Sequential([keras.Input((6, 6, 1)), L.Conv2D(8, 3, name="conv"), *parts]))


@pytest.mark.parametrize(
    ("parts", "paths", "own"),
    [
        ([L.ReLU(name="act")], ["act", "conv"], [True, False]),
        ([L.Activation("relu", name="act")], ["act", "conv"], [True, False]),
        ([L.BatchNormalization(name="bn"), L.ReLU(name="act")], ["act", "conv", "bn"], [True, False, False]),
        ([L.Conv2D(8, 1, activation="relu", name="fused")], ["fused"], [True]),
        ([L.Conv2D(8, 1, activation="relu", name="fused"), L.ReLU(name="act")], ["act", "fused"], [True, True]),
        ([L.Conv2D(8, 1, activation=L.ReLU(), name="a")], ["a", "a.activation"], [False, True]),
        ([L.PReLU(name="act")], [], []),
    ],
)  # fmt: skip
def test_each_layer_is_listed_once_with_the_units_that_put_out_nothing(parts, paths, own):
    model, X = draw(*parts), torch.rand(16, 6, 6, 1, generator=torch.Generator().manual_seed(0))
    probe = UnitProbe(model)
    with probe:
        out = model(X, training=True)
    found = probe.found()
    assert dict(zip(sorted(found.paths), [bool(found.own[found.paths.index(one)]) for one in sorted(found.paths)])) == (
        dict(zip(sorted(paths), [own[paths.index(one)] for one in sorted(paths)]))
    )
    dead = int((np.asarray(out.detach()).max((0, 1, 2)) <= 0).sum())
    assert set(found.dead.tolist()) <= {dead} and len(set(found.paths)) == len(found.paths)
