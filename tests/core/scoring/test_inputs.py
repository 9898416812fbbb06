"""What Scores refuses, and the sentence it refuses with; names of classes and samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from dlwidgets.core.scoring.scores import Scores

Y, P = np.array([[0, 1, 1], [1, 0, 1]]), np.array([[0.1, 0.9, 0.6], [0.8, 0.3, 0.2]])


@pytest.mark.parametrize(
    ("y", "p", "sentence"),
    [
        (Y, P[:1], r"shape \(2, 3\), y_score \(1, 3\).*one row a sample, 2 and 1 differ"),
        (Y, P[:, :2], "3 columns of labels for 2 of scores"),
        (np.zeros((0, 3)), np.zeros((0, 3)), "at least one sample and one class"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "at least one sample and one class"),
        (np.zeros((2, 3, 4)), np.zeros((2, 3, 4)), "N x C is wanted"),
        (np.float64(1), np.float64(1), "N x C is wanted"),
        (Y * 2, P, r"holds 2 at sample 0, column 1 \(and 3 more\): 0, 1, or -1"),
        (Y * 0.5, P, "holds 0.5 at sample 0, column 1"),
        ([0, 3], P, r"holds 3 at sample 1 \(and 0 more\): a class number 0 ... 2, as y_score has 3 columns"),
        ([0, -2], P, "holds -2 at sample 1"),
        ([0, 0.5], P, "holds 0.5 at sample 1"),
        ([0, 2], [0.1, 0.2], "for several classes y_score must be N x C"),
        (Y, P * np.nan, r"NaN in 2 of 2 samples \(rows 0, 1\)"),
        (Y, np.where([[False] * 3, [False, True, False]], np.nan, P), r"NaN in 1 of 2 samples \(rows 1\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_given_and_what_is_wanted(y, p, sentence):
    with pytest.raises(ValueError, match=sentence):
        Scores(y, p)


def test_only_the_first_rows_with_nan_are_named():
    with pytest.raises(ValueError, match=r"100 of 100 samples \(rows 0, 1, 2, 3, 4, \.\.\.\)"):
        Scores(np.zeros(100, int), np.full(100, np.nan))


def test_rows_are_named_by_their_ids():
    with pytest.raises(ValueError, match=r"rows 'scan-b'"):
        Scores([1, 0], [0.1, np.nan], sample_ids=["scan-a", "scan-b"])


@pytest.mark.parametrize(("y", "p"), [([object(), 1], [0.1, 0.2]), ([0, 1], ["x", "y"]), ([0, 1], [0.1, 1j]),
                                      ([[0.5], [1, 0]], [[0.1], [0.2]])])  # fmt: skip
def test_what_is_not_a_number_is_a_type_error(y, p):
    with pytest.raises(TypeError, match="numbers"):
        Scores(y, p)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int64, np.float16, np.float64, object, ">f4"])
def test_labels_of_any_numeric_dtype_mean_the_same(dtype):
    np.testing.assert_array_equal(Scores(Y.astype(dtype), P).y_true, Y)
    np.testing.assert_array_equal(Scores(np.array([1, 0]).astype(dtype), P[:, :2]).y_true, [[0, 1], [1, 0]])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_hard_predictions_are_scores(dtype):
    assert Scores(Y, Y.astype(dtype)).metrics()["f1"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("classes", [["a", "b"], ["a", "b", "c", "d"], []])
def test_a_wrong_count_of_class_names_is_refused(classes):
    with pytest.raises(ValueError, match=f"{len(classes)} class names .* for 3 columns of scores|classes is empty"):
        Scores(Y, P, classes)


def test_one_text_is_not_a_list_of_class_names():
    with pytest.raises(TypeError, match="'abc'"):
        Scores(Y, P, "abc")


def test_classes_are_named_by_their_number_unless_named():
    assert Scores(Y, P).classes == ("class 0", "class 1", "class 2")
    assert Scores(Y, P, ["a", "b", 3]).classes == ("a", "b", "3")


def test_the_single_class_of_a_binary_task_is_the_positive_one():
    assert Scores([0, 1], [0.1, 0.2]).classes == ("positive",)
    assert Scores([0, 1], [0.1, 0.2], ["healthy", "ill"]).classes == ("ill",)
    assert Scores([0, 1], [0.1, 0.2], ["ill"]).classes == ("ill",)


def test_a_frame_of_labels_brings_its_names():
    frame = pd.DataFrame(Y, columns=["x", "y", "z"])
    assert Scores(frame, P).classes == ("x", "y", "z")
    assert Scores.from_logits(frame, P).classes == ("x", "y", "z")
    assert Scores(frame, P, ["a", "b", "c"]).classes == ("a", "b", "c")


def test_frames_whose_columns_differ_are_refused():
    frame = pd.DataFrame(Y, columns=["x", "y", "z"])
    with pytest.raises(ValueError, match="columns .* differ"):
        Scores(frame, pd.DataFrame(P, columns=["z", "y", "w"]))


def test_a_wrong_count_of_sample_ids_is_refused():
    with pytest.raises(ValueError, match="1 sample_ids for 2 samples"):
        Scores(Y, P, sample_ids=["a"])


@pytest.mark.parametrize(
    ("thresholds", "error", "sentence"),
    [
        ([0.1, 0.2], ValueError, r"shape \(2,\) for 3 classes"),
        (np.zeros((3, 2)), ValueError, r"shape \(3, 2\) for 3 classes"),
        (np.nan, ValueError, "NaN"),
        ("half", TypeError, "'half'"),
    ],
)
def test_thresholds_that_do_not_fit_are_refused(thresholds, error, sentence):
    with pytest.raises(error, match=sentence):
        Scores(Y, P).confusion(thresholds)


def test_a_score_is_described_in_a_line():
    assert repr(Scores(Y, P)) == "Scores(multilabel: 2 samples x 3 classes, macro F1 0.889 at 0.5)"


def test_infinite_logits_are_certain_where_they_say_so_and_a_nan_where_they_do_not():
    assert Scores.from_logits([0, 1], [-np.inf, np.inf]).y_score.ravel().tolist() == [0, 1]
    certain = Scores.from_logits([0, 1], np.array([[0, -np.inf], [-np.inf, 3.0]])).y_score
    assert certain.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"NaN in 1 of 2 samples \(rows 1\)"):
        Scores.from_logits([0, 1], np.array([[0.0, 1.0], [np.inf, 3.0]]))


# -- the task that is given


def test_a_given_task_reads_labels_as_scikit_learn_does():
    random = np.random.default_rng(0)
    y, p = random.integers(0, 3, 50), random.dirichlet(np.ones(3), 50)
    hot, said = np.eye(3, dtype=int)[y], p.argmax(axis=1)
    for scores in (Scores(hot, p, task="multiclass"), Scores(y, p), Scores(hot.astype(bool), p, task="multiclass")):
        # Nobody gave thresholds: the likeliest class is said, everywhere.
        assert scores.exact_match() == pytest.approx(sk.accuracy_score(y, said))
        np.testing.assert_array_equal(scores.matrix(), sk.confusion_matrix(y, said))
        assert scores.metrics()["f1"].tolist() == pytest.approx(sk.f1_score(y, said, average=None).tolist())
    # Each class by itself, at 0.5.
    for scores in (Scores(y, p, task="multilabel"), Scores(hot, p)):
        np.testing.assert_array_equal(scores.confusion(), sk.multilabel_confusion_matrix(hot, p >= 0.5))
    two, positive = p[:, :2] / p[:, :2].sum(axis=1, keepdims=True), y > 0
    scores = Scores(positive, two, ["no", "yes"], task="binary")
    assert scores.classes == ("yes",)
    np.testing.assert_array_equal(scores.confusion()[0], sk.confusion_matrix(positive, two[:, 1] >= 0.5))
    logits = Scores.from_logits(positive, np.log(two), task="binary")
    np.testing.assert_allclose(logits.y_score, scores.y_score)


@pytest.mark.parametrize(
    ("row", "words"),
    [([1, 1, 0], "several highest classes at sample 1"), ([0, 0, 0], "no class at sample 1.*NaN where it is unknown")],
)
def test_a_row_that_names_no_single_class_is_no_multiclass_label(row, words):
    with pytest.raises(ValueError, match=words):
        Scores([[0, 1, 0], row], np.eye(2, 3), task="multiclass")
    with pytest.raises(ValueError, match="There is no task='multi-label'"):
        Scores([[0, 1, 0], row], np.eye(2, 3), task="multi-label")
    unknown = Scores([[0, 1, 0], [-1, -1, -1], [np.nan] * 3], np.eye(3), task="multiclass")
    assert unknown.unknown.tolist() == [2, 2, 2]
