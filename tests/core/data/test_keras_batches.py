"""Batches of arrays, as users of Keras have them: the weights are those of the same rows as tensors."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import dlwidgets as dlw

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.keras
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 5)).astype(np.float32), RNG.integers(0, 3, 48)
BATCHES = [(X[at : at + 16], Y[at : at + 16]) for at in range(0, 48, 16)]


class Numbered(keras.utils.PyDataset):
    """Batches by number; in the second epoch backwards."""

    def __init__(self):
        super().__init__()
        self.turn = 0

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return BATCHES[2 - index if self.turn % 2 else index]

    def on_epoch_end(self):
        self.turn += 1


class Foreign:
    """An array of another library, as a tensor of TensorFlow."""

    def __init__(self, array):
        self.array, self.dtype, self.shape = array, array.dtype, array.shape

    def __array__(self, dtype=None, copy=None):
        return self.array


class Again:
    """An iterable that begins anew each time."""

    def __init__(self, change):
        self.change = change

    def __iter__(self):
        return ((self.change(X), self.change(y)) for X, y in BATCHES)


def as_keras():
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])


def as_torch():
    torch.manual_seed(1)
    return nn.Linear(5, 3)


def trained(model, data, **options):
    dlw.Session(model, data, loss=nn.CrossEntropyLoss(), **options).fit(1)
    return torch.cat([one.detach().flatten() for one in model.parameters()])


KINDS = {
    "a list": lambda: BATCHES,
    "lists of pairs": lambda: [list(pair) for pair in BATCHES],
    "a generator": lambda: iter(BATCHES),
    "an iterable": lambda: Again(np.asarray),
    "arrays of another library": lambda: Again(Foreign),
    "a PyDataset": Numbered,
    "a loader": lambda: DataLoader(BATCHES, batch_size=None, collate_fn=lambda pair: pair),
    "a loader of rows": lambda: DataLoader(
        range(48), batch_size=16, collate_fn=lambda rows: (np.stack([X[n] for n in rows]), Y[rows])
    ),
    "what may not be written": lambda: Again(lambda part: np.broadcast_to(part, part.shape)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [as_keras, as_torch])
def test_arrays_in_batches_are_read_as_tensors(make, kind):
    tensors = [tuple(map(torch.as_tensor, pair)) for pair in BATCHES]
    assert torch.equal(trained(make(), KINDS[kind]()), trained(make(), tensors))


def test_they_are_evaluated_and_looked_at_too():
    model = as_keras()
    session = dlw.Session(model, Numbered(), valid=Numbered(), loss=nn.CrossEntropyLoss())
    session.evaluate()
    logits = torch.as_tensor(np.array(model.predict(X, verbose=0)))
    assert session.evaluation.loss == pytest.approx(float(nn.functional.cross_entropy(logits, torch.as_tensor(Y))))


def test_a_dataset_of_batches_is_told_of_the_end_of_each_epoch():
    model, data = as_keras(), Numbered()
    dlw.Session(model, data, loss=nn.CrossEntropyLoss(), optimizer="sgd", lr=0.1).fit(2)
    plain = as_keras()
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for X, y in (*BATCHES, *BATCHES[::-1]):
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(torch.as_tensor(X)), torch.as_tensor(y)).backward()
        optimizer.step()
    for mine, theirs in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
