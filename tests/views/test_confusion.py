"""ConfusionGrid without a browser: what it sends, what it takes from the page, what it says when empty."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
from sklearn.metrics import multilabel_confusion_matrix
from torch import nn

from dlwidgets.core.figures.confusion import order
from dlwidgets.core.scoring.scores import Scores
from dlwidgets.session import Session
from dlwidgets.views.confusion import ConfusionGrid

NAMES = ["ant", "<img src=x onerror=alert(1)>", "cat"]


def labelled(n=300, seed=0):
    """Return labels and scores of three classes."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.1, 0.5, 0.3]).astype(int)
    return y, np.clip(0.3 * y + 0.8 * rng.random((n, 3)), 0, 1)


@pytest.fixture
def session():
    """A session of three labels that has not been evaluated."""
    torch.manual_seed(0)
    X = torch.randn(160, 4)
    y = (X[:, :3] > 0.3).float()
    return Session(nn.Linear(4, 3), train=(X[:100], y[:100]), valid=(X[100:], y[100:]), classes=NAMES)


@pytest.fixture
def said(monkeypatch):
    """What views send to the page beside their traits."""
    messages = []
    monkeypatch.setattr(ConfusionGrid, "send", lambda self, message, buffers=None: messages.append(message))
    return messages


def page_says(view, **message):
    """Do what the page does when it sends a message."""
    view._handle_custom_msg(message, [])


def open_page(view):
    """Open a page on the view, which draws what it gets."""
    page_says(view, hello=True)
    page_says(view, drawn=view.frame)


def counts_of(view):
    """Read the counts as the page does: C x 2 x 1001."""
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[view.width]
    return np.frombuffer(view.counts, kind).reshape(len(view.names), 2, 1001)


def cells(predicted, totals):
    """Return C x 2 x 2 from the two arrays that the page has."""
    (tp, fp), (fn, tn) = predicted.T.astype(int), (totals - predicted.astype(int)).T
    return np.stack([tn, fp, fn, tp], axis=1).reshape(-1, 2, 2)


@pytest.mark.parametrize("n", [40, 300, 70_000])
def test_the_page_can_count_at_every_position_by_itself(n):
    y, p = labelled(n)
    view = ConfusionGrid(Scores(y, p, NAMES))
    totals = np.frombuffer(view.totals, np.uint32).reshape(3, 2).astype(int)
    for k in (0, 1, 333, 500, 999, 1000):
        np.testing.assert_array_equal(
            cells(counts_of(view)[:, :, k], totals), multilabel_confusion_matrix(y, p >= k / 1000)
        )


@pytest.mark.parametrize("thresholds", [0.5, 0.33333, [0.1234567, 0.5, 2.5]])
def test_counts_at_thresholds_between_the_positions_are_exact_too(thresholds):
    y, p = labelled()
    view = ConfusionGrid(Scores(y, p), thresholds=thresholds)
    exact = np.frombuffer(view.exact, np.uint32).reshape(3, 2)
    totals = np.frombuffer(view.totals, np.uint32).reshape(3, 2).astype(int)
    np.testing.assert_array_equal(cells(exact, totals), multilabel_confusion_matrix(y, p >= thresholds))
    assert view.thresholds == np.atleast_1d(thresholds).tolist()


def test_a_threshold_chosen_in_one_page_is_the_sessions_and_reaches_the_other(session):
    session.evaluate()
    one, other = ConfusionGrid(session), ConfusionGrid(session)
    open_page(one), open_page(other)
    page_says(one, wish="thresholds", value=0.7)
    assert session.thresholds == 0.7
    assert other.thresholds == [0.7]
    exact = np.frombuffer(other.exact, np.uint32).reshape(3, 2)
    np.testing.assert_array_equal(exact, session.scores.confusion(0.7)[:, ::-1, 1])


def test_a_threshold_for_each_class_may_be_wished(session):
    session.evaluate()
    view = ConfusionGrid(session)
    page_says(view, wish="thresholds", value=[0.2, 0.4, 0.6])
    assert session.thresholds == [0.2, 0.4, 0.6]


@pytest.mark.parametrize("value", [None, True, "half", [0.1, 0.2], float("nan"), [0.1, None, 0.2]])
@pytest.mark.parametrize("live", [True, False])
def test_a_threshold_that_makes_no_sense_is_refused_with_a_sentence(session, said, value, live):
    session.evaluate()
    view = ConfusionGrid(session if live else session.scores)
    page_says(view, wish="thresholds", value=value)
    assert [m["refused"] for m in said] == ["thresholds"] and said[0]["because"].endswith(".")
    assert session.thresholds == 0.5
    assert view.thresholds == [0.5] and view.problem == ""


def test_the_counts_are_made_once_for_many_thresholds(monkeypatch):
    made = []
    counts_at = Scores.counts_at
    monkeypatch.setattr(Scores, "counts_at", lambda self, n: made.append(n) or counts_at(self, n))
    view = ConfusionGrid(Scores(*labelled()))
    open_page(view)
    for k in range(20):
        page_says(view, wish="thresholds", value=k / 20)
        page_says(view, drawn=view.frame)
    assert made == [1001]
    assert view.thresholds == [0.95]


