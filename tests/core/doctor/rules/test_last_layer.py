"""A last layer and a loss: matches and mismatches, by every way in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.core.doctor.rules.broken import CLASSES, LABELS, NUMBERS, found, mlp, only, run

CE, BCE, NLL = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.NLLLoss()
WRONG = [
    ([nn.Softmax(1)], CLASSES, CE, "Softmax is taken twice"), ([nn.Sigmoid()], LABELS, BCE, "Sigmoid is taken twice"),
    ([nn.Sigmoid()], CLASSES, CE, "before cross-entropy"), ([nn.LogSoftmax(1)], CLASSES, CE, "log_softmax is taken"),
    ([nn.ReLU()], CLASSES, CE, "ends with a ReLU"), ([nn.ReLU()], LABELS, BCE, "ends with a ReLU"),
    ([], CLASSES, NLL, "no log-prob"), ([nn.Softmax(1)], CLASSES, NLL, "not their logarithms"),
    ([nn.ReLU()], NUMBERS.expand(-1, 3), nn.MSELoss(), "cannot reach"),
    ([nn.Sigmoid()], 100 * LABELS, nn.SmoothL1Loss(), "cannot reach"),
]  # fmt: skip
RIGHT = [
    ([], CLASSES, CE), ([], LABELS, BCE), ([nn.LogSoftmax(1)], CLASSES, NLL), ([nn.Sigmoid()], LABELS, nn.BCELoss()),
    ([nn.ReLU()], NUMBERS.abs().expand(-1, 3), nn.MSELoss()), ([nn.Sigmoid()], LABELS, nn.MSELoss()),
    ([nn.Softmax(1)], CLASSES, lambda p, y: F.nll_loss(torch.log(p + 1e-8), y)),
]  # fmt: skip


@pytest.mark.parametrize(("last", "y", "loss", "said"), WRONG)
def test_a_last_layer_that_the_loss_does_not_want_is_found(last, y, loss, said):
    assert said in only(run(mlp(*last), y.contiguous(), steps=2, loss=loss), "last_layer").title


@pytest.mark.parametrize(("last", "y", "loss"), RIGHT)
def test_a_last_layer_that_fits_is_none(last, y, loss):
    assert not found(run(mlp(*last), y.contiguous(), steps=2, loss=loss), "last_layer")


def test_a_sigmoid_that_is_missing_is_told_before_the_first_step_and_found_where_no_output_says_so():
    with pytest.raises(ValueError, match="without a sigmoid goes with BCEWithLogitsLoss"):
        run(mlp(), LABELS, loss=nn.BCELoss())
    model = mlp()
    with torch.no_grad():
        model[4].weight *= 0.01
        model[4].bias.fill_(0.5)
    assert "no probabilities" in only(run(model, LABELS, steps=2, loss=nn.BCELoss()), "last_layer").title


def test_a_softmax_written_by_hand_in_the_forward_is_found_by_its_values():
    class ByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            e = self.net(x).exp()
            return e / e.sum(1, keepdim=True)

    assert "Softmax" in only(run(ByHand(), steps=2, loss=CE), "last_layer").title


def test_a_softmax_in_a_training_step_is_found():
    step = lambda model, batch: F.cross_entropy(model(batch[0]).softmax(1), batch[1])  # noqa: E731
    assert "Softmax" in only(run(mlp(), steps=2, training_step=step), "last_layer").title
