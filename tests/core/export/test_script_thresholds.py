"""A script predicts at the thresholds that were in force, as the session does, and counts hits and misses."""

from __future__ import annotations

import runpy
from functools import partial

import pytest
import torch
from sklearn import metrics
from torch import nn

from dlwidgets.session import Session
from tests.core.export.script_runs import Runs, X, Y, differing, net, session

NEW = torch.randn(30, 12, generator=torch.Generator().manual_seed(9))
LABELS = Y["multilabel"].float()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, left, right):
        return self.one(left) + self.other(right)


class Slope(nn.Module):
    """Judges by the gradient of an energy."""

    def __init__(self):
        super().__init__()
        self.energy, self.head = net(), nn.Linear(12, 4)

    def forward(self, x):
        x = x.detach().requires_grad_()
        return self.head(torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0])


def made(name):
    if name == "one for all":
        found = session("multilabel", valid=(X, LABELS), classes=["a", "b", 'c "quoted"', "d"]).fit()
        found.thresholds = 0.37
    elif name == "one for each":
        found = session("multilabel", valid=(X, LABELS)).fit()
        found.thresholds = [0.2, 0.45, 0.5, 0.61]
    elif name == "binary":
        torch.manual_seed(7)
        rows = (X, LABELS[:, 0])
        found = session("binary", model=nn.Linear(12, 1), data=rows, valid=rows).fit()
        found.thresholds = 0.4
    elif name == "probabilities":
        model = nn.Sequential(net(), nn.Sigmoid())
        found = session("multilabel", model=model, loss=nn.BCELoss(), valid=(X, LABELS)).fit()
        found.thresholds = 0.55
    elif name == "differentiates":
        torch.manual_seed(7)
        found = session("multilabel", model=Slope(), valid=(X, LABELS)).fit()
        found.thresholds = 0.48
    elif name == "averaged":
        found = session("multilabel", ema=0.9, valid=(X, LABELS)).fit()
        found.thresholds = 0.48
    elif name == "two inputs":
        torch.manual_seed(7)
        parts = (X[:, :6], X[:, 6:])
        found = session("multilabel", model=Two(), data=(parts, LABELS), valid=(parts, LABELS)).fit()
        found.thresholds = [0.3, 0.5, 0.5, 0.5]
    return found


NAMES = ["one for all", "one for each", "binary", "probabilities", "differentiates", "averaged", "two inputs"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return Runs({name: partial(made, name) for name in NAMES}).write(tmp_path_factory.mktemp("scripts"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_predictions_are_the_sessions(written, name):
    folder, sessions, failed = written
    assert failed == {}
    assert differing(sessions[name], folder / f"{name}.weights.pt") == []
    names = runpy.run_path(str(folder / f"{name}.py"))
    inputs = (NEW[:, :6], NEW[:, 6:]) if name == "two inputs" else NEW
    theirs, ours = names["predict"](inputs), sessions[name].predict(inputs)
    assert torch.equal(theirs, ours)
    assert 0 < int(ours.sum()) < ours.numel()


@pytest.mark.parametrize("name", ["one for all", "binary"])
def test_what_it_counts_on_the_validation_data_is_scikit_learns(written, name, capsys):
    folder, sessions, _ = written
    runpy.run_path(str(folder / f"{name}.py"))
    said = capsys.readouterr().out.splitlines()
    predicted, true = sessions[name].predict(X), LABELS if name != "binary" else LABELS[:, 0]
    matrices = metrics.multilabel_confusion_matrix(true.reshape(50, -1), predicted.reshape(50, -1))
    if name == "binary":
        matrices = [metrics.confusion_matrix(true, predicted)]
    classes = sessions[name].classes or ("positive",)
    wanted = [
        f"{label}: {m[1][1]} found, {m[1][0]} missed, {m[0][1]} false alarms"
        for label, m in zip(classes, matrices)
    ]
    assert said[-len(wanted) :] == wanted


def test_each_threshold_stands_beside_its_class(tmp_path):
    found = session("multilabel", classes=["edema", "mass", "hernia", "nodule"]).fit(1)
    found.thresholds = [0.1, 0.25, 0.5, 0.75]
    text = found.to_script(tmp_path / "run.py").read_text()
    assert "    0.25,  # mass\n" in text
    assert "run.valid.pt" not in text and not (tmp_path / "run.valid.pt").exists()


def test_validation_data_is_left_out_with_the_data(tmp_path):
    found = session("multilabel", valid=(X, LABELS)).fit(1)
    with pytest.warns(UserWarning, match="load_data"):
        text = found.to_script(tmp_path / "run.py", data=False).read_text()
    assert "def predict(" in text and "valid" not in text


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_where_nothing_has_a_threshold_nothing_is_written_of_it(tmp_path, task):
    assert "threshold" not in session(task).fit(1).to_script(tmp_path / "run.py").read_text()


@pytest.mark.parametrize("task", ["multilabel", "multiclass"])
def test_predict_gives_labels_or_the_probabilities(task):
    found = session(task).fit(1)
    assert torch.equal(found.predict(NEW, labels=False), found.predict_scores(NEW))
    scores = found.predict_scores(NEW)
    wanted = scores.argmax(1) if task == "multiclass" else (scores >= 0.5).long()
    assert torch.equal(found.predict(NEW), wanted)
    assert torch.equal(found.predict(NEW, labels=True), wanted)


def test_thresholds_hold_for_predictions_from_the_moment_they_are_set():
    torch.manual_seed(0)
    found = Session(net(), (X, LABELS), threads=1).fit(1)
    scores = found.predict_scores(NEW).double()
    found.thresholds = [0.2, 0.4, 0.6, 0.8]
    assert torch.equal(found.predict(NEW), (scores >= torch.tensor([0.2, 0.4, 0.6, 0.8]).double()).long())
