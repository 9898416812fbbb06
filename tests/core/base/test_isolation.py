"""What is borrowed is given back: modes, random numbers, threads, device."""

from __future__ import annotations

import collections
import functools
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dlwidgets as dlw
from dlwidgets.core.base.isolation import (
    _STATES,
    eval_mode,
    find_device,
    isolate_model,
    preserve_modes,
    preserve_random_state,
    run_forward,
    use_device,
    use_threads,
)


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), np.random.randn()


def seed(number):
    torch.manual_seed(number), np.random.seed(number), random.seed(number)


def test_random_numbers_go_on_as_if_nothing_had_been_drawn():
    seed(0)
    expected = draws()
    seed(0)
    with preserve_random_state():
        draws()
        seed(5)
    assert draws() == expected


def test_random_numbers_are_given_back_after_an_exception_too():
    seed(0)
    expected = draws()
    seed(0)
    with pytest.raises(KeyError), preserve_random_state():
        draws()
        raise KeyError
    assert draws() == expected


def test_each_module_keeps_its_own_flag():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    model[1][0].eval()
    flags = [module.training for module in model.modules()]
    with preserve_modes(model):
        model.eval()
    assert [module.training for module in model.modules()] == flags


def test_looking_is_in_eval_mode_without_gradients_and_leaves_all_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seed(0)
    expected = draws()
    seed(0)
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        model(torch.randn(4, 3))
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()
    assert draws() == expected
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_threads_are_lent_and_given_back():
    before = torch.get_num_threads()
    with use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), use_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_model_comes_home_from_another_device():
    model = nn.Linear(2, 2)
    kept = model.weight
    with use_device(model, torch.device("cpu")):
        assert find_device(model).type == "cpu"
    assert model.weight is kept
    # The meta device stands in for a GPU: it holds no values, so only the way there can be seen.
    with pytest.raises(NotImplementedError), use_device(model, torch.device("meta")):
        assert find_device(model).type == "meta"


def test_a_model_without_tensors_is_on_the_cpu():
    assert find_device(nn.ReLU()) == torch.device("cpu")


def test_a_buffer_tells_the_device_where_there_is_no_parameter():
    model = nn.Module()
    model.register_buffer("mean", torch.zeros(1, device="meta"))
    assert find_device(model).type == "meta"


# -- what forwards write


class Slots:
    """A cache as libraries keep it: no dict of attributes, and another object inside."""

    __slots__ = ("count", "inside")

    def __init__(self) -> None:
        self.count, self.inside = 0, Locked()

    def __repr__(self) -> str:
        return f"{self.count} {vars(self.inside)['rows']}"


class Locked:
    """What a thread may have locked."""

    def __init__(self) -> None:
        self.lock, self.rows = threading.Lock(), {"far": {"down": [torch.zeros(2), bytearray(2)]}}


CALLS, SEEN = 0, {}


@functools.lru_cache
def positions(count):
    return torch.arange(count)


def counter():
    calls = 0

    def count(added):
        nonlocal calls
        calls += added
        return calls

    return count


class Restless(nn.Module):
    """Holds one of everything, and changes what `write` says."""

    runs = 0

    def __init__(self, write) -> None:
        super().__init__()
        self.line, self.norm, self.write = nn.Linear(4, 4), nn.BatchNorm1d(4), write
        self.register_buffer("code", torch.zeros(4), persistent=False)
        self.plain, self.kept, self.named = torch.zeros(4), [torch.zeros(1)], {"a": torch.zeros(1)}
        self.counts, self.calls, self.seen = np.zeros(3), 0, set()
        self.torch, self.numpy = torch.Generator().manual_seed(0), np.random.default_rng(0)
        self.old, self.python = np.random.RandomState(0), random.Random(0)
        self.bits, self.cache, self.count = np.random.PCG64(0), Slots(), counter()

    def forward(self, x):
        self.write(self, x)
        return self.norm(self.line(x))


def foreach(model, x):
    with torch.no_grad():
        torch._foreach_mul_(list(model.line.parameters()), 0.5)


def copied(model, x):
    with torch.no_grad():
        model.line.weight.copy_(x[:4])


def in_a_module_that_trains(model, x):
    model.norm.train()
    model.norm(x)


def in_objects(model, x):
    cache = model.cache
    cache.count += 1
    cache.inside.rows["far"]["down"][0] += 1
    cache.inside.rows["far"]["down"][1][0] = 7


def beside_the_model(model, x):
    global CALLS
    CALLS += 1
    SEEN[len(x)] = x
    Restless.runs += 1
    model.count(1)
    positions(len(x))


WRITES = {
    "data": lambda model, x: model.line.weight.data.mul_(2),
    "other data": lambda model, x: setattr(model.line.weight, "data", torch.ones(4, 4)),
    "copied": copied,
    "foreach": foreach,
    "numpy": lambda model, x: model.line.bias.detach().numpy().fill(7),
    "frozen": lambda model, x: model.line.requires_grad_(False),
    "statistics": in_a_module_that_trains,
    "buffer": lambda model, x: model.code.add_(1),
    "tensor": lambda model, x: model.plain.add_(1),
    "attribute": lambda model, x: setattr(model, "plain", x),
    "list": lambda model, x: (model.kept.append(x), model.kept[0].fill_(3)),
    "dict": lambda model, x: model.named.update(a=x, b=x),
    "array and counter": lambda model, x: (model.counts.fill(1), setattr(model, "calls", 5), model.seen.add(1)),
    "generators": lambda model, x: (
        torch.rand(1, generator=model.torch), model.numpy.random(), model.old.rand(), model.python.random(),
        model.bits.random_raw(),
    ),
    "hook": lambda model, x: (
        model.line.register_forward_hook(print), model.line.bias.register_hook(lambda gradient: 2 * gradient)
    ),
    "objects": in_objects,
    "beside": beside_the_model,
}  # fmt: skip


