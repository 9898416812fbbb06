"""The metrics of each class and their averages, against scikit-learn's, unknown labels and all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from dlwidgets.core.scoring.metrics import (
    METRICS,
    Metric,
    compute_rate,
    compute_rates,
    count_samples,
    less_is_better,
    parse_formula,
)
from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import THRESHOLDS, labelled, quiet, said, varied

RATES = ["accuracy", "precision", "recall", "specificity", "f1", "matthews", "jaccard"]
RATES += ["balanced_accuracy", "kappa"]
BETAS = st.sampled_from([0.0, 1e-200, 0.25, 0.5, 2.0, 3.7, np.inf])


def by_scikit_learn(metric, t, p, zero_division=np.nan, beta=1.0):
    """Return one metric of predictions `p` against the truth `t`; where nothing is known, NaN."""
    if not len(t):
        return np.nan
    with quiet():
        if metric == "accuracy":
            return sk.accuracy_score(t, p)
        if metric == "specificity":
            return sk.recall_score(1 - t, 1 - p, zero_division=zero_division)
        if metric == "matthews":
            # It has no zero_division: with one label or one prediction alone it says 0.
            alone = len(np.unique(t)) == 1 or len(np.unique(p)) == 1
            return zero_division if alone else sk.matthews_corrcoef(t, p)
        if metric == "balanced_accuracy":
            # With one label alone it is a recall, and warns.
            return zero_division if len(np.unique(t)) == 1 else sk.balanced_accuracy_score(t, p)
        if metric == "kappa":
            # Where all agree by necessity it is 0 / 0.
            same = len(np.unique(np.concatenate([t, p]))) == 1
            return zero_division if same else sk.cohen_kappa_score(t, p)
        if metric == "jaccard":
            value = sk.jaccard_score(t, p, zero_division=0)
            return zero_division if not (t | p).any() else value
        if metric == "fbeta":
            return sk.fbeta_score(t, p, beta=beta, zero_division=zero_division)
        return getattr(sk, f"{metric}_score")(t, p, zero_division=zero_division)


def assert_like(found, expected):
    np.testing.assert_allclose(np.asarray(found, float), np.asarray(expected, float), rtol=1e-12, atol=1e-15)


@varied
@given(labelled(labels=(0, 1, -1)), st.sampled_from([np.nan, 0, 1]))
def test_each_metric_of_each_class_is_scikit_learns_over_the_known_labels(case, zero_division):
    y, scores, thresholds = case
    table = Scores(y, scores).metrics(thresholds, zero_division=zero_division)
    assert list(table.columns) == [*RATES, "support", "predicted", "unknown"]
    predicted = said(scores, thresholds)
    for c in range(y.shape[1]):
        known = y[:, c] != -1
        t, p = y[known, c], predicted[known, c]
        assert_like(table[RATES].iloc[c], [by_scikit_learn(name, t, p, zero_division) for name in RATES])
        assert table["support"].iloc[c] == t.sum() and table["predicted"].iloc[c] == p.sum()
        assert table["unknown"].iloc[c] == (y[:, c] == -1).sum()


@varied
@given(labelled(labels=(0, 1, -1)))
def test_matthews_is_0_with_zero_division_0_wherever_scikit_learn_says_0(case):
    y, scores, thresholds = case
    found = Scores(y, scores).metrics(thresholds, zero_division=0)["matthews"]
    predicted = said(scores, thresholds)
    for c in range(y.shape[1]):
        known = y[:, c] != -1
        if known.any():
            with quiet():
                expected = sk.matthews_corrcoef(y[known, c], predicted[known, c])
            assert found.iloc[c] == pytest.approx(expected, abs=1e-12)


@varied
@given(labelled(labels=(0, 1, -1)), BETAS, st.sampled_from([np.nan, 0]))
def test_f_beta_is_scikit_learns(case, beta, zero_division):
    y, scores, thresholds = case
    table = Scores(y, scores).metrics(thresholds, beta=beta, zero_division=zero_division)
    assert list(table.columns) == [*RATES[:5], "fbeta", *RATES[5:], "support", "predicted", "unknown"]
    predicted = said(scores, thresholds)
    for c in range(y.shape[1]):
        known = y[:, c] != -1
        t, p = y[known, c], predicted[known, c]
        expected = by_scikit_learn("fbeta", t, p, zero_division, beta)
        if np.isinf(beta) and not t.sum():
            expected = by_scikit_learn("recall", t, p, zero_division)
        if beta == 0 and not p.sum():
            expected = by_scikit_learn("precision", t, p, zero_division)
        assert_like(table["fbeta"].iloc[c], expected)


def matthews_of(y, p, average, zero_division):
    """Return the average of scikit-learn's Matthews, which it has of no more than one label."""
    if average == "micro":
        return by_scikit_learn("matthews", y.ravel(), p.ravel(), zero_division)
    pairs = zip(y, p) if average == "samples" else zip(y.T, p.T)
    each = np.array([by_scikit_learn("matthews", t, q, zero_division) for t, q in pairs])
    weights = ~np.isnan(each) * (y.sum(axis=0) if average == "weighted" else np.ones(len(each)))
    if not weights.any() and not np.isnan(zero_division):
        weights = np.ones(len(each))
    return np.nansum(each * weights) / weights.sum()


