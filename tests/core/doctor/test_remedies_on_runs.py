"""A remedy that is taken ends its finding."""

from __future__ import annotations

import torch
from torch import nn

from dlwidgets.session import Session

RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(320, 6, generator=RANDOM)
Y = (X @ torch.randn(6, 3, generator=RANDOM)).argmax(1)


def open_findings(session, name):
    return [one for one in session.findings if one.rule == name and one.until is None]


def test_scaled_inputs_are_found_scaled_and_unscaled_once_it_is_taken_back():
    torch.manual_seed(0)
    made = Session(nn.Linear(6, 3), (300 * X, Y), epochs=9, lr=1e-4).step(3)
    (found,) = open_findings(made, "inputs_not_scaled")
    made.apply_remedy(found, "scale_inputs")
    assert not open_findings(made.step(3), "inputs_not_scaled")
    assert open_findings(made.undo().step(3), "inputs_not_scaled")


def test_a_loss_of_probabilities_ends_what_was_found_of_two_softmaxes():
    torch.manual_seed(0)
    made = Session(nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)), (X, Y), epochs=20).step(20)
    (found,) = open_findings(made, "last_layer")
    made.apply_remedy(found, "swap_loss")
    assert not open_findings(made.step(120), "last_layer") and made.applied["loss_in_words"] == "NLLOfProbabilities"
