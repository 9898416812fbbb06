"""Where a loss leaves its course, and which state is good: on losses made by a formula, with the answer known."""

from __future__ import annotations

import numpy as np
import pytest

from dlwidgets.core.base.ledger import Entry
from dlwidgets.core.doctor.course import (
    find_last_good,
    find_onset,
    find_trouble,
    has_exploded,
    of_one_loss,
    smooth_losses,
)  # fmt: skip
from dlwidgets.core.doctor.finding import Finding

NOISE = np.random.default_rng(0).normal(0, 0.05, 300)
#: It falls from 2.5 to 0.2, as a healthy run.
HEALTHY = 2.3 * np.exp(-np.arange(300) / 60) + 0.2 + NOISE


def rising(*losses):
    return np.concatenate([HEALTHY, np.array(losses, float)])


def finding(rule="loss_not_finite", step=0):
    return Finding(rule, "high", "", "", step=step)


@pytest.mark.parametrize("length", [0, 1, 2, 7, 50, 300])
def test_a_healthy_loss_is_on_its_course(length):
    assert find_onset(HEALTHY[:length]) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_loss_that_stays_is_on_its_course(seed):
    losses = np.random.default_rng(seed).gamma(2.0, 0.5, 400)
    assert find_onset(losses) is None and not has_exploded(losses)


@pytest.mark.parametrize("tail", [(0.5, 3, 100, 1e5), (500,), (4, 4, 4, 4, 4, 4), (9, 30)])
def test_the_first_loss_off_the_course_is_the_onset(tail):
    assert find_onset(rising(*tail)) == 301


def test_one_batch_that_is_a_little_worse_is_no_rise():
    assert find_onset(rising(0.45)) is None


def test_a_spike_that_came_down_again_is_none():
    assert find_onset(rising(9, 9, 9, *[0.2] * 20)) is None


def test_a_slow_rise_begins_where_it_leaves_the_noise():
    onset = find_onset(rising(*(0.2 + np.arange(100) * 0.05 + NOISE[:100])))
    assert onset is not None and 301 < onset < 312


def test_a_run_that_explodes_from_its_second_step_has_one_good_step():
    losses = np.array([1.1, 5, 200, 1e8])
    assert find_onset(losses) == 2
    assert find_last_good(finding(step=5), losses, [0, 1, 2, 3, 4]) == 0


def test_losses_that_were_not_measured_are_passed_over():
    losses = rising(0.5, 3, 100, 1e5)
    losses[[10, 200, 302]] = np.nan
    assert find_onset(losses) == 301


def test_a_loss_below_zero_has_a_course_too():
    assert find_onset(HEALTHY - 5) is None
    assert find_onset(rising(0.5, 3, 100, 1e5) - 5) in (301, 302)


@pytest.mark.parametrize(
    ("tail", "exploded"),
    [([90] * 20, True), ([1e30] * 12, True), ([20] * 20, False), ([90] * 9, False), ([1e5, 1e4, 1e3, 900, 800, 700,
     600, 500, 400, 300, 200, 100], False)],
)  # fmt: skip
def test_only_what_is_beyond_doubt_has_exploded(tail, exploded):
    """Ten times the worst loss before, for ten steps, and not on its way down."""
    assert has_exploded(rising(*tail)) is exploded


def test_the_last_good_state_is_the_newest_from_before_the_step_that_spoiled_it():
    losses = rising(3, 100, 1e5)  # the loss of step 301 shows what step 300 did
    kept = [0, 100, 250, 299, 300, 301]
    assert find_trouble(finding(step=304), losses) == 301
    assert find_last_good(finding(step=304), losses, kept) == 299


def test_without_a_rise_the_step_before_the_failed_one_is_suspected():
    assert find_last_good(finding(step=301), HEALTHY, [0, 250, 299, 300]) == 299


def test_any_other_finding_began_where_it_was_seen():
    assert find_last_good(finding("dead_relu", 120), rising(3, 100, 1e5), [0, 100, 118, 119, 299]) == 118


def test_a_loss_that_became_another_number_has_not_risen():
    losses = np.concatenate([HEALTHY, 30 + HEALTHY])
    changes = [Entry(300, "loss_function", "MSELoss", "MSELoss", "code"), Entry(400, "lr", 0.1, 0.1, "code")]
    assert find_onset(losses) == 301 and has_exploded(losses)
    assert find_onset(of_one_loss(losses, changes)) is None and not has_exploded(of_one_loss(losses, changes))
    assert find_onset(of_one_loss(np.concatenate([losses, [50, 500, 5000]]), changes)) == 601


def test_without_an_earlier_state_there_is_none():
    assert find_last_good(finding(step=1), HEALTHY[:0], [0]) is None
    assert find_last_good(finding(step=304), rising(3, 100, 1e5), []) is None


@pytest.mark.parametrize("length", [1, 4, 5, 6, 200])
def test_the_smoothed_loss_is_the_median_of_five(length):
    losses = np.random.default_rng(length).normal(size=length)
    assert smooth_losses(losses).tolist() == [np.median(losses[max(0, n - 4) : n + 1]) for n in range(length)]
