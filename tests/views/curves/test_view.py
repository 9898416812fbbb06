"""Curves without a browser: what is drawn of a run, what is marked, and what a person may zoom to."""

from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dlwidgets.core.base.canvas import BLUE
from dlwidgets.core.base.ledger import Entry
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.session import Session
from dlwidgets.views.curves.view import Curves, around, marks


def new_session(**options) -> Session:
    torch.manual_seed(0)
    X = torch.randn(256, 4)
    y = (X[:, :3] > 0.3).float()
    return Session(nn.Linear(4, 3), train=(X, y), valid=(X[:32], y[:32]), **{"epochs": 100, **options})


@pytest.fixture
def session():
    made = new_session()
    yield made
    made.close()


@pytest.fixture
def view(wire, session):
    made = Curves(session)
    yield made
    made.close()


def rows(data: bytes, count: int) -> np.ndarray:
    """Read a block as the page does."""
    return np.frombuffer(data, np.float32).reshape(count, -1)


# -- what is drawn


def test_each_step_is_in_the_picture_while_there_are_few(session, view, open_page):
    session.step(50)
    page = open_page(view)
    history = session.history()
    step, low, high, mean = rows(page.state["train"], 4)
    np.testing.assert_array_equal(step, history.index)
    for row in (low, high, mean):
        np.testing.assert_array_equal(row, history.loss.astype(np.float32))
    np.testing.assert_array_equal(rows(page.state["rate"], 4)[3], history.lr.astype(np.float32))
    norms = history.grad_norm.dropna()
    np.testing.assert_array_equal(rows(page.state["norm"], 4)[0], norms.index)
    assert page.state["steps"] == 50


