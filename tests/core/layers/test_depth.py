"""The blocks of a model, from its input to its output."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import teaching
from dlwidgets.core.layers.depth import order_blocks


class Residual(nn.Module):
    def __init__(self, downsamples=False):
        super().__init__()
        self.conv1, self.bn1, self.conv2 = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3)
        self.downsample = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) if downsamples else None


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.layer1, self.layer2 = (nn.Sequential(Residual(down), Residual()) for down in (False, True))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings, self.encoder = nn.Sequential(nn.Embedding(9, 4), nn.LayerNorm(4)), nn.Module()
        self.encoder.layer = nn.ModuleList(nn.TransformerEncoderLayer(4, 2, 8) for _ in range(3))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 4))
        self.bert, self.classifier = Bert(), nn.Linear(4, 2)


RESNET = [("conv1", "bn1"), ("layer1.0",), ("layer1.1",), ("layer2.0",), ("layer2.1",), ("fc",)]


@pytest.mark.parametrize(("model", "blocks"), [
    (ResNet(), RESNET),
    (nn.Sequential(ResNet(), nn.Linear(2, 3)), [*(tuple(f"0.{one}" for one in block) for block in RESNET), ("1",)]),
    (Classifier(), [
        ("cls_token", "bert.embeddings.0", "bert.embeddings.1"),
        *((f"bert.encoder.layer.{number}",) for number in range(3)), ("classifier",),
    ]),
    (teaching.SmallCNN(3), [("stage1",), ("stage2",), ("stage3",), ("head",)]),
    (nn.Linear(2, 2), [("weight", "bias")]),
    (nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)), [("0",), ("2",)]),
])  # fmt: skip
def test_blocks_are_what_a_person_would_unfreeze_at_once(model, blocks):
    assert order_blocks(model) == blocks


def test_the_blocks_of_a_model_hold_each_parameter_once():
    model = teaching.SmallCNN(3)
    named = [name for block in order_blocks(model) for path in block for name, _ in model.named_parameters()
             if name == path or name.startswith(f"{path}.")]  # fmt: skip
    assert sorted(named) == sorted(dict(model.named_parameters()))
