"""The grid of a detection: found, missed and false boxes, no true negative, at an overlap that can be chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dlwidgets as dlw
from tests.core.data.detectors import RectangleFinder, rectangles
from tests.core.scoring.boxed import draw_boxes

NAMES = ["cat", "dog", "bird"]


@pytest.fixture
def detections():
    return dlw.Detections(*draw_boxes(images=12, seed=3), NAMES)


def test_a_metric_that_needs_true_negatives_is_not_offered(detections):
    names = {metric["name"] for metric in dlw.ConfusionGrid(detections).metrics}
    assert {"precision", "recall", "f1"} <= names
    assert not {"accuracy", "specificity", "matthews", "balanced_accuracy", "kappa"} & names


@pytest.mark.parametrize("look", [{"sort": "-accuracy"}, {"filter": ("specificity", "below", 0.5)}])
def test_a_grid_of_boxes_is_not_sorted_by_what_boxes_have_not(detections, look):
    with pytest.raises(ValueError, match="no true negatives: give precision"):
        dlw.ConfusionGrid(detections, **look)


def test_another_overlap_judges_the_same_boxes(detections):
    view = dlw.ConfusionGrid(detections)
    view.wish("iou", 0.75)
    picture = view.project()
    exact = np.frombuffer(picture["exact"], np.uint32).reshape(-1, 2)
    assert picture["iou"] == 0.75
    assert np.array_equal(exact, detections.scores(0.75).confusion(0.5)[:, ::-1, 1])
    with pytest.raises(ValueError, match="at most 1"):
        view.wish("iou", 3)


def test_what_is_said_of_boxes(detections):
    about = dlw.ConfusionGrid(detections).project()["about"]
    assert (about["task"], about["pictures"], about["true"]) == ("detection", 12, len(detections.true_boxes))
    assert about["map"] == pytest.approx(detections.map50)
    assert about["unknown"] == "" and about["low"] >= 0


def test_a_cell_lists_its_boxes_cut_out_of_their_pictures(detections):
    view = dlw.ConfusionGrid(detections, torch.rand(12, 3, 100, 100))
    view.wish("quadrant", {"class": 1, "cell": 2})
    picture = view.project()
    missed = detections.scores().confusion(0.5)[1, 1, 0]
    assert picture["listed"]["total"] == missed and picture["listed"]["form"] == "image"
    assert all(len(card["box"]) == 4 and 0 <= min(card["box"]) and max(card["box"]) <= 1 for card in picture["cards"])
    # What nothing was said of comes first, without a score.
    assert picture["cards"][0]["score"] is None


def test_a_click_on_a_box_opens_its_picture_with_all_boxes(detections):
    view = dlw.ConfusionGrid(detections, torch.rand(12, 3, 100, 100))
    view.wish("quadrant", {"class": 0, "cell": 1})
    number = view.project()["cards"][-1]["number"]
    view.wish("selected_sample", number)
    picture = view.project()
    assert picture["opened"]["number"] == number and picture["opened"]["of"] == [100, 100]
    assert picture["opened"]["marks"] == detections.marks(number, 0.5)
    assert len(picture["opened_pixels"]) == 100 * 100 * 3


def test_the_pictures_must_be_as_many_as_were_judged(detections):
    with pytest.raises(ValueError, match="7 pictures, the detections have 12"):
        dlw.ConfusionGrid(detections, torch.rand(7, 3, 100, 100))


def test_the_table_has_the_average_precision(detections):
    frame = dlw.ConfusionGrid(detections, columns=["f1"]).to_frame()
    assert frame["average_precision"].tolist() == pytest.approx(detections.average_precision().tolist())
    assert "unknown" not in frame


def test_figures_leave_the_empty_cell_empty(detections):
    view = dlw.ConfusionGrid(detections)
    texts = [text.get_text() for text in view.figure().axes[0].texts]
    assert texts.count("") == 1 and "0 %" not in texts[:1]
    assert len(view.class_figure("cat").axes) == 1


def test_the_background_of_a_session_has_no_threshold():
    def shifted(images, targets):
        return images, [{**target, "labels": target["labels"] + 1} for target in targets]

    class Shifted(RectangleFinder):
        def find(self, image):
            found = super().find(image)
            return {**found, "labels": found["labels"] + 1}

    data = shifted(*rectangles()), shifted(*rectangles(12, seed=1))
    session = dlw.Session(Shifted(), *data, classes=["__background__", *NAMES], batch_size=8)
    session.evaluate()
    view = dlw.ConfusionGrid(session)
    view.wish("thresholds", [0.4, 0.5, 0.6])
    assert view.project()["names"] == NAMES and session.thresholds == [0.4, 0.5, 0.6]
    session.thresholds = {"dog": 0.1, "cat": 0.2, "bird": 0.3}
    assert session.thresholds == [0.2, 0.1, 0.3]


def test_a_session_that_detects_fills_the_grid():
    torch.manual_seed(0)
    session = dlw.Session(RectangleFinder(), rectangles(), rectangles(12, seed=1), classes=NAMES, batch_size=8, lr=0.1)
    view = dlw.ConfusionGrid(session)
    session.step(6)
    session.evaluate()
    view.wish("iou", 0.6)
    assert session.iou_threshold == 0.6 and session.scores.iou == 0.6
    assert view.project()["about"]["pictures"] == 12