def test_while_it_trains_the_states_that_are_kept_come_with_the_next_pulse(
    wire, session, view, open_page, monkeypatch
):
    session.step(2)
    kept, now = list(session.snapshots), session._run.now
    monkeypatch.setattr(session._run, "now", lambda name: tuple(kept) if name == "snapshots" else now(name))

    def keep(why):
        kept.append((2, why))
        session.set_trait("snapshots", tuple(kept))

    page = open_page(view, eager=True)
    before = page.state["kept"]
    session.set_trait("status", "running")
    keep("time")
    assert page.state["kept"] == before
    session.set_trait("pulse", session.pulse // 3 * 3 + 3)
    assert len(page.state["kept"]) == len(before) + 1
    # At rest nobody else would bring them.
    session.set_trait("status", "paused")
    keep("change")
    assert len(page.state["kept"]) == len(before) + 2


def test_the_validation_is_a_point_for_each_evaluation(wire):
    session = new_session(evaluate_every=5)
    view = Curves(session)
    session.step(23)
    valid = session.history().valid_loss.dropna()
    step, loss = rows(view.project()["valid"], 2)
    np.testing.assert_array_equal(step, valid.index)
    np.testing.assert_array_equal(loss, valid.astype(np.float32))
    # An evaluation of the same step takes the place of the one before.
    session.step(2), session.evaluate()
    assert rows(view.project()["valid"], 2)[0].tolist() == [5, 10, 15, 20, 25]
    view.close(), session.close()


def test_thousands_of_evaluations_are_thinned_and_keep_their_peak_and_their_end(wire, session, view):
    rng = np.random.default_rng(0)
    losses = rng.random(20_000)
    losses[1234] = 9.0
    for n, loss in enumerate(losses, 1):
        session.record.evaluation(n, valid_loss=loss)
    step, loss = rows(view.project()["valid"], 2)
    assert len(step) <= 801 and loss.max() == 9.0
    assert (step[-1], loss[-1]) == (20_000, np.float32(losses[-1]))
    assert (np.diff(step) >= 0).all()


def test_a_picture_of_a_long_run_is_small(wire, session, view, open_page):
    for n in range(30_000):
        session.record.step(epoch=1, loss=n % 7, lr=0.1, batch_size=4, grad_norm=1.0, seconds=1e-3)
    open_page(view)
    assert wire.pictures(view)[-1].size < 25_000


def test_the_limit_of_the_norm_is_drawn_and_no_other(session, view):
    assert view.project()["clip"] is None
    for clip, drawn in ((("norm", 0.5), 0.5), (("value", 0.5), None), (None, None)):
        session.clip = clip
        session.step()
        assert view.project()["clip"] == drawn


def test_a_view_of_no_session_is_refused_with_a_sentence(wire):
    with pytest.raises(TypeError, match="Curves wants a Session, not Linear"):
        Curves(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="rewind='no': True or False is wanted"):
        Curves(Session(nn.Linear(2, 2), (torch.rand(4, 2), torch.arange(4) % 2)), rewind="no")
    gc.collect()


# -- zooming


def test_a_stretch_is_sent_in_full_detail_to_every_page(session, view, open_page):
    session.step(2000)
    one, other = open_page(view, eager=True), open_page(view, eager=True)
    assert len(rows(one.state["train"], 4)[0]) <= 400
    one.say(wish="window", value=[101, 300])
    for page in (one, other):
        step, *_, mean = rows(page.state["train"], 4)
        np.testing.assert_array_equal(step, np.arange(101, 301))
        np.testing.assert_array_equal(mean, session.history().loss.loc[101:300].astype(np.float32))
        assert page.state["window"] == [101, 300]
    # Lines reach the edges: one point beyond them is sent.
    evaluated = rows(one.state["valid"], 2)[0]
    assert evaluated[0] < 101 and evaluated[-1] > 300 and len(evaluated) < 2000 / 8
    one.say(wish="window", value=[])
    assert rows(other.state["train"], 4)[0][-1] == 2000 and other.state["window"] == []


@pytest.mark.parametrize(
    ("wished", "shown"),
    [([300, 101], [101, 300]), ([5, 5], [5, 6]), ([-9, 3.6], [1, 4]), ([0, 1e30], [1, 2**24])],
)
def test_a_stretch_given_oddly_is_put_right(wire, session, view, open_page, wished, shown):
    open_page(view, eager=True).say(wish="window", value=wished)
    assert view.window == shown and not wire.customs(view)


@pytest.mark.parametrize(
    "wished",
    [
        3,
        "all",
        [1],
        [1, 2, 3],
        [1, "2"],
        [None, 2],
        [float("nan"), 2],
        {"0": 1, "1": 2},
        [True, False],
        [[1], [2]],
    ],
)
def test_a_stretch_that_makes_no_sense_is_refused_with_a_sentence(wire, session, view, open_page, wished):
    open_page(view, eager=True).say(wish="window", value=wished)
    (answer,) = wire.customs(view)
    assert answer["refused"] == "window" and answer["because"].startswith("The curves can show the steps")
    assert view.window == [] and view.problem == ""


# -- changes


def entry(step, name="lr", applied=0.1, by="code", rejected=False, time=None):
    return Entry(step, name, applied, applied, by, "", rejected, 10.0 * step if time is None else time)


def test_a_change_is_marked_at_its_step_in_few_words(session, view):
    session.step(3)
    session.lr = 0.003
    with session.by("panel"):
        session.clip = 1.0
        session.batch_size = 64
    session.step()
    assert view.project()["marks"] == [
        [3, "lr → 0.003 (code), clip → norm 1 (panel), batch size → 64 (panel)"]
    ]


@pytest.mark.parametrize(
    ("applied", "words"),
    [
        (None, "off"), (("norm", 0.25), "norm 0.25"), (64, "64"), (1e-5, "1e-05"),
        (("step", {"gamma": 0.1}), "step"),
        ({"*": "unit", "head": None}, "* unit, head off"),
    ],
)  # fmt: skip
def test_the_words_of_a_mark_are_short(applied, words):
    assert marks([entry(1, "clip", applied)]) == [[1, f"clip → {words} (code)"]]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"features": False, "features.3": True}, "features frozen, features.3 trains"),
        (None, "trains as it was made"),
    ],
)
def test_what_was_frozen_is_marked_in_words(choice, words):
    assert marks([entry(1, "trainable", choice, "layers")]) == [[1, f"{words} (layers)"]]


def test_a_run_that_was_taken_back_is_drawn_anew(session, view):
    session.step(6)
    session.lr = 0.5
    session.step(2)
    assert [words for _, words in view.project()["marks"]] == ["lr → 0.5 (code)"]
    session.rewind(4)
    picture = view.project()
    assert picture["steps"] == 4 and picture["marks"] == []
    session.lr = 0.25
    session.step()
    step, *_, mean = np.frombuffer(view.project()["rate"], np.float32).reshape(4, -1)
    assert step.tolist() == [1, 2, 3, 4, 5]
    assert mean[-1] == 0.25 and mean[-1] != mean[-2]
    assert [words for _, words in view.project()["marks"]] == ["lr → 0.25 (code)"]


