"""Overlaps, suppression and conversions of boxes, beside loops over pixels and pairs, and beside torchvision."""

from __future__ import annotations

import math

import pytest
import torch

from dlwidgets.core.scoring.boxes import (
    box_ciou,
    box_iou,
    clip_boxes,
    convert_to_centres,
    convert_to_corners,
    suppress_overlaps,
)  # fmt: skip


def draw(count: int, seed: int = 0, side: float = 64) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * side
    return torch.cat([corner, corner + torch.rand(count, 2, generator=random) * side / 2 + 0.1], 1)


def count_pixels(a: list[int], b: list[int]) -> float:
    cells = [{(x, y) for x in range(x1, x2) for y in range(y1, y2)} for x1, y1, x2, y2 in (a, b)]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def suppress_by_hand(boxes, scores, labels, iou):
    kept = []
    for one in sorted(range(len(boxes)), key=lambda at: -scores[at]):
        rivals = [other for other in kept if labels[other] == labels[one]]
        if all(float(box_iou(boxes[one : one + 1], boxes[other : other + 1])) <= iou for other in rivals):
            kept.append(one)
    return kept


#: Two points, a line, a box turned round, and a box that is whole.
FLAT = torch.tensor([[5.0, 5, 5, 5], [5, 5, 5, 5], [0, 5, 10, 5], [9, 9, 1, 1], [0, 0, 10, 10]])


def test_the_overlap_is_the_share_of_pixels():
    boxes = torch.cat([draw(12, 1, 12).round(), draw(12, 1, 12).round() + 1]).long()
    boxes[:, 2:] += 1
    found = box_iou(boxes[:12], boxes[12:])
    wanted = [[count_pixels(a, b) for b in boxes[12:].tolist()] for a in boxes[:12].tolist()]
    torch.testing.assert_close(found, torch.tensor(wanted))
    assert found.max() > 0.4


def test_a_box_without_area_overlaps_with_nothing():
    assert torch.equal(box_iou(FLAT, FLAT), torch.diag(torch.tensor([0.0, 0, 0, 0, 1])))


@pytest.mark.parametrize("overlap", [lambda a, b: box_iou(a, b), lambda a, b: box_ciou(a[:, None], b)])
def test_boxes_without_area_have_finite_values_and_gradients(overlap):
    a, b = FLAT.clone().requires_grad_(), FLAT.clone().requires_grad_()
    found = overlap(a, b)
    found.sum().backward()
    assert all(torch.isfinite(one).all() for one in (found, a.grad, b.grad))


def test_areas_of_half_precision_do_not_overflow():
    large = torch.tensor([[0, 0, 1000, 1000]]).half()
    assert box_iou(large, large / 2).item() == 0.25


def test_the_complete_overlap_is_the_formula_of_the_paper():
    a, b = (2.0, 3.0, 10.0, 9.0), (4.0, 1.0, 8.0, 13.0)
    iou = (4 * 6) / (8 * 6 + 4 * 12 - 4 * 6)
    distance = (0**2 + 1**2) / (8**2 + 12**2)
    shape = 4 / math.pi**2 * (math.atan(4 / 12) - math.atan(8 / 6)) ** 2
    wanted = iou - distance - shape * shape / (1 - iou + shape)
    assert box_ciou(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(wanted, rel=1e-6)


def test_the_complete_overlap_pulls_boxes_together_that_do_not_touch():
    a = torch.tensor([0.0, 0, 4, 4], requires_grad=True)
    box_ciou(a, torch.tensor([20.0, 0, 24, 4])).backward()
    assert a.grad[0] + a.grad[2] > 0


def test_the_complete_overlap_and_its_gradients_are_those_of_torchvision():
    ops = pytest.importorskip("torchvision.ops")
    a, b = draw(300), draw(300, 1)
    ours, theirs = a.clone().requires_grad_(), a.clone().requires_grad_()
    loss = 1 - box_ciou(ours, b)
    reference = ops.complete_box_iou_loss(theirs, b)
    torch.testing.assert_close(loss, reference, atol=1e-5, rtol=1e-4)
    loss.sum().backward()
    reference.sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(box_iou(a, b), ops.box_iou(a, b))


@pytest.mark.parametrize("iou", [0.0, 0.3, 0.6])
def test_what_stays_is_what_a_loop_over_the_boxes_keeps(iou):
    boxes, random = draw(60, 2, 12), torch.Generator().manual_seed(3)
    scores, labels = torch.rand(60, generator=random), torch.randint(3, (60,), generator=random)
    scores[::7] = 0.5
    kept = suppress_overlaps(boxes, scores, labels, iou).tolist()
    assert kept == suppress_by_hand(boxes, scores.tolist(), labels.tolist(), iou) and len(kept) < 60


def test_what_stays_of_many_boxes_is_what_torchvision_keeps():
    ops = pytest.importorskip("torchvision.ops")
    boxes, random = draw(3000, 4, 200), torch.Generator().manual_seed(5)
    scores, labels = torch.rand(3000, generator=random), torch.randint(4, (3000,), generator=random)
    kept = suppress_overlaps(boxes, scores, labels, 0.45)
    assert torch.equal(kept, ops.batched_nms(boxes, scores, labels, 0.45)) and 512 < len(kept) < 2900


def test_a_chain_of_overlaps_leaves_every_second_box():
    at = torch.arange(600.0)[:, None]
    boxes = torch.cat([at, at * 0, at + 1.5, at * 0 + 1], 1)
    kept = suppress_overlaps(boxes, torch.linspace(1, 0, 600), torch.zeros(600), 0.1)
    assert kept.tolist() == list(range(0, 600, 2))


def test_of_no_boxes_none_stays():
    assert suppress_overlaps(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0), 0.5).shape == (0,)


def test_boxes_are_clipped_to_the_picture():
    boxes = torch.tensor([[-3.0, 4, 70, 90], [1, 2, 3, 4]])
    assert clip_boxes(boxes, 32, 64).tolist() == [[0, 4, 64, 32], [1, 2, 3, 4]]


def test_centres_and_corners_are_one_another():
    assert convert_to_centres(torch.tensor([2.0, 3, 8, 5])).tolist() == [5, 4, 6, 2]
    assert torch.allclose(convert_to_corners(convert_to_centres(draw(9))), draw(9))
