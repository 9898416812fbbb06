"""The overlap from which on a box is found, as a setting: the same boxes judged anew, without the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlwidgets import Session
from dlwidgets.core.scoring.detections import Detections
from tests.core.data.detectors import RectangleFinder, rectangles

NAMES = ["red", "green", "blue"]


def session(**options):
    torch.manual_seed(0)
    data = rectangles(), rectangles(12, seed=1)
    return Session(RectangleFinder(), *data, classes=NAMES, **{"batch_size": 8, "lr": 0.1, **options})


@pytest.fixture(scope="module")
def made():
    one = session(evaluate_every=2)
    one.step(6)
    return one


def judged(model, iou):
    model = model.eval()
    images, targets = rectangles(12, seed=1)
    with torch.no_grad():
        return Detections(targets, model(images), NAMES).scores(iou).confusion(0.5)


@pytest.mark.parametrize("iou", [0.9, 0.5])
def test_another_overlap_judges_the_same_boxes_at_once(made, iou):
    made.iou_threshold = iou
    assert made.scores.iou == iou and made.evaluation.scores is made.scores
    assert np.array_equal(made.scores.confusion(0.5), judged(made.model, iou))


def test_past_evaluations_are_judged_at_it_too(made):
    before = [one.confusion(0.5) for one in made.past_scores]
    made.iou_threshold = 0.75
    found = [int(one.confusion(0.5)[:, 1, 1].sum()) for one in made.past_scores]
    made.iou_threshold = 0.5
    assert [one.iou for one in made.past_scores] == [0.5] * 3
    assert all(np.array_equal(one.confusion(0.5), old) for one, old in zip(made.past_scores, before))
    # It has grown to the size of the boxes step by step.
    assert found[0] < found[-1]


def test_it_runs_the_model_no_more(made):
    calls = []
    handle = made.model.register_forward_hook(lambda *_: calls.append(1))
    made.iou_threshold = 0.6
    handle.remove()
    assert not calls


@pytest.mark.parametrize("wrong", [0, 1.2, "much", None, True])
def test_what_is_no_overlap_is_refused_in_a_sentence(made, wrong):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        made.iou_threshold = wrong

