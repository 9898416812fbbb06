"""What stands at a path, as code."""

from __future__ import annotations

from torch import nn

from dlwidgets.core.layers.structure import expression_of


def test_a_slice_of_a_sequential_is_indexed_by_its_places():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))[1:], nn.ModuleList([nn.ReLU()]))
    for path, module in model.named_modules():
        assert eval(expression_of(model, path)) is module
    assert expression_of(model, "0.2.weight") == "model[0][1].weight"
