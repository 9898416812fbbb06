"""Samples that belong together, as those of a patient: intervals, holdouts and label advice by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from dlwidgets import Session
from dlwidgets.core.data.groups import draw_groups
from dlwidgets.core.scoring.intervals import design_effect
from dlwidgets.core.scoring.scores import Scores


def patients(count, each, seed=0, share=0.3, copies=0.05):
    """Return labels, scores and patients: `each` near copies of one sample a patient."""
    random = np.random.default_rng(seed)
    y = np.repeat((random.random(count) < share).astype(int), each)
    score = np.repeat(random.normal(size=count), each) + copies * random.normal(size=count * each) + 1.2 * y
    return y, score, np.repeat(np.arange(count), each)


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["wilson", "bootstrap"])
def test_an_interval_by_patient_holds_where_one_by_sample_does_not(interval):
    held = {True: [], False: []}
    for seed in range(150):
        y, score, who = patients(60, 10, seed)
        for by_patient in held:
            scores = Scores(y, score, groups=who if by_patient else None)
            row = scores.metrics(1.0, interval=interval).iloc[0]
            held[by_patient].append(row["recall_low"] <= 0.57926 <= row["recall_high"])  # 1 - Phi(-0.2)
    assert np.mean(held[True]) >= 0.9 and np.mean(held[False]) < 0.75


@pytest.mark.parametrize("interval", ["wilson", "bootstrap"])
def test_patients_of_one_sample_have_about_the_interval_of_samples(interval):
    y, score, who = patients(400, 1)
    one, other = (Scores(y, score, groups=g).metrics(0.6, interval=interval) for g in (who, None))
    for name in ("recall", "specificity", "precision"):
        for end in ("low", "high"):
            assert one[f"{name}_{end}"].iloc[0] == pytest.approx(other[f"{name}_{end}"].iloc[0], abs=0.015)


def test_the_averages_draw_patients():
    y, score, who = patients(60, 10)
    two = np.stack([y, 1 - y], 1), np.stack([score, -score], 1)
    wide, narrow = (
        Scores(*two, groups=g).averages([0.6, -0.6], interval="bootstrap").loc["macro"] for g in (who, None)
    )
    assert wide["f1"] == narrow["f1"]
    # Ten near copies: the root of ten times as wide.
    assert wide["f1_high"] - wide["f1_low"] > 2.3 * (narrow["f1_high"] - narrow["f1_low"])


def test_a_ranking_draws_patients():
    y, score, who = patients(60, 10)
    wide, narrow = (Scores(y, score, groups=g).ranking("bootstrap").iloc[0] for g in (who, None))
    for name in ("roc_auc", "average_precision"):
        assert wide[f"{name}_high"] - wide[f"{name}_low"] > 2 * (
            narrow[f"{name}_high"] - narrow[f"{name}_low"]
        )


def test_the_design_effect_of_copies_is_their_number_and_of_independent_samples_one():
    hits = np.random.default_rng(0).integers(0, 2, 500)
    assert design_effect(10 * hits, np.full(500, 10)) == pytest.approx(10, rel=0.01)
    effects = [
        design_effect(np.random.default_rng(k).binomial(10, 0.4, 500), np.full(500, 10)) for k in range(20)
    ]
    assert np.mean(effects) == pytest.approx(1, abs=0.1)
    assert design_effect(np.array([4, 2]), np.array([4, 2])) == pytest.approx(20 / 6)


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_holdout_divides_no_patient(share):
    y, score, who = patients(50, 6)
    held = Scores(y, score, groups=who).best_thresholds(holdout=share).held_out[:, 0]
    assert not set(who[held]) & set(who[~held]) and held.mean() == pytest.approx(share, abs=0.05)
    assert y[held].any() and y[~held].any()


@pytest.mark.slow
def test_a_bound_is_surer_of_patients_than_of_copies():
    kept = {True: 0, False: 0}
    for seed in range(120):
        y, score, who = patients(150, 8, seed, share=0.5)
        for by_patient in kept:
            scores = Scores(y, score, groups=who if by_patient else None)
            best = scores.best_thresholds("specificity", "recall >= 0.8", confidence=0.95)
            kept[by_patient] += best[0] <= 1.2 - 0.8416 * np.sqrt(1 + 0.05**2)
    assert kept[True] >= 0.93 * 120 and kept[False] < 0.9 * 120


def test_label_advice_keeps_a_patient_together_and_counts_each_once():
    y, score, who = patients(80, 5, share=0.4)
    y[who == 7] = 1 - y[who == 7]
    chance = 1 / (1 + np.exp(-4 * (score - 0.6)))
    found = Scores(y, chance, groups=who).suspicious()
    blocks = (found["group"] != found["group"].shift()).sum()
    assert blocks == found["group"].nunique() < len(found)
    worst = found.groupby("group", sort=False)["confidence"].min()
    assert worst.is_monotonic_increasing and found["rank"].tolist() == list(range(1, len(found) + 1))
    with pytest.raises(ValueError, match="'cleanlab' knows no groups.*engine='own'"):
        Scores(y, chance, groups=who).suspicious(engine="cleanlab")
    # A patient of many more copies does not move what a sample usually gets.
    again = np.concatenate([np.flatnonzero(who == 3)] * 20)
    more = Scores(
        *(np.concatenate([part, part[again]]) for part in (y, chance)), groups=np.append(who, who[again])
    )
    assert set(more.suspicious()["group"]) == set(found["group"])


# -- a session's


@pytest.fixture(scope="module")
def tables():
    """Inputs, three labels and the patient of 120 samples."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(120, 4)).astype(np.float32)
    who = np.array([f"p{n}" for n in random.integers(0, 30, 120)])
    inputs[:, 0] = [int(one[1:]) for one in who]
    return inputs, (inputs[:, 1:] > 0).astype(np.float32), who


