"""Suspicious labels against cleanlab, and on labels flipped on purpose."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from dlwidgets.core.scoring.scores import Scores
from dlwidgets.core.scoring.suspects import find_contradicted

varied = settings(deadline=None, max_examples=80)

CHANCES = st.one_of(st.sampled_from([0.0, 0.2, 0.5, 0.5000001, 0.8, 1.0]), st.floats(0, 1, width=32))


def flipped(seed=0, rate=0.05):
    """Return digits with two kinds of labels of which some are flipped, scores from elsewhere, and which."""
    X, digit = load_digits(return_X_y=True)
    y = np.stack([digit % 2 == 0, digit >= 5, np.isin(digit, (0, 6, 8, 9))], axis=1).astype(int)
    flip = np.random.default_rng(seed).random(y.shape) < rate
    given = np.where(flip, 1 - y, y)
    model = LogisticRegression(C=0.01, max_iter=200)
    scores = np.stack(
        [cross_val_predict(model, X / 16, column, method="predict_proba")[:, 1] for column in given.T], 1
    )
    return given, scores, flip


@varied
@given(st.data())
def test_the_rule_chooses_the_rows_that_cleanlab_chooses(data):
    cleanlab = pytest.importorskip("cleanlab.filter")
    n, k = data.draw(st.integers(2, 30)), data.draw(st.integers(2, 4))
    labels = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, k - 1)))
    _, labels = np.unique(labels, return_inverse=True)
    k = int(labels.max()) + 1
    if k < 2:
        return
    chances = data.draw(hnp.arrays(np.float64, (n, k), elements=CHANCES)) + 1e-3
    chances /= chances.sum(axis=1, keepdims=True)
    expected = cleanlab.find_label_issues(labels, chances, filter_by="confident_learning", n_jobs=1)
    np.testing.assert_array_equal(find_contradicted(labels, chances), expected)


@pytest.mark.parametrize("rule", ["confident_learning", "prune_by_noise_rate", "both"])
def test_cleanlab_chooses_what_it_chooses_for_each_class_alone(rule):
    cleanlab = pytest.importorskip("cleanlab.filter")
    given, scores, _ = flipped()
    given[:50, 1] = -1
    found = Scores(given, scores, ["even", "high", "loop"]).suspicious(engine="cleanlab", rule=rule)
    for c, name in enumerate(("even", "high", "loop")):
        known = np.flatnonzero(given[:, c] >= 0)
        pair = np.stack([1 - scores[known, c], scores[known, c]], axis=1)
        rows = cleanlab.find_label_issues(
            given[known, c], pair, filter_by=rule, return_indices_ranked_by="normalized_margin", n_jobs=1
        )
        # Its order too: between two answers the normalised margin is the confidence.
        assert found[found["class"] == name]["sample"].tolist() == known[rows].tolist()


def test_both_engines_find_the_same_by_the_same_rule():
    pytest.importorskip("cleanlab")
    scores = Scores(*flipped()[:2])
    assert scores.suspicious().equals(scores.suspicious(engine="cleanlab"))


def test_labels_flipped_on_purpose_are_most_of_what_is_found():
    given, chances, flip = flipped()
    found = Scores(given, chances).suspicious()
    right = flip[found["sample"], found["class"].str[-1].astype(int)]
    # 5 % by chance.
    assert right[:50].mean() > 0.6 and right.mean() > 0.15
    assert right[:50].mean() > right.mean() > flip.mean()
    assert right.sum() > flip.sum() / 2


def test_every_row_says_what_was_given_and_how_little_the_scores_think_of_it():
    given, chances, _ = flipped()
    found = Scores(given, chances, ["even", "high", "loop"]).suspicious()
    column = found["class"].map({"even": 0, "high": 1, "loop": 2})
    np.testing.assert_array_equal(found["given"], given[found["sample"], column])
    np.testing.assert_array_equal(found["score"], chances[found["sample"], column])
    expected = np.where(found["given"] == 1, found["score"], 1 - found["score"])
    np.testing.assert_array_equal(found["confidence"], expected)
    assert found["confidence"].is_monotonic_increasing and (found["confidence"] < 0.5).all()
    assert found["rank"].tolist() == list(range(1, len(found) + 1))


def test_a_class_alone_is_that_part_of_all_with_ranks_of_its_own():
    scores = Scores(*flipped()[:2], classes=["even", "high", "loop"])
    everything, alone = scores.suspicious(), scores.suspicious("high")
    part = everything[everything["class"] == "high"].drop(columns="rank").reset_index(drop=True)
    assert alone.drop(columns="rank").equals(part)
    assert alone["rank"].tolist() == list(range(1, len(alone) + 1))
    assert scores.suspicious(1, top=5).equals(alone.head(5))


def test_a_sample_of_unknown_label_is_neither_found_nor_counted():
    given, chances, _ = flipped()
    hidden = given.copy()
    hidden[::3] = -1
    with_unknown = Scores(hidden, chances).suspicious()
    keep = np.arange(len(given)) % 3 != 0
    without = Scores(given[keep], chances[keep], sample_ids=np.flatnonzero(keep)).suspicious()
    assert with_unknown["sample"].tolist() == without["sample"].tolist()


@pytest.mark.parametrize("label", [0, 1, -1])
def test_a_class_of_one_kind_of_label_has_no_suspects(label):
    found = Scores([[label, 0], [label, 1], [label, 0]], [[0.9, 0.1], [0.1, 0.2], [0.5, 0.9]]).suspicious(
        "class 0"
    )
    assert found.empty
    assert found.columns.tolist() == ["sample", "class", "given", "score", "confidence", "rank"]


def test_in_a_multiclass_task_it_names_the_class_that_is_likelier():
    cleanlab = pytest.importorskip("cleanlab.filter")
    X, digit = load_digits(return_X_y=True)
    random = np.random.default_rng(0)
    flip = random.random(len(digit)) < 0.1
    given = np.where(flip, (digit + random.integers(1, 10, len(digit))) % 10, digit)
    chances = cross_val_predict(
        LogisticRegression(C=0.01, max_iter=200), X / 16, given, method="predict_proba"
    )
    found = Scores(given, chances, [f"digit {d}" for d in range(10)]).suspicious()
    expected = cleanlab.find_label_issues(given, chances, filter_by="confident_learning", n_jobs=1)
    assert sorted(found["sample"]) == np.flatnonzero(expected).tolist()
    assert found["class"].tolist() == [f"digit {d}" for d in given[found["sample"]]]
    right = flip[found["sample"]]
    assert (found["instead"][right] == [f"digit {d}" for d in digit[found["sample"][right]]]).mean() > 0.9
    alone = Scores(given, chances, [f"digit {d}" for d in range(10)]).suspicious("digit 3")
    assert set(alone["sample"]) == set(found[found["class"] == "digit 3"]["sample"])


def test_a_class_that_is_never_given_is_never_likelier():
    chances = np.array([[0.1, 0.1, 0.8]] * 4 + [[0.9, 0.05, 0.05], [0.6, 0.3, 0.1]])
    found = Scores([0, 0, 1, 1, 0, 1], chances).suspicious()
    assert "class 2" not in set(found["instead"]) and len(found) >= 1


def test_without_cleanlab_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    with pytest.raises(RuntimeError, match=r"pip install cleanlab\), or leave engine='own'"):
        Scores([1, 0, 1], [0.1, 0.9, 0.8]).suspicious(engine="cleanlab")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"engine": "clean"}, ValueError, "no engine 'clean'.*'own' or 'cleanlab'"),
        ({"rule": "both"}, ValueError, "'own' has no rule 'both'.*confident_learning"),
        ({"engine": "cleanlab", "rule": "x"}, ValueError, "no rule 'x'.*prune_by_class"),
        ({"top": 0}, ValueError, "top is 0"),
        ({"top": "5"}, TypeError, "top is '5'"),
        ({"cls": "positve"}, ValueError, "mean 'positive'"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(options, error, words):
    with pytest.raises(error, match=words):
        Scores([1, 0, 1], [0.1, 0.9, 0.8]).suspicious(**options)


def test_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(ValueError, match=r"suspicious\(\) needs probabilities.*from_logits"):
        Scores([1, 0, 1], [0.1, 3.0, 0.8]).suspicious()
