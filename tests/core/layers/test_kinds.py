"""Pruned weights, counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize, prune

import dlwidgets as dlw


class Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


@pytest.mark.parametrize(
    ("cut", "masked"),
    [
        (lambda layer: prune.l1_unstructured(layer, "weight", amount=0.25), 16),
        (lambda layer: prune.ln_structured(layer, "weight", amount=0.5, n=2, dim=0), 32),
        (lambda layer: prune.random_unstructured(layer, "bias", amount=3), 3),
        (lambda layer: parametrize.register_parametrization(layer, "weight", Masked(torch.eye(8))), 56),
    ],
)
def test_masked_weights_stand_beside_the_count(cut, masked):
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    cut(model[0])
    assert int((model[0].weight == 0).sum() + (model[0].bias == 0).sum()) == masked
    table = dlw.summary(model, torch.rand(1, 8))
    assert f"{masked} of its" in table["0"].note and "masked" in table["0"].note
    assert table.masked_parameters == masked and f"{masked} of them masked" in str(table)
    assert table["2"].note == "" and table.complete


def test_weights_that_are_zero_without_a_mask_are_told_too():
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3))
    prune.l1_unstructured(model[0], "weight", amount=0.5)
    prune.remove(model[0], "weight")
    table = dlw.summary(model, torch.rand(1, 2, 8, 8))
    zeros = int((model[0].weight == 0).sum())
    assert table["0"].note == f"{zeros} of its 72 weights are 0" and table["1"].note == ""
    assert table.masked_parameters == 0


def test_a_row_of_padding_is_not_pruned():
    model = nn.Sequential(nn.Embedding(4, 2, padding_idx=0))
    assert dlw.summary(model, torch.tensor([[1]]))["0"].note == ""
