"""YOLOv7-tiny: its published size, what it takes and gives, its assignment and loss beside loops over the formulas."""

from __future__ import annotations

import copy
import math
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlwidgets import Session, activations, teaching
from dlwidgets.core.controls.reinitialise import Redrawn, find_drawable, plan_drawings
from dlwidgets.core.layers.structure import structure
from dlwidgets.core.layers.summary import summary
from dlwidgets.core.scoring.boxes import box_ciou, box_iou
from dlwidgets.core.scoring.detections import Detections
from dlwidgets.teaching import YoloV7Tiny
from dlwidgets.teaching.drawn_shapes import WRONG
from dlwidgets.teaching.yolo import ANCHORS, STRIDES
from dlwidgets.teaching.yolo_loss import Grid


def parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


def small(classes: int = 3, **options) -> YoloV7Tiny:
    torch.manual_seed(0)
    return YoloV7Tiny(classes, width=0.125, **options)


def some_targets(images: int = 4, seed: int = 0) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    return teaching.shapes(images, 1, size=64, seed=seed).train


# -- the network


def test_it_has_as_many_parameters_as_the_published_one():
    model = YoloV7Tiny(80)
    assert (parameters(model), parameters(model.backbone)) == (6_228_762, 2_464_416)
    assert parameters(model) == parameters(model.backbone) + parameters(model.head)


def test_the_backbone_gives_features_at_strides_8_16_and_32():
    features = YoloV7Tiny(3).backbone(torch.rand(1, 3, 64, 96))
    assert [tuple(one.shape[1:]) for one in features] == [(128, 8, 12), (256, 4, 6), (512, 2, 3)]


def test_norms_and_activations_are_the_published_ones():
    modules = list(small().modules())
    norms = [one for one in modules if isinstance(one, nn.BatchNorm2d)]
    assert {(one.eps, one.momentum) for one in norms} == {(1e-3, 0.03)}
    assert len(norms) == 55 == sum(isinstance(one, nn.LeakyReLU) and one.negative_slope == 0.1 for one in modules)


def test_at_first_few_places_hold_an_object_and_no_class_is_favoured():
    torch.manual_seed(0)
    stride8, *_ = YoloV7Tiny(10).eval().maps(torch.rand(1, 3, 64, 64))
    assert stride8[..., 4].sigmoid().mean().item() == pytest.approx(8 / 80**2, rel=0.6)
    assert stride8[..., 5:].sigmoid().mean().item() == pytest.approx(0.06, rel=0.5)


def test_drawn_anew_it_is_as_at_first_and_keeps_nothing():
    torch.manual_seed(0)
    model = YoloV7Tiny(10)
    before = {name: one.clone() for name, one in model.named_parameters()}
    assert find_drawable(model) == ([""], [])
    for drawing in plan_drawings(model, Redrawn(("",))):
        drawing.layer.reset_parameters()
    stride8, *_ = model.eval().maps(torch.rand(1, 3, 64, 64))
    assert stride8[..., 4].sigmoid().mean().item() == pytest.approx(8 / 80**2, rel=0.6)
    assert [name for name, one in model.named_parameters() if one.equal(before[name]) and one.std() > 0] == []


def test_the_summary_counts_all_of_it():
    rows = summary(YoloV7Tiny(80), input_shape=(1, 3, 64, 64))
    assert rows.complete and rows.total_parameters == 6_228_762
    convs = {one.path: one for one in rows.rows if one.kind == "Conv2d"}
    assert len(convs) == 58 and convs["head.predictions.stride32.conv"].output_shape == (1, 255, 2, 2)
    # The paper's 13.8 G at 640 x 640 count two for each multiplication and addition.
    assert 2 * 100 * rows.total_macs == pytest.approx(13.8e9, rel=0.01)


# -- what it takes and gives


def test_in_train_mode_it_gives_named_losses_and_in_eval_mode_boxes():
    X, y = some_targets()
    losses = small().train()(X, y)
    assert list(losses) == ["box", "objectness", "class"]
    assert all(one.ndim == 0 and one.requires_grad and one > 0 for one in losses.values())
    found = small(confidence=0.0).eval()(X)
    assert [set(one) for one in found] == [{"boxes", "labels", "scores"}] * 4
    for one in found:
        assert len(one["boxes"]) == len(one["labels"]) == len(one["scores"]) > 0
        assert one["boxes"].min() >= 0 and one["boxes"].max() <= 64 and one["labels"].dtype == torch.int64
        assert (one["scores"].diff() <= 0).all()


