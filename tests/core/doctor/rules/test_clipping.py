"""What the rule says of clipping: nothing of a few steps, much of all."""

from __future__ import annotations

import numpy as np
import pytest

from tests.core.doctor.rules.by_hand import change, falling, made, said


def clipped(norm: float, limit: float, share: float = 1.0, **more):
    hit = (np.arange(100) < 100 * share).astype(float)
    columns = {"grad_norm": norm, "clipped_norm": np.where(hit, limit, norm), "clipped": hit}
    return made(falling(100), columns, **more)


@pytest.mark.parametrize(("limit", "severity"), [(0.3, "low"), (0.05, "medium"), (1e-4, "high")])
def test_the_tighter_the_limit_the_worse(limit, severity):
    (found,) = said("clipping", clipped(1.0, limit))
    assert found.severity == severity and found.evidence["after"] == limit


def test_an_optimizer_that_divides_by_the_gradient_hardly_notices():
    (found,) = said("clipping", clipped(1.0, 1e-4, settings={"optimizer": ("AdamW", {})}))
    assert found.severity == "low"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9])
def test_a_limit_that_some_steps_meet_is_what_clipping_is_for(share):
    assert not said("clipping", clipped(1.0, 0.01, share))


def test_a_new_limit_is_judged_by_its_own_steps():
    assert not said("clipping", clipped(1.0, 0.01, changes=[change("clip", 95)]))
