"""Labels against labels, counted again sample by sample in plain Python, and by scikit-learn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import confusion_matrix

from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import told

varied = settings(deadline=None, max_examples=60)


@st.composite
def labelled(draw):
    """Draw N x C labels (1, 0, -1) and scores of few values, and a threshold a class."""
    n, c = draw(st.integers(1, 15)), draw(st.sampled_from([2, 3, 5]))
    y = draw(hnp.arrays(np.int64, (n, c), elements=st.sampled_from((0, 1, 1, -1))))
    assume(told(y))
    scores = draw(hnp.arrays(np.float64, (n, c), elements=st.sampled_from((0.1, 0.4, 0.6, 0.9))))
    return y, scores, draw(st.lists(st.sampled_from((0.0, 0.4, 0.5, 0.95)), min_size=c, max_size=c))


@varied
@given(labelled(), st.booleans())
def test_what_is_predicted_where_a_label_is_missed_is_counted_sample_by_sample(case, wrong_only):
    y, scores, thresholds = case
    ours = Scores(y, scores).missed_for(thresholds, wrong_only=wrong_only)
    expected = np.zeros((y.shape[1],) * 2, int)
    for truth, score in zip(y, scores):
        said = score >= thresholds
        for i in range(len(truth)):
            if truth[i] == 1 and not said[i]:
                for j in range(len(truth)):
                    expected[i, j] += said[j] and (not wrong_only or truth[j] == 0)
    np.testing.assert_array_equal(ours, expected)


@varied
@given(labelled())
def test_the_shares_are_of_how_often_the_label_is_missed(case):
    y, scores, thresholds = case
    ours = Scores(y, scores)
    counts, shares = ours.missed_for(thresholds), ours.missed_for(thresholds, shares=True)
    missed = ours.confusion(thresholds)[:, 1, 0]
    for c, name in enumerate(ours.classes):
        if missed[c]:
            np.testing.assert_allclose(shares.loc[name], counts.loc[name] / missed[c])
        else:
            assert shares.loc[name].isna().all()


@varied
@given(labelled())
def test_the_cooccurrence_counts_the_samples_that_have_both(case):
    y, scores, thresholds = case
    ours = Scores(y, scores)
    has = [set(np.flatnonzero(row == 1)) for row in y]
    said = [set(np.flatnonzero(row)) for row in scores >= thresholds]
    for kind, sets in (("true", has), ("predicted", said)):
        expected = [
            [sum({i, j} <= one for one in sets) for j in range(y.shape[1])] for i in range(y.shape[1])
        ]
        np.testing.assert_array_equal(ours.cooccurrence(kind, thresholds), expected)


def test_the_shares_of_the_cooccurrence_are_of_those_with_the_label():
    scores = Scores([[1, 1, 0], [1, 0, 0], [1, 1, 0]], np.zeros((3, 3)), ["a", "b", "c"])
    shares = scores.cooccurrence(shares=True)
    assert shares.loc["a", "b"] == pytest.approx(2 / 3) and shares.loc["b", "a"] == 1
    assert shares.loc["c"].isna().all()
    assert shares.index.tolist() == shares.columns.tolist() == ["a", "b", "c"]


@varied
@given(labelled())
def test_the_mistaken_sets_are_counted_sample_by_sample(case):
    y, scores, thresholds = case
    ours = Scores(y, scores, [f"label {c}" for c in range(y.shape[1])])
    table = ours.mistaken_sets(thresholds, top=None)
    counter, wholly = Counter(), Counter()
    first: dict = {}
    for n, (truth, score) in enumerate(zip(y, scores)):
        known = truth >= 0
        pair = tuple(
            tuple(ours.classes[c] for c in np.flatnonzero(which & known))
            for which in (truth == 1, score >= thresholds)
        )
        if pair[0] != pair[1]:
            counter[pair] += 1
            wholly[pair] += known.all()
            first.setdefault(pair, n)
    expected = sorted(counter, key=lambda pair: (-counter[pair], first[pair]))
    assert list(zip(table["true"], table["predicted"])) == expected
    assert table["count"].tolist() == [counter[pair] for pair in expected]
    assert table["sample"].tolist() == [first[pair] for pair in expected]
    whole = (y >= 0).all(axis=1).sum() or np.nan
    assert table["share"].tolist() == pytest.approx([wholly[pair] / whole for pair in expected], nan_ok=True)
    if len(table) and whole > 0:
        assert table["share"].sum() == pytest.approx(1 - ours.exact_match(thresholds))


def test_many_labels_are_told_apart_like_few():
    random = np.random.default_rng(0)
    y, scores = random.integers(0, 2, (40, 100)), np.full((40, 100), 0.1)
    y[20:] = y[:20]
    table = Scores(y, scores).mistaken_sets(top=None)
    assert len(table) == 20 and (table["count"] == 2).all()
    assert table["sample"].tolist() == list(range(20))
    assert all(len(names) == row.sum() for names, row in zip(table["true"], y))


def test_the_top_is_the_beginning_of_all():
    random = np.random.default_rng(0)
    scores = Scores(
        random.integers(0, 2, (80, 4)), random.random((80, 4)), sample_ids=[f"s{n}" for n in range(80)]
    )
    everything = scores.mistaken_sets(top=None)
    assert scores.mistaken_sets(top=3).equals(everything.head(3))
    assert everything["sample"].str.startswith("s").all()


def test_without_a_mistake_the_table_is_empty_and_keeps_its_columns():
    table = Scores([[1, 0], [0, -1]], [[0.9, 0.1], [0.1, 0.9]]).mistaken_sets()
    assert table.empty and table.columns.tolist() == ["true", "predicted", "count", "share", "sample"]


def test_in_a_multiclass_task_what_is_said_instead_is_scikit_learns_confusion_matrix():
    random = np.random.default_rng(0)
    y, chances = random.integers(0, 4, 200), random.dirichlet(np.ones(4), 200)
    matrix = confusion_matrix(y, chances.argmax(axis=1))
    np.fill_diagonal(matrix, 0)
    np.testing.assert_array_equal(Scores(y, chances).missed_for(None), matrix)
    np.testing.assert_array_equal(Scores(y, chances).cooccurrence(), np.diag(np.bincount(y)))


@pytest.mark.parametrize(("top", "error"), [(0, ValueError), (True, TypeError), (2.5, TypeError)])
def test_a_top_that_is_no_number_of_rows_is_refused(top, error):
    with pytest.raises(error, match=f"top is {top}"):
        Scores([1, 0], [0.1, 0.2]).mistaken_sets(top=top)


def test_an_unknown_kind_of_cooccurrence_is_refused():
    with pytest.raises(ValueError, match="'both'.*'true' or 'predicted'"):
        Scores([1, 0], [0.1, 0.2]).cooccurrence("both")
