"""What rules say of training against validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.data.task import Task
from dlwidgets.core.doctor.rules.fitting import trivial_loss
from dlwidgets.core.scoring.scores import Scores
from tests.core.doctor.rules.by_hand import falling, made, said


def evaluated(valid, losses=None, **more):
    """A run that was evaluated every 20 steps."""
    losses = falling(20 * len(valid), end=0.05) if losses is None else losses
    rows = [{"step": 20 * (i + 1), "valid_loss": loss, **more} for i, loss in enumerate(valid)]
    return made(losses, evaluations=rows, has_valid=True, epochs=len(valid))


@given(st.floats(-6, 6))
def test_validation_that_rises_while_training_falls_is_found_in_every_unit(power):
    valid = np.array([1.5, 0.9, 0.8, 0.9, 1.0, 1.1])
    (found,) = said("overfitting", evaluated(valid * 10**power, falling(120, 0.05) * 10**power))
    assert found.step == 60


@pytest.mark.parametrize(
    ("valid", "losses"),
    [([1.5, 0.9, 0.8, 0.79, 0.8, 0.81], None), ([1.5, 0.9, 0.8, 0.9, 0.78, 0.8], None),
     ([1.5, 0.9, 0.8, 0.9, 1.0, 1.1], np.full(120, 0.5))],
)  # fmt: skip
def test_noise_and_a_training_loss_that_stays_are_no_overfitting(valid, losses):
    assert not said("overfitting", evaluated(valid, losses))


@pytest.mark.parametrize("name", ["multiclass", "multilabel", "binary"])
def test_the_loss_of_a_constant_answer_is_the_least_of_any(name):
    torch.manual_seed(0)
    if name == "multiclass":
        y = torch.randint(0, 3, (200,)) % 2 * 2
        logits, loss, outputs = torch.zeros(3), nn.CrossEntropyLoss(), (200, 3)
    else:
        y = (torch.rand(200, 4 if name == "multilabel" else 1) < 0.2).float()
        logits, loss, outputs = torch.zeros(y.shape[1]), nn.BCEWithLogitsLoss(), tuple(y.shape)
    logits.requires_grad_()
    optimizer = torch.optim.LBFGS([logits], max_iter=20, line_search_fn="strong_wolfe")

    def step():
        optimizer.zero_grad()
        value = loss(logits.expand(outputs), y)
        value.backward()
        return value

    optimizer.step(step)
    scores = Scores(y.numpy().squeeze(), np.full(outputs, 0.5).squeeze(), task=name)
    evidence = made(falling(20), scores=scores, task=Task(name, loss, "it was given"))
    assert trivial_loss(evidence) == pytest.approx(step().item(), abs=2e-3)


def test_a_loss_that_stays_at_a_constant_answers_is_under_fitting():
    y = np.arange(200) % 4 == 0
    more = {
        "scores": Scores(y.astype(int), np.full(200, 0.25)), "task": Task("binary", nn.BCEWithLogitsLoss(), ""),
        "has_valid": True, "epochs": 5,
    }  # fmt: skip
    assert said("underfitting", made(np.full(150, 0.56), **more))
    assert not said("underfitting", made(np.full(150, 0.5), **more))
    assert not said("underfitting", made(np.full(150, 0.56), **{**more, "epochs": 1}))


def test_validation_next_to_perfect_at_once_is_too_good():
    assert said("validation_too_good", evaluated([0.01], falling(20, 0.5), accuracy=0.999))
    assert not said("validation_too_good", evaluated([0.9], falling(20, 0.5), accuracy=0.999))
    assert not said("validation_too_good", evaluated([0.01], falling(20, 0.5), accuracy=0.9))
    assert not said("validation_too_good", evaluated([0.9, 0.5, 0.01], falling(60, 0.5), accuracy=0.999))
