"""Labels that have nothing to do with the inputs, and those that a model contradicts."""

from __future__ import annotations

import torch
from sklearn import datasets
from torch import nn

from dlwidgets import Scores, Session
from dlwidgets.core.doctor.data_facts import DataFacts, PartFacts
from dlwidgets.core.doctor.evidence import Evidence
from dlwidgets.core.doctor.row_matches import Agreement
from dlwidgets.core.doctor.rules.labels import find_shuffled

from .by_facts import labelled, names, numbers


def shuffled(y: torch.Tensor) -> torch.Tensor:
    return y[torch.randperm(len(y), generator=torch.Generator().manual_seed(3))]


def test_shuffled_labels_are_found_and_those_in_order_are_not():
    X, y = labelled()
    assert names((X, y)) == []
    assert names((X, shuffled(y))) == ["labels_shuffled"]


def test_scores_better_than_chance_refute_that_labels_are_shuffled():
    y = numbers(1500) > 0
    facts = DataFacts(PartFacts(True, 1500), agreement=Agreement(500, 5, 0.0, 0.4))
    chance, better = (Scores(y.long(), (numbers(1500, seed=1) + up * y).sigmoid()) for up in (0.0, 1.0))
    (suspected,), (found,) = (find_shuffled(Evidence(step, data=facts, scores=chance, epochs=1)) for step in (0, 50))
    assert (suspected.severity, found.severity) == ("low", "medium")
    assert [*find_shuffled(Evidence(data=facts, scores=better))] == []


def digits(wrong: float) -> Session:
    X, y = datasets.load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float(), torch.tensor(y)
    rows = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    X, y = X[rows], y[rows]
    swapped = torch.arange(len(y)) % 100 < 100 * wrong
    y = torch.where(swapped, (y + 1 + torch.arange(len(y)) % 9) % 10, y)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    session = Session(model, (X[:1200], y[:1200]), (X[1200:], y[1200:]), lr=3e-3, evaluate_every=50)
    return session.step(150)


def test_wrong_labels_of_digits_are_found_and_clean_ones_are_not():
    assert [one.rule for one in digits(0.0).findings if one.rule.startswith("labels")] == []
    (one,) = (one for one in digits(0.12).findings if one.rule.startswith("labels"))
    assert one.rule == "labels_contradicted"
    assert 0.05 < one.evidence["share"] < 0.15
