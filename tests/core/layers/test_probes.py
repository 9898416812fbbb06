"""LayerProbe: a step's statistics against plain loops over the layers; and measuring leaves no trace."""

from __future__ import annotations

import copy
import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.layers.probes import LayerProbe, LayerStats
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
