"""An experiment's few controls and views: what is shown, what is refused, and its end."""

from __future__ import annotations

import pytest
import torch
from ipywidgets.widgets.widget import _instances
from torch import nn

from dlwidgets.session import Session
from dlwidgets.views.experiment import Experiment


@pytest.fixture
def session():
    torch.manual_seed(0)
    X, y = torch.randn(32, 4), (torch.randn(32, 2) > 0).float()
    made = Session(nn.Linear(4, 2), train=(X, y), valid=(X, y), classes=["ant", "bee"], batch_size=8)
    yield made
    made.close()


def test_it_shows_what_is_named_and_steers_the_session(wire, session):
    shown = Experiment(session, "lr", "curves", "confusion")
    assert [*shown.views] == ["curves", "confusion"]
    assert {"dlw-without-batch-size", "dlw-without-clip"} <= {*shown.training.controls._dom_classes}
    assert "dlw-without-lr" not in shown.training.controls._dom_classes
    shown.training.lr.value = 1e-2
    session.step(2)
    assert session.applied["lr"] == pytest.approx(1e-2)
    assert shown._still().startswith(b"\x89PNG") and shown.figure().get_size_inches()[1] > 3
    shown.close()


def test_without_names_it_shows_the_rate_and_the_curves(wire, session):
    assert [*Experiment(session).views] == ["curves"]


def test_it_refuses_what_it_cannot_show(session):
    with pytest.raises(TypeError, match="wants a Session, not int"):
        Experiment(3)
    with pytest.raises(ValueError, match="no 'loss'; there are 'lr', 'batch_size'"):
        Experiment(session, "loss")


def test_closed_it_leaves_nothing(wire, session):
    before = {*_instances}
    Experiment(session, "clip", "activations").close()
    assert {*_instances} <= before