def test_a_line_that_was_left_stays_from_where_it_parted(session, view):
    session.step(9)
    left = session.history().loss
    session.rewind(4)
    session.lr = 0.25
    session.step(2)
    picture = view.project()
    line, step, loss = np.frombuffer(picture["past"], np.float32).reshape(3, -1)
    assert set(line) == {0} and step.tolist() == [5, 6, 7, 8, 9]  # the loss of step 5 is that of both
    assert loss.tolist() == left.to_numpy(np.float32)[4:].tolist()
    assert picture["names"] == [branch.name for branch in session.branches]
    assert picture["reach"] == 9 and picture["steps"] == 6
    kept = dict(view._left)
    assert view.project()["past"] == picture["past"]
    assert list(view._left.values()) == list(kept.values()) and len(kept) == 1  # not read anew each time
    drawn = [curve.get_xdata().tolist() for curve in view.figure().axes[0].get_lines()]
    assert step.tolist() in drawn


def test_a_figure_is_of_the_line_under_way_and_one_left_because_it_leapt_flattens_nothing(session, view):
    session.on_divergence = "go on"
    session.step(3)
    session.lr = 1e6
    session.step(3)
    assert session.loss > 100 * session.history().loss[3]
    session.rewind(3)
    axes = view.figure().axes[0]  # no page has asked for a projection since
    *_, own = [one for one in axes.get_lines() if one.get_color() == BLUE]
    assert own.get_xdata().tolist() == [1, 2, 3]
    assert axes.get_ylim()[1] < 10 * session.history().loss.max()


def test_a_drag_is_one_mark_where_it_ended():
    drag = [entry(step, applied=step / 100, by="panel") for step in range(10, 60, 5)]
    assert marks([entry(1), *drag, entry(200)]) == [
        [1, "lr → 0.1 (code)"], [55, "lr → 0.55 (panel)"], [200, "lr → 0.1 (code)"],
    ]  # fmt: skip


def test_a_key_held_down_is_one_mark_however_fast_the_steps_are():
    held = [entry(1000 * n, applied=n / 10, by="panel", time=0.03 * n) for n in range(1, 9)]
    assert marks(held) == [[8000, "lr → 0.8 (panel)"]]
    # A script that changes the rate every thousand steps means each of them.
    assert len(marks([entry(1000 * n, time=0.03 * n) for n in range(1, 9)])) == 8


def test_changes_by_others_or_of_other_controls_are_not_run_together():
    changes = [entry(10, "lr"), entry(11, "clip", 1.0), entry(12, "lr"), entry(13, "lr", by="panel")]
    assert [step for step, _ in marks(changes)] == [10, 11, 12, 13]


def test_what_was_rejected_is_not_marked():
    assert marks([entry(1, rejected=True), entry(5), entry(6, rejected=True)]) == [[5, "lr → 0.1 (code)"]]


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.booleans(), st.booleans())),
    st.integers(1, 5),
)
def test_marks_are_in_order_one_a_step_and_end_with_what_holds(moves, most):
    changes, at = [], 0
    for ahead, name, panel, rejected in moves:
        at += ahead
        changes.append(entry(at, name, float(at), "panel" if panel else "code", rejected))
    found = marks(changes, most)
    steps = [step for step, _ in found]
    assert steps == sorted(set(steps)) and len(found) <= most
    applied = [change for change in changes if not change.rejected]
    assert bool(found) == bool(applied)
    if applied:
        last = applied[-1]
        assert steps[-1] == last.step and f"{last.name} → {last.applied:.3g} ({last.by})" in found[-1][1]


def test_a_finding_is_marked_at_its_step_while_it_lasts(session, view, open_page):
    session.step(5)
    found = [Finding("b", "low", "late", "", step=4), Finding("a", "high", "early", "", step=2)]
    session.set_trait("findings", (*found, Finding("c", "low", "over", "", step=1, until=3)))
    assert open_page(view).state["found"] == [[2, "high: early"], [4, "low: late"]]


@pytest.mark.parametrize(
    ("step", "steps", "seen", "shown"),
    [(7, 40, [], []), (500, 1000, [], [450, 550]), (500, 1000, [400, 600], [400, 600]), (3, 1000, [], [1, 53])],
)
def test_a_step_that_is_pointed_at_comes_into_sight(step, steps, seen, shown):
    assert around(step, steps, seen) == shown


