"""What runs is what is described: gradients, hooks, layers called directly, kernels, torch.cond."""

from __future__ import annotations

import copy
import ctypes
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import grad, hessian, jacrev, jvp, vmap
from torch.utils.flop_counter import FlopCounterMode

import dlwidgets as dlw


class Differentiates(nn.Module):
    """Puts out what `how` makes of its layers and inputs."""

    def __init__(self, how, net=None) -> None:
        super().__init__()
        self.how = how
        self.net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)) if net is None else net

    def forward(self, x):
        return self.how(self.net, x)


def force(net, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(net(x).sum(), x)[0]


def by_weights(net, x):
    loss = net(x).pow(2).sum()
    found = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    return sum(one.pow(2).sum() for one in found)


def refuses(net, x):
    x = x.clone().requires_grad_()
    energy = net(x).sum()
    assert energy.requires_grad, "the potential must be differentiable"
    return torch.autograd.grad(energy, x)[0]


HOW = {
    "force": force,
    "refuses": refuses,
    "by weights": by_weights,
    "jacobian": lambda net, x: torch.autograd.functional.jacobian(lambda one: net(one).sum(0), x),
    "jacrev": lambda net, x: vmap(jacrev(net))(x),
    "hessian": lambda net, x: vmap(hessian(lambda one: net(one).sum()))(x),
    "grad": lambda net, x: vmap(grad(lambda one: net(one).sum()))(x),
    "jvp": lambda net, x: jvp(net, (x,), (x,))[1],
}


class _NoTracker:
    # torch's counter cannot follow modules through a gradient inside a forward; it counts all the same.
    parents = {"Global"}

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        pass


def counted(model, x) -> int:
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoTracker()
    with counter:
        model(x)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("how", HOW)
def test_a_forward_that_differentiates_is_counted_as_torch_counts_it(how):
    model, x = Differentiates(HOW[how]), torch.randn(4, 3)
    table = dlw.summary(model, x)
    assert table.complete and not table.uncounted, (table.error, table.uncounted)
    assert table.total_macs == counted(model, x)
    found = dlw.activations(model, x, [""]).output
    assert torch.allclose(found, model(x).detach(), atol=1e-6) and not found.requires_grad
    assert not dlw.ActivationBrowser(model, x).project()["drawing"]["reason"]


@pytest.mark.parametrize("how", ["force", "by weights"])
def test_the_backward_of_convolutions_is_counted(how):
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.SiLU(), nn.ConvTranspose2d(8, 4, 3), nn.GroupNorm(2, 4), nn.ELU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 1),
    )  # fmt: skip
    model, x = Differentiates(HOW[how], net), torch.randn(2, 3, 16, 16)
    table = dlw.summary(model, x)
    assert table.complete and not table.uncounted and table.total_macs == counted(model, x)


def test_what_is_kept_of_a_forward_that_follows_gradients_itself_is_detached():
    def follows(net, x):
        with torch.enable_grad():
            return torch.autograd.grad(net(x.requires_grad_()).sum(), x, create_graph=True)[0]

    model, x = Differentiates(follows), torch.randn(4, 3)
    session = dlw.Session(model, train=(x, x), loss=nn.MSELoss())
    assert not session.predict(x).requires_grad and not x.requires_grad
    assert not dlw.activations(model, x, [""]).output.requires_grad


def test_a_forward_that_needs_a_differentiable_input_says_so():
    model, x = Differentiates(lambda net, x: torch.autograd.grad(net(x).sum(), x)[0]), torch.randn(4, 3)
    assert "must begin with x = x.requires_grad_()" in dlw.summary(model, x).error
    assert dlw.summary(model, x.clone().requires_grad_()).complete


def test_a_caller_in_inference_mode_is_served():
    model = Differentiates(force)
    with torch.inference_mode():
        x = torch.randn(4, 3)
        assert dlw.summary(model, x).complete
        assert dlw.activations(model, x).output.shape == (4, 3)
        assert not dlw.ActivationBrowser(model, x).project()["drawing"]["reason"]


def test_hooks_that_change_what_goes_in_and_out_are_described():
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(8, 2)), torch.randn(3, 4)
    model.register_forward_pre_hook(lambda module, args, kwargs: ((args[0][:2],), kwargs), with_kwargs=True)
    twice = lambda module, args, kwargs, output: torch.cat([output, output], -1)  # noqa: E731
    model[0].register_forward_hook(twice, with_kwargs=True, always_call=True)
    table, found = dlw.summary(model, x), dlw.activations(model, x)
    assert table.complete and table.total_macs == 2 * 16 + 2 * 16, table.error
    for path in ("0", "1", "2"):
        assert table[path].output_shape == tuple(found[path].shape)


def test_what_a_hook_keeps_of_a_summary_is_taken_back():
    seen, model = [], nn.Sequential(nn.Linear(4, 4))
    model[0].register_forward_hook(lambda module, args, output: seen.append(output.mean().item()))
    table = dlw.summary(model, torch.randn(3, 4))
    assert table.complete and table.total_macs == 48 and seen == []


