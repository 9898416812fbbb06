"""Boxes as people write them: corners under a name, rows of YOLO."""

from __future__ import annotations

import torch

from dlwidgets.core.doctor.box_facts import find_boxes, measure_targets_of_detector

IMAGES = torch.zeros(2, 3, 40, 60)


def test_corners_beyond_the_image_and_without_area_are_counted():
    boxes = torch.tensor([[0, 0, 60, 40], [50, 5, 70, 20], [10, 10, 10, 20], [1, 2, 3, 4]], dtype=torch.float32)
    found = find_boxes((IMAGES, [{"boxes": boxes, "labels": torch.ones(4)}]), IMAGES)
    assert (found.count, found.outside, found.empty, found.image) == (4, 1, 1, (40, 60))


def test_rows_of_yolo_in_shares_are_in_order():
    rows = torch.tensor([[0, 3, 0.5, 0.5, 0.2, 0.2], [1, 0, 0.9, 0.9, 0.2, 0.2]])
    found = find_boxes((IMAGES, rows), IMAGES)
    assert (found.form, found.unit, found.outside, found.empty) == ("rows", "", 0, 0)


def test_rows_of_yolo_in_pixels_are_seen():
    rows = torch.tensor([[[3, 30, 20, 12, 8], [0, 50, 30, 12, 8], [0, 0, 0, 0, 0]]], dtype=torch.float32)
    found = find_boxes((IMAGES, rows), IMAGES)
    assert found.unit == "pixels" and (found.count, found.outside) == (2, 0)


def test_the_rows_of_each_image_count_where_they_come_in_a_list():
    rows = [torch.tensor([[1.0, 0.5, 0.5, 0.2, 0.2]]), torch.tensor([[0.0, 30, 20, 8, 6], [2, 9, 9, 4, 4]])]
    found = find_boxes((IMAGES, rows), IMAGES)
    assert found.count == 3 and found.unit == "pixels"


def test_what_has_no_class_is_no_row_of_a_box():
    assert find_boxes((IMAGES, torch.rand(8, 5)), IMAGES) is None
    assert find_boxes((torch.rand(8, 4), torch.ones(8, 5)), torch.rand(8, 4)) is None


def detector(*boxes: list[float], labels: list[int], classes: int | None = 2):
    """Measure boxes of an image of 60 x 40, after an image of 200 x 100 without any."""
    images = [torch.zeros(3, 100, 200), torch.zeros(3, 40, 60)]
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    targets = [none, {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}]
    return measure_targets_of_detector(images, targets, classes)


def test_what_a_detector_is_given_is_measured_against_each_images_own_size():
    found = detector([0.0, 0, 60, 40], [50, 5, 70, 20], [9, 9, 9, 20], [8, 2, 3, 4], labels=[0, 1, 2, -1])
    assert (found.count, found.unit, found.outside, found.empty) == (4, "", 1, 2)
    assert (found.unnumbered, found.label, found.first) == (2, 2, {"outside": 1, "empty": 1, "unnumbered": 1})


def test_shares_where_a_detector_wants_pixels_are_seen():
    assert detector([0.1, 0.2, 0.5, 1.0], labels=[0]).unit == "shares"


def test_labels_below_0_are_of_no_class_where_nobody_said_how_many_there_are():
    found = detector([1.0, 2, 3, 4], [1, 2, 3, 4], labels=[90, -1], classes=None)
    assert (found.unnumbered, found.label) == (1, -1)


def test_images_without_any_box_have_nothing_to_measure():
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0)}
    assert measure_targets_of_detector(torch.zeros(2, 3, 8, 8), [none, none], 2) is None
