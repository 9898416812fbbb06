"""What a step or a model may return as its loss, and what it means."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from dlwidgets.core.data.own_loss import form_of, gather_losses


def one(value):
    return torch.tensor(value, requires_grad=True)


class Pair(NamedTuple):
    box: torch.Tensor
    loss_class: torch.Tensor


class Output:
    """As a model of Hugging Face's returns it."""

    loss, logits = torch.tensor(2.5), torch.zeros(4, 3)
    loss_dict = {"loss_ce": torch.tensor(1.5), "cardinality_error": torch.tensor(7.0)}


@pytest.mark.parametrize(
    ("returned", "loss", "columns"),
    [
        (one(2.0), 2.0, {}),
        ({"box": one(1.5), "class": one([0.5])}, 2.0, {"loss_box": 1.5, "loss_class": 0.5}),
        ({"loss_box": one(1.5), "loss_class": one(0.5)}, 2.0, {"loss_box": 1.5, "loss_class": 0.5}),
        # As Lightning has it, "loss" is the whole.
        ({"loss": one(2.0), "box": one(1.5), "acc": torch.tensor(0.75)}, 2.0, {"loss_box": 1.5, "acc": 0.75}),
        # As some detectors have it, along with what it is the sum of.
        ({"total_loss": one(2.0), "box_loss": one(1.5), "num_fg": 4}, 2.0, {"loss_box": 1.5, "num_fg": 4.0}),
        ((one(2.0), {"loss_box": torch.tensor(1.5)}), 2.0, {"loss_box": 1.5}),
        ((one(2.0), torch.zeros(4, 3)), 2.0, {}),
        ((one(1.5), one(0.5)), 2.0, {"loss_1": 1.5, "loss_2": 0.5}),
        (Pair(one(1.5), one(0.5)), 2.0, {"loss_box": 1.5, "loss_class": 0.5}),
        (Output(), 2.5, {"loss_ce": 1.5, "cardinality_error": 7.0}),
    ],
)
def test_losses_are_read_in_each_form(returned, loss, columns):
    found = gather_losses(returned)
    assert found.total.shape == () and found.total.item() == loss
    assert found.columns() == columns


def test_of_a_tuple_the_first_is_the_loss_where_it_alone_is_differentiable():
    returned = one(2.0), torch.tensor(0.75)
    assert form_of(returned) == "[0]"
    assert gather_losses(returned, form="[0]").total.item() == 2.0
    assert form_of((one(2.0), one(1.0))) == "[:]"


def test_weights_are_of_the_sum_and_not_of_what_is_shown():
    found = gather_losses({"loss_box": one(1.5), "class": one(0.5)}, {"box": 0.0, "class": 3.0})
    assert found.total.item() == 1.5
    assert found.columns() == {"loss_box": 1.5, "loss_class": 0.5}


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        ({}, "The step returned an empty dict: losses by name are wanted."),
        (
            torch.zeros(4),
            "The loss is a tensor of shape (4,): one number (a scalar tensor) is wanted, such as its mean.",
        ),
        (0.5, "The loss is of type float: one number (a scalar tensor) is wanted, such as its mean."),
        (None, "The loss is of type NoneType: one number (a scalar tensor) is wanted, such as its mean."),
    ],
)
def test_a_loss_that_is_not_one_number_is_refused(loss, sentence):
    with pytest.raises(TypeError) as caught:
        gather_losses(loss)
    assert str(caught.value) == sentence
