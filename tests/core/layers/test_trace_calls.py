"""Layers that are called in other ways than by their name, and forwards that yield."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw

X = torch.ones(2, 4)


class Two(nn.Module):
    """Two layers, and a forward that the test gives."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b, self._use = nn.Linear(4, 4), nn.Linear(4, 4), forward

    def forward(self, x):
        return self._use(self, x)


class Doubled(nn.Linear):
    """A layer that calls the class above it."""

    def forward(self, x):
        return super().forward(x) * 2


def yielding(model, x):
    x = model.a(x)
    yield x
    yield model.b(x)


def endless(model, x):
    while True:
        yield model.a(x)


WAYS = {
    "unbound": lambda model, x: model.b(nn.Linear.forward(model.a, x)),
    "both unbound": lambda model, x: nn.Linear.forward(model.b, nn.Linear.forward(model.a, x)),
    "by type": lambda model, x: model.b(type(model.a).forward(model.a, input=x)),
    "yields": yielding,
    "yields in a dict": lambda model, x: {"out": yielding(model, x)},
    "map": lambda model, x: map(lambda layer: layer(x), [model.a, model.b]),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_layer_is_seen_and_counted(way):
    model = Two(WAYS[way])
    table, seen = dlw.summary(model, X), dlw.activations(model, X)
    with FlopCounterMode(display=False) as counter:
        made = model(X)
        made = made["out"] if isinstance(made, dict) else made
        list(made) if not isinstance(made, torch.Tensor) else made
    assert 2 * table.total_macs == counter.get_total_flops()
    assert [table[path].calls for path in "ab"] == [1, 1] and not any(row.note for row in table)
    assert not seen.missing and seen["a"].shape == table["a"].output_shape
    assert torch.equal(seen["a"], model.a(X))


def test_a_forward_that_yields_forever_is_told():
    table = dlw.summary(Two(endless), X)
    assert table.uncounted and "at least" in str(table)


def test_a_call_of_the_class_above_is_the_same_call():
    table = dlw.summary(nn.Sequential(Doubled(4, 4)), X)
    assert (table["0"].calls, table.total_macs) == (1, 32)
