"""Freezing a session's model: the weights are those of a plain loop that freezes at the same steps."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import sys
import threading
import time

import pytest
import torch
from torch import nn

from dlwidgets.session import Session

COUNT, SIZE, STEPS = 50, 16, 14  # batches of 16, 16, 16, 2
X = torch.randn(COUNT, 12, generator=torch.Generator().manual_seed(1))
Y = torch.arange(COUNT) % 4
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "maximize": lambda p: torch.optim.SGD(p, lr=1e-4, momentum=0.9, weight_decay=0.1, maximize=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, weight_decay=0.1),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, weight_decay=0.1),
}


class Net(nn.Module):
    """A body of two blocks and a head, with dropout and BatchNorm in the body."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.first = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self.second = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.second(self.first(x)))


def session(optimizer="adamw", model=None, **options):
    torch.rand(5)  # the global random numbers are somewhere
    options = {"batch_size": SIZE, "epochs": 4, "valid": (X[:10], Y[:10]), "evaluate_every": 1, **options}
    return Session(Net() if model is None else model, (X, Y), optimizer=OPTIMIZERS[optimizer], **options)


def plain(changes, optimizer="adamw", model=None, steps=STEPS, clip=lambda parameters: None):
    """Train in a plain loop; `changes[n](model)` is done after n steps."""
    model = Net() if model is None else model
    made = OPTIMIZERS[optimizer](model.parameters())
    torch.manual_seed(0)
    order, batches = torch.Generator().manual_seed(0), []
    model.train()
    for step in range(steps):
        changes.get(step, lambda model: None)(model)
        batches = batches or [*torch.randperm(COUNT, generator=order).split(SIZE)]
        index = batches.pop(0)
        loss = nn.functional.cross_entropy(model(X[index]), Y[index])
        made.zero_grad()
        loss.backward()
        clip(model.parameters())
        made.step()
    return model


def by_hand(trains, *names):
    """Return what freezes or unfreezes children of a model as a careful person does."""

    def change(model):
        for name in names:
            for parameter in model.get_submodule(name).parameters():
                parameter.requires_grad_(trains)
                parameter.grad = None
            for module in model.get_submodule(name).modules():
                if isinstance(module, nn.BatchNorm1d):
                    module.train(trains)

    return change


def assert_same(left, right):
    left, right = left.state_dict(), right.state_dict()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def kept(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


# -- the weights


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_freezing_and_unfreezing_is_the_plain_loop_that_does_the_same(optimizer):
    made = session(optimizer)
    made.step(3).freeze("first").step(5)
    made.freeze("second").step(2).unfreeze("first").step(4)
    changes = {3: by_hand(False, "first"), 8: by_hand(False, "second"), 10: by_hand(True, "first")}
    assert_same(made.model, plain(changes, optimizer))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_frozen_does_not_move_a_bit_and_the_rest_does(optimizer):
    made = session(optimizer, clip=0.5)
    made.step(3).freeze(made.model.first, made.model.second[0].bias)
    frozen, bias, head = kept(made.model.first), made.model.second[0].bias.clone(), kept(made.model.head)
    made.step(6)
    assert all(torch.equal(frozen[name], value) for name, value in made.model.first.state_dict().items())
    assert torch.equal(bias, made.model.second[0].bias)
    assert not any(torch.equal(head[name], value) for name, value in made.model.head.state_dict().items())


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "adagrad"])
def test_an_optimizer_that_leaves_zeros_for_gradients_moves_nothing_frozen_either(optimizer):
    made = session(optimizer)
    zero = made.optimizer.zero_grad
    made.optimizer.zero_grad = lambda set_to_none=True: zero(set_to_none=False)
    made.step(3).freeze("first")
    frozen = kept(made.model.first)
    made.step(3)
    assert all(torch.equal(frozen[name], value) for name, value in made.model.first.state_dict().items())


