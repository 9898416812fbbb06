"""activations(): what layers put out, and that asking leaves no trace."""

from __future__ import annotations

import copy
import random
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from dlwidgets.core.activations.activations import ForwardFailed, activations
from dlwidgets.core.base.outputs import layer_path


def convnet() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(144, 3),
    )


IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))


# -- what comes out


def test_a_layer_whose_weights_are_made_of_others_is_a_layer():
    model = nn.Sequential(weight_norm(nn.Linear(4, 3)), nn.ReLU())
    assert activations(model, torch.rand(2, 4))["0"].shape == (2, 3)


def test_each_leaf_layer_gives_what_a_forward_by_hand_gives():
    model = convnet().eval()
    found = activations(model, IMAGES)
    x = IMAGES
    with torch.no_grad():
        for path, layer in model.named_children():
            x = layer(x.clone())
            assert torch.equal(found[path], x), path
    assert list(found) == list("012345")


def test_a_following_in_place_layer_does_not_change_what_was_kept():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
    found = activations(model, IMAGES, "0")
    assert torch.equal(found["0"], nn.functional.conv2d(IMAGES, model[0].weight, model[0].bias))
    assert (found["0"] < 0).any()


def test_the_model_itself_is_the_empty_path_and_its_output_is_kept():
    model = convnet().eval()
    found = activations(model, IMAGES, "")
    with torch.no_grad():
        expected = model(IMAGES)
    assert torch.equal(found[""], expected)
    assert torch.equal(found.output, expected)


def test_layers_are_chosen_by_path_glob_type_or_a_list_of_these():
    model = nn.ModuleDict({"a": convnet(), "b": convnet()})
    model.forward = lambda x: model["b"](x) + model["a"](x)
    assert list(activations(model, IMAGES, "a.0")) == ["a.0"]
    assert list(activations(model, IMAGES, "b.*")) == ["b.0", "b.1", "b.2", "b.3", "b.4", "b.5"]
    assert set(activations(model, IMAGES, nn.Conv2d)) == {"a.0", "b.0"}
    assert set(activations(model, IMAGES, ["a", nn.Linear, "b.0"])) == {"a", "a.5", "b.5", "b.0"}


def test_results_come_in_the_order_in_which_the_layers_ran():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 2)
            self.first = nn.Linear(4, 3)

        def forward(self, x):
            return self.last(self.first(x))

    assert list(activations(Backwards(), torch.rand(1, 4))) == ["first", "last"]


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.left = nn.Linear(3, 2)
        self.right = nn.Linear(3, 2)

    def forward(self, a, b, *, scale=1.0):
        return (self.left(a) + self.right(b)) * scale


def test_inputs_are_a_tuple_of_positionals_or_a_dict_of_keywords():
    a, b = torch.rand(2, 3), torch.rand(2, 3)
    model = Sum()
    by_place = activations(model, (a, b), "right")["right"]
    by_name = activations(model, {"b": b, "a": a, "scale": 2.0}, "right")["right"]
    assert torch.equal(by_place, by_name)
    assert torch.equal(by_place, nn.functional.linear(b, model.right.weight, model.right.bias))


def test_arrays_take_the_dtype_of_the_model():
    model = convnet()
    assert torch.equal(
        activations(model, IMAGES.double().numpy(), "5")["5"], activations(model, IMAGES, "5")["5"]
    )


Pair = namedtuple("Pair", "mean spread")


@dataclass
class Result:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...]
    loss: torch.Tensor | None = None


class Gives(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (lambda x: (x, x + 1), ["", "[1]"]),
        (lambda x: (x, (x + 1, x + 2)), ["", "[1][0]", "[1][1]"]),
        (lambda x: {"logits": x, "boxes": x + 1}, ["", "[boxes]"]),
        (lambda x: Pair(x, x + 1), ["", "[spread]"]),
        (lambda x: Result(x, (x + 1, x + 2)), ["", "[hidden][0]", "[hidden][1]"]),
        (lambda x: torch.distributions.Normal(x, x.exp()), ["", "[scale]"]),
        (lambda x: (None, x), [""]),
    ],
    ids=["tuple", "nested", "dict", "namedtuple", "dataclass", "distribution", "none first"],
)
def test_the_first_tensor_of_an_output_is_under_the_path_and_others_beside_it(make, keys):
    x = torch.rand(2, 3)
    found = activations(Gives(make), x, "")
    assert list(found) == keys
    assert torch.equal(found[""], x)
    assert found.parts("") == keys


def test_an_lstm_gives_its_output_and_both_states():
    lstm = nn.LSTM(3, 5, batch_first=True)
    x = torch.rand(2, 4, 3)
    out, (h, c) = lstm(x)
    found = activations(nn.Sequential(lstm), x, nn.LSTM)
    for key, expected in {"0": out, "0[1][0]": h, "0[1][1]": c}.items():
        torch.testing.assert_close(found[key], expected)


def test_a_layer_called_again_gives_each_call():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)
    x = torch.rand(2, 3)
    found = activations(model, x, nn.ReLU)
    assert list(found) == ["1", "1#2"]
    assert torch.equal(found["1"], model[:2](x))
    assert torch.equal(found["1#2"], model(x))
    assert [layer_path(key) for key in found] == ["1", "1"]