def test_without_targets_it_gives_maps_in_train_mode_which_the_loss_takes():
    X, y = some_targets()
    model = small().train()
    maps = model(X)
    assert [tuple(one.shape) for one in maps] == [(4, 3, 8, 8, 8), (4, 3, 4, 4, 8), (4, 3, 2, 2, 8)]
    once = copy.deepcopy(model)(X, y)
    assert {name: float(one.detach()) for name, one in model.loss(maps, y).items()} == {
        name: float(one.detach()) for name, one in once.items()
    }


def test_images_of_different_sizes_are_padded_and_boxes_keep_their_pixels():
    model = small(confidence=0.0).eval()
    one, other = torch.rand(3, 50, 70), torch.rand(3, 64, 40)
    found = model([one, other])
    assert found[0]["boxes"][:, 2].max() <= 70 and found[1]["boxes"][:, 2].max() <= 40
    by_hand = F.pad(one, (0, 26, 0, 14), value=0.5)[None]
    assert all(torch.equal(a, b) for a, b in zip(model.maps([one]), model.maps(by_hand)))


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "An image is torch.uint8; give float tensors"),
        (torch.zeros(1, 64, 64, 3), r"shape \(64, 64, 3\); give 3 channels x height x width, with the channels first"),
        (torch.zeros(3, 64, 64), r"shape \(64, 64\); give 3 channels .*batch"),
        ([], "no image in the batch"),
    ],
)
def test_images_of_another_form_are_refused_in_a_sentence(images, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        small()(images)


def box(*corners: float, label: int = 0) -> list[dict[str, torch.Tensor]]:
    return [{"boxes": torch.tensor([corners]), "labels": torch.tensor([label])}]


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        (box(4.0, 4, 20, 20, label=3), "label 3, but there are 3 classes, 0 to 2"),
        (box(4.0, 4, 20, 20, label=-1), "label -1, but there are 3 classes"),
        (box(80.0, 4, 100, 20), r"Box \[80, 4, 100, 20\] of image 0 .*outside of the image of 64 x 64 pixels"),
        (box(4.0, 20, 20, 4), "no area: give x1 < x2"),
        (box(0.1, 0.2, 0.3, 0.4), "in shares of the image"),
        (box(4.0, 4, math.nan, 20), "is not finite"),
        ([], "0 targets for 1 images"),
        ({"boxes": torch.zeros(1, 4), "labels": torch.zeros(1)}, "one dict for 1 images"),
        ([torch.zeros(1, 4)], "is no dict with boxes and labels"),
        ([{"boxes": torch.zeros(4), "labels": torch.zeros(1)}], r"boxes of shape \(4,\)"),
        ([{"boxes": torch.ones(1, 4), "labels": torch.zeros(1)}], "labels are torch.float32; give whole numbers"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused_in_a_sentence(targets, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        small()(torch.rand(1, 3, 64, 64), targets)


@pytest.mark.parametrize("wrong", WRONG)
def test_the_faults_of_the_lesson_are_told(wrong):
    X, y = teaching.shapes(8, 1, size=64, wrong=wrong).train
    with pytest.raises(ValueError):
        small()(X, y)


def test_images_without_boxes_teach_that_nothing_is_there():
    model = small().train()
    nothing = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}] * 2
    losses = model(torch.rand(2, 3, 64, 64), nothing)
    assert losses["box"] == losses["class"] == 0 < losses["objectness"]
    sum(losses.values()).backward()
    assert all(torch.isfinite(one.grad).all() for one in model.parameters())


def test_other_classes_leave_all_else_of_the_predictions_as_it_was():
    model = small(3).eval()
    X = torch.rand(1, 3, 64, 64)
    before = model.maps(X)
    model.reset_classifier(["a", "b", "c", "d", "e"])
    after = model.maps(X)
    assert all(torch.equal(a[..., :5], b[..., :5]) and b.shape[-1] == 10 for a, b in zip(before, after))
    assert parameters(model) == parameters(small(5)) and model.classes == 5
    assert structure(model) == structure(small(5))
    model.train()(X, box(4.0, 4, 20, 20, label=4))


# -- who answers for which box, and how well, beside loops


def candidates_by_hand(corners, height, width):
    """Yield level, anchor, row and column of each place that might answer for a box."""
    x1, y1, x2, y2 = corners
    for level, stride in enumerate(STRIDES):
        x, y = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride
        columns, rows = width // stride, height // stride
        cells = {(int(x), int(y))}
        cells.add((int(x) - 1 if x % 1 < 0.5 else int(x) + 1, int(y)))
        cells.add((int(x), int(y) - 1 if y % 1 < 0.5 else int(y) + 1))
        for anchor, (w, h) in enumerate(ANCHORS[level]):
            ratios = (x2 - x1) / w, (y2 - y1) / h
            if all(1 / 4 < ratio < 4 for ratio in ratios):
                for column, row in cells:
                    if 0 <= column < columns and 0 <= row < rows:
                        yield level, anchor, row, column


def predict_by_hand(raw, place):
    """Return the corners that the raw numbers of a place stand for."""
    level, anchor, row, column = place
    x, y, w, h = (1 / (1 + math.exp(-float(value))) for value in raw[:4].detach())
    x, y = (column - 0.5 + 2 * x) * STRIDES[level], (row - 0.5 + 2 * y) * STRIDES[level]
    w, h = (2 * w) ** 2 * ANCHORS[level][anchor][0], (2 * h) ** 2 * ANCHORS[level][anchor][1]
    return torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2])


