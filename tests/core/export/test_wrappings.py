"""Scripts of models with parametrized, pruned and compiled layers give their weights, bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from dlwidgets.core.export.wrappings import find_wrappings
from tests.core.export.script_runs import Runs, check_weights, net, session

RUNS = Runs()


class Scaled(nn.Module):
    def __init__(self, scale=0.5):
        super().__init__()
        self.scale = scale

    def forward(self, weight):
        return weight * self.scale


class Bounded(nn.Module):
    """One whose class puts the norm on itself."""

    def __init__(self, width):
        super().__init__()
        self.first = parametrizations.spectral_norm(nn.Linear(12, width))
        self.last = nn.Linear(width, 4)

    def forward(self, x):
        return self.last(self.first(x).relu())


def steered(model, **options):
    made = session(model=model, optimizer="sgd", lr=0.1, **options).step(3)
    made.lr, made.accumulate = 0.05, 2
    return made.step(4)


def wrapped(name, put_on):
    def make():
        model = net()
        put_on(model)
        return steered(model)

    RUNS[name] = make


wrapped("weight_norm", lambda model: parametrizations.weight_norm(model[0]))
wrapped("weight_norm_of_all", lambda model: parametrizations.weight_norm(model[4], dim=None))
wrapped("spectral_norm", lambda model: parametrizations.spectral_norm(model[0], n_power_iterations=2))
wrapped("orthogonal", lambda model: parametrizations.orthogonal(model[4], orthogonal_map="cayley"))
wrapped("old_weight_norm", lambda model: nn.utils.weight_norm(model[0], dim=1))
wrapped("old_spectral_norm", lambda model: nn.utils.spectral_norm(model[0]))
wrapped("pruned", lambda model: prune.l1_unstructured(model[0], "weight", 0.5))
wrapped("ones_own", lambda model: parametrize.register_parametrization(model[0], "weight", Scaled(0.25)))


@RUNS.add
def several():
    model = net()
    for layer in (model[0], model[4]):
        parametrize.register_parametrization(layer, "weight", Scaled(2.0))
        parametrizations.spectral_norm(layer)
    parametrizations.weight_norm(model[4], "bias", dim=None)
    return steered(model)


@RUNS.add
def by_the_class_itself_and_once_more():
    model = Bounded(9)
    parametrizations.orthogonal(model.last, "weight")
    return steered(model)


@RUNS.add
def beside_weights_that_the_session_splits():
    model = net()
    parametrizations.spectral_norm(model[0])
    return steered(model, normalise={"4": "weight_norm"})


for _name, _options in {
    "eagerly": {"backend": "eager"}, "ahead_of_time": {"backend": "aot_eager", "dynamic": True},
}.items():  # fmt: skip
    RUNS[f"compiled_{_name}"] = lambda options=_options: steered(torch.compile(net(), **options))


@RUNS.add
def compiled_and_steered():
    made = session(model=torch.compile(net(), backend="eager"), optimizer="sgd", lr=0.1, dropout=0.5).step(2)
    made.freeze("0")
    made.step(2)
    made.normalise, made.dropout, made.trainable = {"4": "max_norm"}, None, None
    return made.step(2)


@RUNS.add
def a_layer_compiled():
    model = nn.Sequential(torch.compile(nn.Linear(12, 8), backend="eager"), nn.Tanh(), nn.Linear(8, 4))
    return steered(model)


@RUNS.add
def compiled_in_place():
    model = net()
    model[0].compile(backend="eager")
    model.compile(backend="eager", dynamic=True)
    return steered(model)


@RUNS.add
def compiled_with_a_norm_inside():
    model = net()
    parametrizations.weight_norm(model[0])
    return steered(torch.compile(model, backend="eager"))


@RUNS.add
def in_parallel():
    return steered(nn.DataParallel(net()))


@RUNS.add
def lazy():
    return steered(nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(4)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", RUNS)
def test_a_script_gives_the_weights_of_the_run_bit_for_bit(done, name):
    check_weights(done, name)


@pytest.mark.slow
def test_a_compiled_model_is_compiled_in_one_line(done):
    text = (done[0] / "compiled_ahead_of_time.py").read_text()
    assert '\nmodel = torch.compile(model, backend="aot_eager", dynamic=True)\n' in text
    text = (done[0] / "compiled_in_place.py").read_text()
    assert '\nmodel.compile(backend="eager", dynamic=True)\nmodel[0].compile(backend="eager")\n' in text


def test_what_is_put_on_weights_is_found_in_order():
    model = nn.Sequential(nn.Linear(3, 3))
    parametrizations.weight_norm(model[0])
    prune.random_unstructured(model[0], "bias", 1)
    found = [(one.path, one.key, one.function) for one in find_wrappings(model)]
    assert found == [("0", "bias", prune.identity), ("0", "weight", parametrizations.weight_norm)]
