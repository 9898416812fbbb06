"""Models that compute their loss themselves are found out, and train as the plain loop."""

from __future__ import annotations

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from dlwidgets.core.data.own_loss import loss_mode
from dlwidgets.session import Session

X, Y = torch.randn(24, 4, generator=torch.Generator().manual_seed(1)), torch.arange(24) % 3
TOKENS = torch.randint(0, 7, (24, 5), generator=torch.Generator().manual_seed(2))


class Classifier(nn.Module):
    """As those of Hugging Face: by keywords, with a loss where there are labels."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.dropout = nn.Linear(4, 3), nn.Dropout(0.2)

    def forward(self, values=None, labels=None):
        logits = self.layer(self.dropout(values))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return SimpleNamespace(loss=loss, logits=logits)


class LanguageModel(nn.Module):
    """Says the next token by the last one."""

    config = SimpleNamespace(vocab_size=7)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(7, 4), nn.Linear(4, 7)

    def forward(self, input_ids, labels=None):
        logits = self.head(self.embedding(input_ids))
        loss = None if labels is None else F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])
        return SimpleNamespace(loss=loss, logits=logits)


class Losses(nn.Module):
    """Returns losses of which the form is given, where it is given targets."""

    def __init__(self, form):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.form = nn.Linear(4, 3), form

    def forward(self, x, targets=None):
        out = self.layer(x)
        return out if targets is None else self.form(out, F.cross_entropy(out, targets))


class Dicts(Dataset):
    def __init__(self, key):
        self.key = key

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return {"values": X[index], self.key: Y[index]}


def session(model, data, **options):
    return Session(model, data, **{"batch_size": 8, "optimizer": "sgd", "lr": 0.1, "threads": 1, **options})


def plain(model, loss_of):
    """Return the weights after three steps of the loop that anybody would write."""
    optimizer, drawn = torch.optim.SGD(model.parameters(), lr=0.1), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    for index in torch.randperm(24, generator=drawn).split(8):
        optimizer.zero_grad()
        loss_of(model, index).backward()
        optimizer.step()
    return model.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize(
    "data",
    [Dicts("labels"), Dicts("label"), ({"values": X}, Y), {"values": X, "labels": Y}, (X, Y)],
    ids=["dicts", "label", "dict and labels", "one dict", "pair"],
)
def test_a_classifier_of_keywords_is_a_classification(data):
    made = session(Classifier(), data, valid=0.25, classes=list("abc"))
    assert made.task == "multiclass" and "the model computes its loss from labels" in repr(made)
    made = session(Classifier(), data, classes=list("abc")).step(3)
    expected = plain(Classifier(), lambda model, index: model(X[index], labels=Y[index]).loss)
    assert same(expected, made.model.state_dict())


def test_its_evaluation_is_exact_and_has_scores():
    # Batches of 64 and 26: a mean over batches would be another number.
    values, labels = torch.randn(90, 4), torch.arange(90) % 3
    made = session(Classifier(), ({"values": X}, Y), valid=({"values": values}, labels)).step(3)
    found, model = made.evaluate(), copy.deepcopy(made.model).eval()
    logits = model(values).logits.detach()
    assert found.loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6) and found.loss_note == ""
    assert found.metrics["accuracy"] == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    assert found.scores.n_samples == 90
    assert made.predict({"values": values}).tolist() == logits.argmax(1).tolist()


def test_a_loader_of_dicts_needs_no_target():
    made = session(Classifier(), DataLoader(Dicts("labels"), batch_size=8), batch_size=None).step(2)
    assert made.task == "multiclass" and made.loss > 0
    assert made.samples.target(4) == Y[4]


def test_a_language_model_has_a_perplexity():
    rule = {"metric": "perplexity", "patience": 3}
    made = session(LanguageModel(), ({"input_ids": TOKENS}, TOKENS), valid=0.25, early_stopping=rule)
    found = made.evaluate()
    assert made.task == "custom" and found.metrics == {"perplexity": pytest.approx(math.exp(found.loss))}


@pytest.mark.parametrize(
    "form",
    [
        lambda out, loss: loss,
        lambda out, loss: (loss, out),
        lambda out, loss: {"loss": loss, "size": out.square().mean().detach()},
        lambda out, loss: {"class": loss * 0.25, "rest": loss * 0.75},
        lambda out, loss: (loss * 0.25, loss * 0.75),
    ],
    ids=["number", "with outputs", "by the name loss", "by name", "by place"],
)
def test_each_form_of_a_loss_trains_as_the_plain_loop(form):
    made = session(Losses(form), (X, Y), valid=(X, Y)).step(3)

    def loss_of(model, index):
        returned = model(X[index], Y[index])
        losses = list(returned.values()) if isinstance(returned, dict) else returned
        if isinstance(returned, dict) and "loss" in returned or isinstance(losses, tuple) and losses[1].ndim:
            return losses[0]
        return losses if isinstance(losses, torch.Tensor) else sum(losses)

    assert same(plain(Losses(form), loss_of), made.model.state_dict())
    expected = F.cross_entropy(made.model.layer(X), Y)
    assert made.evaluate().loss == pytest.approx(float(expected.detach()))


def test_a_model_whose_second_input_is_no_target_is_none():
    class Conditional(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x, y=None):
            return self.layer(x) if y is None else self.layer(x) + y[:, None]

    assert session(Conditional(), (X, Y)).task == "multiclass"


def test_where_it_fails_it_is_said_in_a_sentence():
    with pytest.raises(ValueError) as caught:
        session(Classifier(), ({"values": X}, Y + 1))
    assert str(caught.value) == (
        "Classifier gives no loss for a batch (IndexError: Target 3 is out of bounds)."
    )


def test_losses_are_had_without_what_training_changes():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.BatchNorm1d(4), nn.Dropout()))
    model.holder = Losses(None)
    with loss_mode(model):
        modes = {name: module.training for name, module in model.named_modules()}
    assert modes == {
        "": True, "0": False, "1": True, "1.0": False, "1.1": False, "holder": True, "holder.layer": False,
    }  # fmt: skip
    assert all(module.training for module in model.modules())


def test_a_list_of_labelled_samples_is_data():
    made = session(Losses(lambda out, loss: loss), [*zip(X, Y.tolist())]).step(3)
    expected = plain(Losses(None), lambda model, index: F.cross_entropy(model(X[index]), Y[index]))
    assert same(expected, made.model.state_dict())


def test_samples_that_cannot_be_stacked_are_said_in_a_sentence():
    with pytest.raises(ValueError) as caught:
        session(Losses(None), [(torch.zeros(count, 4), 0) for count in (3, 5, 2)])
    assert str(caught.value) == (
        "train: samples of different shapes make no batch: pass a DataLoader with a collate_fn= that pads, packs or "
        "lists them, as torch.nn.utils.rnn.pad_sequence(items, batch_first=True) does."
    )
