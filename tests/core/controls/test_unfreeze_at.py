"""Parts that begin to train on a timetable, against a loop that unfreezes by hand."""

from __future__ import annotations

import pytest
import torch

from dlwidgets import teaching
from dlwidgets.core.controls.unfreeze_at import gradually, read_when
from dlwidgets.session import Session
from tests.core.controls.by_hand import SIZE, X, Y, net, plain, same, session

#: Epochs have 7 steps.
TABLE = {"1": 4, "0": "1 epoch"}


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.05, weight_decay=0.1)


def flag(on, *layers):
    """Return a change by hand: whether some layers train, BatchNorm's statistics held where they do not."""

    def change(model, optimizer):
        for number in layers:
            model[number].requires_grad_(on).train(on)
            for one in model[number].parameters():
                one.grad = None

    return change


BY_HAND = {0: flag(False, 0, 1), 4: flag(True, 1), 7: flag(True, 0)}


def trains(made):
    return [number for number in (0, 1, 5, 7) if made.model[number].weight.requires_grad]


def test_a_timetable_gives_the_weights_of_a_loop_that_unfreezes_by_hand():
    made = session(optimizer=adamw, unfreeze_at=TABLE).fit()
    same(made.model, plain(optimizer=adamw, at=BY_HAND))
    assert made.ledger()[["step", "name", "by"]].values.tolist() == [
        [4, "trainable", "timetable"], [7, "trainable", "timetable"],
    ]  # fmt: skip
    assert made.trainable == made.applied["trainable"]


def test_what_it_names_is_frozen_when_it_is_asked_for_and_what_is_over_trains():
    made = session()
    made.step(3)
    made.unfreeze_at = {"0": 2, "1": 5, "5": 9}
    made.step()
    assert trains(made) == [0, 7] and made.ledger().by.tolist() == ["code", "timetable"]
    made.step(2)
    assert trains(made) == [0, 1, 7]
    assert [(one["pattern"], one["over"], one["step"]) for one in made.applied["timetable"]] == [
        ("0", True, 2), ("1", True, 5), ("5", False, 9),
    ]  # fmt: skip


def test_what_is_to_wait_for_longer_inside_of_what_is_due_does():
    made = session(unfreeze_at={"0.bias": 4, "0": 2})
    made.step(3)
    assert [one.requires_grad for one in made.model[0].parameters()] == [True, False]
    made.step(2)
    assert all(one.requires_grad for one in made.model[0].parameters())


def test_a_person_who_freezes_again_wins():
    made = session(unfreeze_at={"0": 2, "1": 5})
    made.step(3)
    made.freeze("0")
    made.step(4)
    assert trains(made) == [1, 5, 7]


@pytest.mark.parametrize("back", range(1, 9))
def test_going_back_and_on_unfreezes_once_more_and_not_twice(back):
    made = session(optimizer=adamw, unfreeze_at=TABLE)
    made.fit()
    made.rewind(back)
    assert trains(made) == [*([0] if back > 7 else []), *([1] if back > 4 else []), 5, 7]
    made.step(14 - back)
    same(made.model, plain(optimizer=adamw, at=BY_HAND))
    assert made.ledger().query("not undone").step.tolist().count(4) == 1


def test_undo_takes_a_date_back_for_good():
    made = session(unfreeze_at=TABLE)
    made.step(5)
    made.undo()
    made.step()
    assert trains(made) == [5, 7]
    made.step(3)
    assert trains(made) == [0, 5, 7]


def test_undo_takes_back_a_timetable_and_what_it_froze_as_one():
    made = session()
    made.step()
    made.unfreeze_at = TABLE
    made.step()
    made.undo()
    assert made.unfreeze_at is None and trains(made) == [0, 1, 5, 7]


def test_a_ledger_is_replayed_with_its_timetable_and_what_a_person_did_after_it():
    first = session(optimizer=adamw).step(2)
    first.unfreeze_at = TABLE
    first.step(2)
    first.fit(1)
    first.freeze("1")
    first.step(3)
    again = session(optimizer=adamw)
    again.replay(first.ledger())
    again.step(first.steps - again.steps)
    same(again.model, first.model)