def averages_of(y, p, average, zero_division):
    """Return each average that scikit-learn has, by name; Jaccard's it has of no NaN."""
    options = {"average": average, "zero_division": zero_division}
    with quiet():
        theirs = sk.precision_recall_fscore_support(y, p, **options)[:3]
        expected = dict(zip(("precision", "recall", "f1"), theirs))
        if not np.isnan(zero_division):
            expected["jaccard"] = sk.jaccard_score(y, p, **options)
        if average != "weighted":
            expected["accuracy"] = 1 - sk.hamming_loss(y, p)
            expected["specificity"] = sk.recall_score(1 - y, 1 - p, **options)
        expected["matthews"] = matthews_of(y, p, average, zero_division)
    return expected


@settings(varied, max_examples=30)
@given(labelled(least=2), st.sampled_from([np.nan, 0, 1]))
def test_the_averages_are_scikit_learns(case, zero_division):
    y, scores, thresholds = case
    table = Scores(y, scores).averages(thresholds, zero_division=zero_division)
    assert list(table.index) == ["macro", "micro", "weighted", "samples"]
    predicted = said(scores, thresholds)
    for average in table.index:
        for name, expected in averages_of(y, predicted, average, zero_division).items():
            found = table.loc[average, name]
            # Where no class with a rate has support, scikit-learn's weighted mean is a plain one; ours NaN.
            if not (average == "weighted" and np.isnan(zero_division) and np.isnan(found)):
                assert_like(found, expected)
    assert table["support"].tolist() == [y.sum()] * 4
    assert table["predicted"].tolist() == [predicted.sum()] * 4


@varied
@given(labelled(least=2))
def test_a_weighted_average_is_not_known_only_where_no_class_with_a_rate_has_support(case):
    y, scores, thresholds = case
    each, table = (make(thresholds) for make in (Scores(y, scores).metrics, Scores(y, scores).averages))
    for name in RATES:
        nothing = not each["support"][each[name].notna()].any()
        assert np.isnan(table.loc["weighted", name]) == nothing


@varied
@given(labelled(least=2))
def test_specificity_and_accuracy_are_weighted_by_the_support_of_the_class(case):
    y, scores, thresholds = case
    scores = Scores(y, scores)
    each = scores.metrics(thresholds)
    for name in ("specificity", "accuracy"):
        there = each[each[name].notna()]
        if there["support"].any():
            expected = np.average(there[name], weights=there["support"])
            assert_like(scores.averages(thresholds).loc["weighted", name], expected)


@varied
@given(labelled(labels=(0, 1, -1), least=2), st.sampled_from([np.nan, 0]), st.sampled_from(RATES))
def test_unknown_labels_are_no_part_of_any_average(case, zero_division, name):
    y, scores, thresholds = case
    found = Scores(y, scores).averages(thresholds, zero_division=zero_division)[name]
    predicted, known = said(scores, thresholds), y != -1

    def of(t, p, there):
        return by_scikit_learn(name, t[there], p[there], zero_division)

    each = np.array([of(y[:, c], predicted[:, c], known[:, c]) for c in range(y.shape[1])])
    own = np.array([of(y[n], predicted[n], known[n]) for n in range(len(y))])
    assert_like(found["micro"], of(y, predicted, known))
    with quiet():
        assert_like(found["macro"], np.nanmean(each))
        assert_like(found["samples"], np.nanmean(own))


@varied
@given(labelled(labels=(0, 1, -1), least=2), THRESHOLDS)
def test_a_class_without_a_known_label_changes_no_average(case, threshold):
    y, scores, _ = case
    wider = np.column_stack([y, np.full(len(y), np.nan)]), np.column_stack([scores, scores[:, 0]])
    for zero_division in (np.nan, 0):
        before = Scores(y, scores).averages(threshold, zero_division=zero_division)
        after = Scores(*wider).averages(threshold, zero_division=zero_division)
        np.testing.assert_allclose(after.to_numpy(float), before.to_numpy(float), rtol=1e-12)


