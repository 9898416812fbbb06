"""What is borrowed is given back: modes, random numbers, threads, device."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.base.isolation import (
    eval_mode,
    find_device,
    preserve_modes,
    preserve_random_state,
    use_device,
    use_threads,
)


def draws():
    return torch.rand(3).tolist(), np.random.rand(3).tolist(), random.random(), np.random.randn()


def seed(number):
    torch.manual_seed(number), np.random.seed(number), random.seed(number)


def test_random_numbers_go_on_as_if_nothing_had_been_drawn():
    seed(0)
    expected = draws()
    seed(0)
    with preserve_random_state():
        draws()
        seed(5)
    assert draws() == expected


def test_random_numbers_are_given_back_after_an_exception_too():
    seed(0)
    expected = draws()
    seed(0)
    with pytest.raises(KeyError), preserve_random_state():
        draws()
        raise KeyError
    assert draws() == expected


def test_each_module_keeps_its_own_flag():
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2), nn.Dropout()))
    model[1][0].eval()
    flags = [module.training for module in model.modules()]
    with preserve_modes(model):
        model.eval()
    assert [module.training for module in model.modules()] == flags


def test_looking_is_in_eval_mode_without_gradients_and_leaves_all_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seed(0)
    expected = draws()
    seed(0)
    with eval_mode(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
        model(torch.randn(4, 3))
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()
    assert draws() == expected
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_threads_are_lent_and_given_back():
    before = torch.get_num_threads()
    with use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), use_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_a_model_comes_home_from_another_device():
    model = nn.Linear(2, 2)
    kept = model.weight
    with use_device(model, torch.device("cpu")):
        assert find_device(model).type == "cpu"
    assert model.weight is kept
    # The meta device stands in for a GPU: it holds no values, so only the way there can be seen.
    with pytest.raises(NotImplementedError), use_device(model, torch.device("meta")):
        assert find_device(model).type == "meta"


def test_a_model_without_tensors_is_on_the_cpu():
    assert find_device(nn.ReLU()) == torch.device("cpu")


def test_a_buffer_tells_the_device_where_there_is_no_parameter():
    model = nn.Module()
    model.register_buffer("mean", torch.zeros(1, device="meta"))
    assert find_device(model).type == "meta"
