"""First weights: the first loss, units alike, signals over depth."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.core.doctor.rules.broken import LABELS, NUMBERS, found, mlp, only, run


def test_a_first_loss_far_over_that_of_knowing_nothing_is_found():
    model = mlp()
    with torch.no_grad():
        model[4].weight *= 100
    made = run(model)
    one = only(made, "initial_loss")
    assert one.evidence == {"loss": made.history()["loss"].iloc[0], "expected": pytest.approx(math.log(3))}


@pytest.mark.parametrize(("y", "options"), [(LABELS, {}), (NUMBERS, {}), (NUMBERS, {"loss": "l1"})])
def test_a_first_loss_as_it_should_be_is_none(y, options):
    assert not found(run(mlp(outputs=y.shape[1]), y, **options), "initial_loss")


def test_outputs_far_larger_than_the_targets_of_a_regression_are_found():
    model = mlp(outputs=1)
    with torch.no_grad():
        model[4].weight *= 1000
    one = only(run(model, NUMBERS), "initial_loss")
    assert one.evidence["expected"] == pytest.approx(NUMBERS.square().mean().item(), rel=0.5)


@pytest.mark.parametrize("value", [0.0, 0.01])
def test_units_that_begin_alike_are_found(value):
    model = mlp()
    for layer in (model[0], model[2], model[4]):
        nn.init.constant_(layer.weight, value)
    assert "all their units alike" in only(run(model), "initialisation").title


def test_a_last_layer_of_zeros_is_a_usual_way_to_begin():
    model = mlp()
    nn.init.zeros_(model[4].weight)
    assert not found(run(model), "initialisation")


def test_signals_that_vanish_over_depth_are_found():
    torch.manual_seed(0)
    stack = [part for _ in range(8) for part in (nn.Linear(8, 8), nn.Sigmoid())]
    one = only(run(nn.Sequential(*stack, nn.Linear(8, 3))), "initialisation")
    assert "vanish" in one.title and one.chart.kind == "bars"
