"""Dead and saturated units: found in real runs, quiet in healthy ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.core.doctor.rules.broken import LABELS, found, kill, mlp, only, run


def test_a_layer_most_of_whose_units_are_dead_is_named_with_its_share():
    model = mlp()
    kill(model[0], 12)
    one = only(run(model), "dead_relu")
    assert (one.layer, one.severity, one.evidence["units"]) == ("1", "medium", 16)
    assert one.evidence["share"] == pytest.approx(12 / 16) and "since step 1" in one.sentence


def test_a_relu_called_as_a_function_is_named_by_the_layer_before_it():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.fc, self.head = kill(nn.Linear(8, 16), 16), nn.Linear(16, 3)

        def forward(self, x):
            return self.head(F.relu(self.fc(x)))

    one = only(run(Functional()), "dead_relu")
    assert (one.layer, one.severity) == ("fc", "high")


@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh])
def test_a_healthy_network_has_no_findings_of_layers(activation):
    made = run(mlp(activation=activation), steps=30)
    assert [one.rule for one in made.findings] == []


def test_a_leaky_relu_has_no_dead_units():
    model = mlp(activation=nn.LeakyReLU)
    kill(model[0], 16)
    assert not found(run(model), "dead_relu")


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.Hardtanh])
def test_a_saturated_activation_is_found_and_the_last_one_is_not_meant(activation):
    model = mlp(nn.Sigmoid(), activation=activation)
    with torch.no_grad():
        model[0].weight *= 300
        model[4].weight *= 300
    made = run(model, LABELS, loss=nn.BCELoss())
    assert [one.layer for one in found(made, "saturated")] == ["1"]
