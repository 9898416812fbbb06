"""What following a forward costs, and what is done about it."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw


class Loop(nn.Module):
    """A cell in a loop over time."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state = None
        for t in range(x.shape[1]):
            state = self.cell(x[:, t]) if state is None else self.cell(x[:, t], state)
        return state


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.update, self.new = nn.Linear(12, 8), nn.Linear(12, 8)

    def forward(self, x, h=None):
        h = x.new_zeros(len(x), 8) if h is None else h
        z = torch.sigmoid(self.update(torch.cat([x, h], 1)))
        return z * h + (1 - z) * torch.tanh(self.new(torch.cat([x, h], 1)))


def follow(model, x):
    """Summarise; return the table and how often longer it took than the forward."""
    with torch.no_grad():
        model(x)
        began = time.perf_counter()
        model(x)
        own = time.perf_counter() - began
    began = time.perf_counter()
    table = dlw.summary(model, x)
    took = time.perf_counter() - began
    return table, took, own


@pytest.mark.slow
@pytest.mark.parametrize(
    "cell",
    [nn.LSTMCell(4, 8), nn.GRUCell(4, 8), nn.RNNCell(4, 8), Gated()],
    ids=lambda cell: type(cell).__name__,
)
def test_a_loop_over_time_costs_little_more_than_itself(cell):
    model, x = Loop(cell), torch.randn(2, 1000, 4)
    dlw.summary(nn.Linear(2, 2), torch.rand(1, 2))
    table, took, own = follow(model, x)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        Loop(cell)(x)
    assert table.complete and table.total_macs == counter.get_total_flops() // 2
    assert table["cell"].calls == 1000
    assert took < max(3.0, 20 * own)  # twice and more of what it takes on a quiet machine


def test_a_loop_that_is_long_to_follow_is_run_and_the_table_says_so(monkeypatch):
    import torch._dynamo

    monkeypatch.setattr("dlwidgets.core.layers.trace._PATIENCE", 0.0)
    model, x = Loop(nn.GRUCell(4, 8)), torch.randn(2, 40, 4)
    before = {name: (id(p), p._version, p.clone()) for name, p in model.named_parameters()}
    table = dlw.summary(model, x)
    assert "run once for real" in table.how and table.total_macs == 40 * 2 * 24 * (4 + 8)
    for name, parameter in model.named_parameters():
        assert (id(parameter), parameter._version) == before[name][:2]


def test_what_holds_no_values_is_followed_however_long_it_takes(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.layers.trace._PATIENCE", 0.0)
    with torch.device("meta"):
        model = Loop(Gated())
    assert dlw.summary(model, torch.randn(2, 40, 4)).total_macs == 40 * 2 * 2 * 12 * 8


def test_a_heavy_forward_is_followed_not_run(monkeypatch):
    import torch._dynamo

    monkeypatch.setattr("dlwidgets.core.layers.trace._PATIENCE", 0.0)
    model = nn.Sequential(*(nn.Conv2d(64, 64, 3, padding=1) for _ in range(3)))
    table = dlw.summary(model, torch.randn(64, 64, 56, 56))
    assert table.notes == () and table.total_macs == 3 * 64 * 64 * 9 * 64 * 56 * 56


def test_the_first_summary_of_a_small_model_does_not_load_the_compiler():
    code = (
        "import sys, torch, dlwidgets as dlw; from torch import nn;"
        "s = dlw.summary(nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.ReLU()), torch.rand(2, 4));"
        "assert s.complete and s.total_macs == 24 and s.notes == ();"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recursion_that_is_deep_is_followed():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x, depth=150):
            return self(self.layer(x), depth - 1) if depth else x

    model, x = Deep(), torch.rand(2, 4)
    model(x)
    table = dlw.summary(model, x)
    assert table.complete and table.total_macs == 150 * 2 * 16
