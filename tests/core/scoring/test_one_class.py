"""What a page is told of one class, against scikit-learn and counting by hand; samples by quadrant."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from dlwidgets.core.scoring.one_class import (
    count_instead,
    find_mistaken_sets,
    find_quadrant_rows,
    find_telling_columns,
    sample_curve,
    summarize_class,
)
from dlwidgets.core.scoring.scores import Scores


def labelled(n=400, classes=4, seed=0, steps=None):
    """Return labels and scores; `steps` rounds the scores so that many are equal."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < 0.3).astype(int)
    p = np.clip(0.35 * y + 0.75 * rng.random((n, classes)), 0, 1)
    return y, p if steps is None else np.round(p * steps) / steps


# -- the samples of a quadrant


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(0, 10_000), st.integers(0, 20), st.integers(0, 3))
def test_the_four_quadrants_hold_each_known_sample_once_the_most_confident_first(n, seed, cut, cell):
    y, p = labelled(n, 2, seed, steps=20)
    y = y.astype(float)
    y[:: max(1, n // 3), 0] = np.nan
    scores = Scores(y, p)
    threshold = cut / 20
    found, total = find_quadrant_rows(scores, 0, cell, threshold)
    wanted = [r for r in range(n) if y[r, 0] == cell // 2 and (p[r, 0] >= threshold) == bool(cell % 2)]
    # Python's sort is stable: equal scores keep the order of the rows.
    assert found.tolist() == sorted(wanted, key=lambda r: -p[r, 0] if cell % 2 else p[r, 0])
    assert total == scores.confusion(threshold)[0].ravel()[cell]


@given(st.integers(0, 50), st.integers(1, 30))
@settings(deadline=None, max_examples=40)
def test_a_page_of_a_quadrant_is_a_piece_of_the_whole_list(first, count):
    scores = Scores(*labelled(300, 2, steps=10))
    whole, total = find_quadrant_rows(scores, 1, 1, 0.4)
    page, again = find_quadrant_rows(scores, 1, 1, 0.4, first, count)
    assert page.tolist() == whole[first : first + count].tolist() and again == total


def test_the_likeliest_class_is_said_of_a_multiclass_sample_where_no_threshold_is_given():
    rng = np.random.default_rng(1)
    y, p = rng.integers(0, 3, 80), rng.random((80, 3))
    missed, _ = find_quadrant_rows(Scores(y, p), 2, 2, None)
    assert set(missed.tolist()) == set(np.flatnonzero((y == 2) & (p.argmax(1) != 2)).tolist())


def test_the_telling_columns_are_those_whose_means_lie_furthest_apart():
    rng = np.random.default_rng(0)
    yes, no = rng.normal(size=(60, 5)), rng.normal(size=(80, 5))
    yes[:, 3] += 4
    yes[:, 1] -= 2
    no[:5, 3] = np.nan
    yes[:, 4] *= 1000  # far apart in its own unit alone
    assert find_telling_columns(yes, no, 2) == [3, 1]


def test_a_column_that_tells_all_comes_first_and_one_without_numbers_last():
    yes = np.array([[0.0, 1.0, np.nan], [1.0, 1.0, np.nan]])
    no = np.array([[0.5, 0.0, np.nan], [1.5, 0.0, np.nan]])
    assert find_telling_columns(yes, no, 3) == [1, 0, 2]


# -- the curves


@pytest.mark.parametrize("sharpness", [1, 40])
def test_the_points_of_a_curve_are_scikit_learns_and_the_curve_through_them_is_the_whole_one(sharpness):
    rng = np.random.default_rng(3)
    y = (rng.random(20_000) < 0.1).astype(int)
    logits = rng.normal(size=20_000) + 2 * y - 2
    scores = Scores(y, 1 / (1 + np.exp(-sharpness * logits)), ["sick"])
    curve = sample_curve(scores, 0)
    p = scores.y_score[:, 0]
    assert len(curve) <= 500 and (np.diff(curve[:, 0]) < 0).all()
    for cut, tp, fp in curve[::7]:
        assert (tp, fp) == (((p >= cut) & (y == 1)).sum(), ((p >= cut) & (y == 0)).sum())
    fpr, tpr, _ = roc_curve(y, p)
    across, up = np.append(0, curve[:, 2] / (y == 0).sum()), np.append(0, curve[:, 1] / y.sum())
    # Both rise: along their sum no point is passed twice, though the curve runs straight up in places.
    assert np.abs(np.interp(fpr + tpr, across + up, up) - tpr).max() < 0.006
    precision, recall, _ = precision_recall_curve(y, p)
    ours = np.append(0, curve[:, 1] / y.sum()), np.append(1, curve[:, 1] / (curve[:, 1] + curve[:, 2]))
    late = recall > 0.05
    assert np.abs(np.interp(recall[late], *ours) - precision[late]).max() < 0.03


def test_a_small_class_keeps_every_point_of_its_curve():
    y, p = labelled(90, 2)
    curve = sample_curve(Scores(y, p), 1)
    fpr, tpr, cuts = roc_curve(y[:, 1], p[:, 1], drop_intermediate=False)
    np.testing.assert_array_equal(curve[:, 0], cuts[1:])
    np.testing.assert_allclose(curve[:, 1] / y[:, 1].sum(), tpr[1:])


def test_the_numbers_of_a_class_are_scikit_learns():
    y, p = labelled()
    found = summarize_class(Scores(y, p), 2)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(y[:, 2], p[:, 2]))
    assert found["average_precision"] == pytest.approx(average_precision_score(y[:, 2], p[:, 2]))
    share, mean = calibration_curve(y[:, 2], p[:, 2], n_bins=10)
    np.testing.assert_allclose([b[2:] for b in found["bins"]], np.stack([mean, share], axis=1))


def test_a_class_without_positives_has_no_area_and_says_so_without_a_nan():
    scores = Scores(np.zeros((9, 2), int), np.random.default_rng(0).random((9, 2)))
    found = summarize_class(scores, 0)
    assert found["roc_auc"] is None and found["average_precision"] is None and found["bins"]


# -- what is said instead


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(1, 9))
def test_what_is_said_where_a_class_is_missed_is_counted_as_the_table_of_all_classes_counts_it(seed, tenths):
    y, p = labelled(60, 4, seed, steps=10)
    scores, threshold = Scores(y, p), tenths / 10
    for c in range(4):
        counts, wrong, known, missed = count_instead(scores, c, threshold)
        shares = scores.missed_for(threshold, wrong_only=True, shares=True).iloc[c]
        np.testing.assert_allclose(wrong / np.where(known, known, np.nan), shares)
        assert counts.tolist() == scores.missed_for(threshold).iloc[c].tolist()
        assert wrong.tolist() == scores.missed_for(threshold, wrong_only=True).iloc[c].tolist()
        assert missed == scores.confusion(threshold)[c, 1, 0]


def test_of_one_class_a_sample_the_likeliest_is_counted_even_where_it_is_the_class_itself():
    y = [0, 0, 0, 1]
    p = [[0.4, 0.35, 0.25], [0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]
    counts, wrong, _, missed = count_instead(Scores(y, p), 0, 0.5)
    assert (counts.tolist(), wrong.tolist(), missed) == ([1, 1, 0], [0, 1, 0], 2)


def test_the_commonest_mistaken_sets_of_a_class_are_those_counted_one_by_one():
    y, p = labelled(300, 3, steps=4)
    y[::17, 1] = -1
    found = find_mistaken_sets(Scores(y, p), 0, 0.5, top=4)
    count = Counter()
    for label, score in zip(y, p):
        said = (score >= 0.5) & (label >= 0)
        if label[0] >= 0 and said[0] != (label[0] == 1):
            count[tuple(np.flatnonzero(label == 1).tolist()), tuple(np.flatnonzero(said).tolist())] += 1
    assert [n for _, _, n in found] == [n for _, n in count.most_common(4)]
    assert all(count[true, said] == n for true, said, n in found)
