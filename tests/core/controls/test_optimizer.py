"""Optimizers as wishes: swapped between two steps as the plain loop would, refused in a sentence, in the ledger."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler as S

from dlwidgets.session import Session

COUNT, SIZE, EACH = 40, 8, 5
X = torch.randn(COUNT, 6, generator=torch.Generator().manual_seed(1))
Y = torch.arange(COUNT) % 3
NAMES = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD",
]  # fmt: skip
MUON = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")


def net():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def session(optimizer="adamw", model=None, **options):
    return Session(
        net() if model is None else model, (X, Y),
        **{"optimizer": optimizer, "batch_size": SIZE, "epochs": 4, "threads": 1, **options},
    )  # fmt: skip


def plain(make, changes, steps, schedule=None, model=None):
    """The plain loop; `changes` says what is done to (model, optimizer) before which step, and may return another."""
    model = net() if model is None else model
    optimizer = make(model.parameters())
    scheduler = schedule(optimizer) if schedule else None
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    model.train()
    batches = []
    for step in range(steps):
        batches = batches or list(torch.randperm(COUNT, generator=order).split(SIZE))
        index = batches.pop(0)
        if step in changes:
            optimizer = changes[step](model, optimizer) or optimizer
        loss = nn.functional.cross_entropy(model(X[index]), Y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()
    return model


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_every_optimizer_of_torch_is_tried_or_refused():
    kinds = {n for n, k in vars(torch.optim).items() if isinstance(k, type) and issubclass(k, torch.optim.Optimizer)}
    assert kinds - {*NAMES} <= {"Optimizer", "LBFGS", "SparseAdam", "Muon"}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "AdamW"])
def test_a_swap_is_that_of_the_plain_loop(name):
    made = session(lr=0.02)
    made.step(7)
    made.optimizer = name.lower()
    made.step(6)
    kind = getattr(torch.optim, name)
    expected = plain(
        lambda p: torch.optim.AdamW(p, lr=0.02), {7: lambda model, _: kind(model.parameters(), lr=0.02)}, 13
    )
    assert same(made.model, expected)
    assert type(made.optimizer) is kind
    entry = made.changes[-1]
    assert (entry.step, entry.name, entry.asked, entry.rejected) == (7, "optimizer", (name, {}), False)
    assert entry.note == "its state starts anew; lr stays 0.02"


@given(
    swaps=st.dictionaries(st.integers(1, 15), st.sampled_from(["sgd", "adam", "rmsprop", "nadam"]), max_size=4),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
)
@settings(max_examples=15, deadline=None)
def test_any_swaps_at_any_steps_are_those_of_the_plain_loop(swaps, momentum):
    kinds = {
        "sgd": (torch.optim.SGD, {"momentum": momentum}), "rmsprop": (torch.optim.RMSprop, {"momentum": momentum}),
        "adam": (torch.optim.Adam, {"betas": (0.8, 0.99)}), "nadam": (torch.optim.NAdam, {}),
    }  # fmt: skip
    made = session("adamw", lr=0.01)
    changes, last = {}, "adamw"
    for step, name in sorted(swaps.items()):
        made.step(step - made.steps)
        made.optimizer = (name, kinds[name][1])
        if name != last:
            changes[step] = lambda model, _, name=name: kinds[name][0](model.parameters(), lr=0.01, **kinds[name][1])
        last = name
    made.step(16 - made.steps)
    assert same(made.model, plain(lambda p: torch.optim.AdamW(p, lr=0.01), changes, 16))


@pytest.mark.parametrize(
    ("wanted", "lr", "short"),
    [
        (("sgd", {"momentum": 0.9, "nesterov": True}), 0.02, ("SGD", {"momentum": 0.9, "nesterov": True})),
        (("sgd", {"lr": 0.3}), 0.3, ("SGD", {})),
        (torch.optim.Adam, 0.02, ("Adam", {})),
        ((torch.optim.Adam, {"betas": (0.8, 0.9)}), 0.02, ("Adam", {"betas": (0.8, 0.9)})),
        (lambda p: torch.optim.SGD(p, momentum=0.5), 0.02, ("SGD", {"momentum": 0.5})),
        (lambda p: torch.optim.SGD(p, lr=0.4), 0.4, ("SGD", {})),
    ],
)
def test_the_rate_stays_unless_another_is_named(wanted, lr, short):
    made = session(lr=0.02)
    made.step(2)
    made.optimizer = wanted
    made.step()
    assert (made.applied["lr"], made.lr, made.applied["optimizer"]) == (lr, lr, short)
    assert made.record.columns["lr"].values[-1] == lr
    assert not made.rejected


def test_an_optimizer_that_was_made_already_is_the_one_that_moves():
    model = net()
    made = session(model=model)
    made.step(2)
    mine = torch.optim.SGD(model.parameters(), lr=0.2)
    made.optimizer = mine
    made.step()
    assert made.optimizer is mine
    assert made.applied["lr"] == 0.2
    made.optimizer = made.optimizer
    made.step()
    assert len(made.changes) == 1


def test_the_same_optimizer_asked_for_again_is_no_change():
    made = session("adamw")
    made.step(3)
    before = made.optimizer
    made.optimizer = "sgd"
    made.optimizer = "adamw"
    made.step()
    assert made.optimizer is before
    assert not made.changes


def test_weight_decay_that_was_asked_for_stays_and_the_classs_own_does_not():
    made = session("adamw")
    made.step()
    made.optimizer = "sgd"
    made.step()
    assert made.applied["weight_decay"] == made.weight_decay == 0.0
    made.weight_decay = 0.3
    made.optimizer = "adam"
    made.step()
    assert made.applied["weight_decay"] == made.weight_decay == 0.3


def groups(p):
    p = list(p)
    return torch.optim.SGD([{"params": p[:2], "lr": 0.1, "weight_decay": 0.0}, {"params": p[2:], "lr": 0.02}], lr=0.1, weight_decay=0.4)


def test_groups_keep_their_proportions_when_a_class_takes_over():
    made = session(groups)
    made.step(3)
    made.optimizer = ("adam", {"weight_decay": 0.1})
    made.lr = 0.05
    made.step(3)
    expected = plain(
        groups,
        {3: lambda model, _: torch.optim.Adam(
            [{"params": list(model.parameters())[:2], "weight_decay": 0.0}, {"params": list(model.parameters())[2:], "lr": 0.05 * (0.02 / 0.1), "weight_decay": 0.1}],
            lr=0.05,
        )},
        6,
    )  # fmt: skip
    assert [group["lr"] for group in made.optimizer.param_groups] == [0.05, pytest.approx(0.01)]
    for one, other in zip(made.model.parameters(), expected.parameters()):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-7)


def test_groups_of_a_factory_keep_their_proportions_under_a_schedule_and_a_swap():
    made = session("sgd", lr=0.1, schedule=(lambda o: S.ExponentialLR(o, 0.9), {"unit": "step"}))
    made.step(4)
    made.optimizer = lambda p: torch.optim.AdamW([{"params": p[:2]}, {"params": p[2:], "lr": 1e-4}])
    made.step(3)
    now = 0.1 * 0.9**7
    assert [group["lr"] for group in made.optimizer.param_groups] == pytest.approx([now, now / 10])


@pytest.mark.parametrize("name", ["adamw", "rmsprop"])
def test_a_schedule_goes_on_over_a_swap(name):
    made = session("sgd", lr=0.1, schedule=(lambda o: S.CyclicLR(o, 0.01, 0.1, 4, cycle_momentum=False), {"unit": "step"}))
    made.step(6)
    made.optimizer = name
    made.step(8)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1)
    scheduler, expected = S.CyclicLR(optimizer, 0.01, 0.1, 4, cycle_momentum=False), []
    for _ in range(14):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert made.record.columns["lr"].values.tolist() == expected


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "sgd"])
def test_one_cycle_cycles_whatever_momentum_there_is(name):
    made = session(("sgd", {"momentum": 0.9, "nesterov": True}), lr=0.05, schedule="one-cycle")
    made.step(9)
    made.optimizer = name
    made.step(4)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
    scheduler = S.OneCycleLR(optimizer, 0.05, 20)
    for _ in range(13):
        optimizer.step()
        scheduler.step()
    group = made.optimizer.param_groups[0]
    assert (group["betas"][0] if name == "adamw" else group["momentum"]) == optimizer.param_groups[0]["momentum"]
    assert made.applied["lr"] == optimizer.param_groups[0]["lr"]


def test_frozen_parameters_stay_frozen_over_a_swap():
    made = session("adamw", lr=0.05)
    made.freeze("0")
    made.step(2)
    before = [p.detach().clone() for p in made.model[0].parameters()]
    made.optimizer = ("sgd", {"momentum": 0.9})
    made.weight_decay = 0.5
    made.step(3)
    assert all(torch.equal(a, b) for a, b in zip(before, made.model[0].parameters()))
    made.unfreeze("0")
    made.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, made.model[0].parameters()))


def test_what_was_unfrozen_trains_under_an_optimizer_that_a_factory_makes_without_it():
    model = net()
    model[0].requires_grad_(False)
    made = session(lambda p: torch.optim.SGD([q for q in p if q.requires_grad], lr=0.1), model=model)
    made.unfreeze("0")
    made.step()
    before = model[0].weight.detach().clone()
    made.optimizer = lambda p: torch.optim.SGD(model[3].parameters(), lr=0.1)
    made.step()
    assert not torch.equal(before, model[0].weight)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        pytest.param("muon", "Muon only supports 2D parameters", marks=MUON),
        ("sparseadam", "SparseAdam moves sparse gradients alone"),
        (lambda p: torch.optim.SGD(p, lr=-1.0), "Invalid learning rate: -1.0"),
        (lambda p: torch.optim.LBFGS(p), "LBFGS evaluates the loss several times a step"),
        (lambda p: None, "The optimizer= factory returned NoneType, not a torch.optim.Optimizer"),
        (lambda p: 1 / 0, "division by zero"),
    ],
)
def test_what_cannot_be_applied_is_rejected_and_the_run_goes_on_with_the_old_one(wanted, why):
    made = session("adamw", lr=0.02)
    made.step(3)
    old = made.optimizer
    made.optimizer = wanted
    made.step(3)
    assert made.optimizer is old
    assert made.rejected["optimizer"].startswith(why)
    assert (made.changes[-1].rejected, made.changes[-1].applied) == (True, ("AdamW", {}))
    assert same(made.model, plain(lambda p: torch.optim.AdamW(p, lr=0.02), {}, 6))
    made.optimizer = "sgd"
    made.step()
    assert not made.rejected


@MUON
def test_muon_trains_matrices():
    made = session(model=nn.Sequential(nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)))
    made.step(2)
    made.optimizer = ("muon", {"lr": 0.02})
    made.step(2)
    assert not made.rejected
    assert made.applied["optimizer"][0] == "Muon"
    assert made.applied["momentum"] == 0.95


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("adamm", "optimizer='adamm' is not in torch.optim. Did you mean 'adam'?"),
        (("sgd", {"momentun": 0.9}), "optimizer: SGD has no option 'momentun'. Did you mean 'momentum'?"),
        (("sgd", {"zzz": 0.9}), "optimizer: SGD has no option 'zzz'. There are: lr, momentum"),
        (("adam", {"betas": (2, 0.9)}), "optimizer=('Adam', {'betas': (2, 0.9)}): Invalid beta parameter at index 0"),
        (("sgd", {"nesterov": True}), "optimizer=('SGD', {'nesterov': True}): Nesterov momentum requires a momentum and zero dampening"),
        ("lbfgs", "LBFGS evaluates the loss several times a step, which is not supported"),
        (("sgd", 3), "optimizer=('sgd', 3): a pair is wanted, as (\"sgd\", {\"momentum\": 0.9})."),
        (3, 'optimizer=3: pass a name such as "adamw", a class of torch.optim, or a factory.'),
        ((lambda p: None, {"lr": 1.0}), "Options go with the name or the class of an optimizer; a factory sets its own."),
        (torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0), "The optimizer was made for other parameters"),
    ],
)
def test_what_is_no_optimizer_is_refused_at_once_in_a_sentence(wanted, sentence):
    made = session()
    for ask in (lambda: session(wanted), lambda: setattr(made, "optimizer", wanted)):
        with pytest.raises((ValueError, TypeError)) as caught:
            ask()
        assert str(caught.value).startswith(sentence)
    assert type(made.optimizer) is torch.optim.AdamW


# -- momentum and betas


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
@pytest.mark.parametrize(("before", "after"), [(0.0, 0.9), (0.9, 0.5), (0.9, 0.0)])
def test_a_momentum_set_in_mid_run_is_that_of_the_group(name, before, after):
    kind = getattr(torch.optim, name)
    made = session((name, {"momentum": before}), lr=0.01)
    made.step(4)
    made.momentum = after
    made.step(4)

    def change(model, optimizer):
        optimizer.param_groups[0]["momentum"] = after
        for p in model.parameters():
            if name == "RMSprop":
                optimizer.state[p].setdefault("momentum_buffer", torch.zeros_like(p))

    assert same(made.model, plain(lambda p: kind(p, lr=0.01, momentum=before), {4: change}, 8))
    assert made.applied["momentum"] == after
    made.momentum = None
    made.step()
    assert made.applied["momentum"] == before


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RAdam", "Adamax"])
def test_betas_set_in_mid_run_are_those_of_the_group(name):
    kind = getattr(torch.optim, name)
    made = session(name, lr=0.01)
    made.step(4)
    made.betas = (0.5, 0.9)
    made.step(4)
    change = {4: lambda model, optimizer: optimizer.param_groups[0].update(betas=(0.5, 0.9))}
    assert same(made.model, plain(lambda p: kind(p, lr=0.01), change, 8))
    assert made.applied["betas"] == (0.5, 0.9)


@pytest.mark.parametrize(
    ("optimizer", "name", "value", "why"),
    [
        ("adamw", "momentum", 0.9, "AdamW has no momentum: SGD, RMSprop and Muon have one; here betas is what you want"),
        ("sgd", "betas", (0.9, 0.99), "SGD has no betas: Adam and its kin (AdamW, NAdam, RAdam, Adamax) have them; here momentum is what you want"),
        ("rprop", "weight_decay", 0.1, "Rprop has no weight decay"),
    ],
)
def test_what_an_optimizer_has_not_is_rejected_with_those_that_have_it(optimizer, name, value, why):
    made = session(optimizer)
    setattr(made, name, value)
    made.step()
    assert made.rejected == {name: why}


def test_a_momentum_that_the_schedule_cycles_is_the_schedules():
    made = session(("sgd", {"momentum": 0.9}), schedule="one-cycle")
    made.momentum = 0.5
    made.step()
    assert made.rejected["momentum"].startswith("the schedule one-cycle cycles it")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("momentum", 1.0, "momentum=1.0: a number from 0 to below 1 is wanted, as 0.9, or None."),
        ("momentum", "high", "momentum='high': a number from 0 to below 1 is wanted, as 0.9, or None."),
        ("betas", 0.9, "betas=0.9: two numbers from 0 to below 1 are wanted, as (0.9, 0.999), or None."),
        ("betas", (0.9, 1.0), "betas=(0.9, 1.0): two numbers from 0 to below 1 are wanted, as (0.9, 0.999), or None."),
    ],
)
def test_numbers_that_no_optimizer_takes_are_refused_at_once(name, value, sentence):
    with pytest.raises(ValueError) as caught:
        setattr(session("sgd"), name, value)
    assert str(caught.value) == sentence


def test_a_run_taken_back_has_the_optimizer_that_it_had():
    made = session(("sgd", {"momentum": 0.9}), lr=0.05, schedule="cosine")
    made.step(6)
    there, rate = {k: v.clone() for k, v in made.model.state_dict().items()}, made.applied["lr"]
    made.step(2)
    expected = {k: v.clone() for k, v in made.model.state_dict().items()}
    made.optimizer = "adam"
    made.momentum = None
    made.lr = 0.01
    made.step(3)
    made.rewind(6)
    assert type(made.optimizer) is torch.optim.SGD
    assert made.applied["lr"] == rate
    assert made.applied["momentum"] == made.momentum == 0.9
    assert all(torch.equal(there[k], v) for k, v in made.model.state_dict().items())
    made.step(2)
    assert all(torch.equal(expected[k], v) for k, v in made.model.state_dict().items())


def test_reading_the_optimizer_gives_torchs_and_setting_it_tells_observers():
    made, seen = session(), []
    made.observe(lambda change: seen.append(change["new"]), names=["optimizer"])
    assert made.optimizer.param_groups[0]["lr"] == made.lr
    made.optimizer = "sgd"
    assert seen == [("SGD", {})]
    assert type(made.optimizer) is torch.optim.AdamW  # until the next step
    made.step()
    assert type(made.optimizer) is torch.optim.SGD