def test_a_layer_known_by_two_paths_is_kept_once_but_answers_to_both():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)
    assert "3" in activations(model, torch.rand(2, 3), "3")


def test_the_layers_inside_the_fused_transformer_path_are_reached():
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=12, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x = torch.rand(1, 5, 8)
    found = activations(model, x)
    assert found["layers.1.linear1"].shape == (1, 5, 12)
    with torch.no_grad():
        torch.testing.assert_close(found.output, model(x))


def test_a_compiled_model_shows_its_layers_under_their_own_paths():
    compiled = torch.compile(convnet(), backend="eager")
    assert torch.equal(activations(compiled, IMAGES, "0")["0"], activations(convnet(), IMAGES, "0")["0"])


# -- what does not come out, in words


class Partly(nn.Module):
    def __init__(self):
        super().__init__()
        self.used = nn.Linear(3, 3)
        self.spare = nn.Linear(3, 3)
        self.held = nn.ModuleList([nn.Linear(3, 3)])
        self.silent = Gives(lambda x: None)
        self.attention = nn.MultiheadAttention(3, 1, batch_first=True)

    def forward(self, x):
        x = self.held[0](self.used(x))
        self.silent(x)
        return self.attention(x, x, x)[0]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("spare", "was not called for this input"),
        ("held", "only holds others (ModuleList) and is never called itself"),
        ("silent", "gives no tensor but None"),
        (
            "attention.out_proj",
            "has its weights used by the MultiheadAttention around it, which does not call it",
        ),
    ],
)
def test_a_layer_without_output_is_missing_for_a_reason(path, reason):
    found = activations(Partly(), torch.rand(1, 2, 3), ["used", path])
    assert list(found) == ["used"]
    assert found.missing == {path: reason}


def test_layers_inside_torchscript_are_missing_for_a_reason():
    model = nn.Sequential(torch.jit.trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), torch.rand(1, 3)))
    found = activations(model, torch.rand(1, 3))
    assert set(found.missing) == {"0.0", "0.1"}
    assert all("TorchScript" in reason for reason in found.missing.values())


def test_an_unknown_layer_is_answered_with_those_close_to_it():
    model = nn.Sequential()
    model.add_module("features", nn.Sequential())
    model.features.add_module("conv1", nn.Conv2d(1, 1, 1))
    for asked in ("conv1", "feature.conv1", "features.cnv1"):
        with pytest.raises(ValueError, match="has no layer .*close to it .*'features.conv1'"):
            activations(model, IMAGES, asked)


def test_an_absent_type_is_answered_with_the_types_there_are():
    with pytest.raises(ValueError, match="no layer of type LSTM; it has Sequential, Conv2d, BatchNorm2d"):
        activations(convnet(), IMAGES, nn.LSTM)


def test_a_layer_is_named_by_itself():
    model = convnet()
    layer = next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d))
    assert [*activations(model, IMAGES, layer)] == [path for path, one in model.named_modules() if one is layer]
    with pytest.raises(ValueError, match="ReLU is no layer of this model"):
        activations(model, IMAGES, nn.ReLU())


@pytest.mark.parametrize("layers", [3, [3], [None]])
def test_a_layer_named_by_something_else_is_refused(layers):
    with pytest.raises(TypeError, match="named by its path, a glob, a module type or itself"):
        activations(convnet(), IMAGES, layers)


def test_something_that_is_no_module_is_refused():
    with pytest.raises(TypeError, match="wants a torch.nn.Module, not function"):
        activations(lambda x: x, IMAGES)


def test_a_lazy_layer_is_refused_and_stays_lazy():
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match=r"Layer '1' \(LazyLinear\) is not built yet"):
        activations(model, IMAGES)
    assert isinstance(model[1], nn.LazyLinear)


def test_a_model_without_values_is_refused():
    with torch.device("meta"):
        model = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="on the meta device and holds no values"):
        activations(model, torch.rand(1, 2))


def test_a_failing_forward_names_the_layer_the_shapes_and_the_cause():
    with pytest.raises(
        ForwardFailed, match=r"inputs of 2×3×8×8: layer '0' \(Conv2d\) said: .*1 channels"
    ) as caught:
        activations(convnet(), torch.rand(2, 3, 8, 8))
    assert caught.value.layer == "0"
    assert isinstance(caught.value.__cause__, RuntimeError)


# -- no trace


