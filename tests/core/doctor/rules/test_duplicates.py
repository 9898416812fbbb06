"""Validation samples that are in the training data too."""

from __future__ import annotations

import torch
from torch import nn

from .by_facts import found, labelled, names


def test_a_validation_taken_from_train_is_found():
    X, y = labelled()
    (one,) = found((X, y), (X[:90].clone(), y[:90]))
    assert (one.rule, one.severity, one.evidence["share"]) == ("valid_in_train", "high", 1.0)
    assert "0 = 0" in one.sentence


def test_data_that_repeats_itself_does_not_leak():
    words = torch.randint(0, 3, (600, 4), generator=torch.Generator().manual_seed(0))
    y = words[:, 0]
    model = nn.Sequential(nn.Embedding(3, 4), nn.Flatten(), nn.Linear(16, 3))
    assert names((words[:480], y[:480]), (words[480:], y[480:]), model=model) == []