def test_new_scores_reach_a_page_that_has_drawn_the_last(session):
    view = ConfusionGrid(session)
    assert view.names == [] and view.empty
    open_page(view)
    session.step(3)
    session.evaluate()
    page_says(view, drawn=view.frame)
    assert view.empty == "" and view.names == NAMES
    assert view.about == {
        "task": "multilabel", "samples": 60, "of": 60, "validation": True, "step": 3, "note": "",
        "low": session.scores.y_score.min(), "high": session.scores.y_score.max(),
    }  # fmt: skip


def test_the_look_chosen_in_the_page_is_kept_for_the_next_page_and_the_figure():
    scores = Scores(*labelled(), ["ant", "bee", "cat"])
    view = ConfusionGrid(scores)
    open_page(view)
    page_says(view, wish="look", value={"sort": "-recall", "table": True})
    assert view.look["sort"] == "-recall" and view.look["table"] is True
    titles = [ax.get_title().split("  ")[0] for ax in view.figure().axes if ax.get_title()]
    assert titles == [scores.classes[c] for c in order(scores, scores.confusion(), "-recall")]


def test_an_order_that_does_not_exist_is_refused(said):
    view = ConfusionGrid(Scores(*labelled()))
    page_says(view, wish="look", value={"sort": "colour"})
    assert "colour" in said[0]["because"] and view.look["sort"] == "given"
    with pytest.raises(ValueError, match="colour"):
        ConfusionGrid(Scores(*labelled()), sort="colour")


def test_a_wish_that_nobody_knows_is_refused(said):
    page_says(ConfusionGrid(Scores(*labelled())), wish="explode", value=1)
    assert said[0]["refused"] == "explode"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"valid": None}, "No validation data. Pass valid=(X, y) to the Session."),
        ({}, "Appears after the first evaluation, at the end of epoch 1 (session.evaluate() does it now)."),
        (
            {"evaluate_every": 50},
            "Appears after the first evaluation, at step 50 (session.evaluate() does it now).",
        ),
        ({"evaluate_every": None}, "Appears after the first evaluation (session.evaluate() does it now)."),
    ],
)
def test_an_empty_grid_says_what_to_do(options, sentence):
    X, y = torch.randn(20, 4), torch.randint(0, 2, (20, 3)).float()
    view = ConfusionGrid(Session(nn.Linear(4, 3), **{"train": (X, y), "valid": (X, y), **options}))
    assert view.empty == sentence and view.problem == ""
    assert view.figure().texts[0].get_text() == sentence


def test_a_regression_has_no_confusion_and_says_so():
    X = torch.randn(20, 4)
    session = Session(nn.Linear(4, 1), train=(X, X[:, :1]), valid=(X, X[:, :1]))
    session.evaluate()
    view = ConfusionGrid(session)
    assert view.empty.startswith("A regression task has no confusion") and view.problem == ""


@pytest.mark.parametrize(("y", "columns"), [(torch.arange(20) % 3, 3), ((torch.arange(20) % 2).float(), 1)])
def test_classes_and_yes_or_no_are_shown_as_labels_are(y, columns):
    X = torch.randn(20, 4)
    model = nn.Linear(4, columns) if columns > 1 else nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    session = Session(model, train=(X, y), valid=(X, y))
    session.evaluate()
    view = ConfusionGrid(session)
    assert view.problem == "" and len(view.names) == columns
    np.testing.assert_array_equal(
        np.frombuffer(view.exact, np.uint32), session.scores.confusion()[:, ::-1, 1].ravel()
    )


@pytest.mark.parametrize("thresholds", [float("inf"), float("-inf")])
def test_the_page_is_told_numbers_that_json_has(thresholds):
    view = ConfusionGrid(Scores([0, 1], [-np.inf, np.inf]), thresholds=thresholds)
    json.dumps([view.thresholds, view.about], allow_nan=False)


def test_the_source_is_a_session_or_scores():
    with pytest.raises(TypeError, match=r"ndarray.*Scores\(y_true, y_score"):
        ConfusionGrid(np.zeros(3))
    with pytest.raises(ValueError, match="for 3 classes"):
        ConfusionGrid(Scores(*labelled()), thresholds=[0.1, 0.2])


def test_thresholds_of_a_session_are_set_on_the_session(session):
    with pytest.raises(ValueError, match=r"session\.thresholds"):
        ConfusionGrid(session, thresholds=0.3)


def test_the_figure_and_the_picture_show_the_chosen_thresholds():
    y, p = labelled()
    view = ConfusionGrid(Scores(y, p), thresholds=0.8)
    expected = sorted(multilabel_confusion_matrix(y, p >= 0.8).ravel().tolist())
    for figure in (view.figure(), view.picture()):
        written = [t.get_text().replace(",", "") for ax in figure.axes for t in ax.texts]
        assert sorted(int(t) for t in written if t.isdecimal()) == expected


def test_a_picture_stands_beside_the_widget():
    bundle = ConfusionGrid(Scores(*labelled()))._repr_mimebundle_()[0]
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle)


def test_a_closed_grid_no_longer_follows_its_session(session):
    view = ConfusionGrid(session)
    open_page(view)
    view.close()
    frame = view.frame
    session.evaluate()
    session.thresholds = 0.9
    assert view.frame == frame


def test_the_parts_of_the_page_fit_together_in_one_module(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    module = tmp_path / "confusion.mjs"
    module.write_text(str(ConfusionGrid._esm))
    done = subprocess.run([node, "--check", module], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