class Careless(nn.Module):
    """A model that does in its forward what a model should not."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.hidden = torch.zeros(3)
        self.register_buffer("seen", torch.zeros(3))
        self.norm = nn.BatchNorm1d(3)
        self.words = nn.Embedding(10, 3, max_norm=0.1)
        self.extra = None

    def forward(self, x):
        self.calls += 1
        self.hidden = self.hidden + x.mean(0)
        self.seen += 1
        if self.extra is None:
            self.extra = nn.Linear(3, 3)
        noise = torch.rand(3) + random.random() + float(np.random.rand())
        return self.norm(x) + self.words(torch.tensor(1)) + noise + self.extra(x)


def look(model: nn.Module = None) -> nn.Module:
    model = Careless() if model is None else model
    activations(model, torch.ones(4, 3))
    return model


def test_the_mode_of_each_module_stays():
    model = convnet()
    model[1].eval()
    before = {path: module.training for path, module in model.named_modules()}
    activations(model, IMAGES)
    assert {path: module.training for path, module in model.named_modules()} == before


def test_no_module_is_told_to_change_its_mode():
    class Merges(nn.Linear):
        def train(self, mode=True):
            raise AssertionError("train() was called")

    activations(nn.Sequential(Merges(8, 2)), IMAGES)


def test_dropout_and_batchnorm_run_in_eval_mode():
    model = convnet()
    found = activations(model, IMAGES)
    assert torch.equal(found["2"], found["3"])
    assert torch.equal(found.output, copy.deepcopy(model).eval()(IMAGES))


def test_buffers_stay_batchnorm_statistics_among_them():
    model = convnet()
    before = copy.deepcopy(dict(model.named_buffers()))
    activations(model, IMAGES)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    careless = look()
    assert torch.equal(careless.seen, torch.zeros(3))


def test_a_buffer_that_did_not_change_is_not_written():
    model = convnet()
    before = [buffer._version for buffer in model.buffers()]
    activations(model, IMAGES)
    assert [buffer._version for buffer in model.buffers()] == before


def test_weights_stay_even_of_an_embedding_that_renormalises():
    model = Careless()
    before = copy.deepcopy(dict(model.named_parameters()))
    look(model)
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


def test_attributes_and_children_set_by_a_forward_are_taken_back():
    model = look()
    assert model.calls == 0
    assert torch.equal(model.hidden, torch.zeros(3))
    assert model.extra is None
    assert "extra" not in dict(model.named_children())


@pytest.mark.parametrize(
    "state",
    [
        lambda: torch.get_rng_state().tolist(),
        random.getstate,
        lambda: (np.random.get_state()[1].tolist(), np.random.get_state()[2:]),
    ],
    ids=["torch", "python", "numpy"],
)
def test_random_generators_stay(state):
    model = Careless()
    before = state()
    look(model)
    assert before == state()


def test_hooks_stay():
    model = convnet()
    handle = model[0].register_forward_hook(lambda *_: None)
    before = {path: list(m._forward_hooks) + list(m._forward_pre_hooks) for path, m in model.named_modules()}
    activations(model, IMAGES)
    after = {path: list(m._forward_hooks) + list(m._forward_pre_hooks) for path, m in model.named_modules()}
    assert after == before
    handle.remove()


def test_hooks_that_a_model_adds_in_its_first_forward_are_taken_away():
    class Prepares(nn.Sequential):
        prepared = False

        def forward(self, x):
            if not self.prepared:
                self[0].register_forward_hook(lambda module, args, output: output + 1)
                self.prepared = True
            return super().forward(x)

    model = Prepares(nn.Linear(3, 3))
    x = torch.rand(2, 3)
    first, second = activations(model, x).output, activations(model, x).output
    assert torch.equal(first, second) and not model[0]._forward_hooks and not model.prepared


def test_gradients_stay_and_none_is_recorded():
    model = convnet()
    model(IMAGES).sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    images = IMAGES.clone().requires_grad_()
    found = activations(model, images)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), before, strict=True))
    assert images.grad is None
    assert not any(tensor.requires_grad for tensor in found.values())


def test_a_backward_pass_that_waits_still_runs():
    model = convnet()
    loss = model(IMAGES).sum()
    activations(model, IMAGES)
    loss.backward()
    assert model[0].weight.grad.abs().sum() > 0


def test_everything_stays_when_the_forward_fails():
    model = convnet()
    before = copy.deepcopy(model.state_dict())
    small = torch.rand(2, 1, 5, 5)
    rng = torch.get_rng_state()
    with pytest.raises(ForwardFailed):
        activations(model, small)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.is_grad_enabled()


def test_the_fused_transformer_path_is_switched_on_again():
    before = torch.backends.mha.get_fastpath_enabled()
    activations(convnet(), IMAGES)
    assert torch.backends.mha.get_fastpath_enabled() is before is True


# -- as a table


def test_the_table_says_what_numpy_says():
    frame = activations(convnet(), IMAGES).to_frame()
    values = activations(convnet(), IMAGES, "2")["2"].numpy().astype(float)
    assert frame.loc["2", "kind"] == "ReLU"
    assert frame.loc["2", "shape"] == (2, 4, 6, 6)
    assert frame.loc["2", "mean"] == pytest.approx(values.mean())
    assert frame.loc["2", "std"] == pytest.approx(values.std())
    assert frame.loc["2", "zeros"] == pytest.approx((values == 0).mean())


def test_the_printed_form_names_shapes_and_reasons():
    found = activations(Partly(), torch.rand(1, 2, 3), ["used", "spare"])
    assert repr(found) == "used   1×2×3  float32\nspare  – was not called for this input"
