"""Replay: a ledger applied to a fresh session gives the same weights, bit for bit, however it was kept."""

from __future__ import annotations

import pytest
import torch

from tests.core.export import test_script
from tests.core.export.script_runs import X, Y, net, session

#: Runs of the scripts' matrix whose sessions are made with what is not in the ledger, by the same words.
MADE = {
    "clip_changes": {"optimizer": "sgd", "lr": 0.3},
    "batch_size_changes_in_mid_epoch": {},
    "everything_before_the_first_step": {"optimizer": "sgd"},
    "rates_and_decays": {},
    "frozen_from_the_beginning": {"trainable": ["4"]},
    "rewound": {"optimizer": "adam", "lr": 0.01},
    "a_batch_left_out": {},
    "many_changes": {},
    "schedules_come_and_go": {"optimizer": "adam", "lr": 0.01},
    "optimizers_swapped": {"optimizer": "adamw", "lr": 0.01},
    "an_optimizer_swapped_under_a_schedule": {
        "optimizer": "sgd", "lr": 0.1, "schedule": ("cosine", {"warmup": 2})
    },
    "accumulated": {"accumulate": 3},
    "dropout_changes": {"dropout": 0.6},
    "projected_weights": {"normalise": {"0": "unit"}},
    "smoothed_labels": {"loss": torch.nn.CrossEntropyLoss(label_smoothing=0.2)},
    "averaged_later": {},
    "in_bfloat16": {"precision": "bf16"},
}  # fmt: skip


def as_it_is(made, folder):
    return made.ledger()


def as_entries(made, folder):
    return made.line_changes


def as_json(made, folder):
    made.ledger().to_json(folder / "ledger.json", date_format="iso")
    return folder / "ledger.json"


def as_records(made, folder):
    made.ledger().to_json(folder / "ledger.json", orient="records", date_format="iso")
    return str(folder / "ledger.json")


def as_csv(made, folder):
    made.ledger().to_csv(folder / "ledger.csv")
    return folder / "ledger.csv"


def same(one, other):
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("name", MADE)
def test_a_replayed_ledger_gives_the_same_weights_bit_for_bit(name, tmp_path):
    first = test_script.RUNS[name]()
    for keep in (as_it_is, as_json):
        again = session(**MADE[name]).replay(keep(first, tmp_path))
        again.step(first.steps)
        assert same(first, again), keep.__name__


@pytest.mark.parametrize("keep", [as_it_is, as_entries, as_json, as_records, as_csv])
def test_a_ledger_may_be_kept_in_any_form(keep, tmp_path):
    first = session().step(2)
    first.lr = 1 / 3
    first.clip = ("value", 0.1 / 3)
    first.freeze("0.bias")
    first.step(5)
    again = session().replay(keep(first, tmp_path)).step(7)
    assert same(first, again)
    assert again.lr == 1 / 3 and again.clip == ("value", 0.1 / 3) and again.trainable == {"0.bias": False}


def test_a_replay_goes_on_through_fits_and_pauses():
    first = session()
    for number in range(10):
        first.lr = 0.01 / (number + 1)
        first.step()
    again = session().replay(first.ledger())
    again.step(3).fit(1)  # to the end of the first epoch
    again.fit(1).step(2)
    assert same(first, again)
    assert [entry.by for entry in again.changes] == ["replay"] * len(first.changes)
    assert [(e.step, e.name, e.applied) for e in again.changes] == [
        (e.step, e.name, e.applied) for e in first.changes
    ]


def test_what_was_rejected_or_undone_is_not_replayed():
    first = session(optimizer="adam").step(2)
    first.momentum = 0.9  # Adam has none
    first.step()
    first.lr = 0.5
    first.step(3)
    first.undo()
    first.lr = 0.02
    first.step(2)
    ledger = first.ledger()
    assert ledger.undone.tolist() == [False, True, True, False]
    again = session(optimizer="adam").replay(ledger).step(5)
    assert same(first, again)
    assert [entry.name for entry in again.changes] == ["lr"]


def test_a_session_that_was_trained_replays_nothing():
    made = session().step()
    with pytest.raises(ValueError, match="at step 1: a ledger is replayed by one that was not trained"):
        made.replay(made.ledger())


BACKWARDS = [{"step": 5, "name": "lr", "asked": 1}, {"step": 2, "name": "lr", "asked": 1}]


@pytest.mark.parametrize(
    ("ledger", "error", "words"),
    [
        (7, TypeError, "wants a ledger"),
        ([{"step": 1}], TypeError, "Row 1 of the ledger has no step, name and asked"),
        ([{"step": 1, "name": "colour", "asked": "red"}], ValueError, "changes 'colour', which this"),
        ([{"step": 1, "name": "lr", "asked": -1}], ValueError, "cannot be replayed: lr=-1"),
        ("nowhere.json", ValueError, "There is no file 'nowhere.json'"),
        (BACKWARDS, ValueError, "go back"),
        ([{"step": 5, "name": "optimizer", "asked": "<function f>"}], ValueError, "which no file can hold"),
    ],
)  # fmt: skip
def test_what_is_no_ledger_is_refused_in_a_sentence(ledger, error, words):
    with pytest.raises(error, match=words):
        session().replay(ledger)


def test_entries_with_a_rewind_are_refused_since_they_do_not_say_what_was_in_force():
    first = session().step(4)
    first.lr = 0.1
    first.step(2)
    first.rewind(3)
    with pytest.raises(ValueError, match="hold a rewind: pass session.ledger"):
        session().replay(first.changes)


def test_other_data_may_be_trained_by_the_same_ledger():
    first = session().step(2)
    first.lr = 0.5
    first.step(2)
    again = session(data=(X[:30], Y["multiclass"][:30]), model=net()).replay(first.ledger()).fit(2)
    assert again.lr == 0.5 and again.history()["lr"].tolist() == [1e-3, 1e-3, 0.5, 0.5]


def test_a_decay_that_changed_nothing_plays_no_part_in_a_later_optimizer():
    one, other = (session(optimizer="sgd", lr=0.01) for _ in range(2))  # without decay; AdamW has one
    one.step(2)
    for value in (None, 0.0):
        one.weight_decay = value
        one.step()
    one.optimizer = "adamw"
    one.step(4)
    assert [entry.name for entry in one.changes if entry.step] == ["optimizer"]
    other.replay(one.ledger())
    other.step(8)
    assert all(map(torch.equal, one.model.state_dict().values(), other.model.state_dict().values()))
