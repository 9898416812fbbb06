"""TrainingPanel without a browser: what its controls wish for, what they show, and who writes them."""

from __future__ import annotations

import gc
import math
import threading
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ipywidgets import FloatLogSlider
from ipywidgets.widgets.widget import _instances
from torch import nn

from dlwidgets.session import Session
from dlwidgets.views.training.status import describe_session
from dlwidgets.views.training.view import TrainingPanel, rounded_value

TRAINING = "dlwidgets-training"


def new_session(**options) -> Session:
    torch.manual_seed(0)
    X = torch.randn(256, 4)
    return Session(nn.Linear(4, 3), train=(X, (X[:, :3] > 0.3).float()), **{"epochs": 100_000, **options})


@pytest.fixture
def session():
    made = new_session()
    yield made
    made.close()


@pytest.fixture
def panel(wire, session):
    made = TrainingPanel(session)
    yield made
    made.close()


def say(control, **state):
    """Do what the page does when it changes a control."""
    content = {"data": {"method": "update", "state": state, "buffer_paths": []}}
    control.comm.handle_msg({"content": content, "buffers": []})


def notch(slider, value):
    """Return the value to which the page's slider rounds `value`."""
    k = round((math.log10(value) - slider.min) / slider.step)
    return 10 ** (slider.min + k * slider.step)


def click(panel, name):
    """Press a button as the page does."""
    button = next(one for one in panel.bar.children[1].children if one.description == name)
    button.comm.handle_msg(
        {"content": {"data": {"method": "custom", "content": {"event": "click"}}}, "buffers": []}
    )


def wait_for(session, condition):
    """Wait until a condition holds, looked at whenever the session publishes something."""
    met = threading.Event()
    session.observe(lambda _: met.set() if condition() else None, names=["pulse", "status", "applied"])
    if not condition():
        assert met.wait(20)


def ledger(session):
    """Return what was applied, by whom."""
    return [(entry.name, entry.asked, entry.by) for entry in session.changes]


# -- what the controls wish for


def test_each_control_writes_its_wish_in_the_name_of_the_panel(session, panel):
    say(panel.lr, value=notch(panel.lr, 0.02))
    say(panel.batch_size, index=panel.batch_size.options.index(64))
    say(panel.clip, index=1)
    say(panel.limit, value=notch(panel.limit, 0.5))
    session.step()
    assert ledger(session) == [
        ("lr", 0.02, "panel"),
        ("batch_size", 64, "panel"),
        ("clip", ("norm", 0.5), "panel"),
    ]
    assert session.applied["lr"] == 0.02 and session.applied["clip"] == ("norm", 0.5)


def test_a_limit_moved_while_clipping_is_off_is_kept_for_later_and_no_wish(session, panel):
    say(panel.limit, value=notch(panel.limit, 3.0))
    assert session.clip is None
    say(panel.clip, index=2)
    assert session.clip == ("value", 3.0)
    say(panel.clip, index=0)
    assert session.clip is None
    assert panel._facts.asked["clip"] is None
    say(panel.clip, index=1)
    assert session.clip == ("norm", 3.0)


def test_another_way_to_clip_keeps_a_limit_set_from_code_to_the_digit(session, panel):
    session.clip = ("norm", 0.123456)
    say(panel.clip, index=2)
    assert session.clip == ("value", 0.123456)


@given(st.integers(0, 1500))
def test_a_slider_left_on_a_step_means_the_round_number_that_is_seen(step):
    slider = FloatLogSlider(min=-6, max=0, step=0.004, value=10 ** (-6 + 0.004 * step))
    meant, value = rounded_value(slider), slider.value
    assert abs(meant / value - 1) < 0.025
    # Two digits where they are near enough, else three.
    assert meant == float(f"{meant:.2e}")
    if abs(float(f"{value:.1e}") / value - 1) < 0.02:
        assert meant == float(f"{value:.1e}")