@pytest.mark.parametrize("steps", [2, 4, 5, 7])
def test_a_checkpoint_goes_on_with_its_timetable(tmp_path, steps):
    made = session(optimizer="adamw", lr=0.05, checkpoint_dir=tmp_path, unfreeze_at=TABLE).step(steps)
    made.close()
    resumed = Session.from_checkpoint(
        tmp_path, net(), (X, Y), batch_size=SIZE, valid=(X[:10], Y[:10]), optimizer="adamw",
    )  # fmt: skip
    resumed.step(14 - steps)
    same(resumed.model, session(optimizer="adamw", lr=0.05, unfreeze_at=TABLE).fit().model)


def test_settings_are_tried_with_what_falls_due_meanwhile():
    made = session(optimizer=adamw, unfreeze_at=TABLE).step(2)
    (line,) = made.try_each(6, {"lr": 0.05})
    assert [(one.step, one.name, one.by) for one in line.changes] == [
        (4, "trainable", "timetable"), (7, "trainable", "timetable"),
    ]  # fmt: skip
    assert trains(made) == [5, 7]
    made.step(12)
    same(made.model, plain(optimizer=adamw, at=BY_HAND))


def test_blocks_are_unfrozen_gradually_from_the_head():
    made = session(unfreeze_at=("gradual", 2))
    assert dict(made.unfreeze_at) == {"0": 2, "1": 2} and trains(made) == [5, 7]
    made.step(8)
    assert trains(made) == [0, 1, 5, 7]
    made.unfreeze_at = "gradual"
    made.step()
    assert dict(made.unfreeze_at) == {"0": "2 epochs", "1": "2 epochs"} and trains(made) == [5, 7]


def test_a_time_alone_is_that_of_the_backbone():
    made = session(unfreeze_at="1 epoch")
    assert dict(made.unfreeze_at) == dict.fromkeys(made.split.backbone, "1 epoch") and trains(made) == [5, 7]


def test_gradual_unfreezing_reaches_all_of_a_model():
    model = teaching.SmallCNN(3)
    table = gradually(model, "1 epoch")
    there = {name for name, _ in model.named_parameters()}
    later = {name for name in there for path in table if f"{name}.".startswith(f"{path}.")}
    assert {name.split(".")[0] for name in there - later} == {"head"} and [*table][-1].startswith("stage1")


@pytest.mark.parametrize(("typed", "when"), [
    (0, 0), ("200", 200), ("step 1,200", 1200), ("at 7 steps", 7), ("3 epochs", "3 epochs"),
    ("after 1 epoch", "1 epoch"), ("epoch 3", "2 epochs"), ("Epoch 1", "0 epochs"),
])  # fmt: skip
def test_times_are_read_as_people_write_them(typed, when):
    assert read_when(typed) == when == read_when(when)


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"0": "soon"}, "unfreeze_at has the time 'soon': a number of steps, as 200, or of epochs, as '3 epochs', is"),
    ({"0": True}, "unfreeze_at has the time True: a number of steps"),
    ({"0": "epoch 0"}, "unfreeze_at has the time 'epoch 0': a number of steps"),
    ({"9": 3}, "unfreeze_at: The Sequential has no layer or parameter '9'."),
    (2.5, "unfreeze_at=2.5: a timetable is wanted, as {'features': 200}"),
    (("gradually", 3), "unfreeze_at has 'gradually': ('gradual', '1 epoch') is wanted. Did you mean 'gradual'?"),
    ({"*": 3}, "unfreeze_at={'*': 3}: everything would be frozen: there would be nothing to train until then: leave"),
])  # fmt: skip
def test_timetables_that_cannot_be_are_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session(unfreeze_at=wish)
    assert str(caught.value).startswith(sentence)


def test_a_time_after_the_end_of_the_run_is_told():
    assert session(unfreeze_at={"0": 3, "1": "2 epochs"}).notes[-1] == (
        "unfreeze_at: 1 would begin to train after the end of the run."
    )
