"""Smoothed labels: in training alone."""



from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional as F

from dlwidgets.session import Session
from tests.core.controls.by_hand import SIZE, X, Y, net, plain, same, session


def test_smoothed_labels_train_and_the_evaluation_keeps_its_loss():
    mine = nn.CrossEntropyLoss()
    made = session(loss=mine, label_smoothing=0.2).fit()
    same(made.model, plain(loss=nn.CrossEntropyLoss(label_smoothing=0.2)))
    assert mine.label_smoothing == 0.0
    assert made.evaluation.loss == pytest.approx(float(mine(made.model.eval()(X[:10]), Y[:10]).detach()))
    made.label_smoothing = None
    made.step()
    assert made.applied["label_smoothing"] == 0.0


def test_a_loss_without_label_smoothing_says_so():
    made = Session(net(), (X, F.one_hot(Y, 4).float()), task="multilabel", batch_size=SIZE)
    made.label_smoothing = 0.1
    made.step()
    assert made.rejected["label_smoothing"] == "BCEWithLogitsLoss has no label smoothing: CrossEntropyLoss has"
    assert made.applied["label_smoothing"] is None