def test_a_step_that_is_pointed_at_is_marked_until_all_is_shown_again(session, view, open_page):
    session.step(200)
    page = open_page(view, eager=True)
    session.selected_step = 100
    assert (page.state["chosen"], page.state["window"]) == (100, [80, 120])
    page.say(wish="window", value=[])
    assert (page.state["chosen"], page.state["window"]) == (None, [])


def test_the_ledger_is_read_anew_only_when_it_has_grown(monkeypatch, session, view):
    session.lr = 0.5
    session.step()
    counted = []
    monkeypatch.setattr("dlwidgets.views.curves.view.marks", lambda changes: counted.append(1) or [])
    for _ in range(5):
        view.project()
    assert len(counted) <= 1


# -- the end, and the picture


def test_a_closed_view_lets_its_session_go_and_still_has_its_picture(wire):
    session = new_session()
    view = Curves(session)
    session.step(5)
    gone = weakref.ref(session)
    view.close(), session.close()
    del session
    gc.collect()
    assert gone() is None
    assert view.figure().axes[0].lines


def test_the_figure_shows_every_curve_and_what_was_zoomed_to(session, view):
    session.step(40)
    view.wish("window", [11, 20])
    for axes in view.figure().axes:
        assert axes.get_xlim()[0] >= 9 and axes.get_xlim()[1] <= 22
    view.wish("window", [])
    assert view.figure().axes[0].get_xlim()[1] >= 40


def test_a_stand_in_of_changes_may_be_any_object_with_their_names():
    made = SimpleNamespace(step=3, name="weight_decay", applied=0.01, by="code", rejected=False, time=0.0)
    assert marks([made]) == [[3, "weight decay → 0.01 (code)"]]


# -- the rail


def wait_until(condition):
    """Wait for what another thread does."""
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_the_rail_shows_the_states_of_this_line_that_are_kept(session, view, open_page):
    page = open_page(view, eager=True)
    session.step(3)
    session.lr = 0.01
    session.step(2)
    assert [step for step, _ in page.state["kept"]] == [step for step, _ in session.snapshots]
    assert page.state["kept"][0] == [0, "start"]


def test_the_rail_takes_the_run_back_and_names_who_did(session, view, open_page):
    page = open_page(view, eager=True)
    session.step(6)
    weights = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    session.step(6)
    page.say(wish="rewind", value=6)
    wait_until(lambda: session.steps == 6 and page.state["busy"] == "")
    torch.testing.assert_close(session.model.state_dict(), weights, rtol=0, atol=0)
    assert session.changes[-1].name == "rewind" and session.changes[-1].by == "curves"
    assert page.state["steps"] == 6 and page.state["reach"] == 12 and page.state["names"] == ["main"]
    assert page.state["said"] == ""


def test_why_there_is_no_way_back_is_said_in_the_view(wire, open_page):
    session = new_session(snapshot_memory=0)
    view = Curves(session)
    page = open_page(view, eager=True)
    session.step(4)
    page.say(wish="rewind", value=2)
    wait_until(lambda: page.state["said"] != "")
    assert session.steps == 4 and page.state["said"].endswith(".") and page.state["busy"] == ""
    view.close(), session.close()


@pytest.mark.parametrize("value", [2.5, "2", None, [1]])
def test_only_the_number_of_a_step_takes_the_run_back(session, view, open_page, wire, value):
    page = open_page(view, eager=True)
    session.step(4)
    page.say(wish="rewind", value=value)
    assert "number of a step" in wire.customs(view)[-1]["because"] and session.steps == 4


def test_a_rail_may_only_show(wire, session, open_page):
    view = Curves(session, rewind=False)
    page = open_page(view, eager=True)
    session.step(4)
    page.say(wish="rewind", value=2)
    assert not page.state["able"] and session.steps == 4
    assert "only shows" in wire.customs(view)[-1]["because"]
    view.close()


def test_a_rate_under_a_schedule_is_marked_as_it_was_asked_for(wire):
    session = new_session(schedule="cosine", lr=0.1)
    view = Curves(session)
    session.step(5)
    session.lr = 0.05
    session.step()
    assert session.applied["lr"] < 0.05
    assert [words for _, words in view.project()["marks"]] == ["lr → 0.05 (code)"]
    view.close()
