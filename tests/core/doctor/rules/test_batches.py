"""What the rule says of small batches: by the noise that they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.doctor.rules.by_hand import falling, made, said


@given(st.sampled_from([1, 2, 4]), st.floats(-6, 6))
def test_a_small_noisy_batch_is_found_in_every_unit(size, power):
    losses = falling(60, noise=0.5) * 10**power
    (found,) = said("batch_noise", made(losses, {"batch_size": size}))
    steps = np.diff(losses)
    assert found.evidence["noise"] == pytest.approx(np.sqrt((steps**2).mean() / 2) / np.median(losses[:5]))


def test_a_small_batch_of_little_noise_is_enough():
    assert not said("batch_noise", made(falling(60, noise=0.05), {"batch_size": 1}))


def test_noise_of_a_large_batch_is_not_the_batch():
    assert not said("batch_noise", made(falling(60, noise=0.5), {"batch_size": 32}))
