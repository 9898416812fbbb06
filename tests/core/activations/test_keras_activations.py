"""What layers of Keras put out, against the tutorial's own way: `keras.Model(inputs, layer.output).predict(X)`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

keras = pytest.importorskip("keras")

from keras import layers, ops

from dlwidgets import activations
from dlwidgets.core.activations.distribution import Limits, limits_of
from tests import keras_models

pytestmark = pytest.mark.keras

RNG = np.random.default_rng(0)
PICTURES = RNG.random((5, 8, 8, 1))
SIGNALS = RNG.random((3, 12, 5)).astype("float32")


def same(ours, theirs) -> bool:
    """Say whether they are equal: to the last bit on torch, where there is no compiler."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if keras.backend.backend() == "torch":
        return ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    return np.allclose(ours, theirs, 1e-5, 1e-6)


def by_tutorial(model, layer: str, X):
    """Return what a layer puts out, as Keras's own documentation has it."""
    return keras.Model(model.inputs, model.get_layer(layer).output).predict(X, verbose=0)


@pytest.mark.any_backend
@pytest.mark.parametrize("kind", ["float64", "float32", "uint8"])
def test_each_layer_of_a_sequential_gives_what_the_tutorial_finds(kind):
    model, X = keras_models.sequential(), (PICTURES * 9).astype(kind)
    found = activations(model, X)
    assert [*found] == [layer.name for layer in model.layers]
    for name, tensor in found.items():
        assert same(tensor, by_tutorial(model, name, X)), name


@pytest.mark.any_backend
def test_each_layer_of_a_model_of_two_inputs_and_outputs_gives_what_the_tutorial_finds():
    model = keras_models.functional()
    X = {"left": RNG.random((4, 6)), "right": RNG.random((4, 6))}
    found = activations(model, X, ["shared", "nested", "nested.inner", "label", "size"])
    shared = model.get_layer("shared")
    first, second = (keras.Model(model.inputs, node.output_tensors[0]) for node in shared._inbound_nodes[-2:])
    assert same(found["shared"], first.predict(X, verbose=0))
    assert same(found["shared#2"], second.predict(X, verbose=0))
    for name in ("nested", "label", "size"):
        assert same(found[name], by_tutorial(model, name, X)), name
    assert same(found["nested.inner"], found["nested"])
    assert same(found.output["label"], model.predict(X, verbose=0)["label"])


@pytest.mark.any_backend
@pytest.mark.parametrize("way", [list, tuple, dict])
def test_several_inputs_are_handed_over_in_any_way_that_keras_takes(way):
    model, left, right = keras_models.functional(), RNG.random((4, 6)), RNG.random((4, 6))
    X = {"left": left, "right": right} if way is dict else way([left, right])
    assert same(activations(model, X).output["size"], model.predict({"left": left, "right": right}, verbose=0)["size"])


@pytest.mark.any_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_tensors_are_taken_as_arrays_are(dtype):
    model, X = keras_models.sequential(), (PICTURES * 9).astype(str(dtype).removeprefix("torch."))
    assert same(activations(model, torch.from_numpy(X))["conv"], by_tutorial(model, "conv", X))


@pytest.mark.any_backend
def test_sequences_and_states_of_recurrent_layers_are_what_the_tutorial_finds():
    given = keras.Input((12, 5))
    sequence, *states = layers.LSTM(4, return_sequences=True, return_state=True, name="lstm")(given)
    gru = layers.GRU(3, return_sequences=True, name="gru")(sequence)
    both = layers.Bidirectional(layers.LSTM(3), name="both")(gru)
    model = keras.Model(given, [layers.Dense(2, name="out")(both), *states])
    found = activations(model, SIGNALS)
    assert [*found] == ["lstm", "lstm[1]", "lstm[2]", "gru", "both", "out"]
    for suffix, theirs in zip(("", "[1]", "[2]"), by_tutorial(model, "lstm", SIGNALS)):
        assert same(found[f"lstm{suffix}"], theirs)
    for name in ("gru", "both", "out"):
        assert same(found[name], by_tutorial(model, name, SIGNALS)), name
    # The cell's state has no end, all others are a tanh's.
    assert found.limits["lstm[2]"] is None and found.limits["lstm"] == found.limits["lstm[1]"] == limits_of("tanh")