@pytest.mark.parametrize(
    ("clip", "plainly"),
    [(0.05, lambda p: nn.utils.clip_grad_norm_(p, 0.05)), (("value", 0.01), lambda p: nn.utils.clip_grad_value_(p, 0.01))],
)  # fmt: skip
def test_clipping_is_by_the_gradients_of_what_trains(clip, plainly):
    made = session(clip=clip)
    made.step(2).freeze("first").step(6)
    assert_same(made.model, plain({2: by_hand(False, "first")}, steps=8, clip=plainly))


def test_the_norm_of_the_gradients_is_of_what_trains():
    made = session(clip=100.0, optimizer="sgd")
    made.freeze("first", "second").step(1)
    gradients = torch.cat([p.grad.flatten() for p in made.model.head.parameters()])
    assert made.history().grad_norm.iloc[0] == pytest.approx(float(gradients.norm()), rel=1e-6)


def test_a_layer_frozen_from_the_start_is_frozen_in_the_first_step():
    made = session(trainable={"first": False})
    made.step(6)
    assert_same(made.model, plain({0: by_hand(False, "first")}, steps=6))
    assert made.ledger().empty


def test_a_change_while_it_trains_is_of_the_step_that_the_ledger_says():
    made = session(epochs=50)
    seen = threading.Event()
    made.observe(lambda change: seen.set() if made.steps >= 5 else None, names="pulse")
    made.start()
    assert seen.wait(20)
    made.freeze("first")
    while made.applied["trainable"] is None:
        made.at_step(lambda: None).result(10)
    made.pause()
    entry = made.changes[0]
    assert (entry.name, entry.applied, entry.by) == ("trainable", {"first": False}, "code")
    assert_same(made.model, plain({entry.step: by_hand(False, "first")}, steps=made.steps))


def test_looking_at_the_model_between_steps_lets_no_statistics_go_on():
    made = session(trainable={"first": False})
    made.start()
    looks = 0
    while made.status == "running" or made.steps < 16:
        made.evaluate(), made.predict(X), made.layers()
        made.at_step(lambda: made.model.eval()(X)).result()
        made.at_step(lambda: made.model.train()).result()
        looks += 1
    assert looks
    assert_same(made.model, plain({0: by_hand(False, "first")}, steps=16))


# -- modes


def modes(model):
    return [module.training for module in model.modules()]


def test_the_train_and_eval_flags_are_afterwards_what_they_were():
    model = Net()
    model.second.eval()
    before = modes(model)
    made = session(model=model, trainable=["head"])
    made.step(2).unfreeze("first").step(2).freeze("second.1").step(1)
    assert modes(model) == before


