"""The named losses in the curves: each drawn, with its weight in the sum, which can be changed there."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlwidgets as dlw
from dlwidgets.views.limits import Restrictions
from tests.core.data.detectors import RectangleFinder, rectangles


@pytest.fixture
def session():
    torch.manual_seed(0)
    made = dlw.Session(RectangleFinder(), rectangles(), rectangles(12, seed=1), batch_size=8, lr=0.1, evaluate_every=2)
    made.step(4)
    return made


def rows(picture, trait):
    return np.frombuffer(picture[trait], np.float32).reshape(3, -1)


def test_each_named_loss_is_drawn_with_its_evaluations(session):
    picture, history = dlw.Curves(session).project(), session.history()
    assert picture["named_losses"] == [["box", 1.0], ["maps", 1.0]]
    for number, name in enumerate(("box", "maps")):
        which, steps, losses = rows(picture, "part_lines")
        assert steps[which == number].tolist() == [1, 2, 3, 4]
        assert losses[which == number] == pytest.approx(history[f"loss_{name}"].to_numpy(), rel=1e-6)
        which, steps, losses = rows(picture, "part_valid")
        known = history[f"valid_loss_{name}"].dropna()
        assert steps[which == number].tolist() == known.index.tolist()
        assert losses[which == number] == pytest.approx(known.to_numpy(), rel=1e-6)


def test_a_weight_is_put_in_force_in_the_name_of_the_curves(session):
    view = dlw.Curves(session)
    view.wish("weight", ["box", 0.25])
    session.step(1)
    assert session.applied["loss_weights"] == {"box": 0.25, "maps": 1.0}
    assert view.project()["named_losses"] == [["box", 0.25], ["maps", 1.0]]
    assert session.ledger().query("name == 'loss_weights'")["by"].tolist() == ["curves"]
    last = session.history().iloc[-1]
    assert last["loss"] == pytest.approx(0.25 * last["loss_box"] + last["loss_maps"], rel=1e-6)


@pytest.mark.parametrize("asked", [["bax", 1.0], ["box", -1], ["box", "much"], "box"])
def test_what_is_no_weight_is_refused(session, asked):
    with pytest.raises(ValueError, match="weight|number"):
        dlw.Curves(session).wish("weight", asked)


def test_a_lock_of_the_panel_holds_here_too(session):
    view = dlw.Curves(session, restrictions=Restrictions(locked=["loss_weights"]))
    with pytest.raises(ValueError, match="locked"):
        view.wish("weight", ["box", 0.5])


def test_another_line_has_its_own_named_losses(session):
    view = dlw.Curves(session)
    view.project()
    session.rewind(2)
    session.step(1)
    which, steps, _ = rows(view.project(), "part_lines")
    assert steps[which == 0].tolist() == [1, 2, 3]


def test_the_figure_has_a_chart_of_them(session):
    assert [len(axes.lines) for axes in dlw.Curves(session).figure().axes][1] == 2


def test_one_loss_has_no_parts():
    session = dlw.Session(torch.nn.Linear(3, 1), (torch.rand(8, 3), torch.rand(8, 1)), batch_size=4)
    session.step(2)
    picture = dlw.Curves(session).project()
    assert picture["named_losses"] == [] and picture["part_lines"] == b""
