"""A step's statistics against plain loops over the layers, without a trace; which steps are measured."""

from __future__ import annotations

import copy
import gc
import math
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlwidgets.core.base import time_budget
from dlwidgets.core.layers import dead_units as dead
from dlwidgets.core.layers import probes
from dlwidgets.core.layers.probes import SHARE, LayerMonitor, LayerProbe, LayerStats
from dlwidgets.core.training.run import Attendant
from dlwidgets.session import Session
from dlwidgets.teaching.models import SmallCNN


def stepped(model, x, lr=0.1, momentum=0.0):
    """One step of SGD with a probe on it; return the statistics, the model before, and its gradients."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr, momentum)
    model(x).float().square().mean().backward()
    before = copy.deepcopy(model)
    probe = LayerProbe(model)
    probe.before()
    optimizer.step()
    return probe.after(7), before


def by_hand(model, before):
    """The same numbers, a layer at a time, in double precision."""
    found = {}
    seen = set()
    old = dict(before.named_parameters())
    for path, module in model.named_modules():
        own = [
            (f"{path}.{n}".lstrip("."), p)
            for n, p in module.named_parameters(recurse=False)
            if p.grad is not None
        ]
        own = [(n, p) for n, p in own if p.requires_grad and id(p) not in seen]
        seen.update(id(p) for _, p in own)
        if not own:
            continue

        def norm(tensors):
            whole = torch.cat([t.detach().to_dense().double().flatten() for t in tensors])
            return torch.linalg.vector_norm(whole).item()

        weight = norm([p for _, p in own])
        moved = norm([p.detach().double() - old[n].detach().double() for n, p in own])
        found[path] = (weight, norm([p.grad for _, p in own]), moved / weight)
    return found


def same_as_by_hand(stats: LayerStats, model, before, rtol=1e-5):
    wanted = by_hand(model, before)
    assert stats.paths == list(wanted)
    columns = np.array(list(wanted.values())).T
    for found, column in zip((stats.weight_norm, stats.grad_norm, stats.update_ratio), columns):
        assert found.dtype == np.float32 and found.shape == (len(stats.paths),)
        np.testing.assert_allclose(found, column, rtol=rtol)
    assert stats.finite.all() and stats.step == 7


def test_norms_are_those_of_a_plain_loop():
    torch.manual_seed(0)
    model = SmallCNN(10)
    same_as_by_hand(*_with(model, torch.rand(4, 1, 28, 28)))


def _with(model, x, **options):
    stats, before = stepped(model, x, **options)
    return stats, model, before


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 8), min_size=2, max_size=5), seed=st.integers(0, 99), bias=st.booleans()
)
def test_norms_are_those_of_a_plain_loop_for_any_stack(widths, seed, bias):
    torch.manual_seed(seed)
    model = nn.Sequential(*(nn.Linear(a, b, bias=bias) for a, b in zip(widths, widths[1:])))
    same_as_by_hand(*_with(model, torch.rand(3, widths[0])))


def test_a_tied_tensor_belongs_to_its_first_layer():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4))
    model[2].weight = model[0].weight
    stats, model, before = _with(model, torch.rand(3, 4))
    assert stats.paths == ["0", "2"]
    same_as_by_hand(stats, model, before)
    assert stats.weight_norm[1] == pytest.approx(model[2].bias.norm().item())


def test_frozen_layers_and_layers_without_gradients_are_left_out():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    unused = nn.Sequential(model, nn.Linear(2, 2))
    model[1].requires_grad_(False)
    model[1].weight.grad = torch.ones(4, 4)  # from before it was frozen

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.all = unused

        def forward(self, x):
            return self.all[0](x)

    stats, model, before = _with(First(), torch.rand(3, 4))
    assert stats.paths == ["all.0.0", "all.0.2"]
    same_as_by_hand(stats, model, before)


def test_a_layer_of_which_a_part_is_frozen_counts_what_trains():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4))
    model[0].weight.requires_grad_(False)
    stats, model, before = _with(model, torch.rand(3, 4))
    assert stats.weight_norm[0] == pytest.approx(model[0].bias.norm().item())


def test_sparse_gradients_are_measured_as_they_are():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten(), nn.Linear(12, 2))
    numbers = torch.tensor([[1, 2, 1], [3, 3, 3]])  # looked up twice: their gradients add up
    same_as_by_hand(*_with(model, numbers))


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-6), (torch.bfloat16, 1e-2)])
def test_other_precisions_are_measured_too(dtype, rtol):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)).to(dtype)
    same_as_by_hand(*_with(model, torch.rand(3, 8, dtype=dtype)), rtol=rtol)


def test_layers_of_several_precisions_go_together():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.low, self.high = nn.Linear(8, 8).bfloat16(), nn.Linear(8, 4)

        def forward(self, x):
            return self.high(self.low(x.bfloat16()).float())

    torch.manual_seed(0)
    same_as_by_hand(*_with(Mixed(), torch.rand(3, 8)), rtol=1e-2)


def test_how_many_numbers_a_layer_has_and_of_which_kind():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False, dtype=torch.bfloat16))
    (model[0](torch.ones(2, 4)).sum() + model[1](torch.ones(2, 3, dtype=torch.bfloat16)).sum()).backward()
    probe = LayerProbe(model)
    probe.before()
    found = probe.after(1)
    assert found.sizes.tolist() == [sum(p.numel() for p in layer.parameters()) for layer in model]
    assert found.dtypes == ("float32", "bfloat16")


def test_large_gradients_in_half_precision_do_not_count_as_infinite():
    model = nn.Sequential(nn.Linear(64, 64, bias=False).half())
    model[0].weight.grad = torch.full((64, 64), 6e4, dtype=torch.float16)
    probe = LayerProbe(model)
    probe.before()
    stats = probe.after(1)
    assert stats.finite.all()
    assert stats.grad_norm[0] == pytest.approx(64 * model[0].weight.grad[0, 0].item(), rel=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("where", ["weight", "gradient"])
def test_a_layer_with_one_value_that_is_not_finite_is_flagged_alone(value, where):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model(torch.rand(2, 4)).sum().backward()
    with torch.no_grad():
        (model[1].weight if where == "weight" else model[1].weight.grad)[2, 1] = value
    probe = LayerProbe(model)
    probe.before()
    stats = probe.after(1)
    assert stats.finite.tolist() == [True, False]


def test_weights_of_zero_have_no_ratio():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3))
    nn.init.zeros_(model[0].weight)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    probe = LayerProbe(model)
    probe.before()
    stats = probe.after(1)
    assert np.isnan(stats.update_ratio[0]) and stats.update_ratio[1] == 0 and stats.finite.all()


def test_a_model_without_gradients_has_no_rows():
    probe = LayerProbe(nn.Linear(3, 3))
    probe.before()
    stats = probe.after(3)
    assert (stats.step, stats.paths, len(stats.weight_norm), stats.finite.dtype) == (3, [], 0, np.dtype(bool))


def test_after_alone_says_nothing():
    assert LayerProbe(nn.Linear(3, 3)).after(1).paths == []


def test_a_probed_step_is_the_step_that_it_would_have_been():
    torch.manual_seed(0)
    model = SmallCNN(10)
    twin = copy.deepcopy(model)
    x = torch.rand(4, 1, 28, 28)
    for watched in (model, twin):
        torch.manual_seed(1)
        optimizer, probe = torch.optim.Adam(watched.parameters()), LayerProbe(watched)
        for step in range(3):
            optimizer.zero_grad()
            watched(x).square().mean().backward()
            if watched is model:
                probe.before()
            optimizer.step()
            if watched is model:
                probe.after(step + 1)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values()))
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), twin.parameters()))


def test_nothing_is_held_after_the_step(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(256, 256))
    clones = []
    clone = torch.Tensor.clone

    def watched(tensor, **options):
        made = clone(tensor, **options)
        clones.append(weakref.ref(made))
        return made

    model(torch.rand(2, 256)).sum().backward()
    probe = LayerProbe(model)
    monkeypatch.setattr(torch.Tensor, "clone", watched)
    probe.before()
    assert clones and all(one() is not None for one in clones)
    probe.after(1)
    gc.collect()
    assert all(one() is None for one in clones)


def test_a_step_that_never_came_is_forgotten_at_the_next():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4))
    model(torch.rand(2, 4)).sum().backward()
    probe = LayerProbe(model)
    probe.before()
    with torch.no_grad():
        model[0].weight += 1
    probe.before()
    assert probe.after(1).update_ratio[0] == 0


# -- some steps, within a budget of time


class Clock:
    """A clock that the test moves."""

    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock by which looks are spaced out and what they cost is measured."""
    clock = Clock()
    for module in (probes, time_budget, dead):
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
    assert [stats.step + 1 for stats in found[:6]] == [1, 2, 5, 10, 20, 50]
    looked = 0.004 * (len(found) - len(probes._EARLY))
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
    assert len(said) == 1 and "dead units" in said[0] and "ZeroDivisionError" in said[0]
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