class Pairs(Dataset):
    """Samples by number."""

    def __init__(self, inputs, labels):
        self.inputs, self.labels = inputs, labels

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, index):
        return self.inputs[index], self.labels[index]


def frame_of(inputs, labels, who):
    columns = {**dict(zip("abcd", inputs.T)), **dict(zip("xyz", labels.T)), "patient": who}
    return pd.DataFrame(columns, [f"image {n}" for n in range(len(who))])


@pytest.mark.parametrize("form", ["arrays", "a Dataset", "a column", "a Series in another order"])
def test_a_session_holds_out_whole_patients_and_its_scores_know_them(tables, form):
    inputs, labels, who = tables
    frame, options = frame_of(*tables), {}
    if form in ("arrays", "a Dataset"):
        data, groups = (inputs, labels) if form == "arrays" else Pairs(inputs, labels), who
    else:
        data, options = frame, {"target": ["x", "y", "z"]}
        groups = "patient" if form == "a column" else frame["patient"].sample(frac=1, random_state=1)
        data = frame if form == "a column" else frame.drop(columns="patient")
    session = Session(nn.Linear(4, 3), data, 0.25, groups=groups, **options)
    scores = session.evaluate().scores
    seen = [{float(row[0]) for row in session._run.data.train.peek(120)[0]}]
    held = [session.samples.inputs(n).reshape(-1)[0].item() for n in range(len(session.samples))]
    assert seen[0].isdisjoint(held) and len(seen[0]) + len(set(held)) == len(set(who))
    assert len(held) == pytest.approx(30, abs=2)
    np.testing.assert_array_equal(scores.groups, pd.factorize(np.array(held))[0])
    assert any("whole groups of" in note for note in session.notes)
    session.evaluate_samples = 12
    some = session.evaluate().scores
    np.testing.assert_array_equal(some.groups, pd.factorize(np.array(held)[some.numbers])[0])


def test_validation_data_of_its_own_brings_its_patients_and_says_which_were_trained_on(tables):
    inputs, labels, who = tables
    frame, model = frame_of(*tables), nn.Linear(4, 3)
    session = Session(model, (inputs[:90], labels[:90]), (inputs[90:], labels[90:]), groups=who[90:])
    expected = pd.factorize(who[90:])[0]
    np.testing.assert_array_equal(session.evaluate().scores.groups, expected)
    session = Session(model, frame[:90], frame[90:], target=["x", "y", "z"], groups="patient")
    np.testing.assert_array_equal(session.evaluate().scores.groups, expected)
    both = set(who[:90]) & set(who[90:])
    said = f"{len(both)} of {len(set(who[90:]))} groups of valid (patient) are in train"
    assert any(said in note for note in session.notes)


