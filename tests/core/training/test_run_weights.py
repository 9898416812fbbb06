"""The truth of the weights: a session's are those of the plain loop, bit for bit, however it is run."""

from __future__ import annotations

import asyncio
import copy
import os

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.session import Session
from tests.core.controls import by_hand

COUNT, SIZE, EPOCHS = 50, 16, 3  # batches of 16, 16, 16, 2
X = torch.randn(COUNT, 12, generator=torch.Generator().manual_seed(1))
Y = {
    "multilabel": (torch.rand(COUNT, 4, generator=torch.Generator().manual_seed(2)) > 0.5).float(),
    "multiclass": torch.arange(COUNT) % 4,
    "regression": torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(3)),
}
LOSS = {"multilabel": nn.BCEWithLogitsLoss(), "multiclass": nn.CrossEntropyLoss(), "regression": nn.MSELoss()}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
}


def net():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))


def plain_loop(model, y, loss_function, optimizer, epochs=EPOCHS, clip=lambda parameters: None, seed=0):
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(epochs):
        for index in torch.randperm(len(X), generator=order).split(SIZE):
            loss = loss_function(model(X[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            clip(model.parameters())
            optimizer.step()


def plain(task="multiclass", optimizer="adamw", **options):
    model = net()
    plain_loop(model, Y[task], LOSS[task], OPTIMIZERS[optimizer](model.parameters()), **options)
    return model


def session(task="multiclass", optimizer="adamw", **options):
    # The global random numbers are somewhere: the seed alone decides.
    torch.rand(5)
    options = {"batch_size": SIZE, "epochs": EPOCHS, "valid": (X[:10], Y[task][:10]), **options}
    return Session(net(), (X, Y[task]), optimizer=OPTIMIZERS[optimizer], task=task, **options)


def assert_same(left, right):
    left, right = left.state_dict(), right.state_dict()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_fit_is_the_plain_loop_with_any_optimizer(optimizer):
    assert_same(session(optimizer=optimizer).fit().model, plain(optimizer=optimizer))


@pytest.mark.parametrize("task", Y)
def test_fit_is_the_plain_loop_for_any_task(task):
    assert_same(session(task).fit().model, plain(task))


@pytest.mark.parametrize(
    ("clip", "plainly"),
    [
        (0.1, lambda p: nn.utils.clip_grad_norm_(p, 0.1)),
        (("norm", 1.0), lambda p: nn.utils.clip_grad_norm_(p, 1.0)),
        (("value", 0.01), lambda p: nn.utils.clip_grad_value_(p, 0.01)),
    ],
)
def test_fit_is_the_plain_loop_with_clipping(clip, plainly):
    assert_same(session(clip=clip).fit().model, plain(clip=plainly))


@pytest.mark.parametrize("name", ["sgd", "adam", "AdamW", "rmsprop"])
def test_an_optimizer_by_name_is_torchs_own_with_the_rate_asked_for(name):
    made = Session(net(), (X, Y["multiclass"]), optimizer=name, lr=0.02, batch_size=SIZE, epochs=EPOCHS).fit()
    kind = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "rmsprop": torch.optim.RMSprop,
    }
    model = net()
    plain_loop(model, Y["multiclass"], LOSS["multiclass"], kind[name.lower()](model.parameters(), lr=0.02))
    assert_same(made.model, model)


@pytest.mark.parametrize("seed", [1, 12345, -1])
def test_another_seed_is_another_plain_loop(seed):
    assert_same(session(seed=seed).fit().model, plain(seed=seed))


def test_an_optimizer_and_its_state_may_be_brought_along():
    model, twin = net(), net()
    ours, theirs = OPTIMIZERS["momentum"](model.parameters()), OPTIMIZERS["momentum"](twin.parameters())
    for net_, optimizer in ((model, ours), (twin, theirs)):
        plain_loop(net_, Y["multiclass"], LOSS["multiclass"], optimizer, epochs=1, seed=5)
    Session(model, (X, Y["multiclass"]), optimizer=ours, batch_size=SIZE, epochs=EPOCHS).fit()
    plain_loop(twin, Y["multiclass"], LOSS["multiclass"], theirs)
    assert_same(model, twin)


def in_the_background(made):
    made.start()
    asyncio.run(made.done())


def step_by_step(made):
    while made.steps < 12:
        made.step()


def in_pieces(made):
    for piece in (1, 4, 2, 5):
        made.step(piece)


def pausing_now_and_then(made):
    for _ in range(5):
        # On a busy machine the run may end before the pause; another start would begin another.
        if made.status != "done":
            made.start()
            made.pause()
    made.fit() if made.status != "done" else None


def pausing_by_the_wish(made):
    made.start()
    for _ in range(5):
        made.paused = True
        made.paused = False
    asyncio.run(made.done())
    made.fit() if made.steps < 12 else None


def stopping_and_starting(made):
    made.step(3)
    made.start()
    made.stop()
    left = EPOCHS - made.progress()["epoch"] + (0 if made.steps % 4 == 0 and made.steps else 1)
    if made.steps < 12:
        made.fit(left)


def looking_all_the_time(made):
    made.start()
    futures = []
    while not made._run.worker.idle:
        futures.append(made.at_step(lambda: (torch.rand(3), made.model.eval()(X[:3]).sum().item())))
        made.evaluate()
        made.predict(X)
        made.layers()
        futures[-1].result(10)
    assert futures


def evaluating_between_steps(made):
    while made.steps < 12:
        made.step()
        made.evaluate()
        made.predict_scores(X[:5])
        made.at_step(lambda: torch.rand(2)).result()
        made.layers()
        torch.rand(3)
        made.model.eval()(X)


def watched_by_the_layer_probe(made):
    made.fit()
    assert made.layer_stats is not None


WAYS = [
    in_the_background, step_by_step, in_pieces, pausing_now_and_then, pausing_by_the_wish,
    stopping_and_starting, looking_all_the_time, evaluating_between_steps, watched_by_the_layer_probe,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("every", ["epoch", 1, None])
def test_however_it_is_run_the_weights_are_those_of_the_plain_loop(way, every):
    made = session(evaluate_every=every)
    way(made)
    assert made.steps == 12
    assert_same(made.model, plain())


def test_no_changes_are_no_changes():
    made = session()
    made.lr, made.batch_size, made.clip = 0.5, 3, 1.0
    made.lr, made.batch_size, made.clip = 0.01, SIZE, None
    assert_same(made.fit().model, plain())
    assert made.ledger().empty


def plain_loop_over(loader, optimizer_name):
    """Train a net as anybody would, with the batches of `loader()`."""
    model = net()
    optimizer = OPTIMIZERS[optimizer_name](model.parameters())
    torch.manual_seed(0)
    for batches in [loader()] * EPOCHS:
        for inputs, targets in batches:
            loss = nn.functional.cross_entropy(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("count", [48, 50])
def test_a_loader_with_its_own_generator_trains_as_in_the_plain_loop(workers, count):
    def loader():
        generator = torch.Generator().manual_seed(11)
        return DataLoader(
            TensorDataset(X[:count], Y["multiclass"][:count]),
            SIZE,
            shuffle=True,
            generator=generator,
            num_workers=workers,
        )

    model = plain_loop_over(loader, "adamw")
    # The evaluation reads another loader that shares nothing, in the midst of it.
    made = Session(net(), loader(), loader(), optimizer=OPTIMIZERS["adamw"], epochs=EPOCHS)
    made.step(2), made.evaluate(), made.fit()
    assert_same(made.model, model)


def test_a_loader_that_shuffles_by_the_global_generator_trains_as_in_the_plain_loop():
    def loader():
        return DataLoader(TensorDataset(X, Y["multiclass"]), SIZE, shuffle=True)

    model = plain_loop_over(loader, "sgd")
    assert_same(
        Session(net(), loader(), loader(), optimizer=OPTIMIZERS["sgd"], epochs=EPOCHS).fit().model, model
    )


def test_changes_at_known_steps_are_those_of_a_plain_loop_that_makes_them():
    model = net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    torch.manual_seed(0)
    order, size, taken, at = torch.Generator().manual_seed(0), SIZE, 0, COUNT
    permutation = torch.empty(0)
    for _ in range(14):
        if taken == 2:
            optimizer.param_groups[0]["lr"] = 0.003
        if taken == 3:
            size = 5
        if taken == 9:
            optimizer.param_groups[0]["weight_decay"] = 0.5
        if at >= COUNT:
            permutation, at = torch.randperm(COUNT, generator=order), 0
        index = permutation[at : at + size]
        at += len(index)
        loss = nn.functional.cross_entropy(model(X[index]), Y["multiclass"][index])
        optimizer.zero_grad()
        loss.backward()
        if 5 <= taken < 8:
            nn.utils.clip_grad_norm_(model.parameters(), 0.2)
        if taken >= 8:
            nn.utils.clip_grad_value_(model.parameters(), 0.05)
        optimizer.step()
        taken += 1

    made = Session(net(), (X, Y["multiclass"]), lr=0.01, batch_size=SIZE)
    made.step(2)
    made.lr = 0.003
    made.step(1)
    made.batch_size = 5
    made.step(2)
    made.clip = ("norm", 0.2)
    made.step(3)
    made.clip = ("value", 0.05)
    made.step(1)
    made.weight_decay = 0.5
    made.step(5)
    assert_same(made.model, model)
    ledger = made.ledger()
    assert [*zip(ledger.step, ledger.name, ledger.applied)] == [
        (2, "lr", 0.003), (3, "batch_size", 5), (5, "clip", ("norm", 0.2)), (8, "clip", ("value", 0.05)),
        (9, "weight_decay", 0.5),
    ]  # fmt: skip


def test_a_change_made_by_an_observer_holds_from_the_next_step():
    made = session(evaluate_every=1, lr=0.01)

    def halve(change):
        made.lr = made.lr / 2

    made.observe(halve, names="evaluation")
    made.step(4)
    assert made.history().lr.tolist() == [0.01, 0.005, 0.0025, 0.00125]


def test_a_custom_step_trains_as_in_the_plain_loop():
    def step(model, batch):
        inputs, targets = batch
        output = model(inputs)
        return {"a": nn.functional.cross_entropy(output, targets), "b": 0.1 * output.square().mean()}

    model = net()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    plain_loop(
        model,
        Y["multiclass"],
        lambda output, y: nn.functional.cross_entropy(output, y) + 0.1 * output.square().mean(),
        optimizer,
    )
    made = Session(
        net(), (X, Y["multiclass"]), training_step=step, optimizer=OPTIMIZERS["adam"], batch_size=SIZE, epochs=EPOCHS
    ).fit()
    assert_same(made.model, model)
    assert {"loss_a", "loss_b"} <= set(made.history().columns)


def test_frozen_layers_stay_as_they_are():
    model = net()
    model[0].requires_grad_(False)
    before = copy.deepcopy(model[0].state_dict())
    made = Session(model, (X, Y["multiclass"]), batch_size=SIZE, epochs=1, weight_decay=0.5).fit()
    assert all(torch.equal(before[name], value) for name, value in model[0].state_dict().items())
    assert "2 of 6 parameter tensors are frozen and stay as they are." in made.notes


@pytest.mark.parametrize("options", [{}, {"normalise": "weight_norm"}, {"ema": 0.5}])
def test_saved_weights_load_into_the_models_class(tmp_path, options):
    made = by_hand.session(**options).fit()
    path = made.save(tmp_path / "model.pt")
    twin = by_hand.net()
    twin.load_state_dict(torch.load(path, weights_only=True))
    assert torch.equal(twin.eval()(by_hand.X).double().softmax(1).detach(), made.predict_scores(by_hand.X))
    assert os.listdir(tmp_path) == ["model.pt"]


def test_saving_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    made = by_hand.session()
    path = made.save(tmp_path / "model.pt")
    before = path.read_bytes()

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        made.save(path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.pt"]
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        made.save(tmp_path / "away" / "model.pt")
