"""LayerMonitor: which steps it looks at, what it says of its own cost, and that it fails no step."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.base import time_budget
from dlwidgets.core.layers import dead_units as dead
from dlwidgets.core.layers import monitor as monitoring
from dlwidgets.core.layers.monitor import SHARE, LayerMonitor
from dlwidgets.session import Session


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock by which looks are spaced out and what they cost is measured."""
    clock = Clock()
    for module in (monitoring, time_budget, dead):
        monkeypatch.setattr(module, "time", clock)
    return clock


def net():
    """A net with an activation of its own."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))


def take(monitor, model, step, clock=None, seconds=0.0, costs=0.0):
    """Take one step as the loop does; `costs` passes while it looks."""
    with monitor.forward():
        loss = model(torch.ones(2, 3)).sum()
    model.zero_grad()
    loss.backward()
    if clock is not None:
        clock.now += seconds
        if costs and monitor._watching is not None:
            monitor._spent += costs
            clock.now += costs
    monitor.before()
    with torch.no_grad():
        for p in model.parameters():
            p -= 1e-6 * p.grad
    return monitor.after(step)


def test_nothing_is_looked_at_before_it_is_switched_on():
    monitor, model = LayerMonitor(), net()
    assert take(monitor, model, 1) is None
    monitor.switch(model, True)
    assert take(monitor, model, 2).step == 2
    monitor.switch(model, False)
    assert take(monitor, model, 3) is None


def test_a_look_sees_weights_gradients_and_dead_units_of_one_step():
    monitor, model = LayerMonitor(), net()
    with torch.no_grad():
        model[0].bias[1] = -1e3
    monitor.switch(model, True)
    found = take(monitor, model, 1)
    assert found.paths == ["0", "2"]
    dead = dict(zip(found.dead.paths, found.dead.dead))
    assert dead["1"] == dead["0"] >= 1
    assert all(len(module._forward_hooks) + len(module._forward_pre_hooks) == 0 for module in model.modules())


def test_a_look_walks_over_the_model_once(monkeypatch):
    monitor, model, walked = LayerMonitor(), net(), []
    monkeypatch.setattr("dlwidgets.core.layers.walk.uncompiled", lambda model: walked.append(model) or model)
    monitor.switch(model, True)
    take(monitor, model, 1)
    assert len(walked) == 1


def test_looks_cost_at_most_their_budget_and_say_so(clock):
    monitor, model = LayerMonitor(), net()
    monitor.switch(model, True)
    taken = [take(monitor, model, step, clock, 0.01, 0.004) for step in range(4_000)]
    found = [stats for stats in taken if stats is not None]
    assert found[0].share is None and found[0].every is None
    last = found[-1]
    assert last.share == pytest.approx(SHARE, rel=0.05)
    every = 0.004 / SHARE
    assert last.every == pytest.approx(every, rel=0.05) and last.between == pytest.approx(every / 0.01, abs=5)
    looked = 0.004 * len(found)
    assert looked <= 0.0031 / 0.003 * SHARE * (clock.now - 100.0) + 0.004


def test_a_pause_counts_neither_as_training_nor_between_looks(clock):
    monitor, model = LayerMonitor(), net()
    monitor.switch(model, True)
    take(monitor, model, 1, clock, 0.1)
    clock.now += 3600
    assert take(monitor, model, 2, clock, 0.1).every == pytest.approx(0.1)


def test_a_look_that_fails_is_told_and_fails_no_step(monkeypatch):
    monitor, model, said = LayerMonitor(), net(), []
    monitor.note = said.append
    monitor.switch(model, True)
    monkeypatch.setattr("dlwidgets.core.layers.dead_units.highest", lambda x, axis: 1 / 0)
    assert take(monitor, model, 1).dead is None
    assert len(said) == 1 and "Dead units" in said[0] and "ZeroDivisionError" in said[0]
    monitor._time_budget.due = lambda now=None: True
    monkeypatch.setattr("dlwidgets.core.layers.probes._norms", lambda tensors: 1 / 0)
    assert take(monitor, model, 2) is None
    assert len(said) == 2 and "Layer statistics are off" in said[1]
    assert take(monitor, model, 3) is None and len(said) == 2


def session_of(model, rows=64, **options):
    X = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    return Session(model, train=(X, X.sum(1, keepdim=True)), batch_size=16, **options)


def test_a_step_that_is_not_taken_shows_which_layers_are_not_finite():
    model = net()
    session = session_of(model)
    session.probe_layers(True)
    session.step(2)
    with torch.no_grad():
        model[2].weight[0, 0] = math.nan
    with pytest.raises(ArithmeticError):
        session.step(1)
    stats = session.layer_stats
    assert stats.step == 3 and dict(zip(stats.paths, stats.finite)) == {"0": True, "2": False}
    assert np.isnan(stats.update_ratio).all()
    with torch.no_grad():
        model[2].weight[0, 0] = 0.1
    session.step(1)
    assert session.steps == 3


def test_a_session_whose_layers_are_watched_trains_to_the_same_weights():
    weights = []
    for on in (False, True):
        session = session_of(nn.Sequential(net(), nn.Dropout(0.5), nn.BatchNorm1d(1)), seed=3)
        session.probe_layers(on)
        # Every step, not only those that time allows.
        session._run.loop.watch._time_budget.due = lambda now=None: True
        session.step(12)
        weights.append(session.model.state_dict())
        assert (session.layer_stats is not None) == on
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
