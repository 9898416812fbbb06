"""The published YOLOv7-tiny, where yolov7-wky-package is installed: by a step that returns (loss, items)."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from dlwidgets.session import Session

try:
    ROOT = Path(str(metadata.distribution("yolov7-wky-package").locate_file("")))
except metadata.PackageNotFoundError:
    pytest.skip("yolov7-wky-package is not installed", allow_module_level=True)
pytestmark = pytest.mark.slow

PICTURES = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def join(samples):
    """Make a batch with rows of picture, class, and centre and size in shares of it."""
    rows = [torch.tensor([[number, kind, 0.5, 0.5, 0.3, 0.4]]) for number, (_, kind) in enumerate(samples)]
    return torch.stack([image for image, _ in samples]), torch.cat(rows)


def test_it_trains_freezes_by_pattern_and_says_why_there_is_no_script(tmp_path):
    yaml, yolo, losses = map(pytest.importorskip, ("yaml", "models.yolo", "utils.loss"))
    torch.manual_seed(0)
    model = yolo.Model(str(ROOT / "cfg/training/yolov7-tiny.yaml"), ch=3, nc=3)
    model.hyp, model.gr, model.nc = yaml.safe_load((ROOT / "data/hyp.scratch.tiny.yaml").read_text()), 1.0, 3
    compute = losses.ComputeLoss(model)

    def step(model, batch):
        said = model(batch[0])
        return compute(said if model.training else said[1], batch[1])

    loader = DataLoader([(image, number % 3) for number, image in enumerate(PICTURES)], batch_size=4, collate_fn=join)
    session = Session(model, loader, valid=loader, training_step=step, optimizer="sgd", lr=1e-3, threads=1)
    session.freeze("model.[0-9]")  # the first ten of 78
    session.step(3)
    frozen = [name for name, one in model.named_parameters() if not one.requires_grad]
    assert {name.split(".")[1] for name in frozen} <= set("0123456789") and session.proof.changed == ()
    assert session.history()["loss"].notna().all() and session.evaluate().loss > 0
    with pytest.raises(ValueError, match="the step function cannot be written"):
        session.to_script(tmp_path / "run.py")