def assign_by_hand(maps, targets):
    """Return {(image, level, anchor, row, column): (box, label)} after SimOTA."""
    wanted: dict = {}
    for image, target in enumerate(targets):
        for corners, label in zip(target["boxes"], target["labels"].tolist()):
            costs, overlaps = {}, []
            for place in candidates_by_hand(corners.tolist(), 64, 64):
                raw = maps[place[0]][(image, *place[1:])].detach()
                iou = float(box_iou(predict_by_hand(raw, place)[None], corners[None]))
                likely = (raw[5:].sigmoid() * raw[4].sigmoid()).sqrt()
                truth = F.one_hot(torch.tensor(label), len(likely)).float()
                costs[place] = float(F.binary_cross_entropy(likely, truth, reduction="sum")) - 3 * math.log(iou + 1e-8)
                overlaps.append(iou)
            number = max(1, int(sum(sorted(overlaps)[-10:])))
            for place in sorted(costs, key=costs.get)[:number]:
                key = (image, *place)
                if key not in wanted or costs[place] < wanted[key][0]:
                    wanted[key] = costs[place], corners, label
    return wanted


@pytest.fixture
def guesses():
    """Return a model, raw predictions of which some are near, and their targets."""
    random = torch.Generator().manual_seed(1)
    maps = [0.7 * torch.randn(6, 3, 64 // stride, 64 // stride, 8, generator=random) for stride in STRIDES]
    return small(), [one.requires_grad_() for one in maps], some_targets(6, seed=1)[1]


def test_candidates_are_the_fitting_anchors_of_three_cells(guesses):
    _, maps, targets = guesses
    grid = Grid([one.shape[2:4] for one in maps], torch.tensor(ANCHORS, dtype=torch.float32), STRIDES)
    boxes = torch.cat([*(target["boxes"] for target in targets), torch.tensor([[0.0, 0, 4, 4], [40, 40, 64, 64]])])
    starts = (0, 3 * 64, 3 * 64 + 3 * 16)
    places, real = grid.candidates(boxes)
    for corners, place, is_real in zip(boxes.tolist(), places, real):
        wanted = sorted(
            starts[level] + (anchor * side + row) * side + column
            for level, anchor, row, column in candidates_by_hand(corners, 64, 64)
            for side in [64 // STRIDES[level]]
        )
        assert sorted(place[is_real].tolist()) == wanted and wanted


def test_the_losses_are_those_of_the_formulas(guesses):
    model, maps, targets = guesses
    losses = model.loss(maps, targets)
    wanted = assign_by_hand(maps, targets)
    assert len({key[1] for key in wanted}) > 1 and len(wanted) > sum(len(one["labels"]) for one in targets)
    parts = dict.fromkeys(("box", "objectness", "class"), 0.0)
    for level, balance in enumerate((4.0, 1.0, 0.4)):
        truth, off, said = torch.zeros(maps[level].shape[:-1]), [], []
        for key, (_, corners, label) in wanted.items():
            if key[1] == level:
                place = (key[0], *key[2:])
                iou = float(box_ciou(predict_by_hand(maps[level][place], key[1:]), corners))
                truth[place] = max(iou, 0)
                off.append(1 - iou)
                classes = F.one_hot(torch.tensor(label), 3).float()
                said.append(float(F.binary_cross_entropy_with_logits(maps[level][place][5:], classes).detach()))
        if off:
            parts["box"] += 0.05 * sum(off) / len(off)
            parts["class"] += 0.5 * sum(said) / len(said)
        objects = F.binary_cross_entropy_with_logits(maps[level][..., 4].detach(), truth)
        parts["objectness"] += 1.0 * balance * float(objects)
    for name, value in parts.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-4), name


def test_the_same_batch_gives_the_same_gradients(guesses):
    model, maps, targets = guesses
    first, second = (torch.autograd.grad(sum(model.loss(maps, targets).values()), maps) for _ in range(2))
    assert all(torch.equal(a, b) and torch.isfinite(a).all() and a.any() for a, b in zip(first, second))


def test_what_is_decoded_is_what_the_formulas_say(guesses):
    model, maps, _ = guesses
    found = model.decode(maps, confidence=0.5, iou=1.0)
    for image, one in enumerate(found):
        wanted = []
        for level, raw in enumerate(maps):
            for place in torch.cartesian_prod(*(torch.arange(n) for n in raw.shape[1:4])).tolist():
                values = raw[(image, *place)].detach()
                score, label = (values[5:].sigmoid() * values[4].sigmoid()).max(0)
                if score >= 0.5:
                    corners = predict_by_hand(values, (level, *place)).clamp(0, 64)
                    wanted.append((float(score), label.item(), corners))
        wanted.sort(key=lambda entry: -entry[0])
        wanted = wanted[:300]
        assert one["labels"].tolist() == [label for _, label, _ in wanted] and wanted
        torch.testing.assert_close(one["boxes"], torch.stack([corners for *_, corners in wanted]))


def test_in_half_precision_boxes_lie_where_they_do_in_full(guesses):
    model, maps, targets = guesses
    full, half = model.decode(maps), model.bfloat16().decode(maps)
    for one, other in zip(full, half):
        torch.testing.assert_close(one["boxes"], other["boxes"], rtol=0.01, atol=0.3)
    assert all(torch.isfinite(one) for one in model(torch.rand(6, 3, 64, 64).bfloat16(), targets).values())


# -- what it learns


@pytest.mark.slow
def test_half_a_minute_teaches_it_to_find_shapes():
    data = teaching.shapes(800, 100)
    X, y = data.train
    torch.manual_seed(0)
    model = YoloV7Tiny(data.classes, width=0.25)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=250, pct_start=0.2)
    for rows in [*torch.randperm(800).repeat(3)[:2000].split(8)]:
        optimizer.zero_grad()
        sum(model(X[rows], [y[row] for row in rows.tolist()]).values()).backward()
        optimizer.step()
        schedule.step()
    found = model.eval()(data.valid[0])
    scores = Detections(data.valid[1], found, dict(enumerate(data.classes)))
    assert scores.map50 > 0.8


def test_a_loss_of_predictions_that_are_no_numbers_is_none_either(guesses):
    model, maps, targets = guesses
    assert sum(model.loss([one * torch.nan for one in maps], targets).values()).isnan()


# -- in a session


@pytest.fixture(scope="module")
def trained():
    """Return a session that trained a few steps with the backbone frozen, and the data."""
    data = teaching.shapes(16, 4, size=64)
    session = Session(small(), data.train, data.valid, optimizer="adam", lr=1e-3, batch_size=8, seed=0)
    session.freeze("backbone")
    session.step(2)
    return session, data


def test_a_session_trains_it_as_a_plain_loop_does(trained):
    session, data = trained
    X, y = data.train
    model = small().train()
    model.backbone.requires_grad_(False)
    model.backbone.eval()
    optimizer = torch.optim.Adam(filter(lambda one: one.requires_grad, model.parameters()), lr=1e-3)
    for rows in torch.randperm(16, generator=torch.Generator().manual_seed(0)).split(8):
        optimizer.zero_grad()
        sum(model(X[rows], [y[row] for row in rows.tolist()]).values()).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), session.model.state_dict().values()))


