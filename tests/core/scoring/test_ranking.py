"""What scores are worth at no threshold, against scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from dlwidgets import Session
from dlwidgets.core.scoring import ranking
from dlwidgets.core.scoring.scores import Scores
from tests.core.scoring.scored import PROBABILITIES, labelled, quiet, varied

RANKED = ["roc_auc", "average_precision", "brier", "ece"]


def wide(scores):
    """Return scores in float64, in which all is computed."""
    return np.asarray(scores, np.float64)


def by_scikit_learn(t, s):
    """Return ROC-AUC, average precision and Brier score, NaN where scikit-learn has none to give."""
    if not len(t):
        return [np.nan] * 3
    with quiet():
        return [
            sk.roc_auc_score(t, s) if 0 < t.sum() < len(t) else np.nan,
            sk.average_precision_score(t, s) if t.any() else np.nan,
            sk.brier_score_loss(t, s, pos_label=1) if 0 <= s.min() and s.max() <= 1 else np.nan,
        ]


def calibration_error(t, s, bins):
    """Return the calibration error from the points of scikit-learn's calibration curve."""
    if not len(t) or s.min() < 0 or s.max() > 1:
        return np.nan
    share, mean = calibration_curve(t, s, n_bins=bins, pos_label=1)
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], s), minlength=bins)
    counts = counts[counts > 0]
    return float((counts * np.abs(share - mean)).sum() / len(t))


@varied
@given(st.one_of(labelled(labels=(0, 1, -1)), labelled(labels=(0, 1, -1), scores=PROBABILITIES)))
def test_each_class_is_ranked_as_by_scikit_learn_ties_and_all(case):
    y, scores, _ = case
    table = Scores(y, scores).ranking()
    assert list(table.columns) == RANKED
    for c in range(y.shape[1]):
        known = y[:, c] != -1
        expected = by_scikit_learn(y[known, c], wide(scores)[known, c])
        np.testing.assert_allclose(table.iloc[c, :3], expected, rtol=1e-12, atol=1e-12)


@varied
@given(labelled(labels=(0, 1, -1), scores=PROBABILITIES), st.integers(1, 12))
def test_the_calibration_error_is_that_of_scikit_learns_calibration_curve(case, bins):
    y, scores, _ = case
    table = Scores(y, scores).ranking(bins=bins)
    for c in range(y.shape[1]):
        known = y[:, c] != -1
        expected = calibration_error(y[known, c], wide(scores)[known, c], bins)
        assert table["ece"].iloc[c] == pytest.approx(expected, nan_ok=True, abs=1e-12)


@pytest.mark.parametrize(("bins", "edge"), [(2, 0.5), (4, 0.25), (4, 0.75), (10, 0.5)])
def test_a_score_on_the_edge_of_two_bins_belongs_to_the_lower_one(bins, edge):
    # In one bin the two make up for one another in part, in two bins they do not.
    y, p = np.array([0, 1]), np.array([edge - 0.05, edge])
    expected = calibration_error(y, p, bins)
    assert expected == pytest.approx(abs(2 * edge - 1.05) / 2)
    assert Scores(y, p).ranking(bins=bins)["ece"].iloc[0] == pytest.approx(expected)


def test_the_calibration_error_is_torchmetrics_where_no_score_lies_on_an_edge():
    torchmetrics = pytest.importorskip("torchmetrics.classification")
    rng = np.random.default_rng(0)
    p = rng.random(5000).astype(np.float32)
    y = (rng.random(5000) < p**2).astype(int)
    theirs = torchmetrics.BinaryCalibrationError(n_bins=10, norm="l1")(torch.tensor(p), torch.tensor(y))
    assert Scores(y, p).ranking()["ece"].iloc[0] == pytest.approx(float(theirs), abs=1e-5)


@varied
@given(labelled(scores=PROBABILITIES, least=2))
def test_the_averages_of_the_ranking_are_scikit_learns(case):
    y, scores, _ = case
    s, table = wide(scores), Scores(y, scores).ranking_averages()
    each = np.array([by_scikit_learn(y[:, c], s[:, c]) for c in range(y.shape[1])])
    np.testing.assert_allclose(table.loc["micro"].iloc[:3], by_scikit_learn(y.ravel(), s.ravel()), rtol=1e-12)
    with quiet():
        np.testing.assert_allclose(table.loc["macro"].iloc[:3], np.nanmean(each, axis=0), rtol=1e-12)
        support = y.sum(axis=0)[:, None]
        weights = (~np.isnan(each) * support).sum(axis=0)
        np.testing.assert_allclose(
            table.loc["weighted"].iloc[:3], np.nansum(each * support, axis=0) / weights, rtol=1e-12
        )
        if not np.isnan(each).any():
            options = {"macro": "macro", "weighted": "weighted"}
            for row, average in options.items():
                assert table.loc[row, "roc_auc"] == pytest.approx(sk.roc_auc_score(y, s, average=average))


