"""Scores against scikit-learn: counts, rates, averages and thresholds, over whatever people may have."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import THRESHOLDS, labelled, varied


def said(scores, thresholds):
    """Return what is predicted, compared in float64 as documented."""
    return np.asarray(scores, np.float64) >= thresholds


def by_scikit_learn(metric, t, p):
    """Return a rate of predictions `p` against the truth `t`, NaN where it is not defined."""
    if metric == "accuracy":
        return sk.accuracy_score(t, p)
    if metric == "specificity":
        return sk.recall_score(1 - t, 1 - p, zero_division=np.nan)
    return getattr(sk, f"{metric}_score")(t, p, zero_division=np.nan)


def expected_confusion(y, scores, thresholds):
    """Return scikit-learn's matrices, column by column over the known labels."""
    predicted = said(scores, thresholds)
    each = []
    for c in range(y.shape[1]):
        known = y[:, c] != -1
        each.append(sk.confusion_matrix(y[known, c] == 1, predicted[known, c], labels=[False, True])
                    if known.any() else np.zeros((2, 2), int))  # fmt: skip
    return np.array(each)


@varied
@given(labelled())
def test_the_confusion_equals_scikit_learns_to_the_last_count(case):
    y, scores, thresholds = case
    ours = Scores(y, scores).confusion(thresholds)
    assert ours.dtype == np.int64
    predicted = said(scores, thresholds).astype(int)
    if y.shape[1] > 1:
        np.testing.assert_array_equal(ours, sk.multilabel_confusion_matrix(y, predicted))
    np.testing.assert_array_equal(ours, expected_confusion(y, scores, thresholds))


@varied
@given(labelled(labels=(0, 1, -1)))
def test_an_unknown_label_is_left_out_of_its_class_alone(case):
    y, scores, thresholds = case
    np.testing.assert_array_equal(
        Scores(y, scores).confusion(thresholds), expected_confusion(y, scores, thresholds)
    )


@varied
@given(labelled(labels=(0, 1, -1)))
def test_nan_and_minus_one_both_mean_unknown(case):
    y, scores, thresholds = case
    with_nan = np.where(y == -1, np.nan, y)
    np.testing.assert_array_equal(
        Scores(with_nan, scores).confusion(thresholds), Scores(y, scores).confusion(thresholds)
    )


@varied
@given(labelled(), THRESHOLDS)
def test_one_threshold_is_the_same_threshold_for_each_class(case, threshold):
    y, scores, _ = case
    ours = Scores(y, scores)
    np.testing.assert_array_equal(ours.confusion(threshold), ours.confusion([threshold] * y.shape[1]))


@varied
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.data())
def test_float32_scores_are_compared_with_the_threshold_in_float64(values, data):
    scores = np.array(values, np.float32)
    near = float(data.draw(st.sampled_from(values)))
    for threshold in (near, np.nextafter(near, 2), np.nextafter(near, -1)):
        ours = Scores(np.ones(len(scores), int), scores).confusion(threshold)
        assert ours[0, 1, 1] == np.count_nonzero(scores.astype(np.float64) >= threshold)


def test_thresholds_beyond_float32_are_compared_as_they_are():
    scores = Scores([1, 1, 1, 1], np.array([-np.inf, -1.0, 3e38, np.inf], np.float32))
    found = [int(scores.confusion(t)[0, 1, 1]) for t in (1e39, -1e39, np.inf, -np.inf, 1e-60)]
    assert found == [1, 3, 1, 4, 2]


@varied
@given(labelled(labels=(0, 1, -1)), st.sampled_from([2, 11, 1001]))
def test_the_counts_at_each_position_are_exact_and_hold_in_their_dtype(case, positions):
    y, scores, _ = case
    ours = Scores(y, scores)
    counts = ours.counts_at(positions)
    assert counts.shape == (y.shape[1], 2, positions) and counts.flags.c_contiguous
    for k in {0, 1, positions // 3, positions - 1}:
        expected = expected_confusion(y, scores, np.full(y.shape[1], k / (positions - 1)))
        np.testing.assert_array_equal(counts[:, 0, k], expected[:, 1, 1])
        np.testing.assert_array_equal(counts[:, 1, k], expected[:, 0, 1])
        np.testing.assert_array_equal(ours.positives - counts[:, 0, k], expected[:, 1, 0])
        np.testing.assert_array_equal(ours.negatives - counts[:, 1, k].astype(int), expected[:, 0, 0])


@pytest.mark.parametrize(("n", "dtype"), [(255, np.uint8), (256, np.uint16), (65_536, np.uint32)])
def test_the_counts_take_the_smallest_dtype_that_holds_them(n, dtype):
    counts = Scores(np.ones(n, int), np.full(n, 0.5)).counts_at()
    assert counts.dtype == dtype
    assert counts[0, 0, 500] == n and counts[0, 0, 501] == 0


@varied
@given(labelled(labels=(0, 1, -1)), st.sampled_from(["f1", "accuracy", "recall", "precision", "specificity"]))
def test_no_cut_point_beats_the_best_threshold(case, metric):
    y, scores, _ = case
    ours = Scores(y, scores)
    best = ours.best_thresholds(metric)
    reached = ours.metrics(best)[metric].to_numpy()
    for c in range(y.shape[1]):
        if not (y[:, c] == 1).any():
            assert best[c] == 0.5
            continue
        t = y[y[:, c] != -1, c]
        values = np.asarray(scores, np.float64)[y[:, c] != -1, c]
        tried = [by_scikit_learn(metric, t, (values >= cut).astype(int))
                 for cut in (*np.unique(values), values.max() + 1)]  # fmt: skip
        if np.isnan(tried).all():
            assert np.isnan(reached[c])
        else:
            assert reached[c] == pytest.approx(np.nanmax(tried), abs=1e-12)


def test_of_equal_optima_the_best_threshold_predicts_least():
    # At 0.2 and at 0.8 two of three are right.
    assert Scores([1, 0, 1], [0.8, 0.5, 0.2]).best_thresholds("accuracy")[0] == 0.65


def test_an_unknown_metric_is_refused_by_name():
    with pytest.raises(ValueError, match="'auc'.*f1"):
        Scores([1, 0], [0.3, 0.2]).best_thresholds("auc")


@varied
@given(st.integers(2, 5), st.integers(1, 20), st.floats(-0.2, 1.2), st.integers(0, 99))
def test_multiclass_is_one_class_against_the_rest(n_classes, n, threshold, seed):
    rng = np.random.default_rng(seed)
    y, scores = rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n)
    ours = Scores(y, scores)
    assert ours.task == "multiclass"
    np.testing.assert_array_equal(
        ours.confusion(threshold),
        sk.multilabel_confusion_matrix(np.eye(n_classes, dtype=int)[y], scores >= threshold),
    )


