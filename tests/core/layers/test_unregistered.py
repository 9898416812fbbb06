"""Weights that torch does not see, in the table and in a session."""

from __future__ import annotations

import types

import pytest
import torch
from torch import nn

import dlwidgets as dlw


class Net(nn.Module):
    """A layer, and an attribute that is used as the test says."""

    def __init__(self, parts, use):
        super().__init__()
        self.parts, self._use = parts, use
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(self._use(self.parts, x))


class Holder:
    """An object of a person's own that holds a layer."""

    def __init__(self):
        self.layers = {"a": nn.Linear(3, 3)}


def through(layers, x):
    for layer in layers:
        x = layer(x)
    return x


def sentences(model):
    return [note for note in dlw.summary(model, torch.rand(2, 3)).notes if "never trained" in note]


@pytest.mark.parametrize(
    ("parts", "use", "words"),
    [
        ([nn.Linear(3, 3), nn.Linear(3, 3)], through, ["plain list of 2 Linear", "24", "nn.ModuleList"]),
        ((nn.Linear(3, 3),), through, ["plain tuple of 1 Linear", "12", "used", "nn.ModuleList"]),
        ({"a": nn.Linear(3, 3)}, lambda d, x: d["a"](x), ["plain dict", "12", "used", "nn.ModuleDict"]),
        ([[nn.Linear(3, 3)], [nn.Linear(3, 3)]], lambda p, x: p[1][0](p[0][0](x)), ["2 Linear", "24"]),
        ([nn.Parameter(torch.ones(3))], lambda p, x: x * p[0], ["1 parameter", "nn.ParameterList"]),
        (types.SimpleNamespace(a=nn.Linear(3, 3)), lambda o, x: o.a(x), ["(SimpleNamespace) with 1 Linear", "used"]),
        (Holder(), lambda o, x: o.layers["a"](x), ["object (Holder) with 1 Linear", "12", "used", "an nn.Module"]),
        ({"a": Holder()}, lambda d, x: d["a"].layers["a"](x), ["plain dict of 1 Linear", "12", "used"]),
        (nn.Linear(3, 3).forward, lambda call, x: call(x), ["1 Linear", "12"]),
        (torch.ones(3, requires_grad=True), lambda w, x: x * w, ["plain tensor", "3", "nn.Parameter"]),
    ],
)  # fmt: skip
def test_weights_that_torch_does_not_see_are_told(parts, use, words):
    model = Net(parts, use)
    (said,) = sentences(model)
    assert all(word in said for word in words), said
    assert sum(p.numel() for p in model.parameters()) == dlw.summary(model, torch.rand(1, 3)).total_parameters == 4


def test_layers_that_are_held_and_not_run_are_not_called_used():
    (said,) = sentences(Net([nn.Linear(3, 3)], lambda layers, x: x))
    assert "used" not in said


@pytest.mark.parametrize("kind", [nn.ModuleList, lambda layers: [layer.requires_grad_(False) for layer in layers]])
def test_what_torch_sees_or_nobody_wants_trained_is_not_told(kind):
    assert sentences(Net(kind([nn.Linear(3, 3)]), through)) == []


def test_another_name_for_a_layer_that_torch_sees_is_not_told():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model.ends = [model[0], model[1]]
    assert sentences(model) == []


def test_a_session_tells_of_them_when_it_is_made():
    data = torch.rand(8, 3), torch.rand(8, 1)
    session = dlw.Session(Net([nn.Linear(3, 3)], through), train=data, batch_size=4)
    assert any("12 weights" in note and "nn.ModuleList" in note for note in session.notes)
