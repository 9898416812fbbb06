"""Gradient clipping: what people write, torch's own and the paper's rule, and no NaN that gets through."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.base.history import History
from dlwidgets.core.controls.clipping import (
    Clip,
    FiniteCheck,
    GradientClipper,
    clip_adaptively,
    clipping,
    last_linear,
    not_finite,
    total_norm,
)
from dlwidgets.session import Session


def model(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Conv1d(2, 4, 2), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)).to(dtype)
    made(torch.randn(5, 2, 3, dtype=dtype)).square().sum().backward()
    return made


def gradients(made):
    return [p.grad.clone() for p in made.parameters()]


def clip(made, mode, limit, left=()):
    parameters = list(made.parameters())
    return Clip(mode, limit).apply(parameters, total_norm(parameters), left)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, ("off", 1.0)), (False, ("off", 1.0)), ("off", ("off", 1.0)), (("off", None), ("off", 1.0)), (2, ("norm", 2.0)),
        (0.5, ("norm", 0.5)), (np.float32(0.5), ("norm", 0.5)), ("norm", ("norm", 1.0)), ("value", ("value", 1.0)), ("adaptive", ("adaptive", 0.01)),
        (("value", 0.1), ("value", 0.1)), (["norm", 3], ("norm", 3.0)), (Clip("value", 2.0), ("value", 2.0)),
    ],
)  # fmt: skip
def test_clipping_is_read_from_what_people_write(given, meant):
    clip = Clip.read(given)
    assert (clip.mode, clip.limit) == meant


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (True, 'clip=True: pass None, a norm such as 1.0, or ("value", 0.5).'),
        ((1, 2, 3), 'clip=(1, 2, 3): pass None, a norm such as 1.0, or ("value", 0.5).'),
        ({"norm": 1}, "clip={'norm': 1}: pass None, a norm such as 1.0, or (\"value\", 0.5)."),
        ("length", "clip has the mode 'length', which is none of off, norm, value, adaptive, each. A norm is a number: clip=1.0."),
        (0, "clip has the limit 0: a positive number is wanted; None switches clipping off."),
        (-1.0, "clip has the limit -1.0: a positive number is wanted; None switches clipping off."),
        (math.inf, "clip has the limit inf: a positive number is wanted; None switches clipping off."),
        (math.nan, "clip has the limit nan: a positive number is wanted; None switches clipping off."),
        (("norm", "1"), "clip has the limit '1': a positive number is wanted; None switches clipping off."),
        (("norm", True), "clip has the limit True: a positive number is wanted; None switches clipping off."),
    ],
)
def test_clipping_that_cannot_be_is_refused(given, sentence):
    with pytest.raises(ValueError) as caught:
        Clip.read(given)
    assert str(caught.value) == sentence


@given(limit=st.floats(1e-3, 1e2), mode=st.sampled_from(["norm", "value", "each"]), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_clipping_is_torchs_own(limit, mode, dtype):
    ours, theirs = model(dtype=dtype), model(dtype=dtype)
    after, _ = clip(ours, mode, limit)
    if mode == "norm":
        nn.utils.clip_grad_norm_(theirs.parameters(), limit)
    elif mode == "each":
        for parameter in theirs.parameters():
            nn.utils.clip_grad_norm_(parameter, limit)
    else:
        nn.utils.clip_grad_value_(theirs.parameters(), limit)
    assert all(map(torch.equal, gradients(ours), gradients(theirs)))
    assert after == pytest.approx(float(total_norm(theirs.parameters())), rel=1e-5)


@given(limit=st.floats(1e-4, 1e2), mode=st.sampled_from(["norm", "value", "adaptive", "each"]), seed=st.integers(0, 20))
def test_a_step_counts_as_clipped_where_a_gradient_changed(limit, mode, seed):
    made = model(seed)
    before = gradients(made)
    _, clipped = clip(made, mode, limit)
    assert clipped == (not all(map(torch.equal, before, gradients(made))))


def by_hand(parameters, factor, eps=1e-3):
    """Adaptive clipping, in the steps of the paper's equation (3), written per unit with Python's loops."""
    for p in parameters:
        for w, g in zip(*((t.unbind() if t.ndim > 1 else [t]) for t in (p.data, p.grad))):
            most = max(float(w.norm()), eps) * factor
            if float(g.norm()) > most:
                g *= most / float(g.norm())


@settings(deadline=None)
@given(limit=st.floats(1e-4, 10), seed=st.integers(0, 20))
def test_adaptive_clipping_is_the_papers_rule_unit_by_unit(limit, seed):
    ours, theirs = model(seed), model(seed)
    clip_adaptively(list(ours.parameters()), limit)
    by_hand(list(theirs.parameters()), limit)
    for left, right in zip(gradients(ours), gradients(theirs)):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("limit", [1e-4, 0.1, 10.0])
def test_adaptive_clipping_of_a_sparse_gradient_is_that_of_the_dense_one(limit):
    made = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(9, 4, sparse=sparse)
        table(torch.tensor([[1, 1, 7], [3, 7, 1]])).pow(2).sum().backward()
        before = table.weight.grad.to_dense().clone()
        changed = clip_adaptively([table.weight], limit)
        assert changed == (not torch.equal(before, table.weight.grad.to_dense()))
        made.append(table.weight.grad.to_dense())
    torch.testing.assert_close(*made)


def test_adaptive_clipping_leaves_the_last_linear_layer_alone():
    made = model()
    last = gradients(made[4])
    assert last_linear(made)[0] == "4"
    measured = GradientClipper(made).clip(Clip("adaptive", 1e-4), list(made.parameters()))
    assert measured["clipped"] == 1 and measured["clipped_norm"] < measured["grad_norm"]
    assert all(map(torch.equal, last, gradients(made[4])))
    first = made[0].weight
    assert bool((first.grad.flatten(1).norm(dim=1) <= 1.01e-4 * first.detach().flatten(1).norm(dim=1)).all())


def test_a_model_that_ends_otherwise_has_no_last_linear_layer():
    assert last_linear(nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1))) == (None, [])
    assert last_linear(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))) == (None, [])


def test_weights_that_are_zero_are_clipped_as_small_ones():
    layer = nn.Linear(3, 2)
    nn.init.zeros_(layer.weight)
    layer.weight.grad = torch.ones(2, 3)
    assert clip_adaptively([layer.weight], 0.01)
    torch.testing.assert_close(layer.weight.grad.norm(dim=1), torch.full((2,), 1e-5))


def test_no_clipping_touches_nothing():
    made = model()
    before = gradients(made)
    assert clip(made, "off", 1.0) == (float(total_norm(made.parameters())), False)
    assert all(map(torch.equal, before, gradients(made)))


@given(where=st.integers(0, 5), value=st.sampled_from([math.nan, math.inf, -math.inf]), dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
def test_one_number_that_is_not_finite_is_found(where, value, dtype):
    made = model()
    check, parameters = FiniteCheck(), list(made.parameters())
    for p in parameters:
        p.grad, p.data = None, p.data.to(dtype)
        p.grad = torch.full_like(p, 3.0)
    assert check(parameters) and all(bool((p.grad == 3).all()) for p in parameters)
    parameters[where].grad.view(-1)[-1] = value
    assert not check(parameters)
    assert not_finite(made) == [[name for name, _ in made.named_parameters()][where]]


def test_sparse_and_complex_gradients_are_looked_at_too():
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1, 1, 3])).sum().backward()
    wave = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    wave.grad = torch.ones(2, dtype=torch.complex64)
    check, parameters = FiniteCheck(), [table.weight, wave]
    assert check(parameters)
    wave.grad[1] = complex(0, math.nan)
    assert not check(parameters) and check([table.weight])
    (table(torch.tensor([2])) * math.inf).sum().backward()
    assert not check([table.weight])


def test_a_gradient_of_another_kind_than_its_parameter_is_looked_at_too():
    one, other = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(3, 2))
    check, parameters = FiniteCheck(), [one, other]
    # One value that is seen as four, which the fused kernel refuses to write to.
    one.grad, other.grad = torch.ones(1).expand(4), torch.ones(3, 2)
    assert check(parameters)
    other.grad[1, 1] = math.nan
    assert not check(parameters)
    other.grad = torch.sparse_coo_tensor([[1]], [[1.0, math.inf]], (3, 2), check_invariants=True)
    assert not check(parameters)
    one.grad, other.grad = torch.ones(4), None
    assert check(parameters) and check([])


@pytest.mark.parametrize("mode", ["off", "value", "adaptive"])
def test_finite_gradients_whose_norm_overflows_are_still_used(mode):
    made = model()
    made[0].weight.grad.fill_(1e30)
    assert GradientClipper(made).clip(Clip(mode, 1.0), list(made.parameters())) is not None


def test_a_norm_that_overflows_cannot_be_clipped_to():
    made = model()
    made[0].weight.grad.fill_(1e30)
    seen = GradientClipper(made)
    assert seen.clip(Clip("norm", 1.0), list(made.parameters())) is None
    assert seen.blame() == "The norm of the gradients is larger than their dtype can hold."


X, y = torch.randn(24, 4, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3


class Poisonous(nn.Module):
    """A linear model whose first layer gets a gradient that is NaN while its loss stays finite."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second, self.on = nn.Linear(4, 4), nn.Linear(4, 3), False

    def forward(self, x):
        hidden = self.first(x)
        if self.on and self.training:
            hidden = hidden + (hidden - hidden).abs().sqrt()
        return self.second(hidden)


