"""Controls: optimizers, numbers of parameter groups, and what is refused."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.controls.optimizer import make_optimizer
from dlwidgets.core.controls.parameter_groups import GroupValue


def model():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    made(torch.randn(5, 3)).square().sum().backward()
    return made


@pytest.mark.parametrize("lr", [0.5, 0.1, 3e-4])
def test_one_rate_keeps_the_ratios_of_the_groups(lr):
    first, second, third = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.SGD(
        [
            {"params": first.parameters(), "lr": 0.0},
            {"params": second.parameters(), "lr": 0.1},
            {"params": third.parameters()},
        ],
        lr=0.01,
    )
    rate = GroupValue(optimizer, "lr")
    assert rate.value == 0.1
    rate.set(lr)
    assert rate.value == lr
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.0, lr, lr / 10])


@given(lr=st.floats(1e-8, 10))
def test_the_rate_of_one_group_is_the_number_to_the_last_bit(lr):
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.3)
    GroupValue(optimizer, "lr").set(lr)
    assert optimizer.param_groups[0]["lr"] == lr


def test_a_rate_that_is_a_tensor_stays_the_same_tensor():
    kept = torch.tensor(0.01)
    optimizer = torch.optim.Adam(nn.Linear(2, 2).parameters(), lr=kept)
    GroupValue(optimizer, "lr").set(0.5)
    assert optimizer.param_groups[0]["lr"] is kept
    assert kept.item() == 0.5


def test_a_group_without_decay_stays_without():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(
        [{"params": first.parameters(), "weight_decay": 0.0}, {"params": second.parameters()}],
        weight_decay=0.1,
    )
    GroupValue(optimizer, "weight_decay").set(0.4)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.4]


def test_a_number_that_the_optimizer_lacks_is_none():
    assert GroupValue(torch.optim.Rprop(nn.Linear(2, 2).parameters()), "weight_decay").value is None


@pytest.mark.parametrize(
    ("wanted", "kind", "lr"),
    [
        ("adamw", torch.optim.AdamW, 1e-3), ("SGD", torch.optim.SGD, 1e-3), ("RMSprop", torch.optim.RMSprop, 1e-3),
        (torch.optim.NAdam, torch.optim.NAdam, 1e-3), (lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9), torch.optim.SGD, 0.3),
    ],
)  # fmt: skip
def test_an_optimizer_is_a_name_a_class_or_a_factory(wanted, kind, lr):
    made = make_optimizer(wanted, model())
    assert type(made) is kind
    assert made.param_groups[0]["lr"] == lr
    assert make_optimizer(wanted, model(), 0.25, 0.5).param_groups[0]["lr"] == 0.25
    assert make_optimizer(wanted, model(), None, 0.5).param_groups[0]["weight_decay"] == 0.5


def test_an_optimizer_that_was_made_is_used_as_it_is():
    net = model()
    mine = torch.optim.SGD(net[0].parameters(), lr=0.7, weight_decay=0.2)
    assert make_optimizer(mine, net) is mine
    assert mine.param_groups[0]["lr"] == 0.7
    make_optimizer(mine, net, lr=0.1, weight_decay=0.3)
    assert (mine.param_groups[0]["lr"], mine.param_groups[0]["weight_decay"]) == (0.1, 0.3)


def frozen():
    return model().requires_grad_(False)


@pytest.mark.parametrize(
    ("wanted", "net", "options", "sentence"),
    [
        ("adamm", model, {}, "optimizer='adamm' is not in torch.optim. Did you mean 'adam'?"),
        ("zzz", model, {}, "optimizer='zzz' is not in torch.optim. There are: adadelta"),
        (3, model, {}, 'optimizer=3: pass a name such as "adamw", a class of torch.optim, or a factory.'),
        (lambda p: None, model, {}, "The optimizer= factory returned NoneType, not a torch.optim.Optimizer."),
        (lambda p: torch.optim.SGD(model().parameters(), lr=1.0), model, {}, "The optimizer was made for other parameters: make it from this model's parameters()."),
        ("rprop", model, {"weight_decay": 0.1}, "optimizer: Rprop does not take weight_decay=; its options are lr, etas"),
        (lambda p: torch.optim.Rprop(p), model, {"weight_decay": 0.1}, "Rprop has no weight_decay: leave weight_decay= out."),
        ("lbfgs", model, {}, 'LBFGS evaluates the loss several times a step, which is not supported: take another optimizer, such as "adamw".'),
        (lambda p: torch.optim.LBFGS(p), model, {}, "LBFGS evaluates the loss several times a step"),
        ("adamw", lambda: nn.Flatten(), {}, "The model Flatten has no parameters: there is nothing to train."),
        ("adamw", frozen, {}, "All parameters of Sequential are frozen (requires_grad is False): there is nothing to train."),
    ],
)  # fmt: skip
def test_what_cannot_optimize_is_refused_in_a_sentence(wanted, net, options, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        make_optimizer(wanted, net(), **options)
    assert str(caught.value).startswith(sentence)
