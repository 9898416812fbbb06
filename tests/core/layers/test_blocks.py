"""A model as a row of a few blocks, each parameter in one of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import teaching
from dlwidgets.core.layers.blocks import MOST, list_blocks, tensors_at


def stage(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, channels, 3), nn.BatchNorm2d(channels), nn.ReLU())


class Wrapped(nn.Module):
    """A classifier of which nearly all is one layer deep inside, as libraries make them."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.embed = nn.Embedding(10, 8)
        self.encoder.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 8)) for _ in range(5))
        self.token = nn.Parameter(torch.zeros(8))
        self.pool = nn.Linear(8, 8)
        self.classifier = nn.Linear(8, 3)


MODELS = {
    "cnn": lambda: teaching.SmallCNN(list("abc")), "mlp": lambda: teaching.MLP(64, list("abc")), "wrapped": Wrapped,
    "long": lambda: nn.Sequential(*[stage(3) for _ in range(78)]), "one": lambda: nn.Linear(3, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_each_parameter_is_in_one_block_and_labels_are_told_apart(name):
    model = MODELS[name]()
    blocks = list_blocks(model)
    assert sorted(id(one) for block in blocks for one in block.tensors) == sorted(map(id, model.parameters()))
    assert len({block.label for block in blocks}) == len(blocks) <= MOST
    for block in blocks:
        assert [id(one) for path in block.paths for one in tensors_at(model, path)] == list(map(id, block.tensors))


def test_stages_of_plain_layers_stay_whole_and_what_is_nearly_all_of_it_is_opened():
    assert [one.label for one in list_blocks(MODELS["cnn"]())] == ["stage1", "stage2", "stage3", "head"]
    labels = [one.label for one in list_blocks(Wrapped(), ["classifier"])]
    assert labels == ["token", "embed", *(f"layers.{i}" for i in range(5)), "pool", "classifier"]


def test_the_head_begins_a_block_of_its_own_however_deep_it_is():
    mixed = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model = nn.Sequential(nn.Linear(4, 4), mixed, *[nn.Linear(2, 2) for _ in range(3)])
    blocks = list_blocks(model, ["1.1", "2", "3", "4"])
    assert [(one.title, one.in_head) for one in blocks][:3] == [("0", False), ("1.0", False), ("1.1", True)]


def test_a_long_row_is_joined_within_backbone_and_head():
    model = MODELS["long"]()
    blocks = list_blocks(model, ["76", "77"])
    assert len(blocks) == MOST and [one.in_head for one in blocks].count(True) >= 1
    assert {id(one) for block in blocks if block.in_head for one in block.tensors} == {
        id(one) for path in ("76", "77") for one in model.get_submodule(path).parameters()
    }


def test_tied_weights_count_once_and_what_trains_is_read_off_the_tensors():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    blocks = list_blocks(model)
    assert [one.parameters for one in blocks] == [20, 4, 10, 6]
    model[0].weight.requires_grad_(False)
    model[2].requires_grad_(False)
    assert [one.trainable for one in blocks] == ["partly", "yes", "no", "yes"]
