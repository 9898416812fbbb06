"""Going back: after a rewind a run goes on bit for bit as the one that was never interrupted."""

from __future__ import annotations

import itertools
import random
import time

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dlwidgets.session import Session

COUNT, SIZE = 50, 16  # batches of 16, 16, 16, 2
X = torch.randn(COUNT, 12, generator=torch.Generator().manual_seed(1))
Y = torch.arange(COUNT) % 4
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "adamw fused": lambda p: torch.optim.AdamW(p, lr=0.01, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "asgd": lambda p: torch.optim.ASGD(p, lr=0.01),
    "groups": lambda p: torch.optim.AdamW([{"params": p[:2], "lr": 0.1}, {"params": p[2:]}], lr=0.01),
}


class Net(nn.Module):
    """Dropout, BatchNorm, a buffer that is not saved, and a number that the model counts by itself."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, 4)
        self.register_buffer("mean", torch.zeros(16), persistent=False)
        self.heat = 1.0

    def forward(self, x):
        x = self.features(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
            self.heat *= 0.99
        return self.head(x - self.mean) / self.heat


class Augmented(Dataset):
    def __len__(self):
        return COUNT

    def __getitem__(self, i):
        noise = torch.from_numpy(np.random.randn(12)).float() + random.random() + torch.rand(())
        return X[i] + 0.1 * noise, Y[i]


def net():
    torch.manual_seed(7)
    return Net()


def session(train=None, **options):
    torch.rand(3)
    options = {"batch_size": SIZE, "epochs": 4, "optimizer": OPTIMIZERS["adamw"], **options}
    return Session(net(), (X, Y) if train is None else train, task="multiclass", **options)


def plain(steps, optimizer="adamw", changes=()):
    """Train the plain loop for some steps; `changes` are (step, change(optimizer, loop))."""
    model = net()
    made = OPTIMIZERS[optimizer](list(model.parameters()))
    torch.manual_seed(0)
    order, size, at, permutation = torch.Generator().manual_seed(0), [SIZE], COUNT, None
    for step in range(steps):
        for when, change in changes:
            if when == step:
                change(model, made, size)
        if at >= COUNT:
            permutation, at = torch.randperm(COUNT, generator=order), 0
        index = permutation[at : at + size[0]]
        at += len(index)
        loss = nn.functional.cross_entropy(model(X[index]), Y[index])
        made.zero_grad()
        loss.backward()
        made.step()
    return model, made


def assert_same(left, right):
    for one, other in (
        (dict(left.named_parameters()), dict(right.named_parameters())),
        (dict(left.named_buffers()), dict(right.named_buffers())),
    ):
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert left.heat == right.heat


def assert_same_state(left, right):
    left, right = left.state_dict(), right.state_dict()
    assert left["param_groups"] == right["param_groups"]
    assert left["state"].keys() == right["state"].keys()
    for key, one in left["state"].items():
        for name, value in one.items():
            other = right["state"][key][name]
            assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


# -- as if nothing had been


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_after_a_rewind_the_run_goes_on_as_the_plain_loop(optimizer):
    made = session(optimizer=lambda p: OPTIMIZERS[optimizer](list(p)))
    made.step(11)
    made.rewind(6)
    model, theirs = plain(6, optimizer)
    assert_same(made.model, model)
    assert_same_state(made.optimizer, theirs)
    made.step(7)
    model, theirs = plain(13, optimizer)
    assert_same(made.model, model)
    assert_same_state(made.optimizer, theirs)


@pytest.mark.parametrize("step", [0, 1, 3, 4, 5, 8, 13])
def test_any_step_can_be_gone_back_to_the_ends_of_epochs_too(step):
    made = session()
    made.step(13)
    assert made.rewind(step).steps == step
    assert len(made.history()) == step
    assert_same(made.model, plain(step)[0])
    made.step(15 - step)
    assert_same(made.model, plain(15)[0])


def test_a_run_that_was_rewound_ends_where_it_would_have_ended():
    whole, made = session().fit(), session().fit()
    assert made.rewind(6).status == "paused"
    made.resume()
    made.wait()
    assert (made.status, made.steps) == ("done", 16)
    assert_same(made.model, whole.model)
    # How long a step took, and which steps' gradients were measured, depends on the clock.
    ours, theirs = (one.history().drop(columns=["seconds", "grad_norm"]) for one in (made, whole))
    assert ours.equals(theirs)


def changed():
    """Return a session of 14 steps with changes, and the same for the plain loop."""

    def rate(value):
        return lambda model, optimizer, size: [group.update(lr=value) for group in optimizer.param_groups]

    def decay(model, optimizer, size):
        for group in optimizer.param_groups:
            group["weight_decay"] = 0.5

    def frozen(model, optimizer, size):
        model.head.requires_grad_(False)
        for parameter in model.head.parameters():
            parameter.grad = None

    changes = [
        (2, rate(0.003)), (6, lambda model, optimizer, size: size.__setitem__(0, 5)), (8, frozen),
        (10, decay),
        (11, lambda model, optimizer, size: model.head.requires_grad_(True)),
    ]  # fmt: skip
    made = session()
    made.step(2)
    made.lr = 0.003
    made.step(4)
    made.batch_size = 5
    made.step(2)
    made.freeze("head")
    made.step(2)
    made.weight_decay = 0.5
    made.step(1)
    made.unfreeze("head")
    made.step(3)
    return made, changes


@pytest.mark.parametrize("step", [0, 2, 3, 6, 7, 8, 9, 10, 11, 12, 14])
def test_changes_are_made_again_at_their_steps(step):
    made, changes = changed()
    assert_same(made.model, plain(14, changes=changes)[0])
    made.rewind(step)
    before = [(when, change) for when, change in changes if when < step]
    assert_same(made.model, plain(step, changes=before)[0])
    made.step(6)
    model, theirs = plain(step + 6, changes=before)
    assert_same(made.model, model)
    assert [p.requires_grad for p in made.model.parameters()] == [p.requires_grad for p in model.parameters()]
    assert_same_state(made.optimizer, theirs)
    assert not [note for note in made.notes if "Back to" in note]


LOADERS = {
    "a dataset": lambda: Augmented(),
    "a loader": lambda: DataLoader(Augmented(), SIZE, shuffle=True),
    "a loader with a generator": lambda: DataLoader(
        Augmented(), SIZE, shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "a loader with workers": lambda: DataLoader(Augmented(), SIZE, shuffle=True, num_workers=2),
    "batches": lambda: [(X[i : i + 10], Y[i : i + 10]) for i in range(0, 50, 10)],
}


@pytest.mark.parametrize("name", LOADERS)
def test_random_augmentations_and_loaders_go_on_as_they_would_have(name):
    def run(rewinds):
        made = session(LOADERS[name](), batch_size=None if name != "a dataset" else SIZE)
        made.step(6)
        if name != "batches":
            made.batch_size = 7
        made.step(2)
        for there, further in rewinds:
            made.step(further)
            made.rewind(there)
            assert not [note for note in made.notes if "Back to" in note]
        made.step(15 - made.steps)
        losses = made.history().loss.tolist()
        made.close()
        return made.model, losses

    smooth, there = run([]), run([(8, 5), (8, 1)])
    assert there[1] == smooth[1]
    assert_same(there[0], smooth[0])


def test_rewinding_while_it_runs_pauses_it_there():
    made = session(epochs=10_000)
    seen = []
    made.observe(lambda change: seen.append(change["new"]), names="steps")
    made.start()
    while made.record.columns["loss"].values.size < 40:
        time.sleep(0.001)
    made.rewind(10)
    assert (made.status, made.steps, made.paused) == ("paused", 10, True)
    assert_same(made.model, plain(10)[0])


def test_after_a_failure_it_goes_back_from_the_last_good_state():
    made = session()
    made.step(5)
    made.lr = 1e30
    with pytest.raises(ArithmeticError):
        made.step(5)
    made.rewind(3)
    assert (made.status, made.error, made.lr) == ("paused", "", 0.01)
    made.step(4)
    assert_same(made.model, plain(7)[0])


def test_model_optimizer_and_their_tensors_stay_the_same_objects():
    made = session()
    held = made.model, made.optimizer, [*made.model.parameters()], made.optimizer.param_groups[0]
    made.step(5)
    moments = made.optimizer.state[held[2][0]]["exp_avg"]
    made.step(3)
    made.rewind(6)
    assert made.model is held[0] and made.optimizer is held[1]
    assert all(one is other for one, other in zip(made.model.parameters(), held[2]))
    assert made.optimizer.param_groups[0] is held[3]
    assert made.optimizer.state[held[2][0]]["exp_avg"] is moments or made.snapshots[0][0] == 0


def test_the_callers_random_numbers_and_modes_stay():
    made = session()
    made.step(5)
    made.model.eval()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = torch.rand(2).tolist(), np.random.rand(), random.random()
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    made.rewind(2)
    assert (torch.rand(2).tolist(), np.random.rand(), random.random()) == expected
    assert not made.model.training


def test_the_nearest_snapshot_takes_no_step():
    made = session()
    made.step(9)
    places = [step for step, why in made.snapshots]
    made.rewind(5, exact=False)
    assert made.steps == min(places, key=lambda step: abs(step - 5))
    assert_same(made.model, plain(made.steps)[0])


# -- what it says


def test_wishes_are_what_is_in_force_and_nothing_is_asked_for_anew():
    made, _ = changed()
    asked = len(made.changes)
    made.rewind(4)
    assert (made.lr, made.batch_size, made.weight_decay, made.trainable) == (0.003, SIZE, 0.1, None)
    assert made.applied["lr"] == 0.003 and made.rejected == {}
    made.step(2)
    assert len(made.changes) == asked + 1


def test_the_ledger_keeps_everything_and_says_on_which_line_it_was():
    made = session()
    made.step(4)
    made.lr = 0.5
    made.step(2)
    with made.by("panel"):
        made.rewind(2)
    made.step(1)
    made.lr = 0.2
    made.step(1)
    rows = made.ledger()
    assert [*zip(rows.name, rows.step, rows.asked, rows.applied, rows.line, rows.by)] == [
        ("lr", 4, 0.5, 0.5, "main", "code"), ("rewind", 6, 2, 2, "main", "panel"),
        ("lr", 3, 0.2, 0.2, "branch 1", "code"),
    ]  # fmt: skip
    assert [(entry.name, entry.step) for entry in made.line_changes] == [("lr", 3)]


@pytest.mark.parametrize(
    ("step", "words"), [(9, "was not taken"), (True, "number of a step"), (1.5, "number of a")]
)
def test_a_step_that_there_is_not_is_refused_in_a_sentence(step, words):
    made = session()
    made.step(5)
    with pytest.raises(ValueError, match=words):
        made.rewind(step)
    made.step(1)
    assert_same(made.model, plain(6)[0])


def test_without_memory_for_snapshots_it_is_said():
    made = session(snapshot_memory=0)
    made.step(3)
    with pytest.raises(ValueError, match="Nothing is kept"):
        made.rewind(1)
    assert [note for note in made.notes if "snapshot_memory" in note]
    made.step(1)
    assert_same(made.model, plain(4)[0])


def test_data_that_can_be_read_once_cannot_go_back_and_goes_on():
    def batches():
        return [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 50, 5)]

    made, smooth = session(iter(batches()), batch_size=None), session(iter(batches()), batch_size=None)
    made.step(4)
    with pytest.raises(ValueError, match="can be read once only"):
        made.rewind(2)
    assert (made.steps, made.line, len(made.history())) == (4, "main", 4)
    made.step(4), smooth.step(8)
    assert_same(made.model, smooth.model)


def test_what_no_snapshot_knows_is_found_out_by_its_losses():
    hidden = itertools.count(1)

    def step(model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1]) * 1.5 ** next(hidden)

    made = Session(net(), (X, Y), training_step=step, batch_size=SIZE)
    made.step(6)
    made.rewind(4)
    assert [note for note in made.notes if "no snapshot holds" in note]


def test_a_batch_that_was_skipped_is_skipped_again():
    made, smooth = session(), session()
    for one in (made, smooth):
        one.step(2)
        one.skip()
        one.step(1)
    made.step(3)
    made.rewind(4)
    made.step(2), smooth.step(3)
    assert_same(made.model, smooth.model)


# -- undo


def test_undo_goes_to_the_state_right_before_the_last_change():
    made = session()
    made.step(3)
    made.lr = 0.1
    made.step(1)
    made.clip = 0.5
    made.step(3)
    made.undo()
    assert (made.steps, made.lr, made.clip) == (4, 0.1, None)
    made.undo()
    assert (made.steps, made.lr) == (3, 0.01)
    assert_same(made.model, plain(3)[0])
    made.step(4)
    assert_same(made.model, plain(7)[0])
    with pytest.raises(ValueError, match="nothing to undo"):
        made.undo()


def test_undo_takes_back_one_of_several_changes_at_a_step():
    made = session()
    made.step(3)
    made.lr, made.clip = 0.1, 0.5
    made.step(1)
    made.undo()
    assert (made.steps, made.lr, made.clip) == (3, 0.1, None)


def test_undo_takes_back_a_wish_that_no_step_was_taken_with():
    made = session()
    made.step(3)
    made.lr = 0.1
    made.undo()
    assert (made.lr, made.applied["lr"], made.branches, made.line) == (0.01, 0.01, (), "main")
    made.step(2)
    assert_same(made.model, plain(5)[0])


# -- branches


def test_the_old_line_stays_as_a_branch_and_can_be_gone_back_to():
    made = session()
    made.step(6)
    made.lr = 0.1
    made.step(4)
    weights = {name: value.clone() for name, value in made.model.state_dict().items()}
    losses = made.history().loss.tolist()
    made.rewind(5)
    made.step(2)
    (branch,) = made.branches
    assert made.line == "branch 1"
    assert (branch.name, branch.parent, branch.from_step, branch.steps) == ("main", None, 0, 10)
    assert branch.history().loss.tolist() == losses
    assert [(entry.name, entry.step) for entry in branch.changes] == [("lr", 6)]
    made.switch(branch)
    assert (made.line, made.steps, made.lr, made.history().loss.tolist()) == ("main", 10, 0.1, losses)
    assert all(torch.equal(weights[name], value) for name, value in made.model.state_dict().items())
    (other,) = made.branches
    assert (other.name, other.parent, other.from_step, other.steps) == ("branch 1", "main", 5, 7)
    smooth = session()
    smooth.step(6)
    smooth.lr = 0.1
    smooth.step(8)
    made.step(4)
    assert_same(made.model, smooth.model)


def test_a_branch_whose_end_is_not_kept_is_trained_anew():
    made = session()
    made.step(6)
    made.lr = 0.1
    made.step(4)
    weights = {name: value.clone() for name, value in made.model.state_dict().items()}
    made.rewind(3)
    timeline = made._run.timeline
    for one in list(timeline.ring):
        if one.why == "left":
            timeline.ring.drop(one)
    made.step(1)
    assert not made.branches[0].kept
    made.switch("main")
    assert all(torch.equal(weights[name], value) for name, value in made.model.state_dict().items())


def test_going_back_behind_the_fork_parts_from_the_line_that_went_there():
    made = session()
    made.step(8)
    made.rewind(6)
    made.step(3)
    made.rewind(2)
    made.step(1)
    assert {one.name: (one.parent, one.from_step, one.steps) for one in made.branches} == {
        "main": (None, 0, 8), "branch 1": ("main", 6, 9)
    }  # fmt: skip
    assert made._run.timeline.branch(made.line).parent == "main"
    assert_same(made.model, plain(3)[0])


def test_going_back_twice_without_a_step_leaves_one_branch():
    made = session()
    made.step(8)
    made.rewind(6)
    made.rewind(4)
    assert [(one.name, one.steps) for one in made.branches] == [("main", 8)]
    made.step(1)
    made.switch("main")
    assert [(one.name, one.from_step, one.steps) for one in made.branches] == [("branch 1", 4, 5)]


def test_a_line_that_there_is_not_is_refused():
    made = session()
    made.step(1)
    with pytest.raises(ValueError, match="no line 'other'"):
        made.switch("other")


def test_what_has_no_room_any_more_is_let_go_of():
    made = session(snapshot_memory=60_000)
    for _ in range(6):
        made.step(5)
        made.rewind(0)
    ends = [line.tip for line in made.timeline.lines.values() if line.tip is not None]
    assert len(made.branches) == 6 > len(ends) and all(end in made.timeline.ring for end in ends)
    assert [branch.kept for branch in made.branches].count(True) == len(ends)


def test_lines_are_compared_by_what_differs():
    made = session(valid=(X, Y), evaluate_every=2)
    made.step(4)
    made.lr = 0.1
    made.step(2)
    made.rewind(4)
    made.clip = 0.5
    made.step(3)
    found = made.compare("main")
    assert found.settings.index.tolist() == ["lr", "clip"]
    assert found.settings.loc["lr"].tolist() == [0.1, 0.01]
    assert found.history.index.tolist() == [1, 2, 3, 4, 5, 6, 7]
    both = found.history["loss"]
    assert both["main"][:4].tolist() == both["branch 1"][:4].tolist()
    assert both["main"][6] != both["branch 1"][6]
    assert found.history["valid_loss"]["branch 1"].dropna().index.tolist() == [2, 4, 6]


def test_two_rates_from_one_step_are_tried_and_the_run_is_left_where_it_was():
    made = session()
    made.step(5)
    low, high = made.try_each(4, {"lr": 0.001}, {"lr": 0.1, "clip": 1.0})
    assert (made.steps, made.line, made.lr, made.status) == (5, "main", 0.01, "paused")
    assert (low.from_step, low.steps, high.steps) == (5, 9, 9)
    for branch, lr, clip in ((low, 0.001, None), (high, 0.1, 1.0)):
        alone = session()
        alone.step(5)
        alone.lr, alone.clip = lr, clip
        alone.step(4)
        assert branch.history().loss.tolist() == alone.history().loss.tolist()
    made.step(3)
    assert_same(made.model, plain(8)[0])


def test_one_of_the_tries_can_be_gone_on_with():
    made = session()
    made.step(5)
    tries = made.try_each(4, {"lr": 0.001}, {"lr": 0.1}, keep=1)
    assert (made.line, made.steps, made.lr) == (tries[1].name, 9, 0.1)


def test_a_try_that_bursts_says_so_and_the_others_go_on():
    made = session()
    made.step(5)
    burst, fine = made.try_each(6, {"lr": 1e30}, {"lr": 0.001})
    assert "infinite or NaN" in burst.note or "became" in burst.note
    assert (fine.note, fine.steps, made.steps, made.status) == ("", 11, 5, "paused")


def test_while_settings_are_tried_a_session_says_so_and_stays_where_it_was():
    made = session(valid=(X, Y), evaluate_every=2)
    made.step(5)
    kept = made.steps, made.epoch, made.loss, made.line, made.lr, made.snapshots, made.evaluation
    ledger, history, applied = len(made.line_changes), made.history(), made.applied
    told, moments = [], []

    def look(change):
        told.append((made.status, tuple(trial.ended for trial in made.trials), len(made.branches)))
        if made.status == "trying":
            moments.append((
                made.steps, made.epoch, made.loss, made.line, made.lr, made.snapshots, made.evaluation
            ))
            assert made.progress()["steps"] == 5 and len(made.line_changes) == ledger
            assert made.history().equals(history) and made.applied == applied
            assert all(branch.steps == 9 for branch in made.branches)
            assert "trying, 5 steps taken" in repr(made)

    made.observe(look, "pulse")
    seen = []
    made.observe(lambda change: seen.append(change["name"]), names=["steps", "epoch", "line", "applied"])
    made.try_each(4, {"lr": 0.001}, {"lr": 0.1})
    assert moments and all(moment == kept for moment in moments)
    assert not any("observer" in note for note in made.notes)
    trying = [one[1:] for one in told if one[0] == "trying"]
    assert [one for n, one in enumerate(trying) if one not in trying[:n]] == [
        ((False, False), 0), ((True, False), 1), ((True, True), 2)
    ]  # fmt: skip
    assert told[-1] == ("paused", (), 2) and made.trials == () and not seen


def test_a_trial_tells_how_far_it_is(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.training.run.PULSE", 0.0)
    made = session()
    made.step(2)
    seen = []
    made.observe(lambda change: seen.append([one.taken for one in change["new"]]), "trials")
    made.try_each(2, {"lr": 0.001}, {"lr": 0.1})
    assert seen == [[0, 0], [1, 0], [2, 0], [2, 0], [2, 0], [2, 1], [2, 2], [2, 2], []]


@pytest.mark.parametrize("order", ["pause", "stop"])
def test_an_order_ends_the_trying(order):
    made = session()
    made.step(2)

    def look(change):
        if change["new"] and change["new"][0].taken >= 1:
            made.unobserve_all("trials")
            getattr(made, order)()

    made.observe(look, "trials")
    (only,) = made.try_each(100_000, {"lr": 0.001}, {"lr": 0.1}, keep=1)
    assert 1 <= only.steps - only.from_step < 100_000
    assert (made.steps, made.line, made.status, made.trials) == (2, "main", "paused", ())


@pytest.mark.parametrize(("order", "steps"), [("start", 8), ("step", 3)])
def test_an_order_to_go_on_ends_the_trying_and_is_followed(order, steps):
    made = session(epochs=2)
    made.step(2)

    def look(change):
        if change["new"] and change["new"][0].taken >= 5:  # in the second epoch already
            made.unobserve_all("trials")
            getattr(made, order)(**({} if order == "start" else {"wait": False}))

    made.observe(look, "trials")
    (only,) = made.try_each(100_000, {"lr": 0.001}, {"lr": 0.1})
    made.wait()
    assert 5 <= only.steps - only.from_step < 100_000
    assert (made.steps, made.line, made.trials) == (steps, "main", ())
    assert made.status == ("done" if order == "start" else "paused")
    assert_same(made.model, plain(steps)[0])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((0, {"lr": 1}), ValueError), ((3,), TypeError), ((3, 0.1), TypeError), ((3, {"rate": 1}), ValueError),
     ((3, {"lr": -1}), ValueError)],
)  # fmt: skip
def test_what_cannot_be_tried_is_refused_before_anything_is_trained(arguments, error):
    made = session()
    made.step(2)
    with pytest.raises(error):
        made.try_each(*arguments)
    assert (made.steps, made.branches) == (2, ())


def test_facts_tell_of_lines_and_snapshots():
    made = session()
    made.step(3)
    assert made.line == "main" and made.snapshots[0] == (0, "start")
    seen = []
    made.observe(lambda change: seen.append((change["name"], change["new"])), names=["line", "branches"])
    made.rewind(1)
    assert [name for name, value in seen] == ["line", "branches"]
