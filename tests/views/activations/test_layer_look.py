"""A look that would hold a training too long is taken in slices, of a copy."""

from __future__ import annotations

import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets.core.base.slices import SlicedWork


class Loop(nn.Module):
    """A loop over time."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTMCell(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        state = None
        for _ in range(30):
            state = self.cell(x, state)
        return self.out(state[0])


def test_a_look_in_slices_sees_the_model_as_it_was_at_its_beginning():
    model = Loop()
    session = dlw.Session(model, train=(torch.rand(8, 4), torch.arange(8) % 2), batch_size=4)
    look = dlw.ActivationBrowser(session, layer="out")._look
    wanted, taken = look.taken.look, look.taken
    assert not look.take(0.0) and look.taken is taken  # given up at its first pause
    assert model.training and not model.cell._forward_hooks and "forward" not in vars(model.cell)
    work, slices = SlicedWork(look.take_in_slices), 1
    while not work.run(0.0):
        slices += 1
        if slices == 2:
            with torch.no_grad():
                model.out.weight.zero_()
    work.result()
    assert not look.taken.look.reason
    assert slices > 30 and look.taken is not taken
    assert torch.equal(look.taken.look.tensor, wanted.tensor)
    assert (look.taken.look.scores == wanted.scores).all()
    assert look.taken.look.behind.module is wanted.behind.module is model.out
