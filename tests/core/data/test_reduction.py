"""The loss of a whole set, from batches of any size; and what the mean of a loss divides by."""

# ruff: noqa: E501 - a loss is one line

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.data.reduction import find_reduction
from dlwidgets.session import Session

COUNT, CLASSES = 61, 3
_g = torch.Generator().manual_seed(0)
X = torch.randn(COUNT, 8, generator=_g)
LABELS = (torch.rand(COUNT, generator=_g) ** 2 * CLASSES).long()
#: The first 20, and so whole batches, hold nothing.
IGNORED = LABELS.masked_fill((torch.rand(COUNT, generator=_g) < 0.5) | (torch.arange(COUNT) < 20), -100)
SHARES = torch.rand(COUNT, CLASSES, generator=_g).softmax(1)
MARKS = (torch.rand(COUNT, CLASSES, generator=_g) > 0.6).float()
NUMBERS = torch.randn(COUNT, CLASSES, generator=_g)
WEIGHT = torch.tensor([1.0, 5.0, 20.0])


def where_there_is(output, target):
    loss, picked = F.cross_entropy(output, target), target > 1
    if picked.any():
        loss = loss + F.l1_loss(output[picked], torch.zeros(int(picked.sum()), CLASSES))
    return loss


SPREAD = nn.Parameter(torch.tensor(0.3))


def added(loss, output):
    loss += sum([0.1 * output.pow(2).mean(), -0.2 * output.abs().mean()])
    return loss


def net(*last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, CLASSES), *last)


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", WEIGHT)

    def forward(self, output, target):
        return F.cross_entropy(output, target, weight=self.weight, label_smoothing=0.1)


#: Name -> (loss, targets). Those below are told by their targets, so that a step can be cut in batches.
LOSSES = {
    "class weights": (nn.CrossEntropyLoss(weight=WEIGHT), LABELS),
    "class weights, ignored": (nn.CrossEntropyLoss(weight=WEIGHT), IGNORED),
    "ignored": (F.cross_entropy, IGNORED),
    "ignore_index": (nn.CrossEntropyLoss(ignore_index=0), LABELS),
    "smoothed": (nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.2), IGNORED),
    "probabilities": (nn.CrossEntropyLoss(weight=WEIGHT), SHARES),
    "sum": (nn.CrossEntropyLoss(weight=WEIGHT, reduction="sum"), IGNORED),
    "multilabel": (nn.BCEWithLogitsLoss(pos_weight=WEIGHT, weight=WEIGHT), MARKS),
    "multilabel sum": (nn.BCEWithLogitsLoss(reduction="sum"), MARKS),
    "regression": (nn.MSELoss(), NUMBERS),
    "margins": (nn.MultiMarginLoss(weight=WEIGHT), LABELS),
    "partial": (functools.partial(F.cross_entropy, weight=WEIGHT, ignore_index=1), LABELS),
    "lambda": (lambda output, target: F.cross_entropy(output, target, weight=WEIGHT), IGNORED),
    "wrapped": (Wrapped(), IGNORED),
    "own mean": (lambda output, target: (output - target).abs().mean(), NUMBERS),
}
#: What only the loss itself can tell, batch by batch.
MASKED = {
    "picked": (lambda output, target: F.mse_loss(output, target, reduction="none")[target > 1].mean(), NUMBERS),
    "over a number": (lambda output, target: -output.log_softmax(1).gather(1, target[:, None]).sum() / len(target), LABELS),
    "times a number": (lambda output, target: F.cross_entropy(output, target, reduction="sum") * (1 / len(target)), LABELS),
    "half": (lambda output, target: 0.5 * F.cross_entropy(output, target, weight=WEIGHT), LABELS),
    "half a sum": (lambda output, target: F.mse_loss(output, target, reduction="sum") / 2, NUMBERS),
    "known by itself": (lambda output, target: torch.nanmean(torch.where(target > 0, (output - target) ** 2, torch.nan)), NUMBERS),
    "overlap": (lambda output, target: 1 - 2 * (output.sigmoid() * target).sum() / (output.sigmoid().sum() + target.sum()), MARKS),
    "where there is any": (where_there_is, LABELS),
    "parts": (lambda output, target: added(F.cross_entropy(output, target, weight=WEIGHT), output), LABELS),
    "weighed by what is learnt": (lambda output, target: F.cross_entropy(output, target, WEIGHT) * (-SPREAD).exp() + SPREAD - SPREAD.pow(2).sum(), LABELS),
    "masked": (lambda output, target: ((output - target) ** 2 * (target > 1)).sum() / (target > 1).sum(), NUMBERS),
}  # fmt: skip
#: What cannot be split.
WHOLE = {
    "root": (lambda output, target: F.mse_loss(output, target).sqrt(), NUMBERS),
    "squared": (lambda output, target: F.mse_loss(output, target) * output.abs().mean(), NUMBERS),
    "several": (lambda output, target: F.cross_entropy(output, target, weight=WEIGHT) + output.std(), LABELS),
    "balanced": (lambda output, target: F.cross_entropy(output, target, 1 / (1 + target.bincount(minlength=3))), LABELS),
}  # fmt: skip


def evaluated(loss, targets, size, model, **options):
    valid = DataLoader(TensorDataset(X, targets), size)
    return Session(model, (X, targets), valid, loss=loss, threads=1, **options).evaluate()