def state(model: Restless) -> str:
    """Return all that the model holds, as text."""
    tensors = {name: value.tolist() for name, value in (*model.named_parameters(), *model.named_buffers())}
    flags = [(p.requires_grad, p._version) for p in model.parameters()], [m.training for m in model.modules()]
    held = {name: value for name, value in vars(model).items() if not name.startswith("_") and name != "write"}
    drawn = (
        model.torch.get_state().tolist(), model.numpy.bit_generator.state, str(model.old.get_state()),
        model.python.getstate(), model.bits.state,
    )  # fmt: skip
    hooks = [len(m._forward_hooks) for m in model.modules()], model.line.bias._backward_hooks
    beside = CALLS, SEEN, Restless.runs, model.count(0), positions.cache_info().currsize
    return repr((tensors, flags, held, drawn, hooks, beside))


LOOKS = {
    "summary": lambda model, x: dlw.summary(model, x),
    "activations": lambda model, x: dlw.activations(model, x),
    "browser": lambda model, x: dlw.ActivationBrowser(model, x),
    "session": lambda model, x: dlw.Session(model, train=(x, x), loss=nn.MSELoss()),
    "prediction": lambda model, x: dlw.Session(model, train=(x, x), loss=nn.MSELoss()).predict(x),
    "evaluation": lambda model, x: dlw.Session(model, train=(x, x), valid=(x, x), loss=nn.MSELoss()).evaluate(),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("write", WRITES)
def test_what_a_forward_writes_is_given_back(write, look):
    torch.manual_seed(0)
    model, x = Restless(WRITES[write]), torch.randn(8, 4)
    before = state(model)
    LOOKS[look](model, x)
    assert state(model) == before


def test_a_dict_that_makes_something_of_what_it_holds_is_left_alone():
    class Makes(collections.OrderedDict):
        def __getitem__(self, key):
            return super().__getitem__(key)()

    model = Restless(lambda model, x: model.kinds["relu"])
    model.kinds = Makes(relu=nn.ReLU)
    dlw.activations(model, torch.ones(2, 4))
    assert list(dict.values(model.kinds)) == [nn.ReLU]


def test_what_a_forward_writes_down_for_its_caller_stays_there():
    seen = []
    dlw.activations(Restless(lambda model, x: seen.append(x.tolist())), torch.ones(2, 4))
    assert seen == [[[1.0] * 4] * 2]


@pytest.mark.parametrize("write", ["copied", "statistics", "data"])
def test_a_backward_that_waits_goes_on_as_if_nothing_had_been_written(write):
    model, x = Restless(WRITES[write]), torch.randn(8, 4)
    loss = model.norm(model.line(x)).pow(2).mul(torch.arange(4)).sum()
    wanted = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    dlw.activations(model, x)
    found = torch.autograd.grad(loss, list(model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(wanted, found))


def test_no_weight_is_copied_that_is_not_written():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    with isolate_model(model) as eager:
        run_forward(eager, lambda: eager(torch.zeros(1, 64)))
        assert not _STATES[id(eager)]._copies
        run_forward(eager, lambda: eager[0].weight.mul_(2))
        assert len(_STATES[id(eager)]._copies) == 1


def test_between_two_steps_few_weights_are_copied_rather_than_watched():
    model = nn.Linear(4, 4)
    before, version = model.weight.detach().clone(), model.weight._version
    with isolate_model(model, random_states=False) as eager:
        assert len(_STATES[id(eager)]._copies) == 2
        run_forward(eager, lambda: eager.weight.mul_(2))
    assert torch.equal(model.weight, before) and model.weight._version == version


class ActNorm(nn.Module):
    """Takes its scale from the first batch it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.loc, self.scale = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.ones(4))
        self.register_buffer("done", torch.tensor(0))

    def forward(self, x):
        if self.done.item() == 0:
            with torch.no_grad():
                self.loc.copy_(-x.mean(0)), self.scale.copy_(1 / x.std(0)), self.done.fill_(1)
        return self.scale * (x + self.loc)


def test_the_first_batch_initialises_what_it_is_to_initialise():
    torch.manual_seed(0)
    X, Y = torch.randn(64, 4), torch.randn(64, 1)
    batches = list(zip(X.split(16), Y.split(16)))

    def made():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(4, 4), ActNorm(), nn.Linear(4, 1))

    ours, plain = made(), made()
    rule = torch.optim.SGD(ours.parameters(), 0.1)
    session = dlw.Session(ours, train=batches, valid=(X, Y), loss=nn.MSELoss(), epochs=1, optimizer=rule)
    session.predict(X), session.evaluate(), dlw.summary(ours, X)
    session.fit()
    optimizer = torch.optim.SGD(plain.parameters(), 0.1)
    for x, y in batches:
        loss = F.mse_loss(plain(x), y)
        optimizer.zero_grad(), loss.backward(), optimizer.step()
    pairs = zip(ours.state_dict().values(), plain.state_dict().values())
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_gradient_that_a_forward_takes_is_not_left_behind():
    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(4, 1)

        def forward(self, x):
            x = x.detach().requires_grad_()
            self.net(x).tanh().sum().backward()
            return x.grad

    model, x = Energy(), torch.randn(3, 4)
    for look in ("summary", "activations", "browser"):
        LOOKS[look](model, x)
    assert model.net.weight.grad is None
    model(x)
    kept = model.net.weight.grad
    values = kept.clone()
    dlw.activations(model, x)
    assert model.net.weight.grad is kept and torch.equal(kept, values)
