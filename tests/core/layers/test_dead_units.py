"""Dead units: counted against the activations' own outputs and gradients, with no trace left in the model."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlwidgets.core.layers.dead_units import UnitProbe, flat_below, highest
from dlwidgets.teaching.models import SmallCNN


def seen(model, *inputs):
    """Run the model once and return what was found: path -> (dead, units, whether it is the activation)."""
    probe = UnitProbe(model)
    with probe:
        model(*inputs)
    assert probe.error is None
    found = probe.found()
    return {path: tuple(map(int, row)) for path, *row in zip(found.paths, found.dead, found.units, found.own)}


def killed(layer, units):
    """Bias some units of a layer so far down that they never fire."""
    with torch.no_grad():
        layer.bias[list(units)] = -1e3
    return layer


def test_dead_units_are_those_whose_output_is_zero_in_the_whole_batch():
    torch.manual_seed(0)
    convolved = nn.Sequential(killed(nn.Conv2d(1, 8, 3), [1, 5, 6]), nn.ReLU(), nn.Flatten())
    model = convolved.extend([nn.Linear(8 * 36, 4), nn.ReLU()])
    x = torch.randn(5, 1, 8, 8)
    out = model[:2](x)
    zero = int((out == 0).all(dim=3).all(dim=2).all(dim=0).sum())
    found = seen(model, x)
    assert zero >= 3 and found["1"] == (zero, 8, 1)
    last = int((model(x) == 0).all(dim=0).sum())
    assert found["4"] == (last, 4, 1)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999), batch=st.integers(1, 4), units=st.integers(1, 6), low=st.floats(-3, 1),
    spatial=st.lists(st.integers(1, 3), max_size=3),
)  # fmt: skip
def test_the_highest_of_each_unit_is_that_over_all_other_axes(seed, batch, units, low, spatial):
    x = torch.randn(batch, units, *spatial, generator=torch.Generator().manual_seed(seed)) + low
    wanted = np.array([x[:, unit].max().item() for unit in range(units)], np.float32)
    np.testing.assert_array_equal(highest(x, 1).numpy(), wanted)
    np.testing.assert_array_equal(highest(x.movedim(1, -1), -1).numpy(), wanted)
    if len(spatial) == 2:
        np.testing.assert_array_equal(highest(x.to(memory_format=torch.channels_last), 1).numpy(), wanted)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(), nn.ReLU6(), nn.Hardswish(), nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(),
        nn.Threshold(0.5, 0.0),
    ],
    ids=str,
)  # fmt: skip
def test_below_its_floor_an_activation_passes_no_gradient_and_puts_out_nothing(activation):
    floor = flat_below(activation)
    # Below it: at the floor itself torch 2.6 takes Hardswish's slope from above.
    x = torch.linspace(floor - 20, floor, 401, dtype=torch.float64)[:-1].requires_grad_()
    y = activation(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.abs().max() < 5e-3 and slope.abs().max() < 1e-3
    above = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(activation(above).sum(), above)[0].abs() > 1e-3


@pytest.mark.parametrize(
    "activation", [nn.LeakyReLU(), nn.ELU(), nn.Sigmoid(), nn.Tanh(), nn.Threshold(0.0, 7.0)], ids=str
)
def test_an_activation_that_keeps_a_slope_or_a_value_has_no_dead_units(activation):
    assert seen(nn.Sequential(nn.Linear(3, 4), activation), torch.randn(5, 3)) == {}


def test_an_activation_called_as_a_function_counts_for_the_layer_before_it():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = killed(nn.Linear(3, 4), [1, 2])

        def forward(self, x):
            return F.relu(self.fc(x))

    model, x = Functional(), torch.randn(5, 3)
    assert seen(model, x) == {"fc": (int((model(x) == 0).all(0).sum()), 4, 0)}


def test_the_layer_right_before_an_activation_shares_its_units_through_a_norm_too():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(1, 6, 3), killed(nn.BatchNorm2d(6), [0, 4])
    found = seen(nn.Sequential(conv, norm, nn.ReLU(inplace=True)), torch.randn(4, 1, 8, 8))
    assert found == {"0": (2, 6, 0), "1": (2, 6, 0), "2": (2, 6, 1)}


def test_a_layer_is_not_blamed_for_a_sum():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.act = nn.Linear(3, 3), nn.ReLU()

        def forward(self, x):
            return self.act(self.fc(x) + x)

    assert set(seen(Residual(), torch.randn(5, 3))) == {"act"}


def test_the_units_of_a_sequence_are_its_features():
    found = seen(nn.Sequential(killed(nn.Linear(4, 6), [2]), nn.GELU()), torch.rand(3, 7, 4))
    assert found["1"][1] == 6 and found["1"][0] >= 1
    convolved = seen(nn.Sequential(nn.Conv1d(4, 5, 1), nn.ReLU()), torch.rand(3, 4, 7))
    assert convolved["1"][1] == 5


def test_an_activation_that_runs_twice_counts_both_and_a_layer_only_what_is_dead_in_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.act = nn.Linear(1, 2, bias=False), nn.ReLU()
            with torch.no_grad():
                self.fc.weight[:] = torch.tensor([[1.0], [-1.0]])

        def forward(self, x):
            return self.act(self.fc(x)) + self.act(self.fc(-x))

    # One unit of the two is dead in the first call, the other in the second.
    assert seen(Twice(), torch.ones(3, 1)) == {"act": (2, 4, 1), "fc": (0, 2, 0)}


def test_a_unit_that_is_not_a_number_is_not_called_dead():
    assert seen(nn.Sequential(nn.ReLU()), torch.full((3, 2), float("nan")))["0"] == (0, 2, 1)


def test_keywords_and_whole_numbers_disturb_nothing():
    class Keyword(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(input=x), self.act(x.long())

    assert seen(Keyword(), -torch.ones(2, 3)) == {"act": (3, 3, 1)}


def test_no_hook_remains_even_where_the_forward_raises():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(5, 1))
    probe = UnitProbe(model)
    with pytest.raises(RuntimeError), probe:
        model(torch.randn(2, 3))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_watched_step_is_bit_for_bit_the_step_that_it_would_have_been():
    torch.manual_seed(0)
    model = nn.Sequential(SmallCNN(10), nn.ReLU(inplace=True), nn.Dropout(0.5))
    twin, x = copy.deepcopy(model), torch.rand(4, 1, 28, 28)
    for one in (model, twin):
        torch.manual_seed(1)
        optimizer, probe = torch.optim.Adam(one.parameters()), UnitProbe(one)
        for _ in range(3):
            optimizer.zero_grad()
            if one is model:
                with probe:
                    loss = one(x).square().mean()
                assert len(probe.found().paths) > 1
            else:
                loss = one(x).square().mean()
            loss.backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), twin.state_dict().values()))


def test_a_frozen_transformer_keeps_its_fast_path():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation=nn.ReLU())
    layer.eval().requires_grad_(False)
    model, x = nn.Sequential(layer, nn.Linear(8, 2), nn.ReLU()), torch.randn(2, 5, 8)
    plain = model(x)
    with UnitProbe(model) as probe:
        watched = model(x)
    assert torch.equal(plain, watched)
    assert set(probe.found().paths) == {"1", "2"}


def test_a_call_from_another_thread_is_not_the_training_s():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    probe = UnitProbe(model)
    with probe:
        other = threading.Thread(target=lambda: model(torch.randn(2, 3)))
        other.start()
        other.join()
    assert probe.found().paths == []


def test_a_failing_hook_fails_no_forward_and_is_told(monkeypatch):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    monkeypatch.setattr("dlwidgets.core.layers.dead_units.highest", lambda x, axis: 1 / 0)
    probe = UnitProbe(model)
    with probe:
        model(torch.randn(2, 3))
    assert isinstance(probe.error, ZeroDivisionError)


def test_a_compiled_or_scripted_model_is_left_alone():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(3, 4), nn.ReLU()))
    assert seen(scripted, torch.randn(2, 3)) == {}
    compiled = torch.compile(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), backend="eager")
    assert seen(compiled, torch.randn(2, 3)) == {}
