"""What rules say of the length of steps, the rate and momentum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlwidgets.core.controls.steering import CONTROLS
from tests.core.doctor.rules.by_hand import change, falling, look, made, said

FLAT = 1.5 * np.exp(0.02 * np.random.default_rng(0).standard_normal(60))


@given(st.floats(-6, 6))
def test_a_long_step_upon_which_the_loss_leaps_is_too_long_in_every_unit(power):
    leap = np.r_[0.7, 9.0, 5.0, 3.0, 1.0, np.full(7, 0.8)] * 10**power
    (found,) = said("rate_too_high", made(leap, looks=[look(1, ratios=0.8)]))
    assert found.step == 1 and "80%" in found.title
    assert not said("rate_too_high", made(leap, looks=[look(1, ratios=0.05)]))


def test_a_long_first_step_that_helps_is_a_good_step():
    assert not said("rate_too_high", made(falling(20), looks=[look(1, ratios=0.8)]))


def test_a_new_head_of_zeros_changes_by_all_of_its_weights():
    leap = [0.7, 1.2, *falling(10)]
    assert not said("rate_too_high", made(leap, looks=[look(1, ratios=1.0, weights=0.02)]))


def test_a_rate_that_was_lowered_is_held_responsible_no_more():
    looks, changes = [look(30, ratios=0.4)], [change("lr", 31)]
    assert said("rate_too_high", made(falling(60), looks=looks))
    assert not said("rate_too_high", made(falling(60), looks=looks, changes=changes))


def test_steps_too_short_to_move_the_loss_are_found_and_a_converged_run_is_not():
    short = [look(step, ratios=1e-6) for step in (20, 50)]
    assert said("rate_too_low", made(FLAT, looks=short))
    assert not said("rate_too_low", made(FLAT, looks=[look(step) for step in (20, 50)]))
    assert not said("rate_too_low", made(FLAT, {"lr": np.geomspace(1, 1e-4, 60)}, looks=short))  # a schedule's end


@pytest.mark.parametrize(("rates", "severity"), [(np.zeros(60), "high"), (np.r_[np.ones(40), np.zeros(20)], "medium")])
def test_a_rate_of_zero_is_found(rates, severity):
    (found,) = said("rate_too_low", made(FLAT, {"lr": rates}, settings={"lr": 0.0}))
    assert found.severity == severity


def test_an_optimizer_without_a_rate_has_none_of_zero():
    assert not said("rate_too_low", made(FLAT, {"lr": 0.0}, settings={"lr": None}))


def test_much_momentum_is_found_by_itself_and_some_of_it_where_the_loss_swings():
    swings = falling(200) * (1 + 0.4 * np.sin(np.arange(200) / 5))
    assert said("momentum", made(falling(200), settings={"momentum": 0.999}))
    assert said("momentum", made(swings, settings={"momentum": 0.99}))
    assert not said("momentum", made(falling(200), settings={"momentum": 0.99}))
    assert not said("momentum", made(swings, settings={"betas": (0.9, 0.999)}))


def test_the_controls_that_rules_ask_for_are_there():
    assert {"lr", "momentum", "betas", "optimizer", "schedule", "clip"} <= {one.name for one in CONTROLS}