@pytest.mark.parametrize("size", [1, 7, COUNT])
@pytest.mark.parametrize("name", [*LOSSES, *MASKED])
def test_the_validation_loss_is_that_of_the_whole_set_at_any_batch_size(name, size):
    (loss, targets), model = (LOSSES | MASKED)[name], net()
    found = evaluated(loss, targets, size, model)
    with torch.no_grad():
        assert found.loss == pytest.approx(float(loss(model.eval()(X), targets)), rel=1e-5)
    assert not found.loss_note


@pytest.mark.parametrize("name", [*LOSSES, *MASKED])
def test_a_training_step_has_the_validation_loss_of_its_loss(name):
    (loss, targets), model = (LOSSES | MASKED)[name], net()

    def step(model, batch):
        return {"its": loss(model(batch[0]), batch[1])}

    pairs = DataLoader(TensorDataset(X, targets), 7)
    found = Session(model, pairs, pairs, training_step=step, threads=1).evaluate()
    with torch.no_grad():
        assert found.loss == pytest.approx(float(loss(model.eval()(X), targets)), rel=1e-5)


def test_log_probabilities_are_averaged_by_their_weights_too():
    model, loss = net(nn.LogSoftmax(1)), nn.NLLLoss(weight=WEIGHT)
    with torch.no_grad():
        assert evaluated(loss, IGNORED, 7, model).loss == pytest.approx(
            float(loss(model(X), IGNORED)), rel=1e-5
        )


@pytest.mark.parametrize("shape", [(5,), (4, 3)])
def test_sequences_and_pixels_count_by_position(shape):
    torch.manual_seed(0)
    inputs, labels = torch.randn(11, 2, *shape), torch.randint(-1, 3, (11, *shape))
    labels[:4] = -1
    model = nn.Conv1d(2, 3, 1) if len(shape) == 1 else nn.Conv2d(2, 3, 1)
    loss = nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=-1)
    valid = DataLoader(TensorDataset(inputs, labels), 2)
    made = Session(model, (inputs, labels), valid, loss=loss, threads=1)
    with torch.no_grad():
        assert made.evaluate().loss == pytest.approx(float(loss(model(inputs), labels)), rel=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_a_loss_that_cannot_be_split_says_how_it_was_averaged(name):
    loss, targets = WHOLE[name]
    found = evaluated(loss, targets, 7, net())
    with torch.no_grad():
        parts = [(loss(net()(x), y), len(x)) for x, y in zip(X.split(7), targets.split(7))]
    assert found.loss == pytest.approx(sum(float(one) * n for one, n in parts) / COUNT, rel=1e-5)
    assert "by their samples" in found.loss_note
    made = Session(net(), (X, targets), loss=loss, accumulate=2, batch_size=8, threads=1)
    assert any("batches count by their samples" in note for note in made.notes)


@pytest.mark.parametrize("name", LOSSES)
def test_accumulated_batches_are_the_large_batch(name):
    loss, targets = LOSSES[name]
    lr = {"sum": 0.001, "multilabel sum": 0.001, "multilabel": 0.01}.get(name, 0.5)
    made = []
    for size, times in ((20, 1), (4, 5)):
        one = Session(
            net(), (X, targets), loss=loss, optimizer=("sgd", {"momentum": 0.9}), lr=lr, batch_size=size,
            accumulate=times, epochs=2, threads=1,
        ).fit()  # fmt: skip
        assert one.status == "done"
        made.append(one)
    for left, right in zip(made[0].model.parameters(), made[1].model.parameters()):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        *(torch.tensor(one.history()["loss"].to_numpy()) for one in made),
        rtol=1e-4,
        atol=1e-5,
        equal_nan=True,
    )


def test_a_batch_that_holds_nothing_is_as_in_the_plain_loop():
    made = Session(
        net(), [(X[:8], IGNORED[:8]), (X[40:48], IGNORED[40:48])], loss=nn.CrossEntropyLoss(), epochs=2,
        optimizer=lambda p: torch.optim.Adam(p, 0.01), threads=1,
    ).fit()  # fmt: skip
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(2):
        for part in (slice(0, 8), slice(40, 48)):
            optimizer.zero_grad()
            F.cross_entropy(model(X[part]), IGNORED[part]).backward()
            optimizer.step()
    assert made.steps == 4 and made.status == "done"
    assert all(map(torch.equal, model.parameters(), made.model.parameters()))


def test_a_loss_that_is_nan_for_another_reason_still_ends_the_run():
    targets = NUMBERS.clone()
    targets[:] = float("nan")
    made = Session(
        net(), [(X[:8], targets[:8])], training_step=lambda m, b: F.l1_loss(m(b[0]), b[1]), threads=1
    )
    with pytest.raises(ArithmeticError, match="The loss became nan"):
        made.fit()


@pytest.mark.parametrize(
    ("name", "known"), [(name, True) for name in LOSSES] + [(n, n == "half") for n in MASKED | WHOLE]
)
def test_a_reduction_is_known_where_the_targets_tell_it(name, known):
    loss, targets = (LOSSES | MASKED | WHOLE)[name]
    assert (find_reduction(loss, net()(X[40:44]), targets[40:44]) is not None) == known


def test_a_mask_that_leaves_nothing_out_of_the_first_samples_is_not_known():
    def loss(output, target):
        return F.mse_loss(output[target > -9], target[target > -9])

    assert find_reduction(loss, net()(X[:4]), NUMBERS[:4]) is None