def test_a_script_says_how_it_was_made(trained, tmp_path):
    session, _ = trained
    session.to_script(tmp_path / "script.py")
    text = (tmp_path / "script.py").read_text("utf-8")
    assert re.search(r"model = YoloV7Tiny\((classes=)?3, width=0.125\)", text)


def test_its_layers_can_be_looked_at(trained):
    session, data = trained
    maps = activations(session.model, data.valid[0][:1], ["backbone.stage2", "head.predictions.stride16"])
    assert [tuple(one.shape) for one in maps.values()] == [(1, 16, 8, 8), (1, 24, 4, 4)]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_boxes_are_told_before_the_first_step(wrong):
    data = teaching.shapes(16, 4, size=64, wrong=wrong)
    said = {"shares": r"the first images: Box .* in shares of the image", "class": "the label 3"}
    if wrong in said:
        with pytest.raises(ValueError, match=said[wrong]):
            Session(small(), data.train, data.valid, batch_size=8, classes=data.classes)
        return
    session = Session(small(), data.train, data.valid, batch_size=8, classes=data.classes)
    session.diagnose()
    assert [one.rule for one in session.findings] == ["boxes_wrong"] and session.steps == 0


def test_a_head_for_other_classes_is_undone():
    session = Session(small(), teaching.shapes(8, 2, size=64).train, batch_size=8, seed=0)
    session.step(1)
    before = [one.clone() for one in session.model.state_dict().values()]
    session.new_head(4)
    assert session.model.classes == 4
    session.undo()
    after = list(session.model.state_dict().values())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True)) and session.model.classes == 3
