"""walk(): which layers a model has, and how they hold one another."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets.core.layers.walk import walk


def test_every_module_is_listed_under_the_path_that_torch_gives_it():
    model = nn.Transformer(8, 2, 1, 1, 16)
    assert [layer.path for layer in walk(model)] == [path for path, _ in model.named_modules()]
    assert all(layer.module is model.get_submodule(layer.path) for layer in walk(model))


def test_depth_and_parent_follow_the_path():
    for layer in walk(nn.Sequential(nn.Sequential(nn.Linear(1, 1)))):
        assert layer.depth == (layer.path.count(".") + 1 if layer.path else 0)
        assert layer.parent == (layer.path.rpartition(".")[0] if layer.path else None)


def test_a_module_held_twice_is_listed_in_both_places():
    relu = nn.ReLU()
    layers = walk(nn.Sequential(relu, nn.Linear(1, 1), relu))
    assert [layer.path for layer in layers] == ["", "0", "1", "2"]
    assert [layer.first for layer in layers] == ["", "0", "1", "0"]
    assert layers[3].again


def test_what_a_shared_block_holds_is_listed_once():
    block = nn.Sequential(nn.Linear(1, 1))
    assert [layer.path for layer in walk(nn.Sequential(block, block))] == ["", "0", "0.0", "1"]


def test_a_module_that_holds_itself_ends():
    model = nn.Sequential(nn.Linear(1, 1))
    model.add_module("whole", model)
    assert [layer.path for layer in walk(model)] == ["", "0", "whole"]


def test_a_compiled_model_is_listed_as_what_it_was_compiled_from():
    model = nn.Sequential(nn.Linear(1, 1))
    assert walk(torch.compile(model))[0].module is model


def test_a_place_without_a_module_is_passed_over():
    model = nn.Module()
    model.register_module("absent", None)
    assert [layer.path for layer in walk(model)] == [""]


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="Module is wanted, not function"):
        walk(lambda x: x)
