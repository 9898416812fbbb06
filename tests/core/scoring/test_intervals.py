"""Intervals of the metrics: Wilson's against SciPy's, the bootstrap against samples drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from dlwidgets.core.scoring.intervals import draw_counts, wilson_interval
from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import labelled, quiet, varied

SHARES = ["accuracy", "precision", "recall", "specificity", "jaccard"]
RATES = ["accuracy", "precision", "recall", "specificity", "f1", "matthews", "jaccard"]
RATES += ["balanced_accuracy", "kappa"]
LEVELS = st.sampled_from([0.5, 0.8, 0.95, 0.999])


def table_of(tn, fp, fn, tp):
    """Return Scores of one class with these counts."""
    y, p = [0] * tn + [0] * fp + [1] * fn + [1] * tp, [0] * tn + [1] * fp + [0] * fn + [1] * tp
    return Scores.from_predictions(y, p)


def by_scipy(hits, of, level):
    if not of:
        return np.nan, np.nan
    return tuple(stats.binomtest(hits, of).proportion_ci(level, method="wilson"))


@varied
@given(st.integers(0, 3000), st.integers(0, 3000), LEVELS)
def test_wilsons_interval_is_scipys(hits, others, level):
    found = wilson_interval(np.array([hits]), np.array([hits + others]), level)
    np.testing.assert_allclose(np.ravel(found), by_scipy(hits, hits + others, level), rtol=1e-9, atol=1e-12)


@varied
@given(*[st.integers(0, 30)] * 3, st.integers(1, 30), LEVELS)
def test_each_share_of_counted_samples_has_wilsons_interval(tn, fp, fn, tp, level):
    row = table_of(tn, fp, fn, tp).metrics(interval="wilson", level=level).iloc[0]
    of = {
        "accuracy": (tp + tn, tp + tn + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "jaccard": (tp, tp + fp + fn),
    }
    for name, (hits, whole) in of.items():
        ends = [row[f"{name}_low"], row[f"{name}_high"]]
        np.testing.assert_allclose(ends, by_scipy(hits, whole, level), rtol=1e-9, atol=1e-12)
        assert not hits * whole or ends[0] <= row[name] <= ends[1]


@varied
@given(*[st.integers(0, 30)] * 3, st.integers(1, 30))
def test_the_interval_of_f1_is_that_of_jaccard_carried_over(tn, fp, fn, tp):
    row = table_of(tn, fp, fn, tp).metrics(interval="wilson").iloc[0]
    low, high = by_scipy(tp, tp + fp + fn, 0.95)
    assert row["f1_low"] == pytest.approx(2 * low / (1 + low), abs=1e-12)
    assert row["f1_high"] == pytest.approx(2 * high / (1 + high), abs=1e-12)


@pytest.mark.slow
def test_wilsons_interval_of_f1_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    cells = np.array([0.6, 0.1, 0.1, 0.2])
    truth = 2 * cells[3] / (2 * cells[3] + cells[1] + cells[2])
    held = 0
    for counts in rng.multinomial(60, cells, 1500):
        row = table_of(*counts).metrics(interval="wilson", level=0.9).iloc[0]
        held += row["f1_low"] <= truth <= row["f1_high"]
    # Four standard errors of 1,500 trials, and the steps of a discrete distribution.
    assert held / 1500 == pytest.approx(0.9, abs=0.04)


def test_wilson_has_none_for_matthews_and_f_beta():
    row = table_of(10, 3, 4, 12).metrics(interval="wilson", beta=2).iloc[0]
    assert row[["matthews_low", "matthews_high", "fbeta_low", "fbeta_high"]].isna().all()


def test_the_ends_stand_behind_each_metric():
    columns = list(table_of(1, 2, 3, 4).metrics(interval="wilson").columns)
    expected = [name + end for name in RATES for end in ("", "_low", "_high")]
    assert columns == [*expected, "support", "predicted", "unknown"]
    assert list(table_of(1, 2, 3, 4).averages(interval="bootstrap").columns) == columns[:-1]


@pytest.mark.parametrize("interval", ["wilson", "bootstrap"])
def test_what_is_not_known_has_no_interval_not_even_with_zero_division(interval):
    # No positive is known or predicted: precision, recall, F1 are 0 / 0.
    row = table_of(20, 0, 0, 0).metrics(interval=interval, zero_division=0).iloc[0]
    for name in ("precision", "recall", "f1"):
        assert row[name] == 0
        assert np.isnan(row[f"{name}_low"]) and np.isnan(row[f"{name}_high"])


@varied
@given(labelled(labels=(0, 1, -1)), st.sampled_from(["wilson", "bootstrap"]))
def test_an_interval_changes_no_value_and_is_never_the_wrong_way_round(case, interval):
    y, scores, thresholds = case
    plain = Scores(y, scores).metrics(thresholds, beta=0.5)
    table = Scores(y, scores).metrics(thresholds, beta=0.5, interval=interval)
    np.testing.assert_array_equal(table[plain.columns], plain)
    for name in (*RATES, "fbeta"):
        low, high = table[f"{name}_low"], table[f"{name}_high"]
        assert ((low <= high) | (low.isna() & high.isna())).all()


# -- the bootstrap


def drawn_by_hand(y, p, judge, times=600, seed=7):
    """Return the 5 % and 95 % points of `judge` over samples that are really drawn with replacement.

    Where it judges by several names, the points are those of each.
    """
    rng = np.random.default_rng(seed)
    values = []
    with quiet():
        for _ in range(times):
            rows = rng.integers(0, len(y), len(y))
            values.append(judge(y[rows], p[rows]))
    return np.nanquantile(values, [0.05, 0.95], axis=0).T


@pytest.fixture(scope="module")
def drawn_case():
    rng = np.random.default_rng(5)
    hard = rng.random(80) < 0.5
    y = ((rng.random((80, 3)) < [0.5, 0.25, 0.4]) ^ (hard[:, None] & (rng.random((80, 3)) < 0.3))).astype(int)
    flip = rng.random((80, 3)) < np.where(hard[:, None], 0.5, 0.1)
    return y, y ^ flip


@pytest.mark.slow
def test_the_bootstrap_of_counts_is_the_bootstrap_of_samples(drawn_case):
    y, p = drawn_case
    row = Scores(y, p).metrics(interval="bootstrap", level=0.9, beta=2).iloc[1]

    def judge(t, q):
        precision, _, f1, _ = sk.precision_recall_fscore_support(t, q, average="binary")
        rest = sk.matthews_corrcoef(t, q), sk.accuracy_score(t, q), sk.fbeta_score(t, q, beta=2)
        return precision, f1, *rest

    expected = drawn_by_hand(y[:, 1], p[:, 1], judge)
    for name, ends in zip(("precision", "f1", "matthews", "accuracy", "fbeta"), expected, strict=True):
        np.testing.assert_allclose([row[f"{name}_low"], row[f"{name}_high"]], ends, atol=0.03, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "samples"])
def test_the_bootstrap_of_averages_draws_whole_samples(average, drawn_case):
    y, p = drawn_case
    row = Scores(y, p).averages(interval="bootstrap", level=0.9).loc[average]

    def judge(t, q):
        return sk.precision_recall_fscore_support(t, q, average=average, zero_division=np.nan)[1:3]

    for name, ends in zip(("recall", "f1"), drawn_by_hand(y, p, judge), strict=True):
        np.testing.assert_allclose([row[f"{name}_low"], row[f"{name}_high"]], ends, atol=0.03, err_msg=name)


def test_labels_that_go_together_make_the_interval_of_the_micro_average_wide():
    rng = np.random.default_rng(2)
    y = (rng.random((200, 1)) < 0.5).astype(int)
    p = np.where(rng.random((200, 1)) < 0.2, 1 - y, y)
    one, ten = Scores(y, p), Scores(np.tile(y, 10), np.tile(p, 10))

    def width(table):
        return table.loc["micro", "accuracy_high"] - table.loc["micro", "accuracy_low"]

    # Ten copies of a label know no more than one.
    widths = [width(scores.averages(interval="bootstrap")) for scores in (one, ten)]
    assert widths[1] == pytest.approx(widths[0], rel=0.15)


def judged(y, p):
    """Return the macro recall of samples, by scikit-learn."""
    return sk.recall_score(y, p, average="macro", zero_division=np.nan)


@pytest.mark.slow
def test_the_ends_of_the_bootstrap_are_scipys_bca(drawn_case):
    y, p = drawn_case
    row = Scores(y, p).averages(interval="bootstrap", level=0.9).loc["macro"]
    rows = np.arange(len(y))
    drawn = stats.bootstrap(
        (rows,), lambda rows: judged(y[rows], p[rows]), vectorized=False, n_resamples=2000,
        confidence_level=0.9, method="BCa", rng=np.random.default_rng(1),
    )  # fmt: skip
    ends = drawn.confidence_interval
    np.testing.assert_allclose([row["recall_low"], row["recall_high"]], [ends.low, ends.high], atol=0.015)


@pytest.mark.slow
@pytest.mark.parametrize(("share", "hit", "alarm"), [(0.08, 0.8, 0.05), (0.05, 0.95, 0.02)])
def test_intervals_of_averages_hold_with_few_positives(share, hit, alarm):
    # Five to eight positives a class; the plain percentiles hold macro recall 92 and 50 times of 100 here.
    rng, trials, held = np.random.default_rng(1), 200, dict.fromkeys(("recall", "precision"), 0)
    truth = {"recall": hit, "precision": share * hit / (share * hit + (1 - share) * alarm)}
    for _ in range(trials):
        y = (rng.random((100, 3)) < share).astype(int)
        p = (rng.random((100, 3)) < np.where(y, hit, alarm)).astype(int)
        row = Scores(y, p).averages(interval="bootstrap").loc["macro"]
        for name in held:
            held[name] += row[f"{name}_low"] <= truth[name] <= row[f"{name}_high"]
    # Three standard errors of 200 trials below 95 of 100.
    assert min(held.values()) / trials >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials), held


def test_where_all_positives_are_found_the_average_is_not_certain():
    y = np.repeat([[1, 0], [0, 1], [0, 0]], [4, 4, 40], axis=0)
    row = Scores(y, y).averages(interval="bootstrap").loc["macro"]
    # Each of the two is a share of 4 of 4, whose interval is scipy's.
    low, _ = by_scipy(4, 4, 0.95)
    assert row["recall_high"] == 1
    assert row["recall_low"] == pytest.approx(1 - (1 - low) / np.sqrt(2), abs=1e-9)


def test_wilson_has_none_for_averages_over_classes_but_for_a_binary_task(drawn_case):
    y, p = drawn_case
    table = Scores(y, p).averages(interval="wilson")
    assert table.filter(regex="_low|_high").isna().all(axis=None)
    binary = Scores(y[:, 0], p[:, 0])
    ends = ["recall_low", "recall_high"]
    np.testing.assert_array_equal(
        binary.averages(interval="wilson").loc["macro", ends].to_numpy(float),
        binary.metrics(interval="wilson")[ends].iloc[0].to_numpy(float),
    )


def test_a_seed_gives_the_same_interval_again_and_another_seed_another(drawn_case):
    scores = Scores(*drawn_case)
    for table in (scores.metrics, scores.averages):
        first, again, other = (table(interval="bootstrap", seed=seed) for seed in (3, 3, 4))
        assert first.equals(again) and not first.equals(other)


def test_the_interval_of_a_class_does_not_depend_on_the_others(drawn_case):
    y, p = drawn_case
    both = Scores(y, p).metrics(interval="bootstrap").iloc[0]
    alone = Scores(y[:, :2], np.column_stack([p[:, 0], 1 - p[:, 1]])).metrics(interval="bootstrap").iloc[0]
    assert both.equals(alone)


@varied
@given(labelled(labels=(0, 1, -1), least=2))
def test_the_bootstrap_of_averages_takes_unknown_labels_and_leaves_the_values(case):
    y, scores, thresholds = case
    plain = Scores(y, scores).averages(thresholds)
    table = Scores(y, scores).averages(thresholds, interval="bootstrap")
    np.testing.assert_array_equal(table[plain.columns].to_numpy(float), plain.to_numpy(float))
    for name in RATES:
        low, high = table[f"{name}_low"], table[f"{name}_high"]
        assert ((low <= high) | (low.isna() & high.isna())).all()


def test_many_classes_are_summed_in_parts_without_a_difference(drawn_case, monkeypatch):
    scores = Scores(*drawn_case)
    whole = scores.averages(interval="bootstrap")
    monkeypatch.setattr("dlwidgets.core.scoring.intervals._NUMBERS", 1)
    assert scores.averages(interval="bootstrap").equals(whole)


def test_samples_that_occur_alike_are_drawn_as_often_as_they_occur():
    # 1,000 samples of two kinds: the accuracy of a draw is binomial.
    y = np.repeat([[1, 0], [1, 1]], [900, 100], axis=0)
    p = np.repeat([[1, 0], [0, 0]], [900, 100], axis=0)
    row = Scores(y, p).averages(interval="bootstrap", level=0.9).loc["macro"]
    expected = stats.binom(1000, 0.9).ppf([0.05, 0.95]) / 1000
    np.testing.assert_allclose([row["accuracy_low"], row["accuracy_high"]], expected, atol=0.003)


@pytest.mark.parametrize("counts", [[3, 1, 2], [40, 0, 160], [1] * 50])
def test_drawing_samples_gives_the_counts_their_multinomial_distribution(counts):
    counts = np.array(counts)
    total = counts.sum()
    found = np.concatenate(list(draw_counts(counts, 4000, seed=1)))
    assert found.shape == (4000, len(counts)) and (found.sum(axis=1) == total).all()
    assert (found[:, counts == 0] == 0).all()
    law = stats.multinomial(total, counts / total)
    # Five standard errors of 4,000 draws.
    error = 5 * np.sqrt(np.diag(law.cov()) / 4000)
    assert (np.abs(found.mean(axis=0) - counts) <= error + 1e-12).all()
    np.testing.assert_allclose(np.cov(found.T), law.cov(), atol=5 * total / np.sqrt(4000) / len(counts))


@pytest.mark.parametrize("counts", [[3, 1, 2], [40, 60, 900]])
def test_how_many_draws_are_held_at_a_time_changes_none(counts):
    few, many = (np.concatenate(list(draw_counts(np.array(counts), 50, 3, cells))) for cells in (1, 10_000))
    np.testing.assert_array_equal(few, many)
