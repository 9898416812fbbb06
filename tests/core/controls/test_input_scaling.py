"""Inputs scaled before the model: as a plain loop that scales its batches by hand, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.session import Session
from tests.core.controls.by_hand import COUNT, SIZE, X, Y, net, plain, same, session, sgd

BYTES = (X - X.min()).div(X.max() - X.min()).mul(255).round()
ROWS = torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(4)) * torch.tensor([1.0, 50.0, 0.0]) + 7


class Scaled(nn.Module):
    """A net behind a scaling by hand, which a change exchanges."""

    def __init__(self, mean=0.0, std=1.0):
        super().__init__()
        self.net, self.mean, self.std = net(), mean, std

    def forward(self, x):
        return self.net((x - self.mean) / self.std)


def by_hand(scale, at=0, **options):
    twin = Scaled(*scale) if not at else Scaled()
    change = {at: lambda model, optimizer: vars(model).update(mean=scale[0], std=scale[1])} if at else {}
    return plain(twin, at=change, **options).net


@pytest.mark.parametrize(("wish", "scale"), [
    ((0.5, 2.0), (0.5, 2.0)), (([0.5], torch.tensor([2.0])), (0.5, 2.0)),
    ("standardize", (X.double().mean().float(), X.double().std(correction=0).float())),
])  # fmt: skip
def test_inputs_are_scaled_from_the_next_step_on(wish, scale):
    made = session().step(3)
    made.input_scaling = wish
    same(made.fit(2).model, by_hand(scale, at=3))


def test_inputs_are_scaled_from_the_beginning():
    made = session(input_scaling=(0.5, 2.0)).fit()
    same(made.model, by_hand((0.5, 2.0)))
    assert made.ledger().empty


def test_columns_are_standardised_as_scikit_learn_does():
    from sklearn.preprocessing import StandardScaler

    made = Session(nn.Linear(3, 4), (ROWS, Y), input_scaling="standardize")
    fitted = StandardScaler().fit(ROWS.double().numpy())
    mean, std = made.applied["input_scaling"]
    assert np.allclose(mean, fitted.mean_) and np.allclose(std, fitted.scale_) and std[2] == 1.0


@pytest.mark.parametrize(("shape", "numbers", "view"), [
    ((50, 3, 4, 4), 3, (1, 3, 1, 1)), ((50, 8, 8, 3), 3, (1, 1, 1, 3)), ((50, 2, 3, 4, 4), 2, (1, 2, 1, 1, 1)),
    ((50, 20), 20, (1, 20)), ((50, 6, 5), 1, ()),
])  # fmt: skip
def test_each_channel_or_column_has_its_numbers(shape, numbers, view):
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 3 + 1
    seen = []

    class Seeing(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(int(np.prod(shape[1:])), 4)

        def forward(self, x):
            if len(x) == COUNT:  # a step, and no look at a few samples
                seen.append(x.detach().clone())
            return self.last(x.flatten(1))

    made = Session(Seeing(), (inputs, Y), batch_size=COUNT, input_scaling="standardize").step()
    mean, _ = made.applied["input_scaling"]
    assert np.size(mean) == numbers and (np.reshape(mean, view or ()).shape == view)
    axis = view.index(numbers) if numbers > 1 else None
    flat = seen[-1].double() if axis is None else seen[-1].double().movedim(axis, 0).flatten(1)
    assert torch.allclose(flat.mean(-1) if axis is not None else flat.mean(), torch.zeros(()).double(), atol=1e-5)
    assert torch.allclose(flat.std(-1) if axis is not None else flat.std(), torch.ones(()).double(), atol=2e-2)


def test_bytes_become_numbers_from_0_to_1():
    made = Session(net(), (BYTES.byte(), Y), (BYTES.byte()[:10], Y[:10]), batch_size=SIZE, epochs=2, optimizer=sgd,
                   input_scaling="0..1").fit()  # fmt: skip
    twin = Session(net(), (BYTES / 255, Y), (BYTES[:10] / 255, Y[:10]), batch_size=SIZE, epochs=2, optimizer=sgd).fit()
    same(made.model, twin.model)
    assert made.evaluation.loss == twin.evaluation.loss
    assert made.predict_scores(BYTES.byte()).equal(twin.predict_scores(BYTES / 255))


def test_all_that_a_session_computes_sees_scaled_inputs_and_nobody_else():
    made = session(input_scaling=(0.5, 2.0)).step(3)
    model, scaled = made.model, (X - 0.5) / 2
    with torch.no_grad():
        wanted = model.eval()(scaled).softmax(1).argmax(1)
        assert made.predict(X).equal(wanted)
        seen = made.at_batch(lambda: model.eval()(X[:5])).result()
        assert not model._forward_pre_hooks and model(scaled[:5]).equal(seen)
    assert made.layers().complete


def test_a_training_step_calls_a_model_whose_inputs_are_scaled():
    def step(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    options = {"batch_size": SIZE, "epochs": 2, "optimizer": sgd, "training_step": step}
    made = Session(net(), (X, Y), input_scaling=(0.5, 2.0), **options).fit()
    same(made.model, by_hand((0.5, 2.0)))


def test_a_loader_is_measured_by_its_samples():
    made = Session(net(), DataLoader(TensorDataset(X, Y), 8, shuffle=True), input_scaling="standardize")
    mean, std = made.applied["input_scaling"]
    assert mean == pytest.approx([float(X.mean())], abs=1e-6) and std == pytest.approx([float(X.std(correction=0))])


def test_going_back_trials_and_another_session_scale_as_then():
    made = session().step(3)
    made.input_scaling = "standardize"
    made.fit(2)
    other = session().replay(made.ledger()).fit()
    same(other.model, made.model)
    first, _ = other.undo().try_each(2, {"input_scaling": "standardize"}, {})
    assert other.input_scaling is None and other.applied["input_scaling"] is None
    assert first.history().loss.tolist() == made.history().loss.tolist()[:5]
    same(other.fit(2).model, plain())


def test_a_checkpoint_scales_as_then(tmp_path):
    made = session(checkpoint_dir=tmp_path).step(3)
    made.input_scaling = "standardize"
    made.step().save_checkpoint()
    twin = Session.from_checkpoint(tmp_path, net(), (X, Y), (X[:10], Y[:10]), batch_size=SIZE, epochs=2, optimizer=sgd)
    assert twin.input_scaling == "standardize" and twin.applied["input_scaling"] == made.applied["input_scaling"]
    same(twin.fit(2).model, made.fit(2).model)
    for one in (made, twin):  # what is saved later draws in the middle of another test
        one.close()


@pytest.mark.parametrize(("wish", "sentence"), [
    ("standardized", "input_scaling='standardized': 'standardize' or '0..1', (mean, std), or None is wanted. Did you "
                     "mean 'standardize'?"),
    (3, "input_scaling=3: a pair (mean, std) is wanted, each a number, or one for each channel."),
    ((0.0, 0.0), "input_scaling=(0.0, 0.0): a standard deviation is above 0; of what is constant take 1."),
    ("0..1", "input_scaling='0..1': the inputs go from -3.331 to 3.03, not from 0 to 255."),
    (([1, 2], 1.0), "input_scaling=([1, 2], 1.0): there are 2 numbers for 1 channel."),
])  # fmt: skip
def test_what_cannot_be_is_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session(input_scaling=wish)
    assert str(caught.value) == sentence


def test_numbers_of_words_are_not_scaled():
    model = nn.Sequential(nn.EmbeddingBag(9, 4))
    with pytest.raises(ValueError, match="the inputs are int64, as numbers of words are"):
        Session(model, (torch.arange(COUNT)[:, None] % 9, Y), input_scaling="standardize")
