"""Best thresholds against brute force by scikit-learn, and what they say of samples held out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest, norm
from sklearn import metrics as sk
from sklearn.linear_model import LinearRegression

from dlwidgets.core.scoring.metrics import METRICS as TABLE
from dlwidgets.core.scoring.metrics import compute_rate
from dlwidgets.core.scoring.scores import Scores
from dlwidgets.teaching import yeast
from tests.core.scoring.scored import told

varied = settings(deadline=None, max_examples=80)

# Few distinct values, so that ties are common; some outside 0..1.
SCORES = st.one_of(
    st.sampled_from([0.0, -0.0, 0.1, 0.3, 0.5, 0.7, 1.0, -2.5, 40.0]), st.floats(-5, 5, width=16)
)


@st.composite
def one_class(draw, least_positives=1):
    """Draw N labels (1, 0, -1), at least so many of them positive, and N scores."""
    n = draw(st.integers(max(least_positives, 1), 16))
    y = draw(hnp.arrays(np.int64, n, elements=st.sampled_from((0, 1, -1))))
    y[:least_positives] = 1
    assume(told(y))
    scores = draw(hnp.arrays(np.float64, n, elements=SCORES))
    return y, scores.astype(draw(st.sampled_from((np.float32, np.float64))))


def by_scikit_learn(metric, t, p):
    """Return a metric of predictions `p` against the truth `t`, NaN where it is not defined."""
    if metric == "accuracy":
        return sk.accuracy_score(t, p)
    if metric == "specificity":
        return sk.recall_score(1 - t, 1 - p, zero_division=np.nan)
    if metric == "f2":
        return sk.fbeta_score(t, p, beta=2, zero_division=np.nan)
    if metric == "matthews":
        degenerate = len(set(t)) < 2 or len(set(p)) < 2
        return np.nan if degenerate else sk.matthews_corrcoef(t, p)
    if metric == "jaccard":
        return sk.jaccard_score(t, p, zero_division=0) if (t | p).any() else np.nan
    if metric == "youden":
        if len(set(t)) < 2:
            return np.nan
        return sk.balanced_accuracy_score(t, p, adjusted=True)
    return getattr(sk, f"{metric}_score")(t, p, zero_division=np.nan)


METRICS = ("f1", "f2", "youden", "accuracy", "matthews", "jaccard", "precision", "recall", "specificity")


def tried(y, scores, metric):
    """Return every cut of the known samples, highest first, and the metric there."""
    t, s = y[y >= 0], scores.astype(np.float64)[y >= 0]
    cuts = [s.max() + 1, *np.unique(s)[::-1]]
    return cuts, np.array([by_scikit_learn(metric, t, (s >= cut).astype(int)) for cut in cuts])


def at(y, scores, metric, threshold):
    """Return the metric of the known samples at a threshold."""
    t, s = y[y >= 0], scores.astype(np.float64)[y >= 0]
    return by_scikit_learn(metric, t, (s >= threshold).astype(int))


@varied
@example((np.array([1, 0, 0, 0, 1]), np.array([0, 0.3, 0.1, 0.1, 0.1])), "matthews")
@given(one_class(), st.sampled_from(METRICS))
def test_no_cut_beats_the_best_threshold_and_every_higher_cut_is_worse(case, metric):
    y, scores = case
    best = Scores(y, scores).best_thresholds(metric)
    cuts, values = tried(y, scores, metric)
    if np.isnan(values).all():
        assert best[0] == 0.5 and np.isnan(best.chosen[0])
        return
    assert at(y, scores, metric, best[0]) == pytest.approx(np.nanmax(values), abs=1e-9)
    assert best.chosen[0] == pytest.approx(np.nanmax(values), abs=1e-9)
    said = scores[y >= 0].astype(np.float64)
    own = min(said[said >= best[0]], default=np.inf)
    higher = values[[cut > own and cut <= said.max() for cut in cuts]]
    # F-beta and Matthews are rounded, which may part equal values.
    assert not (higher > np.nanmax(values) - 1e-12).any() or metric in ("f2", "matthews")


@varied
@given(one_class(), st.floats(0.01, 1))
def test_precision_at_a_recall_is_that_of_scikit_learns_curve(case, least):
    y, scores = case
    found = Scores(y, scores).best_thresholds("precision", f"recall >= {least!r}")
    known = y >= 0
    precision, recall, _ = sk.precision_recall_curve(y[known], scores[known])
    assert found.chosen[0] == pytest.approx(precision[recall >= least].max())
    assert found.bounded[0] >= least and found.met[0]


@varied
@given(
    one_class(),
    st.sampled_from(METRICS),
    st.sampled_from(("recall", "precision", "specificity")),
    st.floats(0, 1),
)
def test_under_a_bound_no_cut_that_keeps_it_is_better(case, metric, bounded, least):
    y, scores = case
    best = Scores(y, scores).best_thresholds(metric, (bounded, least))
    _, values = tried(y, scores, metric)
    _, others = tried(y, scores, bounded)
    allowed = (others >= least) & ~np.isnan(values)
    if allowed.any():
        assert best.met[0]
        assert at(y, scores, bounded, best[0]) >= least
        assert best.chosen[0] == pytest.approx(values[allowed].max(), abs=1e-9)
    elif not np.isnan(others).all() and not np.isnan(values[others == np.nanmax(others)]).all():
        assert not best.met[0]
        assert best.bounded[0] == pytest.approx(np.nanmax(others))
        assert "at no threshold" in " ".join(best.warnings)


def halves(classes=5, samples=300, seed=0, dtype=np.float32):
    """Return labels with some unknown, scores that know a little, and which classes are rare."""
    random = np.random.default_rng(seed)
    y = (random.random((samples, classes)) < np.linspace(0.02, 0.6, classes)).astype(int)
    scores = (random.normal(size=y.shape) + y).astype(dtype)
    y[random.random(y.shape) < 0.1] = -1
    return y, scores


@pytest.mark.parametrize("metric", METRICS)
def test_the_reported_value_is_scikit_learns_on_the_held_out_samples(metric):
    y, scores = halves()
    best = Scores(y, scores).best_thresholds(metric, holdout=0.4)
    for c in range(y.shape[1]):
        for part, value in ((~best.held_out[:, c], best.chosen[c]), (best.held_out[:, c], best.reported[c])):
            expected = at(np.where(part, y[:, c], -1), scores[:, c], metric, best[c])
            np.testing.assert_allclose(value, expected, atol=1e-9)


def test_the_held_out_samples_take_no_part_in_choosing():
    y, scores = halves()
    best = Scores(y, scores).best_thresholds("f1", holdout=0.5)
    other = np.where(best.held_out, np.random.default_rng(1).permutation(scores), scores)
    again = Scores(y, other).best_thresholds("f1", holdout=0.5)
    np.testing.assert_array_equal(again, best)
    assert not np.array_equal(again.reported, best.reported)
    np.testing.assert_array_equal(Scores(np.where(best.held_out, -1, y), scores).best_thresholds("f1"), best)


@pytest.mark.parametrize("holdout", [0.2, 0.5, 0.9])
def test_each_class_is_divided_with_its_share_of_positives_and_negatives(holdout):
    y, scores = halves()
    held = Scores(y, scores).best_thresholds(holdout=holdout).held_out
    for kind in (0, 1):
        count = (y == kind).sum(axis=0)
        share = (held & (y == kind)).sum(axis=0)
        assert (np.abs(share - holdout * count) <= 1).all()
        assert (share[count > 1] >= 1).all() and (share[count > 1] < count[count > 1]).all()
    assert not held[y == -1].any()


def test_the_seed_decides_the_division_and_the_global_random_numbers_do_not():
    scores = Scores(*halves())
    np.random.seed(0)
    first, before = scores.best_thresholds(holdout=0.5), np.random.get_state()[1].copy()
    np.random.seed(1)
    same, other = scores.best_thresholds(holdout=0.5), scores.best_thresholds(holdout=0.5, seed=1)
    np.testing.assert_array_equal(first.held_out, same.held_out)
    assert (first.held_out != other.held_out).any()
    assert first.to_frame().equals(same.to_frame())
    np.random.seed(0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("metric", "hits", "of"),
    [
        ("recall", lambda t, p: (t & p).sum(), lambda t, p: t.sum()),
        ("precision", lambda t, p: (t & p).sum(), lambda t, p: p.sum()),
        ("specificity", lambda t, p: (~t & ~p).sum(), lambda t, p: (~t).sum()),
        ("accuracy", lambda t, p: (t == p).sum(), lambda t, p: len(t)),
    ],
)
def test_the_interval_of_a_share_is_scipys_wilson_interval(metric, hits, of):
    y, scores = halves()
    best = Scores(y, scores).best_thresholds(metric, holdout=0.5)
    for c in range(y.shape[1]):
        out = best.held_out[:, c]
        t, p = y[out, c] == 1, scores[out, c].astype(np.float64) >= best[c]
        if of(t, p):
            expected = binomtest(int(hits(t, p)), int(of(t, p))).proportion_ci(0.95, method="wilson")
            assert (best.low[c], best.high[c]) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize("metric", ["youden", "matthews"])
def test_on_noise_the_chosen_value_flatters_and_the_reported_one_does_not(metric):
    random = np.random.default_rng(0)
    y, scores = (random.random((120, 400)) < 0.2).astype(int), random.random((120, 400))
    best = Scores(y, scores).best_thresholds(metric, holdout=0.5)
    known = ~np.isnan(best.reported)
    assert np.mean(best.chosen) > 0.15
    assert abs(np.mean(best.reported[known])) < 4 * np.std(best.reported[known]) / np.sqrt(known.sum())
    # The truth is 0 at every threshold.
    inside = (best.low[known] <= 0) & (best.high[known] >= 0)
    assert 0.92 <= inside.mean() <= 1


@pytest.mark.parametrize("metric", ["f1", "f2", "youden", "matthews", "jaccard"])
def test_the_interval_holds_the_value_and_has_a_width_even_where_nothing_is_found(metric):
    y, scores = np.array([1, 0] * 40), np.array([0.9, 0.1] * 40)
    best = Scores(np.stack([y, y[::-1]], 1), np.stack([scores, np.tile([0.5, 0.4], 40)], 1)).best_thresholds(
        metric, holdout=0.5
    )
    assert (best.low <= best.reported).all() and (best.reported <= best.high).all()
    assert (best.high - best.low > 0.01).all()


def test_without_a_holdout_it_says_that_it_flatters_itself():
    best = Scores(*halves()).best_thresholds()
    assert best.chosen_on == best.reported_on == 300 and best.held_out is None
    np.testing.assert_array_equal(best.chosen, best.reported)
    assert np.isnan(best.low).all()
    assert any("same samples" in line and "holdout=0.5" in line for line in best.warnings)


def test_with_a_holdout_the_two_parts_make_the_whole():
    best = Scores(*halves()).best_thresholds(holdout=0.3)
    assert (best.chosen_on, best.reported_on) == (210, 90)
    assert not any("same samples" in line for line in best.warnings)


def test_classes_with_few_positives_are_named_with_their_number_and_why():
    y = np.zeros((400, 3), int)
    y[:100, 0], y[:7, 1] = 1, 1
    best = Scores(y, np.random.default_rng(0).random(y.shape), ["edema", "hernia", "mass"]).best_thresholds()
    few = next(line for line in best.warnings if line.startswith("Few"))
    assert "'hernia' (7)" in few and "edema" not in few
    # Why: what 20 positives tell of a recall of one half, as scipy has it.
    interval = binomtest(10, 20).proportion_ci(0.95, method="wilson")
    assert f"{interval.low:.2f} ... {interval.high:.2f}" in few
    none = next(line for line in best.warnings if line.startswith("No positives"))
    assert "'mass'" in none and best["mass"] == 0.5
    assert best.positives.tolist() == [100, 7, 0]


def test_many_classes_with_few_positives_make_one_sentence():
    y = np.zeros((50, 200), int)
    y[:3] = 1
    best = Scores(y, np.random.default_rng(0).random(y.shape)).best_thresholds()
    assert len(best.warnings) == 2 and "194 more classes" in best.warnings[1]


def test_a_class_without_negatives_is_named():
    best = Scores([1, 1, 1], [0.2, 0.3, 0.4], ["always"]).best_thresholds("accuracy")
    assert best[0] == 0.1
    assert any("No negatives" in line and "'always'" in line for line in best.warnings)


def test_it_stands_for_an_array_of_thresholds():
    scores = Scores(*halves(), classes=list("abcde"))
    best = scores.best_thresholds()
    array = np.asarray(best)
    assert array.dtype == np.float64 and array.shape == (5,) and len(best) == 5
    assert list(best) == array.tolist() == best.values.tolist()
    assert best["b"] == best[1] == array[1] and best[-1] == array[-1]
    np.testing.assert_array_equal(best[1:3], array[1:3])
    np.testing.assert_array_equal(scores.confusion(best), scores.confusion(array))
    assert np.asarray(best, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        best.values[0] = 1


def test_the_frame_has_a_row_a_class_and_what_the_bound_reached():
    best = Scores(*halves(), classes=list("abcde")).best_thresholds("f1", "recall ≥ 0.8", holdout=0.5)
    frame = best.to_frame()
    assert frame.index.tolist() == list("abcde") and frame.index.name == "class"
    assert frame.columns.tolist() == [
        "threshold", "chosen", "reported", "reported_low", "reported_high", "positives",
        "recall_chosen", "recall_reported", "chance", "met",
    ]  # fmt: skip
    assert (frame["recall_chosen"] >= 0.8).all() and frame["met"].all()
    np.testing.assert_array_equal(frame["threshold"], best)


def test_a_bound_that_is_kept_only_where_it_was_chosen_is_told_with_what_was_reached():
    best = Scores(*halves()).best_thresholds("precision", "recall >= 0.9", holdout=0.5)
    lost = best.met & (best.bounded_reported < 0.9)
    assert lost.any() and not lost.all()
    told = next(line for line in best.warnings if "missed on the other samples" in line)
    for c in range(5):
        assert (f"'class {c}' ({best.bounded_reported[c]:.2f})" in told) == lost[c]


def test_on_yeast_the_best_f1_is_that_of_scikit_learns_curves():
    pytest.importorskip("river", minversion="0.26")
    data = yeast()
    (X, y), (Xv, yv) = data.train, data.valid
    scores = np.clip(LinearRegression().fit(X, y).predict(Xv), 0, 1)
    best = Scores(yv, scores, data.classes).best_thresholds("f1")
    for c in range(14):
        precision, recall, _ = sk.precision_recall_curve(yv[:, c], scores[:, c])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert best.chosen[c] == pytest.approx(f1.max())
        assert sk.f1_score(yv[:, c], scores[:, c] >= best[c]) == pytest.approx(f1.max())


def test_without_a_copy_the_array_is_the_values_themselves():
    best = Scores([1, 0], [0.3, 0.2]).best_thresholds()
    assert best.__array__(copy=False) is best.values and best.__array__() is not best.values
    with pytest.raises(ValueError, match="without a copy"):
        best.__array__(np.dtype(np.float32), copy=False)


@pytest.mark.parametrize(
    "given",
    ["recall >= 0.9", "recall>=.9", "Recall ≥ 90 %", "sensitivity >= 0.9", "tpr => 90%", ("recall", 0.9),
     ["recall", ">=", "0.9"], ("recall", "≥", np.float32(0.9).astype(float).round(6))],
)  # fmt: skip
def test_a_bound_is_read_as_people_write_it(given):
    assert Scores([1, 0], [0.3, 0.2]).best_thresholds("precision", given).constraint == "recall >= 0.9"


def test_a_strict_bound_is_strict():
    y, scores = [1, 1, 0, 0], [0.9, 0.5, 0.4, 0.1]
    assert Scores(y, scores).best_thresholds("specificity", "recall >= 0.5")[0] == 0.7
    assert Scores(y, scores).best_thresholds("specificity", "recall > 0.5")[0] == 0.45


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("recal >= 0.9", ValueError, "no metric 'recal'.*mean 'recall'"),
        ("recall <= 0.9", ValueError, "not a lower bound"),
        ("recall >= 90", ValueError, "outside 0 ... 1"),
        ("recall >= x", ValueError, "no number"),
        ("recall", ValueError, "not understood.*'recall >= 0.9'"),
        (0.9, TypeError, r"\('recall', 0.9\)"),
        (("recall", True), TypeError, "no number"),
        ("f2 >= 0.3", ValueError, "'f2' is not known"),
    ],
)
def test_a_bound_that_is_none_is_refused_in_a_sentence(given, error, words):
    with pytest.raises(error, match=words):
        Scores([1, 0], [0.3, 0.2]).best_thresholds("f1", given)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"metric": "sensitivty"}, ValueError, "mean 'sensitivity'"),
        ({"metric": 1}, TypeError, "named by a text"),
        ({"metric": "f1", "beta": 2}, ValueError, "metric='fbeta'"),
        ({"metric": "fbeta", "beta": 0}, ValueError, "above 0"),
        ({"metric": "fbeta", "beta": "x"}, TypeError, "above 0"),
        ({"holdout": 1}, ValueError, "share of the samples"),
        ({"holdout": True}, TypeError, "share of the samples"),
        ({"holdout": 0.5, "seed": 0.5}, TypeError, "whole number"),
    ],
)
def test_an_option_that_is_none_is_refused_in_a_sentence(options, error, words):
    with pytest.raises(error, match=words):
        Scores([1, 0], [0.3, 0.2]).best_thresholds(**options)


@pytest.mark.parametrize(("given", "beta"), [("f2", 2.0), ("f0.5", 0.5), ("F-Beta", 1.0)])
def test_f_with_a_number_is_f_beta(given, beta):
    best = Scores(*halves()).best_thresholds(given)
    assert (best.metric, best.beta) == ("fbeta", beta)
    np.testing.assert_array_equal(best, Scores(*halves()).best_thresholds("fbeta", beta=beta))


def test_multiclass_chooses_each_class_against_the_rest():
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 200)
    scores = random.dirichlet(np.ones(3), 200) + 0.3 * np.eye(3)[y]
    best, each = Scores(y, scores).best_thresholds("youden"), []
    for c in range(3):
        fpr, tpr, cut = sk.roc_curve(y == c, scores[:, c], drop_intermediate=False)
        each.append(cut[np.argmax(tpr - fpr)])
    np.testing.assert_array_equal(scores >= np.asarray(best), scores >= np.array(each))


def test_infinite_scores_are_scores_like_others():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        best = Scores([1, 0, 1, 0], [np.inf, -np.inf, 0.5, 0.1]).best_thresholds("f1", holdout=None)
    assert best[0] == 0.3


def test_it_prints_its_table_and_its_warnings_as_text():
    best = Scores([1, 0, 1], [0.8, 0.5, 0.2], ["<b>"]).best_thresholds("f2", "precision >= 0.1")
    assert "best f2 with precision >= 0.1" in repr(best) and "Few positives" in repr(best)
    assert "<b>" not in best._repr_html_() and "&lt;b&gt;" in best._repr_html_()


@varied
@given(one_class(), st.sampled_from(METRICS))
def test_a_threshold_lies_on_no_score_but_where_two_have_none_between_them(case, metric):
    y, scores = case
    best, known = Scores(y, scores).best_thresholds(metric)[0], np.unique(scores[y >= 0].astype(np.float64))
    if best in known:
        below = known[known < best]
        assert best == 0.5 or not len(below) or np.nextafter(best, -np.inf) == below[-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("low", [0.7, 1e-30, -20.0, 3e38])
def test_between_neighbouring_floats_a_threshold_parts_the_two(dtype, low):
    low = dtype(low)
    high = np.nextafter(low, dtype(np.inf))
    best = Scores([0, 1], np.array([low, high], dtype)).best_thresholds("f1")
    assert best.chosen[0] == 1 and float(low) < best[0] <= float(high)


def test_the_outermost_thresholds_of_probabilities_stay_probabilities():
    scores = Scores(np.array([[1, 0], [1, 0], [0, 1]]), np.array([[0.4, 0.4], [0.6, 0.9], [0.3, 0.2]]))
    # To predict all, and to predict nothing.
    assert scores.best_thresholds("recall", "recall >= 1")[1] == 0.1
    assert scores.best_thresholds("specificity")[1] == pytest.approx(0.95)
    logits = Scores([1, 0, 1], [-5.0, -3.0, 4.0])
    assert logits.best_thresholds("f1", "recall >= 1")[0] == -6.0


@pytest.mark.parametrize("given", [["c"], [2], "c", 2, np.array([2])])
def test_thresholds_of_some_classes_are_those_of_all_and_no_other_is_computed(given):
    scores = Scores(*halves(), classes=list("abcde"))
    some, every = (scores.best_thresholds("f1", holdout=0.5, classes=which) for which in (given, None))
    assert some["c"] == some[2] == every["c"] and some.low[2] == every.low[2]
    assert some.to_frame().equals(every.to_frame().loc[["c"]])
    assert np.delete(some.values, 2).tolist() == [0.5] * 4 and np.isnan(np.delete(some.chosen, 2)).all()
    assert len(scores.confusion(some)) == 5


def test_a_class_that_is_none_is_refused():
    scores = Scores(*halves(), classes=list("abcde"))
    with pytest.raises(ValueError, match="no class 'f'"):
        scores.best_thresholds(classes=["a", "f"])
    with pytest.raises(ValueError, match="classes is empty"):
        scores.best_thresholds(classes=[])


def test_every_metric_falls_with_each_false_alarm():
    # Cuts just below a positive are then all that need to be tried.
    tp, fp = np.meshgrid(np.arange(8), np.arange(13), indexing="ij")
    tables = np.stack([12 - fp, fp, 7 - tp, tp], axis=-1).reshape(8, 13, 2, 2)
    for name, metric in TABLE.items():
        if not metric.count:
            steps = np.diff(compute_rate(name, tables, 2.0), axis=1) * (1 if metric.higher_is_better else -1)
            assert not (steps > 1e-12).any(), name


# -- bounds that hold with a confidence


def rare(samples, classes, share, seed):
    """Return labels and scores of classes that are apart by 1.5 standard deviations."""
    random = np.random.default_rng(seed)
    y = (random.random((samples, classes)) < share).astype(int)
    return y, random.normal(size=y.shape) + 1.5 * y


def true_rate(name, thresholds, share):
    """Return recall or precision of `rare` at thresholds, by the normal distribution."""
    recall, alarms = norm.sf(thresholds - 1.5), norm.sf(thresholds)
    return recall if name == "recall" else share * recall / (share * recall + (1 - share) * alarms)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("constraint", "share", "samples"),
    [("recall >= 0.9", 0.2, 300), ("recall >= 0.5", 0.05, 400), ("recall >= 0.1", 0.02, 300),
     ("precision >= 0.5", 0.2, 400), ("precision >= 0.2", 0.1, 300)],
)  # fmt: skip
def test_a_bound_with_confidence_is_broken_no_oftener_than_said(constraint, share, samples):
    name, _, least = constraint.split()
    other = "precision" if name == "recall" else "recall"
    best = Scores(*rare(samples, 1500, share, 1)).best_thresholds(other, constraint, confidence=0.95)
    broken = best.met & (true_rate(name, best.values, share) < float(least))
    assert best.met.mean() > 0.3 and broken.mean() <= 0.05
    # Without a confidence it is broken in about half.
    plain = Scores(*rare(samples, 1500, share, 1)).best_thresholds(other, constraint)
    assert (true_rate(name, plain.values, share) < float(least)).mean() > 0.3


@pytest.mark.parametrize(("precision", "samples"), [(0.49, 400), (0.69, 300), (0.89, 1000)])
def test_a_precision_bound_holds_though_the_luckiest_of_many_cuts_is_taken(precision, samples):
    # Among the upper half of the scores the precision is the same at each cut, just too low.
    random = np.random.default_rng(0)
    score = random.random((samples, 500))
    y = (random.random(score.shape) < np.where(score > 0.5, precision, 0.02)).astype(int)
    best = Scores(y, score).best_thresholds("recall", f"precision >= {precision + 0.01}", confidence=0.95)
    assert best.met.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500)
    # One that is well kept is found all the same.
    y = (random.random(score.shape) < np.where(score > 0.5, (1 + 2 * precision) / 3, 0.02)).astype(int)
    best = Scores(y, score).best_thresholds("recall", f"precision >= {precision + 0.01}", confidence=0.95)
    assert best.met.mean() > 0.5


def test_the_lower_end_of_wilsons_interval_keeps_the_bound():
    y, scores = rare(600, 20, 0.3, 2)
    best = Scores(y, scores).best_thresholds("specificity", "recall >= 0.9", confidence=0.9)
    for c in np.flatnonzero(best.met):
        hits, of = int(((scores[:, c] >= best[c]) & (y[:, c] == 1)).sum()), int(y[:, c].sum())
        ends = [binomtest(k, of).proportion_ci(0.9, method="wilson").low for k in (hits, hits - 1)]
        assert ends[0] >= 0.9 > ends[1]
    assert best.met.all() and best.constraint == "recall >= 0.9 with 0.9 confidence"


def test_the_chance_of_a_recall_is_how_often_it_truly_holds():
    best = Scores(*rare(200, 4000, 0.3, 3)).best_thresholds("precision", "recall >= 0.8")
    held = true_rate("recall", best.values, 0.3) >= 0.8
    assert best.chance.mean() == pytest.approx(held.mean(), abs=4 * np.sqrt(0.25 / 4000))


def test_a_bound_that_cannot_be_sure_says_what_it_would_take():
    y, scores = np.repeat([1, 0], [12, 100]), np.linspace(1, 0, 112)
    best = Scores(y, scores, ["hernia"]).best_thresholds("precision", "recall >= 0.9", confidence=0.95)
    assert not best.met[0] and best.bounded[0] == 1
    told = next(line for line in best.warnings if "reached at no threshold" in line)
    needed = next(n for n in range(1, 99) if binomtest(n, n).proportion_ci(0.95, method="wilson").low >= 0.9)
    assert f"takes {needed} positives" in told and "0.95 confidence" in told


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"confidence": 0.95}, "give one, as constraint="),
        ({"confidence": 95, "constraint": "recall >= 0.9"}, "as 0.95"),
        ({"confidence": True, "constraint": "recall >= 0.9"}, "as 0.95"),
        ({"confidence": 0.95, "constraint": "matthews >= 0.9"}, "no confidence in a bound of matthews"),
    ],
)
def test_a_confidence_that_is_none_is_refused_in_a_sentence(options, words):
    with pytest.raises(ValueError, match=words):
        Scores([1, 0], [0.3, 0.2]).best_thresholds(**options)