def test_a_hook_that_belongs_to_the_model_acts_on_its_stand_in():
    class Captures(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
            self.body.register_forward_hook(self.keep)

        def keep(self, module, args, output):
            self.features = output

        def forward(self, x):
            self.body(x)
            return self.head(self.features)

    model = Captures()
    assert dlw.summary(model, torch.randn(3, 4)).total_macs == 72 and not hasattr(model, "features")


class Itself(nn.Sequential):
    def __deepcopy__(self, memo):
        return self


class Refuses(nn.Sequential):
    def __deepcopy__(self, memo):
        raise RuntimeError("not to be copied")


class Wraps(nn.Sequential):
    def __deepcopy__(self, memo):
        return Wraps(*self)


class Locked(nn.Sequential):
    def __init__(self, *layers) -> None:
        super().__init__(*layers)
        self.lock = threading.Lock()


@pytest.mark.parametrize("kind", [Itself, Refuses, Wraps, Locked])
def test_a_part_that_cannot_be_copied_is_run_itself_and_given_back(kind):
    model = nn.Sequential(kind(nn.Linear(4, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2))
    before = copy.copy(model.state_dict())
    table = dlw.summary(model, torch.randn(3, 4))
    assert table.complete and table.total_macs == 72 and "The model itself" in table.how
    assert all(module.training and "forward" not in vars(module) for module in model.modules())
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_a_layer_called_by_its_forward_is_in_table_and_browser():
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2)

        def forward(self, x):
            return self.head.forward(self.body.forward(x))

    model, x = Direct(), torch.randn(3, 4)
    table, found = dlw.summary(model, x), dlw.activations(model, x, "*")
    assert {row.path for row in table if row.calls} == set(found)
    assert all(table[path].calls == 1 for path in found)
    assert all(table[path].output_shape == tuple(found[path].shape) for path in found)
    assert "forward" not in vars(model.head)


class Kernel(nn.Module):
    """Computes outside torch, by `work` on the input and the output."""

    def __init__(self, work) -> None:
        super().__init__()
        self.work, self.line = work, nn.Linear(4, 4)

    def forward(self, x):
        return self.work(self.line(x).detach())


def by_address(x):
    made = torch.empty_like(x)
    ctypes.memmove(made.data_ptr(), x.data_ptr(), 8)
    return made


@pytest.mark.parametrize(
    "work",
    [
        lambda x: torch.from_numpy(x.numpy() @ x.numpy().T), lambda x: torch.as_tensor(np.asarray(x)),
        by_address, lambda x: torch.tensor(np.dot(x.tolist(), np.eye(4))),
    ],
)
def test_what_is_computed_outside_torch_is_said_to_be_left_out(work):
    table = dlw.summary(Kernel(work), torch.randn(3, 4))
    assert table.complete and table.total_macs == 48 and list(table.uncounted) == ["code outside torch"]
    assert "at least" in str(table)


def test_what_other_threads_compute_is_said_to_be_left_out():
    class Threads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lines = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

        def forward(self, x):
            with ThreadPoolExecutor(1) as pool:
                return sum(pool.map(lambda line: line(x), self.lines))

    model, x = Threads(), torch.randn(3, 4)
    assert "at least" in str(dlw.summary(model, x))
    assert dlw.activations(model, x).missing["lines.0"] == "ran on another thread, where it is not watched"


def test_what_was_run_and_why_is_told_in_the_words_of_the_model():
    class Picks(nn.Linear):
        def forward(self, x):
            return super().forward(x[x.sum(1) > 0])

    class Locked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 2)
            self.lock = threading.Lock()

    class Same(nn.Linear):
        def __deepcopy__(self, memo):
            return self

    x = torch.randn(3, 4)
    assert "the line “return super().forward(x[x.sum(1) > 0])” makes" in dlw.summary(Picks(4, 2), x).how
    locked = dlw.summary(Locked(), x).how
    assert "The model itself" in locked and "it holds a lock, which cannot be copied" in locked
    assert "a copy of 0 (Same) is the same object again" in dlw.summary(nn.Sequential(Same(4, 2)), x).how


def test_a_graph_module_keeps_what_its_hooks_need():
    model, x = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU())), torch.randn(3, 4)
    model.rows = 2
    cut = lambda module, args, kwargs: ((args[0][: module.rows],), kwargs)  # noqa: E731
    model.register_forward_pre_hook(cut, with_kwargs=True)
    assert dlw.summary(model, x).total_macs == 2 * 4 * 8


@pytest.mark.skipif(torch.__version__.startswith("2.6"), reason="torch 2.6 lets nobody look into its cond")
@pytest.mark.parametrize("sign, macs", [(1, 48), (-1, 96)])
def test_the_branch_of_cond_that_ran_is_counted(sign, macs):
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda y: self.a(y), lambda y: self.b(self.a(y)), (x,))

    model, x = Branches().requires_grad_(False), sign * torch.ones(3, 4)
    table = dlw.summary(model, x)
    assert table.complete and table.total_macs == macs, table.error
    assert set(dlw.activations(model, x)) == {row.path for row in table if row.calls and row.path}


def test_nested_tensors_are_counted_or_said_to_be_left_out():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    rows = [torch.randn(3, 4), torch.randn(5, 4)]
    jagged = dlw.summary(model, torch.nested.nested_tensor(rows, layout=torch.jagged))
    assert jagged.complete and jagged.total_macs == 8 * (32 + 16)
    strided = dlw.summary(model, torch.nested.nested_tensor(rows))
    assert strided.complete and (strided.total_macs == jagged.total_macs or strided.uncounted)