@pytest.mark.parametrize("options", [{}, {"dropout": 0.1}, {"flash_attention": False}])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_weights_are_the_scores_that_keras_returns(options, causal):
    if causal and "dropout" in options and keras.version().startswith(("3.11.", "3.12.")):
        pytest.skip("with a mask and dropout, weights of attention are seen from Keras 3.13 on")
    given = keras.Input((12, 5))
    attention = layers.MultiHeadAttention(2, 4, name="mha", **options)
    made = attention(given, given, use_causal_mask=causal)
    model = keras.Model(given, layers.Dense(2)(made))
    found = activations(model, SIGNALS)
    theirs = attention(SIGNALS, SIGNALS, use_causal_mask=causal, return_attention_scores=True)[1].detach()
    assert found["mha[attention]"].shape == (3, 2, 12, 12) == theirs.shape
    assert torch.allclose(found["mha[attention]"], theirs, atol=1e-6)
    assert same(found["mha"], by_tutorial(model, "mha", SIGNALS))


def test_heads_that_share_keys_have_weights_of_their_own():
    given = keras.Input((12, 5))
    attention = layers.GroupQueryAttention(4, num_query_heads=4, num_key_value_heads=2, name="grouped")
    model = keras.Model(given, attention(given, given))
    theirs = attention(SIGNALS, SIGNALS, return_attention_scores=True)[1].detach()
    assert torch.allclose(activations(model, SIGNALS)["grouped[attention]"], theirs, atol=1e-6)


def test_attention_passes_over_what_is_masked():
    given = keras.Input((7,))
    hidden = layers.Embedding(9, 4, mask_zero=True)(given)
    model = keras.Model(given, layers.MultiHeadAttention(2, 4, name="mha")(hidden, hidden))
    weights = activations(model, np.array([[1, 2, 3, 0, 0, 0, 0]]), "mha")["mha[attention]"]
    assert (weights[0, :, :3, 3:] == 0).all() and torch.allclose(weights[0, :, :3].sum(-1), torch.ones(2, 3))


def test_the_weights_of_a_layer_attention_are_found():
    given = keras.Input((12, 5))
    model = keras.Model(given, layers.Attention(name="attends")([given, given]))
    scores = (SIGNALS @ SIGNALS.transpose(0, 2, 1)).astype("float64")
    by_hand = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    assert np.allclose(activations(model, SIGNALS)["attends[attention]"][:, 0], by_hand, atol=1e-6)


@pytest.mark.any_backend
def test_augmentation_does_nothing_in_a_look():
    model, X = keras_models.augmenting(), (PICTURES * 255).astype("uint8")
    found = activations(model, X)
    assert same(found["flip"], found["normal"]) and same(found["noise"], found["normal"])
    assert np.allclose(found["scale"], X / 255)
    assert same(found["dense"], by_tutorial(model, "dense", X))


def test_a_subclassed_model_gives_what_its_layers_do():
    model, X = keras_models.subclassed(), RNG.random((4, 5)).astype("float32")
    found = activations(model, X)
    stem = model.stem(X)
    assert same(found["stem"], stem.detach())
    assert same(found.output["label"], model.predict(X, verbose=0)["label"])


def test_a_wrapped_torch_module_gives_what_it_gives_by_itself():
    model, X = keras_models.wrapped(), RNG.random((3, 1, 8, 8)).astype("float32")
    model.predict(X, verbose=0)
    inside = model.layers[0].module
    found = activations(model, X, "*")
    assert same(found["torch_part.module"], inside(torch.from_numpy(X)).detach())
    assert same(found["torch_part"], found["torch_part.module"]) and found.axes["torch_part"] == 1


@pytest.mark.any_backend
def test_a_layer_is_named_by_its_path_its_own_name_itself_its_type_or_a_pattern():
    model, X = keras_models.functional(), {"left": RNG.random((2, 6)), "right": RNG.random((2, 6))}
    inner = model.get_layer("nested").get_layer("inner")
    for way in ("nested.inner", "inner", inner, ["inner"], [inner], "*inner"):
        assert [*activations(model, X, way)] == ["nested.inner"]
    assert [*activations(model, X, layers.Dense)] == ["shared", "shared#2", "nested.inner", "size", "label"]
    own = keras_models.subclassed()
    assert [*activations(own, np.ones((1, 5), "float32"), own.stem.name)] == ["stem"]
    with pytest.raises(ValueError, match="Dense 'elsewhere' is no layer of this model"):
        activations(model, X, layers.Dense(2, name="elsewhere"))
    with pytest.raises(ValueError, match="has no layer 'iner'; close to it are .*'nested.inner'"):
        activations(model, X, "iner")


@pytest.mark.any_backend
def test_a_layer_of_a_model_without_shapes_is_named_by_itself():
    model = keras_models.unbuilt()
    found = activations(model, PICTURES, [model.layers[0], model.layers[2]])
    assert [*found] == ["conv", "pool"] and not model.layers[0].built


