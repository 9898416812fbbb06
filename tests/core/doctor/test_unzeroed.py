"""Gradients of a training step's own optimizer: told of where they are never zeroed, and nowhere else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import Session

X, Y = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(64, dtype=torch.long)


def findings(zero_every: int | None, twice: bool = False) -> list[str]:
    """Run a step that trains a critic, whose gradients it zeroes every so many steps, or never."""
    torch.manual_seed(0)
    critic = nn.Linear(2, 2)
    optimizer, taken = torch.optim.SGD(critic.parameters(), lr=0.01), [0]

    def step(model, batch):
        output = model(batch[0])
        if zero_every and taken[0] % zero_every == 0:
            optimizer.zero_grad()
        for _ in range(1 + twice):
            nn.functional.cross_entropy(critic(output.detach()), batch[1]).backward()
        optimizer.step()
        taken[0] += 1
        return nn.functional.cross_entropy(critic(output), batch[1])

    session = Session(nn.Linear(4, 2), (X, Y), training_step=step, batch_size=8).step(60)
    return [one.title for one in session.findings if one.rule == "gradients_pile_up"]


def test_gradients_that_are_never_zeroed_are_found_by_the_name_of_their_optimizer():
    (title,) = findings(None)
    assert title.startswith("Gradients of optimizer pile up")


@pytest.mark.parametrize("every", [1, 16])
@pytest.mark.parametrize("twice", [False, True])
def test_zeroing_in_each_step_or_after_some_is_quiet_whatever_the_number_of_losses(every, twice):
    assert not findings(every, twice)
