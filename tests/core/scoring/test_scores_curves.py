"""The curves of a class against scikit-learn's, point by point."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from dlwidgets.core.scoring.scores import Scores

varied = settings(deadline=None, max_examples=60)

ANY = st.one_of(st.sampled_from([0.0, -0.0, 0.1, 0.3, 0.5, 0.7, 1.0, -2.5, 40.0]), st.floats(-5, 5, width=16))
CHANCES = st.one_of(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]), st.floats(0, 1, width=32))


@st.composite
def one_class(draw, elements=ANY):
    """Draw N labels (1, 0, -1), a known positive and a known negative among them, and N scores."""
    n = draw(st.integers(2, 30))
    y = draw(hnp.arrays(np.int64, n, elements=st.sampled_from((0, 1, -1))))
    y[:2] = 1, 0
    scores = draw(hnp.arrays(np.float64, n, elements=elements))
    return y, scores.astype(draw(st.sampled_from((np.float32, np.float64))))


def known(y, scores):
    """Return the known labels and their scores."""
    return y[y >= 0], scores[y >= 0]


@varied
@given(one_class())
def test_the_roc_curve_has_scikit_learns_points(case):
    y, scores = case
    ours = Scores(y, scores).roc()
    fpr, tpr, cuts = sk.roc_curve(*known(y, scores), drop_intermediate=False)
    np.testing.assert_allclose(ours["false_positive_rate"], fpr, rtol=1e-12)
    np.testing.assert_allclose(ours["recall"], tpr, rtol=1e-12)
    # Scikit-learn's first threshold is infinite, ours the next number above the highest score.
    np.testing.assert_array_equal(ours["threshold"][1:], cuts[1:])
    assert ours["threshold"][0] == np.nextafter(np.float64(known(y, scores)[1].max()), np.inf)


@varied
@given(one_class())
def test_the_precision_recall_curve_has_scikit_learns_points(case):
    y, scores = case
    ours = Scores(y, scores).precision_recall()
    precision, recall, cuts = sk.precision_recall_curve(*known(y, scores))
    np.testing.assert_allclose(ours["precision"], precision[::-1], rtol=1e-12)
    np.testing.assert_allclose(ours["recall"], recall[::-1], rtol=1e-12)
    np.testing.assert_array_equal(ours["threshold"][1:], cuts[::-1])


@varied
@given(one_class())
def test_the_steps_of_the_precision_recall_curve_enclose_the_average_precision(case):
    y, scores = case
    curve = Scores(y, scores).precision_recall()
    enclosed = (curve["recall"].diff() * curve["precision"])[1:].sum()
    assert enclosed == pytest.approx(sk.average_precision_score(*known(y, scores)))


@varied
@given(one_class())
def test_each_point_is_the_confusion_at_its_threshold(case):
    y, scores = case
    ours = Scores(y, scores)
    for row in ours.roc().itertuples():
        (_, fp), (_, tp) = ours.confusion(row.threshold)[0]
        assert (fp, tp) == (row.fp, row.tp)


@varied
@given(one_class(CHANCES), st.integers(1, 12), st.sampled_from([("width", "uniform"), ("mass", "quantile")]))
def test_the_reliability_has_scikit_learns_points(case, bins, binning):
    y, scores = case
    ours = Scores(y, scores).reliability(bins=bins, binning=binning[0])
    t, s = known(y, scores.astype(np.float64))
    observed, mean = calibration_curve(t, s, n_bins=bins, strategy=binning[1])
    there = ours[ours["samples"] > 0]
    assert len(ours) == bins
    np.testing.assert_allclose(there["observed"], observed, rtol=1e-9)
    np.testing.assert_allclose(there["mean_score"], mean, rtol=1e-9)
    assert ours["samples"].sum() == len(t) and ours["positives"].sum() == t.sum()


def test_the_bins_of_equal_mass_hold_equally_many():
    random = np.random.default_rng(0)
    scores = random.random(1000)
    table = Scores((random.random(1000) < scores).astype(int), scores).reliability(bins=8, binning="mass")
    assert table["samples"].tolist() == [125] * 8


def test_the_bars_of_the_reliability_are_scipys_wilson_intervals():
    random = np.random.default_rng(0)
    scores = random.random(300)
    table = Scores((random.random(300) < scores).astype(int), scores).reliability(bins=7, level=0.9)
    for row in table.itertuples():
        interval = binomtest(row.positives, row.samples).proportion_ci(0.9, method="wilson")
        assert (row.observed_low, row.observed_high) == pytest.approx((interval.low, interval.high))


def test_the_calibration_error_is_read_off_the_reliability():
    random = np.random.default_rng(0)
    scores = Scores((random.random((300, 2)) < 0.3).astype(int), random.random((300, 2)))
    for c in range(2):
        table = scores.reliability(c)
        error = (table["samples"] * (table["mean_score"] - table["observed"]).abs()).sum() / 300
        assert scores.ranking()["ece"].iloc[c] == pytest.approx(error)


def test_an_empty_bin_keeps_its_row():
    table = Scores([0, 1], [0.05, 0.95]).reliability(bins=4)
    assert table["samples"].tolist() == [1, 0, 0, 1]
    assert table.loc[[1, 2], ["mean_score", "observed", "observed_low"]].isna().all(axis=None)
    assert table["low"].tolist() == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("label", [1, 0, -1])
def test_a_class_of_one_kind_of_label_gives_nan_and_no_warning(label):
    scores = Scores([label] * 3, [0.2, 0.4, 0.4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        roc, pr, reliability = scores.roc(), scores.precision_recall(), scores.reliability()
        mass = scores.reliability(binning="mass", bins=3)
    assert roc["recall"].isna().all() == (label != 1)
    assert roc["false_positive_rate"].isna().all() == (label != 0)
    assert pr["recall"].isna().all() == (label != 1)
    assert reliability["samples"].sum() == mass["samples"].sum() == (0 if label == -1 else 3)


def test_a_class_is_given_by_name_or_number():
    scores = Scores([[1, 0], [0, 1]], [[0.1, 0.2], [0.7, 0.4]], ["cat", "dog"])
    for one, other in (("dog", 1), ("cat", np.int64(0))):
        assert scores.roc(one).equals(scores.roc(other))
    assert not scores.roc("cat").equals(scores.roc("dog"))


@pytest.mark.parametrize(
    ("cls", "error", "words"),
    [
        ("dgo", ValueError, "no class 'dgo'.*'cat', 'dog'.*mean 'dog'"),
        (2, ValueError, "no class 2 of 2"),
        (-1, ValueError, "no class -1"),
        (None, TypeError, "one is wanted, None given"),
        (True, TypeError, "one is wanted, True given"),
        (0.5, TypeError, "one is wanted, 0.5 given"),
    ],
)
@pytest.mark.parametrize("curve", ["roc", "precision_recall", "reliability"])
def test_a_class_that_is_none_is_refused_with_the_known_ones(curve, cls, error, words):
    scores = Scores([[1, 0], [0, 1]], [[0.1, 0.2], [0.7, 0.4]], ["cat", "dog"])
    with pytest.raises(error, match=words):
        getattr(scores, curve)(cls)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"bins": 0}, ValueError, "0 bins: give at least 1"),
        ({"bins": 2.5}, TypeError, "bins is 2.5"),
        ({"binning": "log"}, ValueError, "no binning 'log'.*'width' or 'mass'"),
    ],
)
def test_bins_that_are_none_are_refused_in_a_sentence(options, error, words):
    with pytest.raises(error, match=words):
        Scores([1, 0], [0.1, 0.2]).reliability(**options)


def test_scores_that_are_no_probabilities_have_no_reliability():
    with pytest.raises(
        ValueError, match="from -3 to 0.2: build the Scores of logits with Scores.from_logits"
    ):
        Scores([1, 0], [-3.0, 0.2]).reliability()
