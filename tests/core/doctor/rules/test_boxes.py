"""Boxes in pixels, beyond the image, or without area."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dlwidgets import Session, teaching
from dlwidgets.core.doctor.box_facts import measure_targets_of_detector
from dlwidgets.core.doctor.data_facts import DataFacts, PartFacts
from dlwidgets.core.doctor.rules.boxes import find_wrong_boxes


def found(rows: torch.Tensor) -> list:
    """Return the findings after a step on 8 images of 20 x 20 with a box each."""

    def step(model, batch):
        images, boxes = batch
        return (model(images) - boxes[:, 2:]).abs().mean()

    model = nn.Sequential(nn.Flatten(), nn.Linear(400, 4))
    session = Session(model, [(torch.rand(8, 1, 20, 20), rows)], training_step=step)
    session.step()
    return [one for one in session.findings if one.rule == "boxes_wrong"]


ROWS = torch.cat([torch.arange(8.0)[:, None], torch.ones(8, 1), torch.full((8, 4), 0.4)], 1)


def test_boxes_in_shares_of_the_image_are_quiet():
    assert found(ROWS) == []


def test_boxes_in_pixels_are_found():
    rows = ROWS.clone()
    rows[:, 2:] *= 20
    (one,) = found(rows)
    assert one.severity == "high" and "pixels" in one.title and "20 × 20" in one.sentence


def test_boxes_beyond_the_image_and_without_area_are_found():
    rows = ROWS.clone()
    rows[:3, 2] = 0.95
    assert "3 of 8 boxes reach beyond the image" in found(rows)[0].title
    rows = ROWS.clone()
    rows[:, 4] = 0
    assert "8 of 8 boxes have no area" in found(rows)[0].title


@pytest.mark.parametrize(
    ("wrong", "title"), [(None, None), ("outside", "reach beyond the image"), ("no area", "have no area")]
)
def test_wrong_boxes_of_any_sample_are_found_before_the_first_step_of_a_detector(wrong, title):
    data = teaching.shapes(60, 4, size=32, wrong=wrong)
    model = teaching.YoloV7Tiny(data.classes, width=0.1)
    session = Session(model, train=data.train, classes=data.classes, batch_size=4)
    session.diagnose()
    found = [one for one in session.findings if one.rule == "boxes_wrong"]
    assert session.steps == 0 and [title in one.title for one in found] == [True] * (title is not None)
    if found:
        (image,) = map(int, re.findall(r"first is in image (\d+)", found[0].sentence))
        boxes = data.train[1][image]["boxes"]
        assert ((boxes > 33).any(1) | (boxes[:, 2] == boxes[:, 0])).any()


def test_a_number_of_no_class_and_shares_are_named_by_what_a_detector_is_given():
    images = torch.zeros(1, 3, 40, 60)
    for boxes, label, title in ((0.5, 0, "in shares of the image"), (20.0, 7, "1 of 1 box has a label of no class")):
        target = {"boxes": torch.tensor([[0.1, 0.1, boxes, boxes]]), "labels": torch.tensor([label])}
        part = PartFacts(True, 1, boxes=measure_targets_of_detector(images, [target], 3))
        (finding,) = find_wrong_boxes(SimpleNamespace(data=DataFacts(part)))
        assert title in finding.title and finding.severity == "high"