@given(st.floats(-6, 0))
def test_what_is_typed_between_two_steps_is_meant_to_the_digit(power):
    slider = FloatLogSlider(min=-6, max=0, step=0.004, value=10**power)
    if abs(slider.value - notch(slider, slider.value)) > 1e-4 * slider.value:
        assert rounded_value(slider) == slider.value


def test_two_digits_survive_the_rounding_in_which_the_page_shows_them(panel):
    rates = [float(f"{m / 10}e{p}") for p in (-5, -3, -1) for m in range(10, 100)]
    shown = [f"{notch(panel.lr, rate):.1e}" for rate in rates]
    assert shown == [f"{rate:.1e}" for rate in rates]


# -- what they show


@pytest.mark.parametrize(
    ("wish", "shown"),
    [
        ({"lr": 0.0123}, {"lr": 0.0123}),
        ({"batch_size": 128}, {"batch_size": 128}),
        ({"batch_size": 48}, {"batch_size": 48}),
        ({"batch_size": 1}, {"batch_size": 1}),
        ({"batch_size": 3000}, {"batch_size": 3000}),
        ({"clip": 0.7}, {"clip": "norm", "limit": 0.7}),
        ({"clip": ("value", 50.0)}, {"clip": "value", "limit": 50.0}),
        ({"clip": ("value", 1e-5)}, {"clip": "value", "limit": 1e-5}),
        ({"clip": ("norm", 4000.0)}, {"clip": "norm", "limit": 4000.0}),
        ({"lr": 30.0}, {"lr": 30.0}),
        ({"lr": 2.5e-9}, {"lr": 2.5e-9}),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_wish_from_code_is_shown_and_stays_codes(wire, session, wish, shown, when):
    panel = TrainingPanel(session) if when == "after" else None
    for name, value in wish.items():
        setattr(session, name, value)
    panel = panel or TrainingPanel(session)
    for name, value in shown.items():
        assert getattr(panel, name).value == (
            value if isinstance(value, str) else pytest.approx(value, rel=1e-12)
        )
    session.step()
    assert {by for *_, by in ledger(session)} == {"code"}
    assert all(getattr(session, name) in (value, ("norm", value)) for name, value in wish.items())
    panel.close()


def test_no_value_set_from_code_is_reported_back_by_the_page(panel):
    # With continuous updates ipywidgets reports each once more, rounded to the slider's step.
    assert not any(slider.continuous_update for slider in (panel.lr, panel.batch_size, panel.limit))


def test_the_smallest_move_of_a_slider_is_a_wish(session, panel):
    session.lr = 0.00123
    say(panel.lr, value=notch(panel.lr, 0.00123) * 10**panel.lr.step)
    assert session.lr != 0.00123 and session.lr == pytest.approx(0.00123, rel=0.03)


def test_a_control_that_a_person_moves_is_not_moved_under_their_hand(wire, session, panel):
    before = len(wire.of(panel.lr))
    for power in (-2.9, -2.8, -2.7):
        say(panel.lr, value=notch(panel.lr, 10**power))
    kinds = {message.data["method"] for message in wire.of(panel.lr)[before:]}
    # ipywidgets acknowledges what came; nothing else is said.
    assert kinds <= {"echo_update"}


def test_a_rate_of_zero_is_in_force_and_leaves_the_slider_alone(session, panel):
    at = panel.lr.value
    session.lr = 0.0
    session.step()
    assert session.applied["lr"] == 0.0 and panel.lr.value == at
    assert panel._facts.project()["asked"]["lr"] == 0.0
    say(panel.lr, value=notch(panel.lr, 0.01))
    assert session.lr == 0.01


def test_a_panel_of_a_session_whose_rate_is_zero_can_be_made(wire):
    session = new_session(lr=0.0)
    panel = TrainingPanel(session)
    assert session.lr == 0.0 and panel._facts.asked["lr"] == 0.0
    panel.close(), session.close()


def test_two_panels_on_one_session_follow_each_other(wire, session, panel):
    other = TrainingPanel(session)
    say(panel.lr, value=notch(panel.lr, 0.02))
    say(other.batch_size, index=other.batch_size.options.index(8))
    say(panel.clip, index=1)
    say(other.limit, value=notch(other.limit, 0.25))
    for one in (panel, other):
        assert one.lr.value == pytest.approx(0.02, rel=0.005)
        assert (one.batch_size.value, one.clip.value) == (8, "norm")
        assert one.limit.value == pytest.approx(0.25, rel=0.005)
    assert (session.lr, session.batch_size, session.clip) == (0.02, 8, ("norm", 0.25))
    other.close()


# -- beside the controls


def test_what_was_asked_and_what_is_in_force_stand_side_by_side(session, panel, open_page):
    page = open_page(panel._facts, eager=True)
    session.lr = 0.02
    assert (page.state["asked"]["lr"], page.state["applied"]["lr"]) == (0.02, 1e-3)
    session.step()
    assert (page.state["asked"]["lr"], page.state["applied"]["lr"]) == (0.02, 0.02)


def test_a_wish_that_the_loop_rejects_is_told_beside_its_control_and_the_run_goes_on(wire, open_page):
    class Stream:
        def __iter__(self):
            yield from ((torch.randn(8, 4), torch.randn(8, 3)) for _ in range(5))

    session = Session(nn.Linear(4, 3), train=Stream())
    panel = TrainingPanel(session)
    page = open_page(panel._facts, eager=True)
    say(panel.batch_size, index=panel.batch_size.options.index(16))
    session.step(2)
    assert page.state["rejected"]["batch_size"] == "the data comes as ready-made batches"
    assert session.steps == 2 and session.applied["batch_size"] == 8
    panel.close(), session.close()


def test_a_wish_that_is_refused_at_once_is_told_until_the_next(session, panel, open_page, monkeypatch):
    page = open_page(panel._facts, eager=True)

    def refuse(_control, size):
        raise ValueError(f"{size} samples do not fit.")

    monkeypatch.setattr("dlwidgets.core.controls.batch_size.BatchSize.read", refuse)
    say(panel.batch_size, index=0)
    assert page.state["rejected"] == {"batch_size": "1 samples do not fit."}
    assert session.batch_size == 32
    monkeypatch.undo()
    session.batch_size = 16
    assert page.state["rejected"] == {}


def test_the_head_tells_the_run_in_one_line(session, panel, open_page):
    page = open_page(panel._head, eager=True)
    assert page.state["run"]["title"] == "Linear"
    assert page.state["run"]["about"] == "multilabel · 15 parameters" == describe_session(session)
    session.step(3)
    assert (page.state["run"]["steps"], page.state["run"]["status"], page.state["run"]["epoch"]) == (
        3,
        "paused",
        1,
    )


def test_a_failure_stands_in_the_head_with_its_traceback(wire, open_page):
    class Broken(nn.Linear):
        def forward(self, x):
            raise RuntimeError("<b>cable</b>") if self.training else None
            return super().forward(x)

    session = new_session()
    session.model.forward = lambda x: (_ for _ in ()).throw(RuntimeError("<b>cable</b>"))
    panel = TrainingPanel(session)
    page = open_page(panel._head, eager=True)
    session.start()
    with pytest.raises(RuntimeError, match="cable"):
        session.wait()
    assert page.state["error"] == "RuntimeError: <b>cable</b>" and "cable" in page.state["trace"]
    assert page.state["run"]["status"] == "failed"
    panel.close(), session.close()


# -- buttons


def test_the_buttons_start_pause_resume_step_and_stop(session, panel):
    click(panel, "Start")
    wait_for(session, lambda: session.steps > 3)
    click(panel, "Pause")
    wait_for(session, lambda: session.status == "paused")
    session.wait()
    steps = session.steps
    click(panel, "Step")
    wait_for(session, lambda: session.steps == steps + 1 and session.status == "paused")
    click(panel, "Resume")
    wait_for(session, lambda: session.steps > steps + 3)
    click(panel, "Stop")
    wait_for(session, lambda: session.status == "stopped")


# -- while it trains


def test_no_control_is_ever_written_by_the_training(wire, session, panel, open_page):
    pages = [open_page(view, eager=True) for view in (panel._head, panel._facts)]
    session.start()
    wait_for(session, lambda: session.steps > 5)
    for n in range(20):
        say(panel.lr, value=notch(panel.lr, 10 ** (-3 + 0.05 * n)))
        say(panel.batch_size, index=n % 6)
        say(panel.clip, index=n % 3)
        session.lr = 10 ** (-2 - 0.03 * n)
    at = session.steps
    wait_for(session, lambda: session.steps > at + 5 and session.applied["lr"] == session.lr)
    session.stop()
    controls = [panel.lr, panel.batch_size, panel.clip, panel.limit, *panel.bar.children[1].children]
    assert all(message.thread != TRAINING for control in controls for message in wire.of(control))
    # The pictures are.
    assert any(message.thread == TRAINING for message in wire.of(panel._head))
    assert pages[0].state["run"]["status"] == "stopped"


def test_pictures_and_controls_travel_on_different_comms(panel):
    controls = {one.model_id for one in (panel.lr, panel.batch_size, panel.clip, panel.limit)}
    assert not controls & {panel._head.model_id, panel._facts.model_id}


# -- the end


def test_a_panel_closed_during_a_run_leaves_the_run_going_and_nothing_else(wire, session):
    before = set(_instances)
    panel = TrainingPanel(session)
    session.start()
    wait_for(session, lambda: session.steps > 3)
    panel.close()
    assert set(_instances) == before
    steps = session.steps
    wait_for(session, lambda: session.steps > steps + 3)
    session.lr = 0.5
    panel.close()
    assert session.status == "running"
    session.stop()


def test_a_closed_panel_and_its_session_are_collected(wire):
    session = new_session()
    panel = TrainingPanel(session)
    session.step(2)
    gone = weakref.ref(panel), weakref.ref(session), weakref.ref(panel._head), weakref.ref(panel.lr)
    panel.close(), session.close()
    del panel, session
    gc.collect()
    assert [one() for one in gone] == [None] * 4


def test_a_closed_panel_lets_its_session_go_though_it_is_kept(wire):
    session = new_session()
    panel = TrainingPanel(session)
    gone = weakref.ref(session)
    panel.close(), session.close()
    del session
    gc.collect()
    assert gone() is None
    panel.bar.children[1].children[0].click()
    assert panel.figure().axes


def test_no_session_is_refused_with_a_sentence(wire):
    with pytest.raises(
        TypeError, match=r"wants a Session, not Linear: dlwidgets\.TrainingPanel\(session\)\."
    ):
        TrainingPanel(nn.Linear(2, 2))
    gc.collect()


# -- as a picture


def test_the_figure_shows_the_run_of_now_though_no_page_was_open(session, panel):
    session.lr = 0.25
    session.step(3)
    texts = [text.get_text() for axes in panel.figure().axes for text in axes.texts]
    assert any("paused" in text and "step 3" in text for text in texts)
    assert "in force 2.5e-1" in texts


def test_the_panel_is_shown_as_a_widget_with_a_picture_and_no_html(panel):
    data = panel._repr_mimebundle_()
    data = data[0] if isinstance(data, tuple) else data
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(data) and "text/html" not in data


def test_the_figure_tells_of_every_control_that_is_in_force(wire):
    session = new_session(optimizer=("sgd", {"momentum": 0.9}), schedule="cosine")
    panel = TrainingPanel(session)
    session.step()
    texts = [text.get_text() for text in panel.figure().texts]
    pairs = dict(zip(texts[::2], texts[1::2]))
    assert (pairs["Optimizer"], pairs["Schedule"], pairs["Momentum"]) == ("SGD", "cosine", "0.9")
    panel.close(), session.close()
