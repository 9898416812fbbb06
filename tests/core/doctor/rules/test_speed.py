"""What the rule says of waiting: of long steps alone, and not of the first."""

from __future__ import annotations

import pytest

from tests.core.doctor.rules.by_hand import falling, made, said


@pytest.mark.parametrize(
    ("steps", "seconds", "waited", "found"),
    [(100, 0.02, 0.8, True), (100, 0.02, 0.2, False), (100, 0.001, 0.8, False), (10, 0.02, 0.8, False),
     (100, 0.02, None, False)],
)  # fmt: skip
def test_waiting_for_data_is_found_where_it_matters(steps, seconds, waited, found):
    assert bool(said("loader_bound", made(falling(steps), {"seconds": seconds}, waited=waited))) == found
