"""A look moves no iterator of a model."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

import dlwidgets as dlw


class Draws(nn.Module):
    """A model that draws a number at each call."""

    def __init__(self, numbers):
        super().__init__()
        self.layer, self.numbers = nn.Linear(2, 2), numbers

    def forward(self, x):
        return self.layer(x) * next(self.numbers)


def naturals():
    yield from range(1_000)


KINDS = {
    "count": itertools.count,
    "cycle": lambda: itertools.cycle(range(20)),
    "list": lambda: iter(list(range(20))),
    "range": lambda: iter(range(20)),
    "map over zip": lambda: map(sum, zip(range(20), [0] * 20)),
    "chain": lambda: itertools.chain(range(1), range(1, 20)),
    "dict": lambda: iter(dict.fromkeys(range(20))),
    "generator": naturals,
    "map over a generator": lambda: map(int, naturals()),
}


@pytest.mark.parametrize("look", [dlw.summary, dlw.activations, dlw.ActivationBrowser])
@pytest.mark.parametrize("kind", KINDS)
def test_a_look_moves_no_iterator(kind, look):
    model, x = Draws(KINDS[kind]()), torch.ones(1, 2)
    assert next(model.numbers) == 0
    for _ in range(2):
        look(model, x)
    assert list(itertools.islice(model.numbers, 3)) == [1, 2, 3]
    look(model, x)
    assert next(model.numbers) == 4


def test_an_iterator_in_a_list_is_put_back_itself():
    model = Draws(None)
    model.kept = [kept := itertools.count()]
    model.forward = lambda x: model.layer(x) * next(model.kept[0])
    dlw.activations(model, torch.ones(1, 2))
    assert model.kept[0] is kept and next(kept) == 0