def test_a_loss_of_unknown_divisor_shows_which_layers_are_not_finite():
    model = net()
    X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    session = Session(
        model, [(X, X.sum(1, keepdim=True))], threads=1,
        training_step=lambda m, batch: (m(batch[0]) - batch[1]).square()[batch[1] > -9].mean(),
    )  # fmt: skip
    session.step(2)
    with torch.no_grad():
        model[2].weight[0, 0] = math.nan
    with pytest.raises(ArithmeticError, match="The loss became nan"):
        session.step(1)
    stats = session.layer_stats
    assert stats.step == 3 and dict(zip(stats.paths, stats.finite)) == {"0": True, "2": False}


class Functional(nn.Module):
    """Calls activations as functions, one in place."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 4)

    def forward(self, x):
        return F.relu(self.fc(x).tanh() + torch.sigmoid(x), inplace=True)


def test_a_session_whose_layers_are_watched_trains_to_the_same_weights():
    weights = []
    for on in (False, True):
        layers = [net(), Functional(), nn.Dropout(0.5), nn.BatchNorm1d(4), nn.Linear(4, 1)]
        session = session_of(nn.Sequential(*layers), seed=3)
        if not on:
            session._run.attendant = Attendant()
        # Every step, not only those that time allows.
        session._run.loop.watch._time_budget.due = lambda now=None: True
        session.step(12)
        weights.append(session.model.state_dict())
        assert (session.layer_stats is not None) == on
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
