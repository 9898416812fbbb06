"""Boxes in pixels, beyond the image, or without area."""

from __future__ import annotations

import torch
from torch import nn

from dlwidgets import Session


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