@pytest.mark.parametrize("average", ["macro", "weighted", "micro"])
def test_classes_are_ranked_one_against_the_rest(average):
    rng = np.random.default_rng(1)
    y = rng.integers(0, 4, 200)
    p = rng.dirichlet(np.ones(4), 200) * 0.7 + 0.3 * np.eye(4)[y]
    expected = sk.roc_auc_score(y, p, multi_class="ovr", average=average)
    assert Scores(y, p).ranking_averages().loc[average, "roc_auc"] == pytest.approx(expected)


def test_unknown_labels_are_no_part_of_the_pooled_ranking():
    y = np.array([[1, -1], [0, 1], [-1, 0]])
    s = np.array([[0.3, 0.99], [0.4, 0.9], [0.0, 0.1]])
    known = y != -1
    assert Scores(y, s).ranking_averages().loc["micro", "roc_auc"] == sk.roc_auc_score(y[known], s[known])


@pytest.mark.parametrize(
    ("y", "missing"), [([1, 1], ["roc_auc"]), ([0, 0], ["roc_auc", "average_precision"]), ([-1, -1], RANKED)]
)
def test_what_one_sided_labels_do_not_tell_is_not_known(y, missing):
    row = Scores(y, [0.2, 0.9]).ranking().iloc[0]
    assert [name for name in RANKED if np.isnan(row[name])] == missing


@pytest.mark.parametrize("beyond", [-0.001, 1.001, np.inf, -np.inf])
def test_scores_that_are_no_probabilities_have_no_calibration(beyond):
    row = Scores([0, 1, 1], [0.1, 0.5, beyond]).ranking(interval="bootstrap").iloc[0]
    known = [name for name in row.index if not np.isnan(row[name])]
    assert {name.removesuffix("_low").removesuffix("_high") for name in known} == {
        "roc_auc",
        "average_precision",
    }


def test_many_ties_of_many_samples_are_counted_exactly():
    # 70,000 x 70,000 pairs leave 32 bits.
    y, s = np.repeat([0, 1], 70_000), np.tile([0.25, 0.75], 70_000)
    assert Scores(y, s).ranking()["roc_auc"].iloc[0] == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("name", RANKED)
def test_the_interval_is_that_of_samples_drawn_one_by_one(name):
    rng = np.random.default_rng(4)
    y = (rng.random(90) < 0.4).astype(int)
    s = np.clip(0.3 * y + rng.random(90) * 0.7, 0, 1).round(1)
    judge = {
        "roc_auc": sk.roc_auc_score,
        "average_precision": sk.average_precision_score,
        "brier": sk.brier_score_loss,
        "ece": lambda t, p: calibration_error(t, p, 10),
    }[name]
    values = [judge(y[rows], s[rows]) for rows in rng.integers(0, 90, (800, 90))]
    row = Scores(y, s).ranking("bootstrap", level=0.9).iloc[0]
    found = [row[f"{name}_low"], row[f"{name}_high"]]
    drawn = np.quantile(values, [0.05, 0.95])
    if name in ("brier", "ece"):
        np.testing.assert_allclose(found, drawn, atol=0.02)
    else:  # never narrower, and hardly wider where there are many positives
        assert drawn[0] - 0.06 < found[0] < drawn[0] + 0.02 and drawn[1] - 0.02 < found[1] < drawn[1] + 0.06


def few_positives(positives, negatives, spread, classes, seed=0):
    """Return Scores of classes whose positives lie 1.5 higher, and their true AUC and average precision."""
    random, large = np.random.default_rng(seed), np.random.default_rng(99)
    y = np.repeat([1, 0], [positives, negatives])[:, None] * np.ones(classes, int)
    scores = random.normal(size=y.shape) * np.where(y == 1, spread, 1) + 1.5 * y
    high, low = np.sort(large.normal(size=200_000) * spread + 1.5), np.sort(large.normal(size=200_000))
    alarms, found = 1 - np.searchsorted(low, high) / len(low), 1 - np.arange(len(high)) / len(high)
    share = positives / (positives + negatives)
    precision = share * found / (share * found + (1 - share) * alarms)
    return Scores(y, scores), {"roc_auc": 1 - alarms.mean(), "average_precision": precision.mean()}


