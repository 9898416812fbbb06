"""Small Keras models that tests share: one of each way to write a model."""

from __future__ import annotations

import keras
import numpy as np
import torch
from keras import layers, ops


def sequential(filters: int = 4, dropout: float = 0.25) -> keras.Sequential:
    """Return a built CNN for 8x8 pictures and three classes."""
    return keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(filters, 3, activation="relu", name="conv"),
        layers.BatchNormalization(name="norm"),
        layers.MaxPooling2D(name="pool"),
        layers.Dropout(dropout, seed=0, name="drop"),
        layers.Flatten(name="flat"),
        layers.Dense(3, name="output"),
    ])  # fmt: skip


def unbuilt() -> keras.Sequential:
    """Return the same CNN without an input shape."""
    model = sequential()
    return keras.Sequential([type(one).from_config(one.get_config()) for one in model.layers])


def functional() -> keras.Model:
    """Return a model of two inputs, two outputs, a shared layer, a nested model and operations without layers."""
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    shared = layers.Dense(5, activation="relu", name="shared")
    nested = keras.Sequential([keras.Input((5,)), layers.Dense(4, name="inner")], name="nested")
    both = ops.add(shared(left), shared(right)) * 2
    mixed = nested(both)
    return keras.Model(
        {"left": left, "right": right},
        {"label": layers.Dense(3, name="label")(mixed), "size": layers.Dense(1, name="size")(both)},
        name="twins",
    )


class Subclassed(keras.Model):
    """Layers in attributes, a list, a dict and under a private name; dropout where it trains."""

    def __init__(self, **named):
        super().__init__(**named)
        self.stem = layers.Dense(6, activation="relu")
        self.blocks = [layers.Dense(6), layers.Dense(6)]
        self.heads = {"label": layers.Dense(3), "size": layers.Dense(1)}
        self._norm = layers.LayerNormalization()
        self.drop = layers.Dropout(0.5, seed=1)

    def call(self, inputs, training=None):
        """Return a dict of two outputs."""
        hidden = self.stem(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        hidden = self.drop(self._norm(hidden), training=training)
        return {name: head(hidden) for name, head in self.heads.items()}


def subclassed() -> Subclassed:
    """Return a subclassed model that has met a batch of 5 features."""
    model = Subclassed()
    model(np.zeros((1, 5), "float32"))
    return model


def recurrent() -> keras.Sequential:
    """Return a text classifier: embedding with a mask, both ways, a stack of cells."""
    return keras.Sequential([
        keras.Input((7,), dtype="int32"),
        layers.Embedding(20, 4, mask_zero=True, name="embed"),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both"),
        layers.RNN([layers.GRUCell(3), layers.SimpleRNNCell(2)], name="stack"),
        layers.Dense(2, name="dense"),
    ])  # fmt: skip


def attention() -> keras.Model:
    """Return a block of a transformer over 6 steps of 8 features."""
    given = keras.Input((6, 8))
    mixed = layers.MultiHeadAttention(2, 4, name="attention")(given, given)
    hidden = layers.LayerNormalization(name="norm")(given + mixed)
    hidden = layers.EinsumDense("abc,cd->abd", (None, 8), bias_axes="d", activation="gelu", name="mix")(hidden)
    return keras.Model(given, layers.Dense(3, name="label")(layers.GlobalAveragePooling1D(name="mean")(hidden)))


def wrapped() -> keras.Sequential:
    """Return torch modules wrapped in a Keras model; channels come first."""
    inside = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU())
    return keras.Sequential([
        layers.TorchModuleWrapper(inside, name="torch_part"), layers.Flatten(), layers.Dense(3, name="dense"),
    ])  # fmt: skip


def augmenting() -> keras.Sequential:
    """Return a model that scales, normalises and augments 8x8 pictures."""
    norm = layers.Normalization(name="normal")
    norm.adapt(np.random.default_rng(0).normal(3, 2, (32, 8, 8, 1)).astype("float32"))
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.Rescaling(1 / 255, name="scale"), norm,
        layers.RandomFlip("horizontal", seed=2, name="flip"), layers.GaussianNoise(0.1, seed=3, name="noise"),
        layers.Flatten(name="flat"), layers.Dense(3, name="dense"),
    ])  # fmt: skip


def spectral() -> keras.Sequential:
    """Return a CNN whose kernels are divided by their largest singular value, with norms over groups."""
    return keras.Sequential([
        keras.Input((8, 8, 1)), layers.SpectralNormalization(layers.Conv2D(4, 3), name="bounded"),
        layers.GroupNormalization(2, name="groups"), layers.GlobalMaxPooling2D(name="most"),
        layers.Dense(3, name="dense"),
    ])  # fmt: skip