@varied
@given(labelled(labels=(0, 1, -1), least=2), THRESHOLDS)
def test_a_sample_without_a_known_label_changes_no_average(case, threshold):
    y, scores, _ = case
    longer = np.vstack([y, np.full(y.shape[1], np.nan)]), np.vstack([scores, scores[:1]])
    for zero_division in (np.nan, 0):
        before = Scores(y, scores).averages(threshold, zero_division=zero_division)
        after = Scores(*longer).averages(threshold, zero_division=zero_division)
        np.testing.assert_allclose(after.to_numpy(float), before.to_numpy(float), rtol=1e-12)


def test_the_average_over_samples_is_the_same_over_many_blocks_of_them():
    rng = np.random.default_rng(0)
    y, p = (rng.random((2, 40_000, 3)) < 0.3).astype(int)
    found = Scores(y, p).averages(zero_division=0).loc["samples"]
    with quiet():
        assert found["f1"] == pytest.approx(sk.f1_score(y, p, average="samples", zero_division=0))
        assert found["jaccard"] == pytest.approx(sk.jaccard_score(y, p, average="samples", zero_division=0))


def test_a_sample_may_have_more_labels_than_two_bytes_count():
    labels = np.ones((1, 66_000), np.int8)
    table = count_samples(labels, labels == 1)
    assert table.tolist() == [[[0, 0], [0, 66_000]]]


def test_a_binary_task_has_no_average_over_samples():
    table = Scores([1, 0, 1, 1], [0.9, 0.8, 0.2, 0.7]).averages()
    assert table.loc["samples", RATES].isna().all()
    assert table.loc["macro", "f1"] == table.loc["micro", "f1"] == pytest.approx(2 / 3)


@varied
@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 99), st.sampled_from([0, np.nan]))
def test_without_thresholds_multiclass_is_judged_by_the_likeliest_class(n_classes, n, seed, zero_division):
    rng = np.random.default_rng(seed)
    # One decimal, so that classes tie for the highest.
    y, p = rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n).round(1)
    scores, numbers, guess = Scores(y, p), range(n_classes), p.argmax(axis=1)
    np.testing.assert_array_equal(
        scores.confusion(None), sk.multilabel_confusion_matrix(y, guess, labels=numbers)
    )
    averages = scores.averages(None, zero_division=zero_division)
    with quiet():
        options = {"labels": numbers, "zero_division": zero_division}
        each = sk.precision_recall_fscore_support(y, guess, average=None, **options)
        for average in ("macro", "micro", "weighted"):
            theirs = sk.precision_recall_fscore_support(y, guess, average=average, **options)[:3]
            weighed = average == "weighted" and np.isnan(zero_division)
            for name, value, values in zip(("precision", "recall", "f1"), theirs, each):
                if not (weighed and not np.nansum(~np.isnan(values) * each[3])):
                    assert averages.loc[average, name] == pytest.approx(value, nan_ok=True, abs=1e-12)
    assert averages.loc["micro", "recall"] == pytest.approx(sk.accuracy_score(y, guess))
    assert averages.loc["samples", "recall"] == pytest.approx(sk.accuracy_score(y, guess))


def test_the_likeliest_class_of_an_unknown_sample_counts_nowhere():
    rng = np.random.default_rng(0)
    y, p = rng.integers(-1, 3, 50), rng.dirichlet(np.ones(3), 50)
    found, known = Scores(y, p), Scores(y[y >= 0], p[y >= 0])
    np.testing.assert_array_equal(found.confusion(None), known.confusion(None))
    assert found.averages(None).equals(known.averages(None))
    assert found.exact_match(None) == known.exact_match(None)


@varied
@given(labelled(labels=(0, 1, -1), least=2))
def test_the_exact_match_is_scikit_learns_accuracy_of_whole_samples(case):
    y, scores, thresholds = case
    predicted, known = said(scores, thresholds), y != -1
    found = Scores(y, scores).exact_match(thresholds)
    whole = known.all(axis=1)
    expected = sk.accuracy_score(y[whole], predicted[whole]) if whole.any() else np.nan
    assert found == pytest.approx(expected, nan_ok=True)


def test_labels_that_are_hidden_at_random_leave_the_exact_match_where_it_was():
    random = np.random.default_rng(0)
    y = (random.random((20_000, 3)) < 0.4).astype(int)
    scores = np.clip(0.5 * y + 0.7 * random.random(y.shape), 0, 1)
    hidden = np.where(random.random(y.shape) < 0.3, -1, y)
    every, some = Scores(y, scores), Scores(hidden, scores)
    assert some.exact_match(0.6) == pytest.approx(every.exact_match(0.6), abs=0.02)
    shares = [one.mistaken_sets(0.6)["share"] for one in (every, some)]
    assert shares[1].sum() == pytest.approx(shares[0].sum(), abs=0.02)


