"""The loop: a step is the plain loop's, and is taken whole or not at all."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.controls.clipping import Clip
from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.objective import Objective
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches
from dlwidgets.core.data.task import Task, infer_task
from dlwidgets.core.training.loop import Loop, NotFinite, zero_gradients

CPU = torch.device("cpu")


def data(count=20):
    g = torch.Generator().manual_seed(0)
    return torch.randn(count, 5, generator=g), torch.randn(count, 2, generator=g)


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.4), nn.Linear(6, 2))


def loop(model=None, batches=None, *, custom=None, loss=None, target=None, clip=None):
    model = net() if model is None else model
    X, y = data()
    task = Task("custom", None, "") if custom else infer_task(y, y[:4], task="regression", loss=loss)
    batches = IndexedBatches(Rows(X, y), 8, seed=0) if batches is None else batches
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return Loop(Objective(model, task, CPU, custom, target), batches, optimizer, clip or Clip())


def state(made):
    """Everything that a step changes."""
    return {
        **{name: value.clone() for name, value in made.model.state_dict().items()},
        "torch": torch.get_rng_state(), "numpy": tuple(map(str, np.random.get_state())),
        "python": random.getstate(),
        "steps": made.steps, "epochs": made.epochs, "rows": len(made.history),
        "momentum": copy.deepcopy(made.optimizer.state_dict()["state"]),
    }  # fmt: skip


def same(left, right):
    def equal(a, b):
        if isinstance(a, torch.Tensor):
            return torch.equal(a, b)
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
        return a == b

    assert [name for name in left if not equal(left[name], right[name])] == []


def test_a_step_is_noted_in_the_history():
    made = loop()
    assert (made.epoch, np.isnan(made.loss)) == (0, True)
    for _ in range(4):
        assert made.step()
    frame = made.history.frame()
    assert frame.epoch.tolist() == [1, 1, 1, 2]
    assert frame.batch_size.tolist() == [8, 8, 4, 8]
    assert (frame.lr == 0.1).all()
    assert (frame.seconds > 0).all()
    assert (made.steps, made.epochs, made.epoch, made.loss) == (4, 1, 2, frame.loss.iloc[-1])


def test_the_loss_and_the_norm_are_those_of_the_batch():
    made, twin = loop(), net()
    batch = next(IndexedBatches(Rows(*data()), 8, seed=0).take() for _ in range(1))
    state_before = torch.get_rng_state()
    made.step()
    torch.set_rng_state(state_before)
    loss = nn.functional.mse_loss(twin(batch[0]), batch[1])
    loss.backward()
    assert made.loss == loss.item()
    norm = torch.cat([p.grad.flatten() for p in twin.parameters()]).norm()
    assert made.history.columns["grad_norm"].values[0] == pytest.approx(norm.item(), rel=1e-5)


def test_the_norm_is_that_before_clipping():
    free, clipped = loop(), loop(clip=Clip("norm", 1e-3))
    for made in (free, clipped):
        torch.manual_seed(1)
        made.step()
    first = [made.history.columns["grad_norm"].values[0] for made in (free, clipped)]
    assert first[0] == pytest.approx(first[1], rel=1e-5)


def test_an_epochs_end_is_known_at_its_last_step():
    made = loop()
    assert [(made.step(), made.epoch_ended) for _ in range(4)] == [
        (True, False),
        (True, False),
        (True, True),
        (True, False),
    ]


def test_an_epochs_end_that_only_shows_when_no_batch_comes_is_an_empty_step():
    X, y = data()
    made = loop(batches=StreamBatches((pair for pair in [(X[:8], y[:8]), (X[8:], y[8:])]), 8))
    assert [(made.step(), made.epoch_ended, made.epochs) for _ in range(3)] == [
        (True, False, 0),
        (True, False, 0),
        (False, True, 1),
    ]
    assert made.epoch == 1


class Bomb(nn.Module):
    """Passes its input on, draws from all generators, and raises when armed: forwards, or backwards."""

    def __init__(self, armed=""):
        super().__init__()
        self.armed = armed
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x):
        self.seen += torch.rand(3) + np.random.rand() + random.random()
        if self.armed == "forward":
            raise RuntimeError("boom")
        if self.armed == "nan":
            return x * float("nan")
        if self.armed == "backward":
            x.register_hook(lambda grad: 1 / 0)
        if self.armed == "infinite gradient":
            return x + (x - x).abs().sqrt()
        return x


def bombed(**options):
    model = net()
    model.insert(3, Bomb())
    return loop(model, **options)


@pytest.mark.parametrize("armed", ["forward", "backward", "nan", "infinite gradient", "loss"])
@pytest.mark.parametrize("after", [0, 2, 3])
def test_a_step_that_fails_leaves_everything_as_it_was_and_can_be_taken_again(armed, after):
    fails = []

    def loss(output, targets):
        if fails and armed == "loss":
            raise ValueError("boom")
        return nn.functional.mse_loss(output, targets)

    smooth, bumpy = bombed(loss=loss), bombed(loss=loss, clip=Clip("norm", 1e9))
    smooth.clip = Clip("norm", 1e9)  # so that the norm is known in each step
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    start = torch.get_rng_state(), np.random.get_state(), random.getstate()
    for _ in range(6):
        smooth.step()
    expected = state(smooth)

    torch.set_rng_state(start[0]), np.random.set_state(start[1]), random.setstate(start[2])
    for number in range(6):
        if number == after:
            before = state(bumpy)
            fails.append(1)
            bumpy.model[3].armed = armed
            for _ in range(2):
                with pytest.raises((RuntimeError, ValueError, ArithmeticError)):
                    bumpy.step()
                same(before, state(bumpy))
            bumpy.model[3].armed = ""
            fails.clear()
        bumpy.step()
    same(expected, state(bumpy))


class Unreadable(TensorDataset):
    bad = None

    def __getitem__(self, i):
        np.random.rand(), torch.rand(1)
        if i == self.bad:
            raise OSError(f"sample {i} cannot be read")
        return super().__getitem__(i)


@pytest.mark.parametrize("make", [
    lambda d: IndexedBatches(d, 6, seed=0),
    lambda d: LoaderBatches(DataLoader(d, 6, shuffle=True, generator=torch.Generator().manual_seed(0))),
    lambda d: LoaderBatches(DataLoader(d, 6, shuffle=True)),
], ids=["dataset", "loader with a generator", "loader"])  # fmt: skip
def test_a_sample_that_cannot_be_read_fails_the_step_and_nothing_is_lost(make):
    results = []
    for bad in (None, 3):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)
        dataset = Unreadable(*data())
        made = loop(batches=make(dataset))
        torch.manual_seed(0)
        dataset.bad, failures = bad, 0
        while made.steps < 9:
            try:
                made.step()
            except OSError:
                failures += 1
                assert failures < 3
                dataset.bad = None if failures == 2 else bad
        assert failures == (0 if bad is None else 2)
        results.append(state(made))
    same(*results)


def test_after_a_failure_the_batch_comes_in_the_size_of_now():
    made = bombed()
    made.model[3].armed = "forward"
    with pytest.raises(RuntimeError):
        made.step()
    made.model[3].armed = ""
    made.batches.batch_size = 4
    while not made.epoch_ended:
        made.step()
    assert made.history.frame().batch_size.tolist() == [4] * 5


def test_a_batch_may_be_left_out():
    made = loop()
    assert made.skip() == 8
    assert (made.steps, made.epochs) == (0, 0)
    made.step()
    assert made.skip() == 4
    assert (made.steps, made.epochs) == (1, 1)


@pytest.mark.parametrize(
    ("poison", "blame"),
    [
        ("inputs", "The inputs of this batch hold NaN or infinite values."),
        ("targets", "The targets of this batch hold NaN or infinite values."),
        ("weights", "A lower learning rate or gradient clipping often helps."),
    ],
)
def test_a_loss_that_is_not_finite_says_where_it_may_come_from(poison, blame):
    X, y = data()
    made = loop(batches=IndexedBatches(Rows(X, y), 8, seed=0))
    made.step()
    {"inputs": X, "targets": y, "weights": made.model[4].weight.data}[poison].fill_(float("nan"))
    with pytest.raises(NotFinite) as caught:
        made.step()
    assert str(caught.value) == f"The loss became nan in step 2, which was not taken. {blame} Then resume."


def test_gradients_that_are_not_finite_do_not_poison_the_weights():
    made = bombed(clip=Clip("norm", 1.0))
    made.model[3].armed = "infinite gradient"
    with pytest.raises(
        NotFinite, match="The gradients became infinite or NaN in step 1, which was not taken"
    ):
        made.step()
    assert all(p.isfinite().all() for p in made.model.parameters())


def test_a_custom_step_may_return_a_dict_of_losses():
    def step(model, batch):
        error = model(batch[0]) - batch[1]
        return {"square": error.square().mean(), "absolute": error.abs().mean()}

    made = loop(custom=step)
    made.step()
    frame = made.history.frame()
    assert frame.loss[1] == pytest.approx(frame.loss_square[1] + frame.loss_absolute[1])


def test_dict_batches_are_the_models_keywords():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 2)

        def forward(self, left, scale):
            return self.layer(left) * scale

    X, y = data()
    batches = StreamBatches([{"left": X, "scale": torch.ones(20, 1), "label": y}], 20)
    made = loop(Named(), batches, target="label")
    assert made.step()
    assert made.evaluate(batches).samples == 20


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [(3.0, "of type float"), (torch.zeros(2), "a tensor of shape"), ({}, "empty dict")],
)
def test_a_custom_step_that_returns_no_loss_is_told_so(returned, sentence):
    made = loop(custom=lambda model, batch: returned)
    with pytest.raises(TypeError, match=sentence):
        made.step()


def test_an_epoch_without_a_batch_is_an_error_and_not_an_endless_search():
    X, y = data(3)
    made = loop(batches=LoaderBatches(DataLoader(TensorDataset(X, y), 5, drop_last=True)))
    with pytest.raises(ValueError, match="train gave no batch in a whole epoch"):
        made.step()


def test_a_module_that_was_swapped_while_nothing_ran_is_seen():
    made = loop()
    made.step()
    made.model[4] = Bomb()
    made.model[4].armed = "forward"
    made.refresh()
    with pytest.raises(RuntimeError):
        made.step()
    assert torch.equal(made.model[4].seen, torch.zeros(3))


class Elsewhere(torch.Tensor):
    """A tensor that says it lies on a GPU."""

    device = property(lambda self: torch.device("cuda", 7))

    def to(self, device):
        assert device == CPU
        return self.as_subclass(torch.Tensor)


def test_the_optimizers_state_comes_to_where_the_model_is():
    made, smooth = loop(), loop()
    for one in (made, smooth):
        torch.manual_seed(0)
        one.step()
    for state_ in made.optimizer.state.values():
        state_["momentum_buffer"] = state_["momentum_buffer"].as_subclass(Elsewhere)
    made.refresh()
    for one in (made, smooth):
        torch.manual_seed(1)
        one.step()
    same(state(made), state(smooth))


def test_large_buffers_are_not_copied_in_each_step():
    model = net()
    model.register_buffer("mask", torch.zeros(1001, 1000))
    assert [buffer.numel() for buffer in loop(model)._buffers] == [6, 6, 1]


def test_forward_is_for_looking_only():
    made = loop()
    made.model.train()
    before = state(made)
    out = made.forward(data()[0])
    assert not out.requires_grad
    assert made.model.training
    same(before, state(made))


def test_gradients_are_let_go_as_zero_grad_does():
    one, other, outside = (nn.Parameter(torch.ones(2)) for _ in range(3))
    for made in (torch.optim.SGD([{"params": [one]}, {"params": [other]}], lr=0.1), torch.optim.Adam([one, other])):
        for parameter in (one, other, outside):
            parameter.grad = torch.ones(2)
        zero_gradients(made)
        assert one.grad is None and other.grad is None
        torch.testing.assert_close(outside.grad, torch.ones(2))


def test_a_zero_grad_of_a_persons_own_is_called():
    class Own(torch.optim.SGD):
        def zero_grad(self, set_to_none=True):
            calls.append("class")
            super().zero_grad(set_to_none)

    calls, weight = [], nn.Parameter(torch.ones(2))
    zero_gradients(Own([weight], lr=0.1))
    made = torch.optim.SGD([weight], lr=0.1)
    made.zero_grad = lambda: calls.append("object")
    zero_gradients(made)
    assert calls == ["class", "object"]
