"""What the table says of Keras's layers beside their class."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

keras = pytest.importorskip("keras")

from keras import layers

import dlwidgets as dlw
from dlwidgets.core.layers.framework import acts_as
from dlwidgets.core.layers.kinds import layer_arguments, wanted_input

pytestmark = pytest.mark.keras


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (lambda: layers.Conv2D(8, 3, strides=2, activation="relu"), "3×3 /2, relu"),
        (lambda: layers.Conv1D(8, 3, dilation_rate=2), "3 dilated 2"),
        (lambda: layers.DepthwiseConv2D((3, 5), depth_multiplier=2), "3×5 2 filters a channel"),
        (lambda: layers.MaxPooling2D(), "2×2"),
        (lambda: layers.AveragePooling2D(3, strides=2), "3×3 /2"),
        (lambda: layers.Dropout(0.25), "0.25"),
        (lambda: layers.Embedding(10_000, 4, mask_zero=True), "of 10,000, 0 masked"),
        (lambda: layers.MultiHeadAttention(8, 4), "8 heads"),
        (lambda: layers.LayerNormalization(axis=[1, 2]), "over axes 1, 2"),
        (lambda: layers.Dense(3, activation="softmax"), "softmax"),
        (lambda: layers.Dense(3), ""),
        (lambda: layers.LSTM(3), ""),
        (lambda: layers.GRU(3, dropout=0.2, go_backwards=True), "backwards, dropout 0.2"),
        (lambda: layers.Rescaling(1 / 127.5, offset=-1), "× 0.00784 -1"),
        (lambda: layers.Reshape((4, -1)), "to 4×·"),
        (lambda: layers.RandomRotation(0.1), "±0.1"),
    ],
)
def test_telling_arguments(layer, said):
    assert layer_arguments(layer()) == said


@pytest.mark.any_backend
def test_a_convolution_with_a_group_for_each_channel_is_depthwise():
    layer = layers.Conv2D(8, 3, groups=4)
    layer.build((None, 8, 8, 4))
    assert layer_arguments(layer) == "3×3 depthwise"


@pytest.mark.any_backend
def test_a_layer_of_ones_own_made_from_one_of_them_tells_what_it_can():
    class Odd(layers.Conv2D):
        def __init__(self):
            super().__init__(3, 2)
            self.dilation_rate = None

    assert layer_arguments(Odd()) == ""


@pytest.mark.any_backend
def test_adapters_of_low_rank_are_told():
    layer = layers.Dense(8, activation="relu")
    layer.build((None, 8))
    layer.enable_lora(2)
    assert layer_arguments(layer) == "relu, LoRA of rank 2"


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("layer", "shape", "wanted"),
    [
        (lambda: layers.Conv2D(8, 3), (None, 8, 8, 3), ("H", "W", 3)),
        (lambda: layers.Conv2D(8, 3, data_format="channels_first"), (None, 3, 8, 8), (3, "H", "W")),
        (lambda: layers.Dense(8), (None, 5), (5,)),
        (lambda: layers.Embedding(9, 2), (None, 4), ("L",)),
    ],
)
def test_a_built_layer_says_what_it_wants(layer, shape, wanted):
    layer = layer()
    layer.build(shape)
    assert wanted_input(layer).sample == wanted


@pytest.mark.any_backend
@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (lambda: layers.Conv2D(2, 3), nn.Conv2d), (lambda: layers.Dense(2), nn.Linear),
        (lambda: layers.BatchNormalization(), nn.BatchNorm2d), (lambda: layers.SpatialDropout2D(0.1), nn.Dropout2d),
        (lambda: layers.Activation("relu"), nn.ReLU), (lambda: layers.LSTM(2), nn.RNNBase),
        (lambda: layers.GlobalAveragePooling2D(), nn.AdaptiveAvgPool2d),
    ],
)  # fmt: skip
def test_a_layer_acts_as_its_counterpart_of_torch_and_as_no_other(layer, kind):
    assert acts_as(layer(), kind) and not acts_as(layer(), nn.ConvTranspose3d)


class Net(keras.Model):
    """Leaves out `training`, or passes it on."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop = layers.BatchNormalization(), layers.Dropout(0.9)

    def call(self, inputs):
        return self.drop(self.norm(inputs))


class Told(Net):
    def call(self, inputs, training=None):
        return self.drop(self.norm(inputs, training=training), training=training)


@pytest.mark.any_backend
@pytest.mark.parametrize(("kind", "heard"), [(Net, False), (Told, True)])
def test_layers_that_never_learn_of_training_are_told_and_do_not_in_keras(kind, heard):
    model = kind()
    model.compile(optimizer="sgd", loss="mse")
    model.fit(np.ones((8, 5)), np.ones((8, 5)), verbose=0)
    assert bool(model.norm.moving_mean.numpy().any()) is heard
    said = "Net.call takes no training, so that norm (BatchNormalization) and drop (Dropout) act in training as in"
    assert (said in dlw.summary(model, input_shape=(5,)).how) is not heard
