"""A detector of the package libreyolo, whose forward takes padded targets and returns a dict of losses."""

from __future__ import annotations

import runpy

import pytest
import torch

from dlwidgets.session import Session

nets = pytest.importorskip("libreyolo.models.yolo9.nn")
pytestmark = pytest.mark.slow

X = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
#: A box in each picture: class, x1, y1, x2, y2 in shares of it; -1 pads.
TARGETS = torch.tensor([[1, 0.2, 0.2, 0.6, 0.7], [-1, 0, 0, 0, 0]]).expand(4, 2, 5).clone()


def test_it_trains_freezes_and_is_written(tmp_path):
    torch.manual_seed(0)
    model = nets.LibreYOLO9Model("t", nb_classes=3, img_size=64)
    session = Session(
        model, (X, TARGETS), valid=(X, TARGETS), batch_size=2, optimizer="sgd", lr=1e-3, threads=1,
        trainable={"backbone": False},
    )  # fmt: skip
    session.step(2)
    assert session.proof.changed == ()
    row = session.history().iloc[-2:].sum()
    assert row["loss"] == pytest.approx(row["loss_box"] + row["loss_dfl"] + row["loss_cls"])
    assert session.evaluate().parts.keys() >= {"loss_box", "loss_dfl", "loss_cls"}
    threads = torch.get_num_threads()
    try:
        trained = runpy.run_path(str(session.to_script(tmp_path / "run.py")))["model"].state_dict()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(value, trained[key]) for key, value in model.state_dict().items())