class Recorder(nn.Module):
    """Notes in which modes the layers of a model were in each training step."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = Net(), []

    def forward(self, x):
        if self.training:
            net = self.net
            self.seen.append((net.first[1].training, net.first[3].training, net.second[1].training))
        return self.net(x)


def test_a_frozen_batch_norm_is_in_eval_mode_in_a_training_step_and_frozen_dropout_is_not():
    made = session(model=Recorder(), trainable={"net.first": False})
    made.step(2).evaluate()
    made.step(1).unfreeze("net.first").step(1)
    assert made.model.seen == [(False, True, True)] * 3 + [(True, True, True)]


def test_a_batch_norm_with_one_parameter_that_trains_goes_on():
    made = session(model=Recorder(), trainable={"net.first.1.bias": False})
    made.step(1)
    assert made.model.seen == [(True, True, True)]


def test_a_batch_norm_without_parameters_is_held_where_its_layer_is_frozen():
    model = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 4))
    made = session(model=model)
    made.step(2).freeze("1")
    mean = model[1].running_mean.clone()
    made.step(2)
    assert torch.equal(model[1].running_mean, mean)
    assert int(model[1].num_batches_tracked) == 2
    assert made.changes[0].note == "running statistics of 1 BatchNorm1d held"


def test_a_model_frozen_by_hand_before_keeps_its_running_statistics_going():
    model, twin = Net(), Net()
    for one in (model, twin):
        one.first.requires_grad_(False)
    made = session(model=model)
    made.step(5)
    assert_same(model, plain({}, model=twin, steps=5))
    assert made.trainable is None
    assert int(model.first[1].num_batches_tracked) == 5


# -- at rest


def flags(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_model_at_rest_is_frozen_at_once():
    made = session()
    assert made.freeze("first", "second") is made
    assert flags(made.model) == {"head.weight", "head.bias"}
    assert made.applied["trainable"] == made.trainable == {"first": False, "second": False}
    assert made.status == "ready"
    made.trainable = None
    assert len(flags(made.model)) == 10
    made.trainable = ["head"]
    assert flags(made.model) == {"head.weight", "head.bias"}


def test_the_table_of_layers_says_what_trains_now():
    made = session()
    before = made.layers()
    assert made.layers() is before
    made.freeze("first.0", "head")
    trains = {row.path: row.trainable for row in made.layers().rows}
    assert [trains[path] for path in ("", "first", "first.0", "first.2", "second", "head")] == ["partly", "partly", "no", "", "yes", "no"]  # fmt: skip
    assert made.layers().trainable_parameters == sum(
        p.numel() for p in made.model.parameters() if p.requires_grad
    )
    assert [row.macs for row in made.layers().rows] == [row.macs for row in before.rows]
    made.trainable = None
    assert made.layers() == before
    made.model.head.requires_grad_(False)
    assert made.layers().rows[-1].trainable == "no"


def test_a_session_says_how_many_parameters_train():
    made = session()
    count = sum(p.numel() for p in made.model.parameters())
    assert repr(made).startswith(f"Session of Net: {count} parameters, on cpu")
    made.trainable = ["head"]
    assert repr(made).startswith(f"Session of Net: {count} parameters, 68 of them trainable, on cpu")
    assert "\n  trainable  all frozen, head trains\n" in repr(made)
    made.freeze("head")
    assert "\n  rejected   trainable: everything would be frozen: there would be nothing to train\n" in repr(
        made
    )


def test_what_is_frozen_stays_so_after_the_end():
    made = session()
    made.freeze("first").fit(1)
    made.stop()
    made.close()
    assert not any(p.requires_grad for p in made.model.first.parameters())


# -- the wish


def test_a_hundred_clicks_leave_a_small_wish():
    made = session()
    for _ in range(25):
        made.freeze("first.0").freeze("first.1").freeze("first").unfreeze("first.0")
    assert made.trainable == {"first": False, "first.0": True}
    made.unfreeze("first")
    assert made.trainable is None


def test_a_wish_that_leaves_nothing_to_train_is_rejected_and_the_run_goes_on():
    made = session()
    made.step(2).freeze("*")
    assert made.rejected == {"trainable": "everything would be frozen: there would be nothing to train"}
    assert made.applied["trainable"] is None
    assert len(flags(made.model)) == 10
    made.step(2)
    made.freeze("head")
    assert not made.rejected
    assert made.trainable == made.applied["trainable"] == {"head": False}


def test_what_is_not_there_is_refused_at_once():
    made = session()
    with pytest.raises(ValueError, match="The Net has no layer or parameter 'frist'. Did you mean 'first'?"):
        made.freeze("frist")
    with pytest.raises(ValueError, match="The Net has no layer or parameter 'frist'"):
        made.trainable = {"frist": False}
    with pytest.raises(TypeError, match="freeze\\(\\) wants to know what"):
        made.freeze()
    assert made.trainable is None
    assert made.ledger().empty


@pytest.mark.parametrize("name", ["freeze", "frozen", "freeze_layers"])
def test_who_writes_what_is_frozen_is_told_how(name):
    with pytest.raises(TypeError, match="Did you mean trainable={'features': False}?"):
        session(**{name: ["first"]})


@pytest.mark.parametrize("name", ["requires_grad", "trainable_layers", "trainabel"])
def test_who_writes_what_trains_is_told_its_name(name):
    with pytest.raises(AttributeError, match="Did you mean 'trainable'?"):
        setattr(session(), name, ["head"])


def test_the_ledger_says_what_was_frozen_by_whom_and_why_not():
    made = session()
    made.step(2)
    with made.by("panel"):
        made.freeze("first")
    made.step(1).freeze("*").unfreeze()
    entries = [(e.step, e.asked, e.applied, e.by, e.rejected, e.note) for e in made.changes]
    frozen = "2 layers, 240 parameters; running statistics of 1 BatchNorm1d"
    assert entries == [
        (2, {"first": False}, {"first": False}, "panel", False, f"froze first: {frozen} held"),
        (3, {"*": False}, {"first": False}, "code", True, "everything would be frozen: there would be nothing to train"),
        (3, None, None, "code", False, f"unfroze first: {frozen} going on"),
    ]  # fmt: skip


def test_an_observer_on_the_training_thread_may_freeze():
    made = session(epochs=2)

    def freeze(change):
        if change["new"] == 3:
            made.freeze("first")

    made.observe(freeze, names="steps")
    made.step(3).step(3)
    assert_same(made.model, plain({3: by_hand(False, "first")}, steps=6))
    made.observe(lambda change: made.unfreeze() if change["new"] == "done" else None, names="status")
    made.fit()
    made.wait()
    assert len(flags(made.model)) == 10


def test_the_training_thread_does_not_wait_for_itself(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.training.run._PATIENCE", 10.0)
    made, took = session(), []

    def freeze(change):
        began = time.monotonic()
        made.freeze("first")
        took.append(time.monotonic() - began)

    made.observe(freeze, names="evaluation")
    made.evaluate()
    assert max(took) < 5


def test_an_observer_of_an_evaluation_at_rest_may_freeze_too():
    made = session()
    made.observe(lambda change: made.freeze("first"), names="evaluation")
    made.evaluate()
    made.wait()
    assert made.applied["trainable"] == {"first": False}
    made.step(2)
    assert int(made.model.first[1].num_batches_tracked) == 0


def test_threads_that_freeze_at_once_lose_nothing():
    model = nn.Sequential(*[nn.Linear(12, 12) for _ in range(8)], nn.Linear(12, 4))
    made = session(model=model, epochs=200).start()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    threads = [threading.Thread(target=made.freeze, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    made.pause()
    assert sorted(made.trainable) == [str(number) for number in range(8)]
    made.step(1)
    assert flags(model) == {"8.weight", "8.bias"}


def test_a_long_job_does_not_hold_up_who_freezes(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.training.run._PATIENCE", 0.01)
    made, gate = session(), threading.Event()
    job = made.at_step(lambda: gate.wait(20))
    made.freeze("first")
    assert made.trainable == {"first": False}
    assert made.applied["trainable"] is None
    gate.set()
    job.result(20)
    made.wait()
    assert made.applied["trainable"] == {"first": False}


class Gate(nn.Module):
    """Waits at the gate in its training steps."""

    def __init__(self):
        super().__init__()
        self.net, self.reached, self.gate = Net(), threading.Event(), threading.Event()

    def forward(self, x):
        if self.training:
            self.reached.set()
            self.gate.wait(20)
        return self.net(x)


def test_what_is_frozen_in_the_last_step_before_a_pause_is_frozen_after_it():
    made = session(model=Gate()).start()
    assert made.model.reached.wait(20)
    made.freeze("net.first").pause(wait=False)
    assert made.applied["trainable"] is None
    made.model.gate.set()
    made.wait()
    assert (made.status, made.steps) == ("paused", 1)
    assert made.applied["trainable"] == {"net.first": False}
    assert made.changes[0].step == 1
    assert not any(p.requires_grad for p in made.model.net.first.parameters())


def test_wishes_that_wait_for_the_next_step_are_built_upon_after_a_refusal_too():
    made = session(model=Gate())
    made.freeze("*").start()
    assert "trainable" in made.rejected
    assert made.model.reached.wait(20)
    made.freeze("net.first").freeze("net.second").pause(wait=False)
    made.model.gate.set()
    made.wait()
    assert made.applied["trainable"] == {"net.first": False, "net.second": False}


# -- the model and the optimizer of a person's own


def test_a_new_head_trains_and_what_was_unfrozen_by_hand_is_frozen_again_and_both_are_said():
    model = Net()
    made = session(model=model, trainable=["head"])
    made.step(2)
    model.head = nn.Linear(16, 4)
    model.first[0].requires_grad_(True)
    before = kept(model)
    made.step(2)
    assert {name for name, value in before.items() if not torch.equal(value, model.state_dict()[name])} == {
        "head.weight", "head.bias",
    }  # fmt: skip
    assert made.notes[-1] == (
        "The model has changed: trainable was put in force anew, which froze first.0: 1 layer, 208 parameters; "
        "2 tensors added to the optimizer, lr 0.01."
    )


def by_flag(trains, name):
    """Return what freezes a child of a model as most people do: by `requires_grad` alone."""

    def change(model):
        for parameter in getattr(model, name).parameters():
            parameter.requires_grad = trains

    return change


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_the_lines_that_people_freeze_by_between_two_runs_are_of_the_ledger_and_the_plain_loop(optimizer):
    made = session(optimizer).step(3)
    by_flag(False, "first")(made.model)
    made.step(5)
    by_flag(True, "first")(made.model)
    made.step(2)
    assert [(entry.step, entry.applied, entry.by) for entry in made.changes] == [
        (3, {"first": "weights"}, "hand"), (8, None, "hand"),
    ]  # fmt: skip
    assert made.trainable is None
    plainly = plain({3: by_flag(False, "first"), 8: by_flag(True, "first")}, optimizer, steps=10)
    assert_same(made.model, plainly)
    # Gone back to before them, they are made again at their steps.
    made.rewind(2)
    assert flags(made.model) == {name for name, _ in made.model.named_parameters()}
    made.switch("main")
    assert_same(made.model, plainly)


def test_freezing_all_by_hand_and_then_letting_the_head_train_is_one_change_whoever_looks_between():
    made = session(valid=None).step(2)
    made.model.requires_grad_(False)
    made.predict(X)
    made.model.head.requires_grad_(True)
    made.step(2)
    assert made.trainable == {"first": "weights", "second": "weights"} and flags(made.model) == {"head.weight", "head.bias"}


def test_what_a_hand_froze_stays_beside_what_is_wished_for_next():
    made = session().step(2)
    by_flag(False, "first")(made.model)
    made.freeze("second").step()
    assert made.trainable == made.applied["trainable"] == {"first": "weights", "second": False}
    made.undo()
    assert made.trainable == {"first": "weights"}
    made.undo()
    assert made.trainable is None and len(flags(made.model)) == 10


def test_what_the_session_unfroze_and_a_hand_freezes_again_is_said_and_written_in_a_script(tmp_path):
    made = session("momentum").step(2)
    by_flag(False, "second")(made.model)
    made.step(2)
    assert made.notes[-1] == (
        "requires_grad was changed by hand after step 2, which froze second: 2 layers, 304 parameters."
    )
    lines = made.to_script(tmp_path / "run.py").read_text()
    assert "model.second.requires_grad_(False)" in lines and ".eval()  # holds" not in lines


def test_a_step_that_turns_gradients_off_and_on_by_itself_freezes_nothing():
    def step(model, batch):
        model.first.requires_grad_(not model.first[0].weight.requires_grad)
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    made = session(training_step=step, valid=None).step(3).step(2)
    assert not made.changes and not made.trainable


def test_a_model_that_has_nothing_left_to_train_is_said():
    model = Net()
    made = session(model=model)
    made.freeze("first", "second")
    model.head = nn.Linear(16, 4)
    made.evaluate()
    assert made.notes[-1] == (
        "trainable cannot be as asked for in the model that is here now: "
        "everything would be frozen: there would be nothing to train."
    )


def test_a_model_that_was_frozen_whole_trains_what_it_is_told_to():
    model, twin = Net().requires_grad_(False), Net().requires_grad_(False)
    made = session(model=model, trainable=["head"])
    made.step(4)
    twin.head.requires_grad_(True)
    assert_same(model, plain({0: by_hand(False, "first", "second")}, model=twin, steps=4))
    made.unfreeze("second")
    assert flags(model) == {name for name, _ in model.named_parameters() if not name.startswith("first")}
    made.trainable = None
    assert made.rejected == {"trainable": "everything would be frozen: there would be nothing to train"}


def test_a_session_that_is_refused_leaves_the_model_as_it_was():
    model = Net()
    for trainable, sentence in (
        (
            {"*": False},
            "trainable={'\\*': False}: everything would be frozen: there would be nothing to train.",
        ),
        (["heads"], "The Net has no layer or parameter 'heads'. Did you mean 'head'?"),
    ):
        with pytest.raises(ValueError, match=sentence):
            session(model=model, trainable=trainable)
        assert len(flags(model)) == 10


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_what_the_optimizer_was_not_given_joins_it_as_in_a_plain_loop(kind):
    model, twin = Net(), Net()
    made = Session(model, (X, Y), optimizer=kind(model.head.parameters(), lr=0.01), batch_size=SIZE)
    made.step(2).unfreeze("second").step(3)
    assert made.changes[0].note == "4 tensors added to the optimizer, lr 0.01"

    # By hand: from the start in the optimizer, without a gradient until it is to train.
    optimizer = kind([*twin.head.parameters(), *twin.second.parameters()], lr=0.01)
    torch.manual_seed(0)
    twin.train()
    order = torch.Generator().manual_seed(0)
    batches = [index for _ in range(2) for index in torch.randperm(COUNT, generator=order).split(SIZE)]
    for step, index in enumerate(batches[:5]):
        loss = nn.functional.cross_entropy(twin(X[index]), Y[index])
        optimizer.zero_grad()
        loss.backward()
        for parameter in twin.second.parameters() if step < 2 else ():
            parameter.grad = None
        optimizer.step()
    assert_same(model, twin)


def test_a_closed_session_freezes_nothing():
    made = session()
    made.close()
    with pytest.raises(RuntimeError, match="The session is closed: make a new one."):
        made.freeze("first")


# -- up to a layer


class Backwards(nn.Module):
    """Registers its head first, and has a scale of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.head, self.last = nn.Linear(8, 4), nn.BatchNorm1d(8, affine=False)
        self.body = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, x):
        return self.head(self.last(self.body(x)))


