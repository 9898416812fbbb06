"""BatchNorm: tiny batches, frozen parts, two averages a step."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tests.core.doctor.rules.broken import found, normed, only, run


def test_batch_norm_over_two_samples_is_found_and_over_many_is_not():
    assert not found(run(normed()), "batch_norm")
    one = only(run(normed(), batch_size=2), "batch_norm")
    assert (one.layer, one.evidence["samples"]) == ("1", 2)


def test_a_model_that_is_called_twice_a_step_averages_twice():
    def step(model, batch):
        with torch.no_grad():
            model(batch[0])
        return F.cross_entropy(model(batch[0]), batch[1])

    assert only(run(normed(), training_step=step), "batch_norm_twice").evidence["calls"] == 2
    assert not found(run(normed()), "batch_norm_twice")
