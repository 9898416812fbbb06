"""What rules say of gradient norms, by step and by layer."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.core.doctor.rules.by_hand import falling, look, made, said


def test_norms_that_leap_while_the_loss_rises_explode():
    losses, norms = np.concatenate([falling(90), np.full(10, 2.0)]), np.r_[np.ones(95), np.full(5, 30.0)]
    (found,) = said("gradient_exploding", made(losses, {"grad_norm": norms}))
    assert (found.evidence["now"], found.evidence["before"]) == (30, 1)
    assert not said("gradient_exploding", made(falling(100), {"grad_norm": norms}))


def test_norms_of_looks_do_where_no_step_was_measured():
    looks = [look(step, grads=5.0 if step > 80 else 0.1) for step in range(10, 110, 8)]
    losses = np.concatenate([falling(90), np.full(20, 2.0)])
    assert said("gradient_exploding", made(losses, looks=looks))


@given(st.floats(1e-6, 1e6), st.floats(0.01, 10), st.integers(4, 12))
def test_what_vanishes_is_told_by_the_first_layer_against_the_last_in_every_unit(unit, factor, layers):
    looks = [look(9, grads=unit * factor ** np.arange(layers)[::-1], layers=layers)]
    quarter = layers // 4
    between = layers - quarter  # layers from the middle of the first quarter to that of the last
    found = said("gradient_vanishing", made(falling(20), looks=looks))
    if not 0.5e-4 < factor**between < 2e-4:
        assert bool(found) == (factor**between < 1e-4)


def test_the_size_of_a_layer_is_no_sign_of_vanishing():
    grads, sizes = np.array([1e4, 1e2, 1.0, 1e-2]), np.array([1e8, 1e4, 1.0, 1e-4])
    assert not said("gradient_vanishing", made(falling(20), looks=[look(9, grads=grads, layers=4, sizes=sizes)]))


def test_steps_left_out_are_told_of_when_they_go_on():
    first = np.r_[np.ones(8), np.zeros(12)]
    assert not said("gradient_not_finite", made(falling(20), {"skipped": first}))
    (found,) = said("gradient_not_finite", made(falling(40), {"skipped": np.ones(40)}))
    assert found.severity == "high"


def test_a_gradient_of_zero_is_found_in_all_layers_or_in_some():
    assert said("gradient_zero", made(falling(20), looks=[look(s, grads=0.0) for s in (1, 2, 5)]))[0].severity == "high"
    some = [look(step, grads=[0.0, 0.0, 0.1, 0.2, 0.3]) for step in (5, 10, 20)]
    (found,) = said("gradient_zero", made(falling(20), looks=some))
    assert (found.layer, found.evidence["layers"]) == ("layer1", 2)
    assert not said("gradient_zero", made(falling(20), looks=[*some[:2], look(20)]))