def test_a_look_changes_nothing_in_a_model():
    given = keras.Input(batch_shape=(3, 12, 5))
    model = keras.Model(given, layers.Dense(2)(layers.LSTM(4, stateful=True, activity_regularizer="l2")(given)))
    model(SIGNALS)
    before, losses = [variable.numpy() for variable in model.variables], len(model.losses)
    first, second = activations(model, SIGNALS).output, activations(model, SIGNALS).output
    after = [variable.numpy() for variable in model.variables]
    assert all(map(np.array_equal, before, after)) and same(first, second) and len(model.losses) == losses
    assert not any(layer._forward_hooks or "forward" in vars(layer) for layer in model.modules())


@pytest.mark.any_backend
def test_a_layer_built_in_the_forward_is_not_heard_while_its_shapes_are_found():
    class Late(keras.Model):
        def build(self, shape):
            self.dense = layers.Dense(3)
            self.dense.build(shape)

        def call(self, x):
            ops.shape(keras.Sequential([layers.Dense(2)])(keras.Input((5,))))
            return self.dense(x)

    model = Late()
    model(np.ones((1, 5), "float32"))
    assert [tuple(tensor.shape) for tensor in activations(model, np.ones((2, 5), "float32")).values()] == [(2, 3)]


# -- channels


def test_channels_are_the_last_axis_of_each_layer_that_works_on_images():
    model = keras.Sequential([
        keras.Input((8, 8, 3)), layers.Rescaling(1.0), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(),
        layers.Activation("relu"), layers.Dropout(0.1), layers.ZeroPadding2D(), layers.UpSampling2D(),
        layers.LayerNormalization(), layers.Dense(5), layers.SeparableConv2D(6, 3), layers.GlobalAveragePooling2D(),
    ])  # fmt: skip
    found = activations(model, RNG.random((2, 8, 8, 3)))
    assert all(found.axes[key] == tensor.ndim - 1 for key, tensor in found.items()) and len(found) == 11
    assert found.channels().loc["conv"]["mean"].to_numpy() == pytest.approx(np.asarray(found["conv"]).mean((0, 1, 2)))


@pytest.mark.any_backend
def test_channels_are_where_data_format_says():
    model = keras.Sequential([
        keras.Input((3, 9, 8)), layers.Conv2D(4, 3, data_format="channels_first"), layers.BatchNormalization(axis=1),
        layers.Activation("relu"), layers.MaxPooling2D(data_format="channels_first"),
    ])  # fmt: skip
    assert {*activations(model, RNG.random((2, 3, 9, 8))).axes.values()} == {1}
    keras.config.set_image_data_format("channels_first")
    try:
        model = keras.Sequential([keras.Input((3, 9, 8)), layers.Rescaling(2.0), layers.Conv2D(4, 3)])
        assert {*activations(model, RNG.random((2, 3, 9, 8))).axes.values()} == {1}
    finally:
        keras.config.set_image_data_format("channels_last")


# -- where values are saturated


@pytest.mark.any_backend
@pytest.mark.parametrize(
    "layer, like",
    [
        (layers.Dense(2, activation="tanh"), torch.nn.Tanh()), (layers.Activation("sigmoid"), torch.nn.Sigmoid()),
        (layers.Conv2D(2, 3, activation="softmax"), torch.nn.Softmax(-1)), (layers.ReLU(6.0), torch.nn.ReLU6()),
        (layers.Softmax(), torch.nn.Softmax(-1)), (layers.Dense(2, activation="hard_tanh"), torch.nn.Hardtanh()),
        (layers.GRU(2), torch.nn.GRU(2, 2)), (layers.Dense(2, activation="relu"), torch.nn.ReLU()),
        (layers.Dense(2), torch.nn.Linear(2, 2)),
    ],
)  # fmt: skip
def test_an_activation_that_is_fused_is_saturated_where_torchs_own_is(layer, like):
    assert limits_of(layer) == limits_of(like)
    assert isinstance(limits_of(layers.Activation("tanh")), Limits)


# -- operations between the layers


@pytest.mark.any_backend
def test_operations_of_a_functional_model_give_what_the_tutorial_finds():
    model, X = keras_models.functional(), {"left": RNG.random((4, 6)), "right": RNG.random((4, 6))}
    found = activations(model, X, functional=True)
    between = [one for one in model._operations if not isinstance(one, layers.Layer)]
    assert [*found][:4] == ["shared", "shared#2", *(one.name for one in between)] and len(between) == 2
    for operation in between:
        assert same(found[operation.name], keras.Model(model.inputs, operation.output).predict(X, verbose=0))
        assert [*activations(model, X, operation.name)] == [operation.name]


@pytest.mark.any_backend
def test_operations_without_names_are_said_to_have_none():
    model, X = keras_models.subclassed(), RNG.random((4, 5))
    assert "subclassed Keras model" in activations(model, X, functional=True).untraced
    with pytest.raises(ValueError, match="has no layer 'add'.* has no names"):
        activations(model, X, "add")
    assert activations(keras_models.sequential(), PICTURES, functional=True).untraced == ""