@pytest.mark.parametrize("clip", [None, 1.0, ("value", 0.1), "adaptive"])
def test_a_gradient_that_is_not_finite_stops_the_step_and_is_named_in_each_mode(clip):
    made = Session(Poisonous(), (X, y), batch_size=8, clip=clip, optimizer="sgd")
    made.step(5)  # past the steps whose norm is measured anyway
    weights = [p.clone() for p in made.model.parameters()]
    made.model.on = True
    with pytest.raises(ArithmeticError):
        made.step()
    assert made.error == (
        "The gradients became infinite or NaN in step 6, which was not taken. Not finite: the gradient of "
        "'first.weight', 'first.bias'. A lower learning rate or gradient clipping often helps. Then resume."
    )
    assert all(map(torch.equal, weights, made.model.parameters()))
    made.model.on = False
    assert made.step().steps == 6


def test_the_share_of_clipped_steps_counts_the_steps_with_clipping_only():
    made = Session(Poisonous(), (X, y), batch_size=8, optimizer="sgd", lr=0.01)
    assert made.clipping() == {"steps": 0, "clipped": 0, "share": None}
    made.step(2)
    made.clip = 1e-4
    made.step(3)
    made.clip = 1e6
    made.step()
    assert made.clipping() == {"steps": 4, "clipped": 3, "share": 0.75}
    assert made.clipping(last=2) == {"steps": 2, "clipped": 1, "share": 0.5}
    frame = made.history()
    assert frame.clipped.isna().tolist() == [True] * 2 + [False] * 4
    np.testing.assert_allclose(frame.clipped_norm[2:5], 1e-4, rtol=1e-2)
    assert frame.clipped_norm[6] == frame.grad_norm[6]


def test_what_adaptive_clipping_leaves_out_is_said():
    made = Session(Poisonous(), (X, y), batch_size=8)
    made.clip = "adaptive"
    made.step()
    assert made.applied["clip"] == ("adaptive", 0.01)
    assert made.ledger().note.tolist() == ["the last linear layer (second) is left alone, as in the paper"]


def test_a_share_of_no_steps_is_none():
    assert clipping(History())["share"] is None


def test_the_norm_is_that_of_all_gradients_in_one_vector():
    made = model()
    flat = torch.cat([p.grad.flatten() for p in made.parameters()])
    assert float(total_norm(made.parameters())) == pytest.approx(float(flat.norm()), rel=1e-6)
    assert float(total_norm(nn.Linear(2, 2).parameters())) == 0.0