def test_a_script_without_its_data_says_which_patients_were_held_out(tables, tmp_path):
    inputs, labels, who = tables
    session = Session(nn.Linear(4, 3), (inputs, labels), 0.25, groups=who, epochs=1).fit()
    with pytest.warns(UserWarning, match="Put your data"):
        session.to_script(tmp_path / "run.py", data=False)
    assert "Held out as valid: " in (tmp_path / "run.py").read_text()


def test_a_large_group_that_does_not_fit_the_share_is_trained_on():
    held = draw_groups(np.array([0] * 90 + list(range(1, 11))), 0.2, seed=3)
    assert held.tolist() == [False] * 90 + [True] * 10


@pytest.mark.parametrize(
    ("valid", "groups", "words"),
    [
        (0.2, [1] * 100, "groups= names 100 groups for 120 samples of train"),
        (0.2, [1] * 120, "all 120 samples are of one group, which is not divided"),
        (0.2, [None] + [1] * 119, "groups is unknown"),
        (0.2, "patient", "names a column, and train has none"),
        (None, [1] * 120, "there is none: pass valid=0.2"),
        ("itself", [1] * 90, "120 samples of valid.*those of train are not wanted"),
        ("shuffled", [1] * 120, "with its samples in one order.*shuffle=False"),
    ],
)
def test_groups_that_do_not_fit_a_session_are_refused_in_a_sentence(tables, valid, groups, words):
    inputs, labels, _ = tables
    data = {"itself": (inputs, labels), "shuffled": DataLoader(Pairs(inputs, labels), shuffle=True)}
    with pytest.raises((ValueError, TypeError), match=words):
        Session(nn.Linear(4, 3), (inputs, labels), data.get(valid, valid), groups=groups)


def test_a_column_of_groups_that_is_none_is_refused_with_the_nearest(tables):
    with pytest.raises(ValueError, match="no column of train.*Did you mean 'patient'"):
        Session(nn.Linear(4, 3), frame_of(*tables), 0.2, target=["x", "y", "z"], groups="patients")


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, pd.Series, lambda w: [f"p{k}" for k in w]])
def test_patients_are_given_in_any_form(form):
    y, score, who = patients(5, 3)
    for build in (Scores, Scores.from_logits):
        np.testing.assert_array_equal(build(y, score, groups=form(who)).groups, who)
    assert (
        Scores.from_predictions(y, (score > 0.6).astype(int), groups=form(who)).groups.tolist()
        == who.tolist()
    )
    assert Scores(y, score).groups is None


def test_a_series_of_patients_is_matched_by_its_index():
    y, score, who = patients(5, 3)
    index = [f"image {k}" for k in range(15)]
    frames = pd.DataFrame({"a": y}, index), pd.DataFrame({"a": score}, index)
    shuffled = pd.Series(who, index).sample(frac=1, random_state=0)
    np.testing.assert_array_equal(Scores(*frames, groups=shuffled).groups, who)
    with pytest.raises(ValueError, match="index of groups is not that of the labels"):
        Scores(*frames, groups=pd.Series(who))


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ([0] * 14, "14 groups for 15 samples"),
        ([0] * 14 + [None], "unknown .* for 1 of 15 samples, the first is sample 14"),
        ([np.nan] * 3 + [1.0] * 12, "unknown .* for 3 of 15"),
        ("patient", "groups for 15 samples: give the group of each"),
        (np.zeros((15, 2)), "groups for 15 samples: give the group of each"),
    ],
)
def test_groups_that_are_none_are_refused_in_a_sentence(groups, words):
    y, score, _ = patients(5, 3)
    with pytest.raises(ValueError, match=words):
        Scores(y, score, groups=groups)
