"""A probe set: the same samples all along, looked at without a trace."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.activations.activations import ForwardFailed, activations
from dlwidgets.core.activations.probe_set import ProbeSet, spread
from dlwidgets.session import Session


def convnet() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3),
        nn.Tanh(),
    )  # fmt: skip


X = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_its_tables_are_those_of_the_activations_themselves():
    model = convnet()
    found, whole = ProbeSet(model, X).statistics(exact=True), activations(model, X)
    layers = whole.to_frame().drop(columns=["shape", "sampled"])
    assert found.layers.index.tolist() == layers.index.tolist()
    assert found.layers["kind"].tolist() == layers["kind"].tolist()
    numbers = [name for name in layers if name != "kind"]
    np.testing.assert_allclose(found.layers[numbers], layers[numbers].astype(float))
    np.testing.assert_allclose(found.channels, whole.channels())
    assert found.channels.index.equals(whole.channels().index)
    assert found.samples == 16


def test_quantiles_from_some_values_are_near_those_from_all():
    probe = ProbeSet(convnet()[:1], torch.rand(64, 1, 40, 40), layers="0")
    few, all_ = probe.statistics().layers, probe.statistics(exact=True).layers
    assert few.loc["0", "min"] == all_.loc["0", "min"] and few.loc["0", "max"] == all_.loc["0", "max"]
    spread_of = all_.loc["0", "std"]
    for name in ("5%", "25%", "50%", "75%", "95%"):
        assert abs(few.loc["0", name] - all_.loc["0", name]) < 0.1 * spread_of


def test_the_samples_stay_what_they_were_whatever_happens_to_their_source():
    x = X.clone()
    probe = ProbeSet(convnet(), x)
    x.zero_()
    assert torch.equal(probe.inputs, X)


def test_only_the_model_changes_what_it_says():
    model = convnet()
    probe = ProbeSet(model, X)
    first = probe.statistics().layers
    assert first.equals(probe.statistics().layers)
    with torch.no_grad():
        model[0].weight.mul_(2)
    assert not first.equals(probe.statistics().layers)


class Numbered:
    """Samples by number, as a session has them."""

    def __len__(self):
        return 100

    def inputs(self, index):
        return {"a": torch.full((1, 3), float(index)), "b": torch.full((1, 3), 1.0)}


class Adds(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Identity()

    def forward(self, a, b):
        return self.out(a + b)


def test_of_samples_by_number_some_are_taken_evenly_and_put_together():
    probe = ProbeSet(Adds(), Numbered(), count=4)
    assert probe.numbers == [0, 25, 50, 75] and len(probe) == 4
    assert probe.statistics().layers.loc["out", "max"] == 76.0


@pytest.mark.parametrize(("total", "count"), [(100, 7), (5, 64), (64, 64), (1, 1)])
def test_numbers_are_spread_without_repetition(total, count):
    found = spread(total, count)
    assert len(found) == len(set(found)) == min(total, count) and found[0] == 0 and found[-1] < total


def test_a_source_without_samples_is_refused():
    with pytest.raises(ValueError, match="at least one sample"):
        ProbeSet(convnet(), X[:0])


def test_samples_that_do_not_fit_say_in_which_layer():
    with pytest.raises(ForwardFailed, match=r"layer '0' \(Conv2d\)"):
        ProbeSet(convnet(), torch.rand(2, 3, 8, 8)).statistics()


def test_looking_leaves_no_trace():
    model = convnet().train()
    before = copy.deepcopy(model.state_dict())
    generator = torch.get_rng_state()
    ProbeSet(model, X).statistics()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(m.training and not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_run_that_is_looked_at_between_its_steps_trains_as_one_that_is_not():
    def run(look: bool) -> tuple[dict, list]:
        model = convnet()
        y = torch.arange(16) % 3
        session = Session(model, train=(X, y), valid=(X, y), batch_size=8, seed=0, lr=0.1)
        probe = ProbeSet(model, session.samples, count=6)
        seen = []
        for _ in range(3):
            session.step(1)
            if look:
                seen.append(session.at_step(lambda: probe.statistics().layers).result(30))
        state = copy.deepcopy(model.state_dict())
        session.stop()
        return state, seen

    (plain, _), (looked, seen) = run(False), run(True)
    assert all(torch.equal(value, plain[name]) for name, value in looked.items())
    assert not seen[0].equals(seen[2])


def test_a_layer_that_was_not_called_is_missing_for_a_reason():
    model = convnet()
    model.register_module("spare", nn.ModuleDict({"x": nn.Linear(2, 2)}))
    model.forward = lambda x: nn.Sequential(*list(model.children())[:-1])(x)
    assert ProbeSet(model, X).statistics().missing == {"spare.x": "was not called for this input"}
