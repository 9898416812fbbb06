"""What trains beside the model is trained, goes back, and is resumed, as the model is."""

from __future__ import annotations

import copy
import functools
from collections import deque

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlwidgets.session import Session

X = torch.randn(48, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(48) % 3


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))


class Scaled(nn.Module):
    """A temperature that is learnt, and a running mean of the losses."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.register_buffer("mean", torch.zeros(()))
        self.calls = 0

    def forward(self, output, target):
        loss = F.cross_entropy(output * self.scale, target)
        if torch.is_grad_enabled():
            self.calls += 1
            self.mean.mul_(0.9).add_(0.1 * loss.detach())
        return loss


class Shadow:
    """An averaging object that is no module, and makes new tensors in every step."""

    def __init__(self, model):
        self.shadow = {name: one.detach().clone() for name, one in model.named_parameters()}
        self.updates = 0

    def update(self, model):
        self.updates += 1
        for name, one in model.named_parameters():
            self.shadow[name] = 0.9 * self.shadow[name] + 0.1 * one.detach()


def consistency(model, batch, teacher):
    """Return the loss of a student beside its teacher."""
    output = model(batch[0])
    return F.cross_entropy(output, batch[1]) + F.mse_loss(output, teacher(batch[0]).detach())


def with_loss(optimizer):
    model, loss = net(), Scaled()
    options = {"optimizer": optimizer(model, loss)} if callable(optimizer) else {"optimizer": optimizer}
    return model, {"loss": loss, **options}, lambda: [*loss.parameters(), loss.mean, torch.tensor(loss.calls)]


def with_teacher():
    model = net()
    teacher = copy.deepcopy(model).requires_grad_(False)

    def step(model, batch):
        loss = consistency(model, batch, teacher)
        with torch.no_grad():
            for ours, theirs in zip(teacher.parameters(), model.parameters()):
                ours.lerp_(theirs, 0.1)
        return loss

    return model, {"training_step": step}, lambda: list(teacher.parameters())


def with_averaged_model():
    model = net()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

    def step(averaged, model, batch):
        loss = consistency(model, batch, averaged)
        averaged.update_parameters(model)
        return loss

    bound = functools.partial(step, averaged)
    return model, {"training_step": bound}, lambda: list(averaged.state_dict().values())


def with_shadow():
    model = net()
    shadow = Shadow(model)

    def step(model, batch):
        loss = consistency(model, batch, lambda x: torch.func.functional_call(model, shadow.shadow, x))
        shadow.update(model)
        return loss

    return model, {"training_step": step}, lambda: [*shadow.shadow.values(), torch.tensor(shadow.updates)]


class Adversary:
    """A step with a critic and an optimizer of its own."""

    def __init__(self):
        torch.manual_seed(5)
        self.critic = nn.Linear(3, 1)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), 0.01)

    def step(self, model, batch):
        output = model(batch[0])
        self.optimizer.zero_grad()
        (self.critic(output.detach()).mean() - self.critic(F.one_hot(batch[1], 3).float()).mean()).backward()
        self.optimizer.step()
        return F.cross_entropy(output, batch[1]) - 0.1 * self.critic(output).mean()


def with_critic():
    made = Adversary()
    return net(), {"training_step": made.step}, lambda: list(made.critic.parameters())


def with_bank():
    bank = torch.zeros(64, 3)

    def step(model, batch):
        output = model(batch[0])
        loss = F.cross_entropy(output, batch[1]) + (output - bank[: len(output)]).pow(2).mean()
        bank[: len(output)] = output.detach()
        return loss

    return net(), {"training_step": step}, lambda: [bank]


def with_memories():
    """A step that remembers in all the ways in which a function can."""
    counts, queue, bank, state, mine = [0], deque(maxlen=2), np.zeros(3), {"mean": None}, 0
    critic, noise, dice = nn.Linear(3, 1), torch.Generator().manual_seed(1), np.random.default_rng(2)
    moving = torch.optim.SGD(critic.parameters(), lr=1.0)
    falling = torch.optim.lr_scheduler.ExponentialLR(moving, 0.9)

    def step(model, batch):
        nonlocal mine
        mine, counts[0], step.calls = mine + 1, counts[0] + 1, step.calls + 1
        output = model(batch[0] + 0.1 * torch.randn(batch[0].shape, generator=noise) * dice.random())
        loss, now = F.cross_entropy(output, batch[1]), output.detach().mean(0)
        state["mean"] = now if state["mean"] is None else 0.9 * state["mean"] + 0.1 * now
        bank[:] += now.numpy()
        queue.append(now)
        moving.step()
        falling.step()
        away = torch.stack([*queue]).mean(0) + torch.from_numpy(bank).float() + state["mean"]
        numbers = mine + counts[0] + step.calls + falling.get_last_lr()[0]
        return loss + 0.01 * numbers * (output - away).pow(2).mean()

    step.calls = 0
    return net(), {"training_step": step}, lambda: [
        torch.tensor([mine, counts[0], step.calls, falling.last_epoch, *bank]),
        *queue, torch.zeros(3) if state["mean"] is None else state["mean"], noise.get_state(),
    ]  # fmt: skip


CASES = {
    "a loss with parameters, by name": lambda: with_loss("adamw"),
    "a loss with parameters, by hand": lambda: with_loss(
        lambda model, loss: torch.optim.SGD([*model.parameters(), *loss.parameters()], 0.1, momentum=0.9)
    ),
    "a loss with parameters, by a factory": lambda: with_loss(
        lambda *_: lambda parameters: torch.optim.SGD(parameters, lr=0.1)
    ),
    "a teacher": with_teacher, "an averaged model": with_averaged_model, "a shadow": with_shadow,
    "a critic with an optimizer": with_critic, "a bank of memories": with_bank,
    "counters, queues, arrays, a schedule": with_memories,
}  # fmt: skip


def session(name, **options):
    model, given, beside = CASES[name]()
    made = Session(model, (X, Y), batch_size=8, epochs=3, threads=1, **given, **options)
    return made, lambda: [one.detach().clone() for one in (*model.parameters(), *beside())]


def same(one, other):
    return len(one) == len(other) and all(map(torch.equal, one, other))


@pytest.mark.parametrize("name", CASES)
def test_it_goes_back_and_on_as_it_was(name):
    made, now = session(name)
    begun = now()
    made.step(4)
    there = now()
    assert not same(begun[4:], there[4:])
    made.step(6)
    end = now()
    made.rewind(4)
    assert same(now(), there)
    made.step(6)
    assert same(now(), end)


@pytest.mark.parametrize("name", CASES)
def test_an_evaluation_leaves_it_as_it_was(name):
    made, now = session(name)
    made.step(9)
    model, given, beside = CASES[name]()
    other = Session(model, (X, Y), (X, Y), batch_size=8, epochs=3, threads=1, evaluate_every=1, **given)
    other.step(9)
    other.evaluate()
    assert same([one.detach() for one in (*model.parameters(), *beside())], now())


@pytest.mark.parametrize("name", CASES)
def test_it_is_resumed_from_a_checkpoint(name, tmp_path):
    made, now = session(name, checkpoint_dir=tmp_path)
    made.step(4)
    made.save_checkpoint()
    made.close()
    whole, whole_now = session(name)
    whole.step(9)
    model, given, beside = CASES[name]()
    again = Session.from_checkpoint(tmp_path, model, (X, Y), batch_size=8, epochs=3, threads=1, **given)
    assert again.steps == 4
    again.step(5)
    assert same([one.detach() for one in (*model.parameters(), *beside())], whole_now())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_parameters_of_a_loss_are_trained_as_in_the_plain_loop(optimizer):
    model, loss = net(), Scaled()
    batches = [(X[i : i + 8], Y[i : i + 8]) for i in range(0, 48, 8)]
    Session(model, batches, loss=loss, optimizer=optimizer, lr=0.05, epochs=2, threads=1).fit()
    other, theirs = net(), Scaled()
    kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[optimizer]
    moved = kind([*other.parameters(), *theirs.parameters()], lr=0.05)
    for x, y in batches * 2:
        moved.zero_grad()
        theirs(other(x), y).backward()
        moved.step()
    assert all(map(torch.equal, model.parameters(), other.parameters()))
    assert torch.equal(loss.scale, theirs.scale)


def test_another_optimizer_in_mid_run_moves_the_loss_too():
    loss = Scaled()
    made = Session(net(), (X, Y), loss=loss, threads=1).step(1)
    for wish in ("sgd", lambda parameters: torch.optim.SGD(parameters, lr=0.1)):
        made.optimizer, before = wish, loss.scale.detach().clone()
        made.step(1)
        assert not made.rejected and not torch.equal(loss.scale, before)


def test_a_trial_changes_nothing_of_a_loss():
    loss = Scaled()
    Session(net(), (X, Y), loss=loss, threads=1)
    assert loss.calls == 0 and loss.mean == 0


def test_a_loss_whose_parameters_the_optimizer_does_not_move_is_told():
    model = net()
    alone = torch.optim.SGD(model.parameters(), 0.1)
    made = Session(model, (X, Y), loss=Scaled(), optimizer=alone, threads=1)
    assert any("does not move 1 parameter of the loss" in note for note in made.notes)


def test_what_the_optimizer_moves_and_nobody_holds_is_refused():
    model, stray = net(), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([*model.parameters(), stray], 0.1)
    with pytest.raises(ValueError, match="moves 1 tensor that neither the model has, nor"):
        Session(model, (X, Y), optimizer=optimizer)


GLOBAL = 0


def test_a_variable_of_the_notebook_that_a_step_counts_goes_back_too():
    def step(model, batch):
        global GLOBAL
        GLOBAL += 1
        return F.cross_entropy(model(batch[0]), batch[1])

    made = Session(net(), (X, Y), (X, Y), training_step=step, evaluate_every=2, threads=1)
    made.step(4)
    assert GLOBAL == 4
    made.rewind(2)
    assert GLOBAL == 2


def test_bare_parameters_of_a_function_are_trained_and_what_nobody_moves_is_told():
    scale, head = nn.Parameter(torch.zeros(())), nn.Linear(3, 3)

    def step(model, batch):
        return F.cross_entropy(head(model(batch[0])), batch[1]) * (-scale).exp() + scale

    made = Session(net(), (X, Y), training_step=step, threads=1).step(1)
    assert scale != 0
    assert any("on 'head.weight', 'head.bias', which no optimizer moves" in note for note in made.notes)
    other = Session(net(), (X, Y), loss=lambda o, t: F.cross_entropy(o, t) * (1 - scale), threads=1)
    before = scale.item()
    other.step(1)
    assert scale != before
    assert not any("no optimizer moves" in note for note in other.notes)


def test_a_loss_is_in_eval_mode_where_it_is_evaluated():
    class Dropping(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, output, target):
            return F.cross_entropy(self.drop(output), target)

    model, loss = net(), Dropping()
    made = Session(model, (X, Y), (X, Y), loss=loss, threads=1)
    with torch.no_grad():
        assert made.evaluate().loss == pytest.approx(F.cross_entropy(model(X), Y).item(), abs=1e-6)
    assert loss.training and loss.drop.training


def test_the_best_weights_are_those_of_the_loss_and_of_a_teacher_as_well(tmp_path):
    options = {"batch_size": 8, "epochs": 6, "lr": 0.3, "threads": 1}
    valid, rule = (X[:20], (Y[:20] + 1) % 3), {"patience": 1000, "restore": True}
    for make in (lambda: with_loss("adamw"), with_teacher):
        model, given, _ = make()
        made = Session(model, (X, Y), valid, early_stopping=rule, **options, **given).fit()
        assert made.history().restored.notna().any()
        assert made.evaluate().loss == pytest.approx(made.history().valid_loss.min(), abs=1e-6)
        assert made.evaluation.loss == pytest.approx(made.history().valid_loss.min(), abs=1e-6)
