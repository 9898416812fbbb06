"""Boxes over the picture in the activation browser: true and said, at the session's thresholds."""

from __future__ import annotations

import pytest
import torch

import dlwidgets as dlw
from tests.core.data.detectors import RectangleFinder, rectangles

NAMES = ["red", "green", "blue"]


@pytest.fixture
def session():
    torch.manual_seed(0)
    made = dlw.Session(RectangleFinder(), rectangles(), rectangles(12, seed=1), classes=NAMES, batch_size=8, lr=0.1)
    made.step(6)
    made.evaluate()
    return made


def kinds(view):
    return [(mark["true"], mark["kind"]) for mark in view.project()["boxes"]["marks"]]


def test_true_and_said_boxes_are_those_of_the_evaluation(session):
    view = dlw.ActivationBrowser(session, layer="look")
    for number in (0, 3):
        session.selected_sample = number
        view._take_look()
        marks = view.project()["boxes"]["marks"]
        wanted = session.scores.detections.marks(number, session.thresholds)
        assert [{**mark, "box": pytest.approx(mark["box"], abs=1e-4)} for mark in wanted] == [
            {**mark, "score": mark["score"] and pytest.approx(mark["score"], abs=1e-6)} for mark in marks
        ]  # fmt: skip


def test_another_overlap_and_another_threshold_judge_them_anew(session):
    view = dlw.ActivationBrowser(session, layer="look", sample=0)
    assert kinds(view) == [(True, "found"), (False, "found")]
    session.iou_threshold = 0.99
    assert kinds(view) == [(True, "missed"), (False, "false")]
    session.thresholds = 1.0
    assert kinds(view) == [(True, "missed")]


def test_layers_of_a_detector_are_looked_at(session):
    view = dlw.ActivationBrowser(session, layer="look", sample=0)
    assert view.project()["drawing"]["count"] == 4 and view.project()["boxes"]["of"] == [32, 32]


def test_where_the_truth_is_not_known_boxes_are_only_said(session):
    view = dlw.ActivationBrowser(session.model, rectangles(4)[0], layer="look", classes=NAMES)
    assert kinds(view) == [(False, "said")]


def test_a_classifier_has_no_boxes():
    view = dlw.ActivationBrowser(torch.nn.Linear(3, 2), torch.rand(4, 3))
    assert view.project()["boxes"] == {}