@pytest.mark.slow
@pytest.mark.parametrize(("positives", "negatives"), [(5, 95), (10, 90), (5, 495)])
@pytest.mark.parametrize("spread", [1.0, 1.8])
def test_the_interval_of_a_ranking_holds_with_few_positives(positives, negatives, spread):
    scores, truth = few_positives(positives, negatives, spread, 200)
    table = scores.ranking("bootstrap")
    for name, true in truth.items():
        held = ((table[f"{name}_low"] <= true) & (true <= table[f"{name}_high"])).mean()
        assert held >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 200), (name, held)


def test_the_interval_of_a_ranking_without_a_mistake_has_a_width():
    row = Scores([1] * 5 + [0] * 95, np.linspace(1, 0, 100)).ranking("bootstrap").iloc[0]
    for name in ("roc_auc", "average_precision"):
        assert row[name] == row[f"{name}_high"] == 1 and row[f"{name}_low"] < 0.9


@pytest.mark.slow
def test_the_interval_of_a_macro_average_holds_with_few_positives_and_labels_that_go_together():
    held = []
    for seed in range(120):
        random = np.random.default_rng(seed)
        y = np.repeat([1, 0], [6, 114])[:, None] * np.ones(4, int)
        # What is drawn for one label is drawn for the next as well.
        scores = random.normal(size=(120, 1)) + 0.7 * random.normal(size=y.shape) + 1.5 * y
        row = Scores(y, scores).ranking_averages("bootstrap").loc["macro"]
        held.append(row["roc_auc_low"] <= norm.cdf(1.5 / np.sqrt(2 * 1.49)) <= row["roc_auc_high"])
    assert np.mean(held) >= 0.91


def test_the_interval_of_a_mean_of_average_precisions_holds_though_few_positives_flatter_all(monkeypatch):
    monkeypatch.setattr(ranking, "RESAMPLES", 60)
    random = np.random.default_rng(0)
    y = np.repeat([1, 0], [20_000, 380_000])
    true = sk.average_precision_score(y, random.normal(size=y.size) + y)
    held = []
    for _ in range(25):
        y = np.repeat([1, 0], [4, 76])[:, None] * np.ones(4, int)
        row = Scores(y, random.normal(size=y.shape) + y).ranking_averages("bootstrap").loc["macro"]
        held.append(row["average_precision_low"] <= true <= row["average_precision_high"])
    assert np.mean(held) >= 0.9


def test_an_average_of_a_ranking_has_its_intervals_and_the_same_values():
    rng = np.random.default_rng(0)
    y = (rng.random((80, 3)) < 0.3).astype(int)
    scores = Scores(y, np.clip(rng.random(y.shape) + 0.3 * y, 0, 1.3) / 1.3)
    plain, table = scores.ranking_averages(), scores.ranking_averages("bootstrap")
    np.testing.assert_array_equal(table[RANKED], plain)
    for name in RANKED[:3]:
        assert (table[f"{name}_low"] < plain[name]).all() and (plain[name] < table[f"{name}_high"]).all()
    each = scores.ranking("bootstrap")
    width = {name: table.loc["macro", f"{name}_high"] - table.loc["macro", f"{name}_low"] for name in RANKED}
    # A mean of three is known better than one of them.
    assert width["roc_auc"] < (each["roc_auc_high"] - each["roc_auc_low"]).mean()
    assert table.equals(scores.ranking_averages("bootstrap"))
    assert not table.equals(scores.ranking_averages("bootstrap", seed=1))


@varied
@given(labelled(labels=(0, 1, -1), scores=PROBABILITIES))
def test_an_interval_of_a_ranking_changes_no_value_and_is_never_the_wrong_way_round(case):
    y, scores, _ = case
    plain, table = Scores(y, scores).ranking(), Scores(y, scores).ranking("bootstrap")
    np.testing.assert_array_equal(table[RANKED], plain)
    for name in RANKED:
        low, high = table[f"{name}_low"], table[f"{name}_high"]
        assert ((low <= high) | (low.isna() & high.isna())).all()
        assert (plain[name].notna() | low.isna()).all()


def test_other_intervals_of_a_ranking_are_refused():
    with pytest.raises(ValueError, match="no interval 'wilson' of a ranking: .*'bootstrap'"):
        Scores([0, 1], [0.2, 0.8]).ranking("wilson")
    with pytest.raises(ValueError, match="0 bins"):
        Scores([0, 1], [0.2, 0.8]).ranking(bins=0)


