"""What rules say of a loss's course: the same in every unit, and nothing of a healthy one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.controls.steering import CONTROLS
from dlwidgets.core.data.task import Task
from dlwidgets.core.doctor.loss_curve import ANEW
from tests.core.doctor.rules.by_hand import change, falling, made, said

OF_LOSS = ("loss_diverging", "loss_spiking", "loss_flat", "loss_oscillating")
RANDOM = np.random.default_rng(0)
STEPS = np.arange(200)

COURSES = {
    "loss_diverging": np.concatenate([falling(60), np.linspace(2, 9, 20)]),
    "loss_spiking": np.where(np.isin(STEPS, (95, 140, 141, 170)), 6.0, falling(200)),
    "loss_flat": 1.5 * np.exp(0.02 * RANDOM.standard_normal(200)),
    "loss_oscillating": falling(200) * (1 + 0.4 * np.sin(2 * np.pi * STEPS / 17)),
}


def found(losses, **more):
    return {name for name in OF_LOSS if said(name, made(losses, **more))}


@pytest.mark.parametrize("name", COURSES)
def test_each_course_is_found_by_its_rule_alone(name):
    assert found(COURSES[name]) == {name}


@settings(max_examples=30)
@given(st.sampled_from([*COURSES, "healthy"]), st.floats(-12, 12))
def test_findings_do_not_depend_on_the_unit_of_the_loss(name, power):
    losses = COURSES.get(name, falling(200))
    assert found(losses * 10.0**power) == found(losses)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.0, 1.5), st.floats(0.02, 0.3), st.integers(10, 400))
def test_a_healthy_loss_is_let_alone(seed, end, noise, count):
    assert not found(falling(count, end, noise, seed)) - ({"loss_flat"} if end > 1.4 else set())


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_a_converged_loss_near_zero_with_heavy_noise_does_not_diverge(seed):
    losses = 1e-3 * np.random.default_rng(seed).lognormal(0, 0.8, 300)
    assert "loss_diverging" not in found(np.concatenate([falling(100, 0.0), losses]))


def test_losses_below_zero_may_fall_and_diverge_too():
    fall = falling(150, 0.0, 0.0) + 0.03 * RANDOM.standard_normal(150) - 5
    assert not found(fall)
    assert found(np.concatenate([fall, np.linspace(-2, 3, 15)])) == {"loss_diverging"}


def test_a_loss_that_leaps_in_the_first_step_diverges_from_what_it_was_before():
    assert found([0.7, *np.linspace(9, 7, 14)]) == {"loss_diverging"}


def test_another_loss_function_begins_anew():
    losses = np.concatenate([falling(100), 20 * falling(60, seed=1)])
    assert found(losses) == {"loss_diverging"}
    assert not found(losses, changes=[change("loss_function", 100)])
    assert found(losses, changes=[change("loss_function", 100, rejected=True)]) == {"loss_diverging"}


def test_what_changes_the_meaning_of_a_loss_are_controls():
    assert set(ANEW) <= {one.name for one in CONTROLS}


def test_a_smaller_batch_makes_no_spikes():
    losses = np.concatenate([falling(150, noise=0.01), 0.34 * RANDOM.lognormal(0, 0.4, 50)])
    assert not found(losses, changes=[change("batch_size", 150)])


def test_the_end_of_a_converged_run_is_not_flat():
    assert not found(falling(2000, noise=0.02))


def test_a_model_that_was_trained_before_has_nothing_to_learn():
    losses = 0.1 * COURSES["loss_flat"]
    known = Task("multiclass", nn.CrossEntropyLoss(), "it was given", outputs=10)
    assert not found(losses, task=known)
    assert found(losses) == {"loss_flat"} == found(23 * losses, task=known)


def test_a_steep_beginning_has_no_spikes():
    assert not found(3.7 * 0.7 ** np.arange(60) + 0.01)


def test_a_rate_that_warms_up_may_leave_the_loss_where_it_is():
    assert not found(COURSES["loss_flat"], columns={"lr": np.linspace(0, 0.1, 200)})


def test_data_read_in_the_same_order_does_not_oscillate():
    assert not found(COURSES["loss_oscillating"], steps_in_epoch=17)


def test_steps_without_a_loss_are_left_out():
    losses = COURSES["loss_diverging"].copy()
    losses[::7] = np.nan
    assert found(losses) == {"loss_diverging"}