@pytest.mark.parametrize("unknown", [-1, np.nan])
def test_an_unknown_class_number_is_left_out_of_every_class(unknown):
    scores = Scores(np.array([0, unknown, 2]), np.eye(3))
    assert scores.confusion().sum(axis=(1, 2)).tolist() == [2, 2, 2]
    assert scores.positives.tolist() == [1, 0, 1]


@pytest.mark.parametrize("y_shape", [(6,), (6, 1)])
@pytest.mark.parametrize("score_shape", [(6,), (6, 1)])
def test_binary_labels_and_scores_may_be_flat_or_a_column(y_shape, score_shape):
    y, p = np.array([0, 1, 1, 0, 1, 0]), np.array([0.2, 0.9, 0.4, 0.6, 0.5, 0.1])
    scores = Scores(y.reshape(y_shape), p.reshape(score_shape))
    assert scores.task == "binary" and scores.n_classes == 1
    np.testing.assert_array_equal(scores.confusion()[0], sk.confusion_matrix(y, p >= 0.5))


@varied
@given(labelled(dtypes=(np.float32,)))
def test_logits_of_labels_go_through_torchs_sigmoid(case):
    y, logits, _ = case
    expected = torch.sigmoid(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(Scores.from_logits(y, logits).y_score, expected, rtol=1e-5)


def test_logits_of_classes_go_through_torchs_softmax():
    logits = np.random.default_rng(0).normal(0, 30, (50, 4)).astype(np.float32)
    found = Scores.from_logits(np.zeros(50, int), logits).y_score
    np.testing.assert_allclose(
        found, torch.softmax(torch.from_numpy(logits), 1).numpy(), rtol=2e-5, atol=1e-38
    )


def test_far_logits_neither_overflow_nor_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = Scores.from_logits([1, 0, 1], np.array([-1000.0, 1000.0, 0.0])).y_score
    assert p[:, 0].tolist() == [0.0, 1.0, 0.5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_are_taken_as_they_come_from_a_model(dtype):
    y = torch.tensor([[0, 1], [1, 1], [1, 0]])
    p = torch.tensor([[0.25, 0.75], [0.5, 0.125], [1.0, 0.5]], dtype=dtype, requires_grad=True)
    np.testing.assert_array_equal(
        Scores(y, p).confusion(), sk.multilabel_confusion_matrix(y.numpy(), p.detach().float().numpy() >= 0.5)
    )


def test_scores_keep_their_own_copy():
    y, p = torch.tensor([0, 1, 1]), torch.tensor([0.1, 0.9, 0.4])
    scores = Scores(y, p)
    before = scores.confusion()
    p.fill_(0), y.fill_(0)
    np.testing.assert_array_equal(scores.confusion(), before)
    assert scores.y_score[:, 0].tolist() == pytest.approx([0.1, 0.9, 0.4])
    with pytest.raises(ValueError, match="read-only"):
        scores.y_score[0] = 1


def test_the_frame_holds_a_row_a_sample_with_labels_and_scores():
    frame = Scores(
        [[0, 1], [-1, 0]], [[0.1, 0.2], [0.3, 0.4]], ["cat", "dog"], sample_ids=["a", "b"]
    ).to_frame()
    assert frame["label"].to_dict("list") == {"cat": [0, -1], "dog": [1, 0]}
    assert frame["score"].to_dict("list") == {"cat": [0.1, 0.3], "dog": [0.2, 0.4]}
    assert frame.index.tolist() == ["a", "b"]


def test_the_html_shows_names_as_text():
    html = Scores([[0, 1]], [[0.1, 0.2]], ["<img onerror=x>", "b"])._repr_html_()
    assert "<img" not in html and "&lt;img onerror=x&gt;" in html
