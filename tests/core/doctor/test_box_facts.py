"""Boxes as people write them: corners under a name, rows of YOLO."""

from __future__ import annotations

import torch

from dlwidgets.core.doctor.box_facts import find_boxes

IMAGES = torch.zeros(2, 3, 40, 60)


def test_corners_beyond_the_image_and_without_area_are_counted():
    boxes = torch.tensor([[0, 0, 60, 40], [50, 5, 70, 20], [10, 10, 10, 20], [1, 2, 3, 4]], dtype=torch.float32)
    found = find_boxes((IMAGES, [{"boxes": boxes, "labels": torch.ones(4)}]), IMAGES)
    assert (found.count, found.outside, found.empty, found.image) == (4, 1, 1, (40, 60))


def test_rows_of_yolo_in_shares_are_in_order():
    rows = torch.tensor([[0, 3, 0.5, 0.5, 0.2, 0.2], [1, 0, 0.9, 0.9, 0.2, 0.2]])
    found = find_boxes((IMAGES, rows), IMAGES)
    assert (found.rows, found.pixels, found.outside, found.empty) == (True, False, 0, 0)


def test_rows_of_yolo_in_pixels_are_seen():
    rows = torch.tensor([[[3, 30, 20, 12, 8], [0, 50, 30, 12, 8], [0, 0, 0, 0, 0]]], dtype=torch.float32)
    found = find_boxes((IMAGES, rows), IMAGES)
    assert found.pixels and (found.count, found.outside) == (2, 0)


def test_the_rows_of_each_image_count_where_they_come_in_a_list():
    rows = [torch.tensor([[1.0, 0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.0, 30, 20, 8, 6], [2, 9, 9, 4, 4]])]
    found = find_boxes((IMAGES, rows), IMAGES)
    assert found.count == 3 and found.pixels


def test_what_has_no_class_is_no_row_of_a_box():
    assert find_boxes((IMAGES, torch.rand(8, 5)), IMAGES) is None
    assert find_boxes((torch.rand(8, 4), torch.ones(8, 5)), torch.rand(8, 4)) is None
