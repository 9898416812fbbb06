"""One step seen closely: it is told as torch computes it, and taken as if nobody had looked."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from dlwidgets.core.training.microscope import Microscope, reduce_nothing
from dlwidgets.session import Session


def new_session(loader=False, **options) -> Session:
    torch.manual_seed(0)
    X = torch.rand(60, 1, 8, 8)
    y = torch.randint(0, 3, (60,))
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(144, 3)
    )
    train = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True) if loader else (X, y)
    return Session(
        model, train=train, **{"batch_size": None if loader else 16, "optimizer": "sgd", "lr": 0.1, **options}
    )


def look(session, count=1):
    """Take steps, each seen closely, and return what was seen."""
    seen = []
    for _ in range(count):
        scope = Microscope(session._run.loop)
        session.at_step(scope.before).result(10)
        session.step()
        seen.append(scope.after())
    return seen


@pytest.mark.parametrize("loader", [False, True])
@pytest.mark.parametrize("options", [{}, {"clip": 0.1}, {"label_smoothing": 0.2}, {"accumulate": 2}])
def test_a_run_that_is_looked_at_is_bit_for_bit_the_run_that_is_not(loader, options):
    one, other = new_session(loader, **options), new_session(loader, **options)
    look(one, 9)
    other.step(9)
    assert one.epoch == other.epoch and one.loss == other.loss
    for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values()):
        assert torch.equal(a, b)
    one.close(), other.close()


def test_the_losses_of_the_samples_are_those_that_the_step_averages():
    session = new_session()
    for seen in look(session, 5):
        row = session.history().loc[seen.step]
        assert len(seen.losses) == row.batch_size
        assert np.mean(seen.losses) == pytest.approx(row.loss, rel=1e-5)
        assert list(seen.losses[list(seen.shown)]) == sorted(seen.losses, reverse=True)[: len(seen.shown)]
        assert seen.images.shape == (len(seen.shown), 8, 8, 3) and seen.images.dtype == np.uint8
    session.close()


def test_layers_move_as_their_weights_do():
    session = new_session()
    session.step()
    before = copy.deepcopy(session.model.state_dict())
    (seen,) = look(session)
    after = session.model.state_dict()
    assert [layer.path for layer in seen.layers] == ["0", "1", "5"]
    for layer in seen.layers:
        names = [f"{layer.path}.weight", f"{layer.path}.bias"]
        moved = torch.cat([(after[name] - before[name]).flatten() for name in names]).norm()
        weights = torch.cat([after[name].flatten() for name in names]).norm()
        assert layer.moved == pytest.approx(float(moved / weights), rel=1e-4)
        # SGD without more moves by the rate times the gradient.
        assert layer.grad_norm == pytest.approx(float(moved) / 0.1, rel=1e-3)
    session.close()


def test_a_batch_size_that_changes_with_the_step_is_that_of_the_step():
    session = new_session()
    session.step()
    scope = session.microscope()
    session.at_step(scope.before).result(10)
    session.batch_size = 8
    session.step()
    seen = scope.after()
    assert len(seen.losses) == 8
    assert np.mean(seen.losses) == pytest.approx(session.loss, rel=1e-5)
    session.close()


def test_a_step_that_was_not_taken_or_followed_by_more_is_not_told():
    session = new_session()
    scope = Microscope(session._run.loop)
    session.at_step(scope.before).result(10)
    assert scope.after() is None
    session.step(2)
    assert scope.after() is None
    session.close()


def test_a_custom_step_tells_no_loss_for_each_sample():
    X, y = torch.randn(32, 4), torch.randn(32, 1)
    session = Session(
        nn.Linear(4, 1),
        train=(X, y),
        batch_size=8,
        training_step=lambda model, batch: (model(batch[0]) - batch[1]).square().mean(),
    )
    (seen,) = look(session)
    assert seen.losses is None and "custom step" in seen.why_not and len(seen.layers) == 1
    session.close()


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), torch.nn.functional.cross_entropy])
def test_an_unreduced_loss_is_torchs_own(loss):
    output, target = torch.randn(6, 3), torch.randint(0, 3, (6,))
    assert torch.equal(reduce_nothing(loss)(output, target), nn.CrossEntropyLoss(reduction="none")(output, target))


class Stream(IterableDataset):
    def __iter__(self):
        return ((torch.rand(1, 8, 8), number % 3) for number in range(40))


class Augmented(Dataset):
    def __len__(self):
        return 48

    def __getitem__(self, number):
        return torch.rand(1, 8, 8) + number / 48, number % 3


SOURCES = {
    "a loader": lambda: DataLoader(Augmented(), 16, shuffle=True),
    "a loader with workers": lambda: DataLoader(Augmented(), 16, shuffle=True, num_workers=1),
    "a loader of a stream": lambda: DataLoader(Stream(), 16),
    "a stream": Stream,
    "a list of batches": lambda: [(torch.full((8, 1, 8, 8), n / 5), torch.arange(8) % 3) for n in range(5)],
    "a generator": lambda: ((torch.full((8, 1, 8, 8), n / 5), torch.arange(8) % 3) for n in range(50)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_the_losses_of_samples_are_told_whatever_the_batches_come_from(source):
    sessions = []
    for _ in range(2):
        torch.manual_seed(0)
        middle = (nn.BatchNorm1d(8), nn.Dropout(0.5))
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), *middle, nn.Linear(8, 3))
        sessions.append(Session(model, SOURCES[source](), lr=0.1, seed=1))
    one, other = sessions
    for seen in look(one, 5):
        row = one.history().loc[seen.step]
        assert seen.why_not == "" and len(seen.losses) == row.batch_size
        assert np.mean(seen.losses) == pytest.approx(row.loss, rel=1e-5)
    other.step(5)
    for a, b in zip(one.model.state_dict().values(), other.model.state_dict().values()):
        assert torch.equal(a, b)
    one.close(), other.close()


def test_a_loss_of_a_persons_own_is_not_taken_apart():
    assert reduce_nothing(lambda output, target: (output - target).abs().mean()) is None
