"""Scores of hard predictions, and the matrix of one class against another."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import labelled, quiet, said, varied


@varied
@given(labelled(labels=(0, 1, -1), least=2))
def test_hard_labels_are_counted_as_given(case):
    y, scores, thresholds = case
    predicted = said(scores, thresholds)
    found = Scores.from_predictions(y, predicted)
    assert found.task == "multilabel"
    np.testing.assert_array_equal(found.confusion(), Scores(y, scores).confusion(thresholds))


@varied
@given(st.integers(3, 6), st.integers(1, 40), st.integers(0, 99))
def test_class_numbers_give_scikit_learns_matrix(n_classes, n, seed):
    y, p = np.random.default_rng(seed).integers(0, n_classes, (2, n))
    names = [f"c{c}" for c in range(n_classes)]
    found = Scores.from_predictions(y, p, names)
    assert found.task == "multiclass" and found.matrix().dtype == np.int64
    np.testing.assert_array_equal(found.matrix(), sk.confusion_matrix(y, p, labels=range(n_classes)))
    np.testing.assert_array_equal(
        found.confusion(), sk.multilabel_confusion_matrix(y, p, labels=range(n_classes))
    )
    with quiet():
        expected = sk.f1_score(y, p, average="weighted", labels=range(n_classes), zero_division=0)
    assert found.averages(zero_division=0).loc["weighted", "f1"] == pytest.approx(expected)


@varied
@given(st.lists(st.sampled_from(["cat", "dog", "eel"]), min_size=2, max_size=20), st.randoms())
def test_names_of_classes_give_scikit_learns_matrix(truth, random):
    guess = [random.choice(["cat", "dog", "fox"]) for _ in truth]
    found = Scores.from_predictions(truth, guess)
    assert found.classes == tuple(sorted({*truth, *guess}))
    if len(found.classes) > 1:
        np.testing.assert_array_equal(found.matrix(), sk.confusion_matrix(truth, guess))


def test_names_may_be_a_series_and_be_unknown_where_they_are_true():
    truth = pd.Series(["dog", None, "cat", np.nan, "cat"])
    found = Scores.from_predictions(truth, np.array(["dog", "dog", "dog", "cat", "cat"]), ["dog", "cat"])
    assert found.classes == ("dog", "cat")
    assert found.matrix().tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("make", [list, np.array, torch.tensor, pd.Series])
def test_two_numbers_are_a_binary_task(make):
    y, p = [0, 1, 1, 0, 1], [0, 1, 0, 1, 1]
    found = Scores.from_predictions(make(y), make(p), ["healthy", "ill"])
    assert found.task == "binary" and found.classes == ("ill",)
    np.testing.assert_array_equal(found.matrix(), sk.confusion_matrix(y, p))


def test_two_numbers_of_three_named_classes_are_multiclass():
    found = Scores.from_predictions([0, 1, 1], [0, 1, 0], ["a", "b", "c"])
    assert found.matrix().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_an_unknown_class_is_in_no_row_of_the_matrix():
    assert Scores.from_predictions([0, 2, -1, 1], [0, 2, 2, 1]).matrix().tolist() == np.eye(3).tolist()
    assert Scores.from_predictions([0.0, 2.0, np.nan], [0, 2, 2]).matrix().sum() == 2


def test_columns_of_frames_name_the_classes():
    frame = pd.DataFrame({"x": [0, 1], "y": [1, 1]})
    assert Scores.from_predictions(frame, frame.to_numpy()).classes == ("x", "y")


@pytest.mark.parametrize(
    ("y", "p", "classes", "sentence"),
    [
        ([0, 1], [0.2, 0.9], None, r"y_pred holds 0.2: .*0 and 1.*Scores\(y_true, y_score\)"),
        ([[0, 1]], [[0, 2]], None, "y_pred holds 2: hard predictions of 0 and 1"),
        ([0, 2], [0, 1.5], None, "y_pred holds 1.5 where class numbers"),
        ([0, 1, 2], [0, -1, 2], None, "y_pred is -1 at sample 1 .*only y_true may be unknown"),
        ([[0, 1]], [[0, np.nan]], None, "at sample 0"),
        ([0, 1, 2], [0, 1, 3], ["a", "b", "c"], "y_pred holds class 3: 3 classes are named, 0 ... 2"),
        (["a", "b"], ["a", "z"], ["a", "b"], "y_pred holds 'z', which is none of the classes 'a', 'b'"),
        (["a", "b"], ["a", None], None, "only y_true may be unknown"),
        (np.array([["a", "b"]]), [["a", "b"]], None, "one a sample"),
        ([0, 1], ["a", "b"], ["a", "b"], "y_true holds '0'"),
        ([0, 1, 2], [0, 1], None, "one row a sample, 3 and 2 differ"),
        ([], [], None, "at least one sample"),
    ],
)
def test_predictions_that_do_not_fit_are_refused_in_a_sentence(y, p, classes, sentence):
    with pytest.raises(ValueError, match=sentence):
        Scores.from_predictions(y, p, classes)


# -- the matrix of scores


@varied
@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 99), st.sampled_from([np.float16, np.float64]))
def test_the_matrix_takes_the_likeliest_class_the_first_of_equals(n_classes, n, seed, dtype):
    rng = np.random.default_rng(seed)
    y, p = rng.integers(0, n_classes, n), rng.dirichlet(np.ones(n_classes), n).round(1).astype(dtype)
    np.testing.assert_array_equal(
        Scores(y, p).matrix(), sk.confusion_matrix(y, p.argmax(axis=1), labels=range(n_classes))
    )


@varied
@given(st.lists(st.tuples(st.sampled_from([0, 1]), st.floats(0, 1)), min_size=1), st.floats(0, 1))
def test_the_matrix_of_a_binary_task_is_cut_at_the_threshold(pairs, threshold):
    y, p = (np.array(values) for values in zip(*pairs))
    scores = Scores(y, p)
    np.testing.assert_array_equal(
        scores.matrix(threshold), sk.confusion_matrix(y, p >= threshold, labels=[0, 1])
    )
    np.testing.assert_array_equal(scores.matrix(), scores.matrix(0.5))


def test_several_labels_a_sample_have_no_matrix_and_classes_no_thresholds():
    with pytest.raises(ValueError, match=r"any number of the 2 labels.*confusion\(\)"):
        Scores([[0, 1]], [[0.1, 0.2]]).matrix()
    with pytest.raises(ValueError, match="no thresholds"):
        Scores([0, 1], np.eye(2)).matrix(0.3)