@pytest.mark.parametrize(
    ("layer", "frozen", "held"),
    [
        (lambda m: "body.0", ["body.0"], False), (lambda m: m.body[1], ["body.0"], False), (lambda m: "body", ["body"], False),
        (lambda m: "body.2.bias", ["body"], False), (lambda m: m.last, ["body"], True), (lambda m: 2, ["body"], False),
    ],
)  # fmt: skip
def test_up_to_a_layer_goes_by_the_forward_not_by_the_order_of_registration(layer, frozen, held):
    model = Backwards()
    made = session(model=model).freeze("head")
    made.freeze_to(layer(model)).step()
    names = [name for name, one in model.named_parameters() if not one.requires_grad]
    assert names == [name for path in frozen for name, _ in model.get_submodule(path).named_parameters(path)]
    assert (model.last.num_batches_tracked == 0) == held


def test_up_to_another_layer_lets_the_rest_train_again():
    made = session().freeze_to("second")
    assert made.trainable == {"first": False, "second": False}
    assert made.freeze_to("first").trainable == {"first": False}


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("secnd", "Did you mean 'second'?"), ("*.0", "'*.0' may mean several layers: one is wanted, as 'first'."),
        (nn.Linear(1, 1), "This Linear is no part of the Net."), (5, "The Net has no layer 5: it has 3"),
    ],
)  # fmt: skip
def test_up_to_what_is_no_layer_is_refused(layer, sentence):
    with pytest.raises(ValueError) as caught:
        session().freeze_to(layer)
    assert sentence in str(caught.value)


