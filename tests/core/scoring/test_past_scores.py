"""What earlier evaluations found: exact at thousandths, each on its line, thinned with age."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import nn

from dlwidgets.core.scoring.past_scores import PastScores, ScoreHistory
from dlwidgets.core.scoring.scores import Scores
from dlwidgets.session import Session

RANDOM = torch.Generator().manual_seed(0)
X, Y = torch.randn(60, 6, generator=RANDOM), (torch.rand(60, 3, generator=RANDOM) < 0.4).float()


def session(**options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    return Session(model, (X, Y), (X, Y), **{"batch_size": 10, "epochs": 3, "lr": 0.05, **options})


def weights(made):
    return [parameter.detach().clone() for parameter in made.model.parameters()]


def past(step, line="main", classes=2):
    counts = np.zeros((classes, 2, 1001), np.uint8)
    return PastScores(step, 1, line, 4, ("a", "b")[:classes], np.full((classes, 2), 2, np.int64), counts)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.booleans(),
)  # fmt: skip
def test_its_counts_are_those_of_the_scores_at_every_thousandth(samples, classes, seed, places, narrow):
    rng = np.random.default_rng(seed)
    true = rng.integers(-1, 2, (samples, classes))
    # Scores that are thousandths themselves tie with the thresholds.
    score = np.where(rng.random((samples, classes)) < 0.5, rng.integers(0, 1001, (samples, classes)) / 1000,
                     rng.random((samples, classes))).astype(np.float32 if narrow else np.float64)  # fmt: skip
    scores = Scores(np.where(true < 0, np.nan, true), score)
    kept = PastScores.of(scores, 7, 2, "main")
    limits = [place / 1000 for place in places[:classes]]
    assert np.array_equal(kept.confusion(limits), scores.confusion(limits))
    assert np.array_equal(kept.confusion(limits[0]), scores.confusion(limits[0]))
    for name, found in kept.rates(limits).items():
        assert np.array_equal(found, scores.metrics(limits)[name], equal_nan=True)


def test_a_threshold_outside_of_the_probabilities_predicts_all_or_nothing():
    true, score = np.array([[1, 0], [0, 1], [1, 1]]), np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    kept = PastScores.of(Scores(true, score), 1, 1, "main")
    for limit in (-0.2, 1.2):
        wanted = metrics.multilabel_confusion_matrix(true, score >= limit)
        assert np.array_equal(kept.confusion(limit), wanted)


def test_thresholds_that_do_not_fit_are_refused():
    for wrong in ([0.1, 0.2, 0.3], float("nan"), [[0.5, 0.5]]):
        with pytest.raises(ValueError, match="2 classes"):
            past(1).confusion(wrong)


def test_each_evaluation_is_kept_with_its_step_and_epoch():
    made, told = session(), []
    made.observe(lambda change: told.append(change["name"]), names=["past_scores", "scores"])
    made.fit()
    assert [(one.step, one.epoch, one.line) for one in made.past_scores] == [
        (6, 1, "main"), (12, 2, "main"), (18, 3, "main"),
    ]  # fmt: skip
    assert told == ["past_scores", "scores"] * 3
    newest = made.past_scores[-1]
    assert newest.samples == 60 and newest.classes == made.scores.classes
    assert np.array_equal(newest.confusion([0.3, 0.5, 0.7]), made.scores.confusion([0.3, 0.5, 0.7]))


def test_nothing_is_kept_where_there_are_no_scores():
    torch.manual_seed(0)
    made = Session(nn.Linear(6, 1), (X, Y[:, :1].sum(1) + X[:, 0]), (X, X[:, 0]), epochs=1).fit()
    assert made.evaluation.metrics and made.past_scores == ()


def test_keeping_them_changes_nothing_of_the_training(monkeypatch):
    one = session().fit()
    monkeypatch.setattr(PastScores, "of", classmethod(lambda cls, *_: past(0)))
    other = session().fit()
    assert all(map(torch.equal, weights(one), weights(other)))
    left, right = (made.history()[["epoch", "loss", "lr", "valid_loss", "macro_f1"]] for made in (one, other))
    assert left.equals(right)


def test_after_going_back_they_stay_with_the_line_that_was_left():
    made = session().fit()
    made.rewind(8)
    assert [(one.step, one.line) for one in made.past_scores] == [(6, "main"), (12, "main"), (18, "main")]
    assert [one.step for one in made.past_on()] == [6]
    assert [one.step for one in made.past_on("main")] == [6, 12, 18]
    made.lr = 0.5
    made.fit()
    branch = made.line
    assert [(one.step, one.line) for one in made.past_on()] == [(6, "main"), (12, branch), (18, branch)]
    then, now = made.past_on("main")[-1], made.past_on()[-1]
    assert not np.array_equal(then.counts, now.counts)
    made.switch("main")
    assert [(one.step, one.line) for one in made.past_on()] == [(6, "main"), (12, "main"), (18, "main")]
    with pytest.raises(ValueError, match="no line"):
        made.past_on("nowhere")


def test_a_line_on_which_nothing_happened_leaves_nothing():
    made = session()
    made.step(9)
    made.rewind(8)
    made.evaluate()
    made.rewind(4)
    assert [(one.step, one.line) for one in made.past_scores] == [(6, "main")]
    assert made.past_on() == ()


def test_the_tries_side_by_side_have_their_own():
    made = session(evaluate_every=2)
    made.step(2)
    tries = made.try_each(4, {"lr": 0.001}, {"lr": 1.0})
    for one in tries:
        assert [moment.step for moment in made.past_on(one)] == [2, 4, 6]
    assert [moment.step for moment in made.past_on()] == [2]


def test_it_stays_within_its_budget_dense_near_now_and_sparse_far_back():
    size = past(0).bytes
    kept = ScoreHistory(budget=20 * size)
    for step in range(1, 401):
        kept.add(past(step))
        assert sum(one.bytes for one in kept.all) <= 20 * size
    steps = [one.step for one in kept.all]
    assert steps[0] == 1 and steps[-1] == 400 and len(steps) == 20
    gaps = np.diff(steps)
    assert gaps[-5:].max() <= 4 < gaps[:5].max()
    assert steps == sorted(steps)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), min_size=1, max_size=60),
    st.integers(2, 9),
)
def test_the_first_and_the_newest_are_kept_whatever_comes(steps, room):
    size, kept, first = past(0).bytes, ScoreHistory(budget=room * past(0).bytes), None
    for line, step in steps:
        kept.add(past(step, line))
        newest = [one for one in kept.all if one.line == line][-1]
        assert newest.step == step
        assert sum(one.bytes for one in kept.all) <= room * size
        if first is not None and any(one.line == first.line and one.step < step for one in kept.all[:1]):
            assert kept.all[0] is first
        first = kept.all[0]
        for name in "abc":
            found = [one.step for one in kept.all if one.line == name]
            assert found == sorted(set(found))


def test_a_moment_evaluated_again_replaces_the_one_before():
    made = session()
    made.step(6)
    made.evaluate()
    assert [one.step for one in made.past_scores] == [6]


def test_they_are_there_after_a_restart(tmp_path):
    made = session(checkpoint_dir=tmp_path).fit()
    made.close()
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    made._run.autosave.checkpoints.wait()
    again = Session.from_checkpoint(tmp_path, model, (X, Y), (X, Y))
    assert [(one.step, one.epoch) for one in again.past_scores] == [(6, 1), (12, 2), (18, 3)]
    for one, other in zip(made.past_scores, again.past_scores):
        assert np.array_equal(one.confusion(0.4), other.confusion(0.4))
        assert one.classes == other.classes