# -- labels of a sample


@varied
@given(labelled(least=2))
def test_labels_are_ranked_as_by_scikit_learn_ties_and_all(case):
    y, scores, _ = case
    found, s = Scores(y, scores).label_ranking(top=[1, 2]), wide(scores)
    assert found["label_ranking_average_precision"] == pytest.approx(
        sk.label_ranking_average_precision_score(y, s)
    )
    assert found["coverage_error"] == pytest.approx(sk.coverage_error(y, s))
    assert found["label_ranking_loss"] == pytest.approx(sk.label_ranking_loss(y, s))
    for k in (1, 2):
        best = np.argsort(-s, axis=1, kind="stable")[:, :k]
        assert found[f"precision_at_{k}"] == pytest.approx(np.take_along_axis(y, best, 1).mean())


@varied
@given(labelled(labels=(0, 1, -1), least=2))
def test_unknown_labels_have_no_rank(case):
    y, scores, _ = case
    found, s = Scores(y, scores).label_ranking(top=1), wide(scores)
    rows = [n for n in range(len(y)) if (y[n] >= 0).any()]
    judges = {
        "coverage_error": sk.coverage_error, "label_ranking_loss": sk.label_ranking_loss,
        "label_ranking_average_precision": sk.label_ranking_average_precision_score,
    }  # fmt: skip
    for name, judge in judges.items():
        each = []
        for n in rows:
            known = y[n] >= 0
            if known.sum() > 1:
                each.append(judge(y[n][None, known], s[n][None, known]))
            else:  # scikit-learn wants two labels
                true = y[n][known][0]
                each.append({"coverage_error": true, "label_ranking_loss": 0}.get(name, 1))
        assert found[name] == (pytest.approx(np.mean(each)) if rows else pytest.approx(np.nan, nan_ok=True))


def test_confident_labels_are_ranked_by_their_logits():
    logits = np.array([[40.0, 41.0, 39.0], [50.0, 60.0, 10.0]])
    found = Scores.from_logits([[0, 1, 0], [0, 1, 1]], logits).label_ranking(1)
    assert found["precision_at_1"] == 1 and found["label_ranking_loss"] == pytest.approx(0.25)


@pytest.mark.parametrize(("task", "loss"), [("multilabel", None), ("binary", None), ("multiclass", None)])
def test_a_confident_session_ranks_its_samples_as_its_logits_do(task, loss):
    inputs = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    noisy = inputs + torch.randn(60, 3, generator=torch.Generator().manual_seed(1))
    columns = 1 if task == "binary" else 3
    targets = noisy.argmax(1) if task == "multiclass" else (noisy[:, :columns] > 0).float()
    model = torch.nn.Linear(3, columns, bias=False)
    with torch.no_grad():  # logits far beyond 37, where a sigmoid in float64 is 1
        model.weight.copy_(400 * torch.eye(3)[:columns])
    session = Session(model, (inputs, targets), (inputs, targets), task=task, loss=loss)
    found = session.evaluate().scores.ranking()
    truth = np.eye(3)[targets.numpy()] if task == "multiclass" else targets.numpy()
    logits = model(inputs).detach().double().numpy()
    for c in range(columns):
        # The log-odds of a class against the others.
        rest = logsumexp(np.delete(logits, c, 1), axis=1) if task == "multiclass" else 0
        assert found["roc_auc"].iloc[c] == pytest.approx(sk.roc_auc_score(truth[:, c], logits[:, c] - rest), abs=1e-3)
    assert (np.asarray(session.scores.y_score) == 1).sum() > 5


def test_many_labels_are_ranked_in_parts_as_at_once():
    rng = np.random.default_rng(0)
    y, s = (rng.random((1500, 2000)) < 0.01).astype(int), rng.random((1500, 2000), np.float32)
    found = Scores(y, s).label_ranking()
    assert found["coverage_error"] == pytest.approx(sk.coverage_error(y, s))
    assert found["label_ranking_loss"] == pytest.approx(sk.label_ranking_loss(y, s))


def test_a_ranking_of_labels_that_is_none_is_refused():
    with pytest.raises(ValueError, match="One label has no ranking"):
        Scores([0, 1], [0.2, 0.8]).label_ranking()
    with pytest.raises(ValueError, match="top is 0"):
        Scores([[0, 1]], [[0.2, 0.8]]).label_ranking(0)