# -- whatever there is beside


class Everything(nn.Module):
    """A body with all that moves by itself, frozen here, and a head that trains."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(11)
        self.words = nn.Embedding(12, 8, max_norm=0.7)
        self.norm = nn.InstanceNorm1d(8, affine=True, track_running_stats=True)
        self.body = nn.Sequential(
            nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8)), nn.BatchNorm1d(8), nn.Dropout(0.2),
            nn.utils.spectral_norm(nn.Linear(8, 8)), nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.BatchNorm1d(8, affine=False),
        )  # fmt: skip
        self.head = nn.Linear(8, 4)

    def forward(self, tokens):
        return self.head(self.body(self.norm(self.words(tokens).mT).mean(2)))


TOKENS = torch.randint(0, 12, (COUNT, 5), generator=torch.Generator().manual_seed(2))
OTHERS = [
    {}, {"ema": 0.9}, {"normalise": "unit"}, {"normalise": "max_norm"}, {"normalise": "weight_norm"}, {"dropout": 0.5}, {"weight_decay": 0.5},
    {"precision": "bf16"}, {"accumulate": 2}, {"clip": "adaptive"}, {"label_smoothing": 0.1}, {"early_stopping": {"patience": 1, "restore": True}},
    {"optimizer": ("sgd", {"momentum": 0.9, "weight_decay": 0.1, "foreach": True})}, {"optimizer": ("adamw", {"fused": True})},
]  # fmt: skip


@pytest.mark.parametrize("options", OTHERS, ids=str)
def test_whatever_is_on_beside_what_is_frozen_moves_not_a_bit(options):
    made = Session(Everything(), (TOKENS, Y), (TOKENS[:10], Y[:10]), batch_size=SIZE, lr=0.05, epochs=2, **options)
    made.step(2).freeze("words", "norm", "body")
    before = {name: one.clone() for name, one in made.model.state_dict().items()}
    made.fit(progress=False)
    after = made.model.state_dict()
    moved = {name for name, one in before.items() if not torch.equal(one, after[name])}
    assert moved == {name for name in before if name.startswith("head.")}
    assert made.proof.holds and made.proof.tensors == len(before) - len(moved)


def test_an_average_of_a_persons_own_leaves_what_is_frozen_alone():
    model = Net()
    average = torch.optim.swa_utils.AveragedModel(model)

    def step(model, batch):
        average.update_parameters(model)
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    made = session(model=model, training_step=step, valid=None).freeze("first", "second").fit(2, progress=False)
    assert made.proof.holds
    assert torch.equal(average.module.first[0].weight, model.first[0].weight)


def test_an_embedding_with_a_largest_norm_says_when_frozen_what_it_would_have_said():
    model, twin = Everything(), Everything()
    made = Session(model, (TOKENS, Y), batch_size=SIZE).freeze("words")
    torch.testing.assert_close(model.words(TOKENS), twin.words(TOKENS))
    made.step(3).unfreeze("words")
    assert model.words.max_norm == 0.7


def test_drawing_anew_what_is_frozen_is_meant_and_the_proof_counts_from_there():
    made = session(valid=None).freeze("first").step(4)
    made.reinitialise = ("first", "kaiming")
    assert made.fit(1, progress=False).proof.holds
