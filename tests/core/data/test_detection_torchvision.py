"""torchvision's own detectors, without weights, as the package has them."""

from __future__ import annotations

import runpy
import sys

import pytest
import torch
from torch.utils.data import DataLoader

from dlwidgets.session import Session
from tests.core.data.detectors import pictures

torchvision = pytest.importorskip("torchvision")
pytestmark = pytest.mark.slow

CLASSES = ["background", "red", "green", "blue"]
MADE = {
    "ssd": ("ssdlite320_mobilenet_v3_large", {"bbox_regression", "classification"}),
    "faster r-cnn": (
        "fasterrcnn_mobilenet_v3_large_320_fpn", {"classifier", "box_reg", "objectness", "rpn_box_reg"}
    ),
}  # fmt: skip


def data(sizes):
    images, targets = pictures(6, sizes=sizes)
    return images, [{**one, "labels": one["labels"] + 1} for one in targets]


def unzip(samples):
    return tuple(zip(*samples))


@pytest.mark.parametrize("kind", MADE)
def test_it_trains_freezes_is_evaluated_and_written(kind, tmp_path, monkeypatch):
    torch.manual_seed(0)
    name, losses = MADE[kind]
    model = getattr(torchvision.models.detection, name)(weights=None, weights_backbone=None, num_classes=4)
    images, targets = data((64,))
    session = Session(
        model, DataLoader([*zip(images, targets)], batch_size=3, collate_fn=unzip), valid=(images[:2], targets[:2]),
        classes=CLASSES, optimizer="sgd", lr=1e-3, threads=1, trainable={"backbone": False},
    )  # fmt: skip
    before = {key: value.clone() for key, value in model.backbone.state_dict().items()}
    session.step(2)
    assert {*session.applied["loss_weights"]} == losses
    assert all(torch.equal(value, model.backbone.state_dict()[key]) for key, value in before.items())
    drawn = torch.get_rng_state()
    found = session.evaluate()
    assert session.evaluate().figures == found.figures and torch.equal(drawn, torch.get_rng_state())
    assert {*found.parts} == {f"loss_{one}" for one in losses} and "map50" in found.metrics
    assert [{*one} for one in session.predict(images[:2])] == [{"boxes", "scores", "labels"}] * 2

    # A cell of a notebook, in which the model was made.
    cell = f"model = torchvision.models.detection.{name}(weights='DEFAULT', num_classes=4)"
    monkeypatch.setattr(sys.modules["__main__"], "In", [cell], raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "torchvision", torchvision, raising=False)
    path = session.to_script(tmp_path / "run.py")
    threads = torch.get_num_threads()
    try:
        trained = runpy.run_path(str(path))["model"].state_dict()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())


def test_images_of_two_sizes_are_given_in_a_list():
    torch.manual_seed(0)
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4
    )
    images, targets = data((64, 80))
    session = Session(model, (images, targets), classes=CLASSES, batch_size=3, optimizer="sgd", lr=1e-3).step()
    assert len(session.predict(images[:2])) == 2
