"""Validation scores against a coin's: areas as scikit-learn has them, told of only where it is sure."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dlwidgets.core.doctor.evidence import Evidence
from dlwidgets.core.doctor.rules.chance import find_no_better_than_chance, measure_areas
from dlwidgets.core.scoring.scores import Scores

random = np.random.default_rng(0)
LABELS = random.random((400, 5)) < [0.5, 0.1, 0.3, 0.2, 0.4]


def scores(signal: float, rows: int = 400) -> Scores:
    """Return scores that have the labels in them, so many standard deviations high."""
    noise = np.random.default_rng(1).standard_normal((rows, 5))
    return Scores(LABELS[:rows].astype(int), 1 / (1 + np.exp(-noise - signal * LABELS[:rows])))


def found(given: Scores, step: int = 50, epochs: int = 1) -> list[str]:
    return [one.rule for one in find_no_better_than_chance(Evidence(step=step, epochs=epochs, scores=given))]


def test_the_areas_are_scikit_learns_ties_included():
    given = scores(0.5)
    rounded = Scores(LABELS.astype(int), given.y_score.round(1))
    for one in (given, rounded):
        expected = [roc_auc_score(LABELS[:, cls], one.y_score[:, cls]) for cls in range(5)]
        np.testing.assert_allclose(measure_areas(one)[0], expected)


def test_the_error_is_the_spread_of_the_areas_of_scores_without_any_signal():
    draws = [Scores(LABELS.astype(int), np.random.default_rng(n).random((400, 5))) for n in range(1, 201)]
    areas = np.stack([measure_areas(one)[0] for one in draws])
    np.testing.assert_allclose(areas.std(0), measure_areas(draws[0])[1], rtol=0.25)


@pytest.mark.parametrize("signal", [0.0, -0.5])
def test_scores_without_signal_or_against_it_are_found(signal):
    assert found(scores(signal)) == ["no_better_than_chance"]


def test_a_weak_signal_is_not_chance():
    assert not found(scores(0.3))


@pytest.mark.parametrize(("step", "epochs"), [(20, 1), (50, 0)])
def test_nothing_is_said_too_early(step, epochs):
    assert not found(scores(0), step, epochs)


def test_averaged_weights_are_given_the_time_that_they_lag_behind():
    given = scores(0)
    early, late = (Evidence(step=step, epochs=1, scores=given, settings={"ema": 0.99}) for step in (100, 300))
    assert not [*find_no_better_than_chance(early)] and [*find_no_better_than_chance(late)]


def test_nothing_is_said_of_too_few_samples():
    assert not found(scores(0, rows=60))