def test_without_thresholds_other_tasks_are_judged_at_one_half():
    y, p = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[0.5, 0.4], [0.6, 0.9], [0.1, 0.5]])
    np.testing.assert_array_equal(Scores(y, p).confusion(None), Scores(y, p).confusion(0.5))
    np.testing.assert_array_equal(
        Scores(y[:, 0], p[:, 0]).confusion(None), Scores(y[:, 0], p[:, 0]).confusion()
    )


@varied
@given(labelled(labels=(0, 1, -1)))
def test_predictions_are_what_the_confusion_counts(case):
    y, scores, thresholds = case
    ours = Scores(y, scores)
    np.testing.assert_array_equal(ours.predictions(thresholds), said(scores, thresholds))


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32])
def test_rates_of_billions_of_samples_do_not_overflow(dtype):
    table = np.array([[2_000_000_000, 30_000_000], [10_000_000, 900_000_000]]).astype(dtype)
    tn, fp, fn, tp = (int(n) for n in table.ravel())
    exact = (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)) ** 0.5
    assert compute_rate("matthews", table) == pytest.approx(exact, rel=1e-12)
    assert compute_rate("f1", table) == pytest.approx(2 * tp / (2 * tp + fp + fn), rel=1e-12)
    assert compute_rate("fbeta", table, beta=2) == pytest.approx(5 * tp / (5 * tp + 4 * fn + fp), rel=1e-12)


@given(st.lists(st.integers(0, 10**9), min_size=4, max_size=4))
def test_every_rate_lies_in_its_range_and_matthews_is_1_only_without_mistakes(cells):
    table = np.array(cells).reshape(2, 2)
    found = compute_rates(table, beta=0.5)
    for name, value in found.items():
        assert np.isnan(value) or METRICS[name].lowest <= value <= 1
    perfect = compute_rates(np.diag(table.diagonal()))
    if table.diagonal().all():
        assert perfect["matthews"] == 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"beta": -1}, "beta is -1"),
        ({"beta": "2"}, "beta is '2'"),
        ({"beta": np.nan}, "beta is nan"),
        ({"interval": "normal"}, "no interval 'normal'.*'wilson' or 'bootstrap'"),
        ({"interval": "wilson", "level": 95}, "level is 95: .*0.95"),
        ({"zero_division": "warn"}, "zero_division is 'warn'"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_a_sentence(options, sentence):
    scores = Scores([[0, 1], [1, 0]], [[0.2, 0.7], [0.8, 0.1]])
    for table in (scores.metrics, scores.averages):
        with pytest.raises(ValueError, match=sentence):
            table(**options)


def test_a_metric_is_one_entry_of_the_table(monkeypatch):
    toy = Metric("markedness", "Markedness", "(tp * tn - fp * fn) / ((tp + fp) * (tn + fn))", lowest=-1.0)
    monkeypatch.setitem(METRICS, toy.name, toy)
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, (200, 3)), rng.random((200, 3))
    scores = Scores(y, p)
    found, by_class = scores.metrics(interval="bootstrap"), []
    for (tn, fp), (fn, tp) in scores.confusion():
        by_class.append(tp / (tp + fp) + tn / (tn + fn) - 1)
    assert_like(found["markedness"], by_class)
    assert (found["markedness_low"] < found["markedness"]).all()
    assert scores.averages().loc["macro", "markedness"] == pytest.approx(np.mean(by_class))
    best = scores.best_thresholds("markedness")
    assert (best.chosen >= np.array(by_class)).all()


def test_the_best_threshold_of_a_metric_that_is_better_low_is_where_it_is_lowest(monkeypatch):
    missed = Metric("miss_rate", "misses", "fn / (tp + fn)", higher_is_better=False)
    monkeypatch.setitem(METRICS, missed.name, missed)
    scores = Scores([0, 1, 1, 0], [0.1, 0.2, 0.9, 0.8])
    assert scores.best_thresholds("miss_rate").chosen.tolist() == [0]


@pytest.mark.parametrize("formula", ["tp ** 2", "__import__('os')", "tp if fp else fn", "tp.real", "'tp'"])
def test_a_formula_is_arithmetic_of_counts_and_nothing_else(formula):
    with pytest.raises(ValueError, match="A formula is made of counts"):
        parse_formula(formula)


@pytest.mark.parametrize(
    ("name", "less"),
    [
        ("valid_loss", True), ("valid_loss_box", True), ("mean_absolute_error", True), ("perplexity", True),
        ("map50", False), ("macro_f1", False),
    ],
)  # fmt: skip
def test_of_some_figures_less_is_better(name, less):
    assert less_is_better(name) is less
