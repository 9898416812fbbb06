"""View without a browser: what it sends, when it sends nothing, and what it does with what a page says."""

from __future__ import annotations

import base64
import gc
import gzip
import json
import random
import re
import shutil
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import traitlets
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from ipywidgets.widgets.widget import _instances

from dlwidgets import ActivationBrowser, ConfusionGrid, Curves, Doctor, FineTunePanel, LayerTable
from dlwidgets.core.base.canvas import new_figure
from dlwidgets.views import cells
from dlwidgets.views import view as view_module
from dlwidgets.views.view import View, compress, module, style


class Run(traitlets.HasTraits):
    """Stands in for a session."""

    pulse = traitlets.Int(0)
    blocking = traitlets.Bool(False)


class Picture(View):
    """Shows the pulse of a run, and a text that seldom changes."""

    number = traitlets.Int(-1).tag(sync=True)
    data = traitlets.Bytes(help="int64, 4").tag(sync=True)
    words = traitlets.Unicode().tag(sync=True)

    def __init__(self, run):
        self.run = run
        self.failing = False
        self.text = "first"
        self.wished = []
        super().__init__(run)

    def project(self):
        if self.failing:
            raise ZeroDivisionError("the model is upside down")
        number = self.run.pulse
        return {"number": number, "data": np.full(4, number).tobytes(), "words": self.text}

    def wish(self, name, value):
        if name != "text":
            return super().wish(name, value)
        if not isinstance(value, str):
            raise ValueError(f"A text is wanted, not {value!r}.")
        self.wished.append(value)

    def figure(self):
        if self.failing:
            raise ZeroDivisionError("no picture")
        return new_figure(1, 1)


@pytest.fixture
def run():
    return Run()


@pytest.fixture
def view(wire, run):
    made = Picture(run)
    yield made
    made.close()


def read(page):
    """Return what a page shows: number, data, words."""
    return page.state["number"], np.frombuffer(page.state["data"], np.int64).tolist(), page.state["words"]


def shown(number, words="first"):
    return number, [number] * 4, words


# -- pictures


def test_the_first_picture_travels_with_the_opening_of_the_comm(wire, run):
    run.pulse = 3
    view = Picture(run)
    opening, *later = wire.of(view)
    assert opening.kind == "comm_open" and not later
    assert opening.state["number"] == 3


def test_nothing_is_sent_before_a_page_says_hello(wire, run, view):
    for run.pulse in range(1, 50):
        pass
    assert not wire.pictures(view)


def test_a_page_that_opens_late_gets_the_picture_of_now(wire, run, view, open_page):
    run.pulse = 7
    page = open_page(view)
    assert read(page) == shown(7)


def test_the_next_picture_goes_only_after_the_last_is_drawn_and_is_the_newest(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    for run.pulse in range(1, 20):
        pass
    assert [message.state["number"] for message in wire.pictures(view)] == [0, 1]
    page.draw()
    assert read(page) == shown(19)
    assert len(wire.pictures(view)) == 3
    page.draw()
    assert len(wire.pictures(view)) == 3


def test_an_answer_to_a_picture_that_was_replaced_lets_nothing_through(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    run.pulse = 1
    for old in (view.frame - 1, view.frame + 1, -1, True, None, "2", [view.frame], 2.0):
        run.pulse += 1
        page.say(drawn=old)
    assert read(page) == shown(1)
    page.draw()
    assert read(page) == shown(9)


def test_a_page_that_reloads_while_a_picture_is_on_its_way_gets_a_fresh_one(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    run.pulse = 1
    page.close()
    run.pulse = 2
    page = open_page(view)
    assert read(page) == shown(2)
    page.draw()
    run.pulse = 3
    assert read(page) == shown(3)


def test_a_page_that_never_draws_holds_no_picture_back_from_its_twin(wire, run, view, open_page):
    hidden, looked_at = open_page(view), open_page(view)
    looked_at.draw()
    for run.pulse in range(1, 6):
        looked_at.draw()
    assert read(looked_at) == read(hidden) == shown(5)


def test_twin_pages_get_no_more_pictures_than_one(wire, run, view, open_page):
    one, other = open_page(view), open_page(view)
    one.draw(), other.draw()
    before = len(wire.pictures(view))
    for run.pulse in range(1, 6):
        one.draw(), other.draw()
    assert len(wire.pictures(view)) == before + 5


def test_only_what_changed_is_sent_to_a_page_that_has_the_rest(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    run.pulse = 1
    assert set(wire.pictures(view)[-1].state) == {"number", "data", "frame"}
    page.draw()
    page.greet()
    assert "words" not in wire.pictures(view)[-1].state


def test_a_page_that_missed_a_picture_gets_all_of_it_again(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    page.losing = 1
    view.text, run.pulse = "second", 1
    assert read(page) == shown(0)
    page.greet()
    assert read(page) == shown(1, "second")


def test_one_of_two_pages_that_missed_a_picture_heals_too(wire, run, view, open_page):
    lucky, other = open_page(view), open_page(view)
    lucky.draw()
    other.losing = 1
    view.text, run.pulse = "second", 1
    lucky.draw()
    run.pulse = 2
    assert read(other) == shown(2, "first") and other.missed
    other.draw()
    assert read(other) == shown(2, "second")


def test_a_picture_that_shows_what_the_last_one_showed_is_not_sent(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    before = len(wire.of(view))
    for _ in range(3):
        view.refresh()
    assert len(wire.of(view)) == before
    # A page that says hello waits for an answer all the same.
    page.greet()
    assert set(wire.of(view)[-1].state) == {"frame"} and read(page) == shown(0)


class Small(Picture):
    """Pictures so small that three may be on their way."""

    AHEAD = 3


def test_small_pictures_go_ahead_of_the_answers_and_no_further(wire, run, open_page):
    view = Small(run)
    page = open_page(view)
    page.draw()
    assert page.state["ahead"] == 3
    for run.pulse in range(1, 10):
        pass
    first = view.frame
    assert [message.state["number"] for message in wire.pictures(view)] == [0, 1, 2, 3]
    # Only what changed, though nothing was said of those before.
    assert set(wire.pictures(view)[-1].state) == {"number", "data", "frame"}
    page.say(drawn=first - 2)
    assert view.frame == first + 1 and read(page) == shown(9)
    for run.pulse in range(10, 20):
        pass
    assert view.frame == first + 1
    page.draw()
    for run.pulse in range(20, 30):
        pass
    assert view.frame == first + 4 and read(page) == shown(21)
    view.close()


def test_an_answer_from_before_the_last_changes_nothing(wire, run, open_page):
    view = Small(run)
    page = open_page(view)
    page.draw()
    for run.pulse in range(1, 10):
        pass
    page.draw()
    newest = view.frame
    for old in (newest - 2, newest + 2, 0, -1, True, "3", None, 2.0):
        page.say(drawn=old)
    for run.pulse in range(10, 30):
        pass
    # The newest was on its way already.
    assert view.frame == newest + 2
    view.close()


def test_a_page_that_is_closed_costs_no_more_than_what_may_go_ahead(quick_time, wire, run, open_page):
    view = Small(run)
    page = open_page(view)
    page.draw()
    page.close()
    for run.pulse in range(1, 500):
        quick_time.now += 0.1
    assert len(wire.pictures(view)) == 1 + 3
    assert read(open_page(view)) == shown(499)
    view.close()


def test_what_changes_slowly_is_drawn_at_every_second_pulse(wire, run, open_page):
    class Slow(Picture):
        BEAT = 2
        watches = ("pulse", "blocking")

    view = Slow(run)
    page = open_page(view, eager=True)
    before = len(wire.pictures(view))
    for run.pulse in range(1, 11):
        pass
    assert len(wire.pictures(view)) == before + 5 and read(page) == shown(10)
    # What else it watches is shown at once.
    run.pulse = 11
    run.blocking = True
    assert read(page) == shown(11)
    view.close()


def test_the_bytes_of_a_picture_are_its_own(wire, run, view, open_page):
    page = open_page(view, eager=True)
    for run.pulse in range(1, 20):
        pass
    kept = [message.buffers[0] for message in page.arrived if message.buffers]
    assert len({id(buffer) for buffer in kept}) == len(kept) > 15
    assert [np.frombuffer(buffer, np.int64)[0] for buffer in kept[-19:]] == list(range(1, 20))


def test_an_ask_between_pictures_is_small_and_comes_ever_more_rarely(quick_time, wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    sent_at = quick_time.now
    run.pulse = 1
    pictures = len(wire.pictures(view))
    asked = []
    page.arrive = lambda message: asked.append((quick_time.now - sent_at, message))
    until_no_reminder()
    assert all(message.custom == {"ask": view.frame} and message.size < 100 for _, message in asked)
    times = [at for at, _ in asked]
    assert times[0] > 2 and 3 <= len(asked) <= 6
    assert all(later > 1.7 * earlier for earlier, later in zip(times, times[1:]))
    assert len(wire.pictures(view)) == pictures


def test_an_answer_that_was_lost_is_made_up_for_after_an_ask(quick_time, wire, run, view, open_page):
    page = open_page(view, eager=True)
    page.eager = False
    run.pulse = 1
    run.pulse = 2
    page.eager = True
    until_no_reminder()
    assert read(page) == shown(2)
    run.pulse = 3
    assert read(page) == shown(3)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_messages_lost_in_a_row_are_made_up_for(quick_time, wire, run, view, open_page, lost):
    page = open_page(view, eager=True)
    page.losing = lost
    view.text, run.pulse = "second", 1
    until_no_reminder()
    assert read(page) == shown(1, "second")


def until_no_reminder():
    """Wait until no view is watched over any more, and the thread has ended."""
    for thread in threading.enumerate():
        if thread.name == "dlwidgets-reminder":
            thread.join(20)
            assert not thread.is_alive()
    assert not view_module._Reminder._running


# -- while a cell of the session blocks the kernel


def test_a_blocking_call_lets_pictures_through_unasked_ever_more_rarely(quick_time, wire, run, view):
    run.blocking = True
    times = []
    for _ in range(3000):
        quick_time.now += 0.1
        before = len(wire.pictures(view))
        run.pulse += 1
        if len(wire.pictures(view)) > before:
            times.append(quick_time.now - 1000)
    waits = np.diff(times)
    assert times[0] < 3 and (np.diff(waits) > -0.2).all() and waits.max() <= 61 and len(times) <= 12
    # Unasked, so perhaps unheard: each is whole.
    assert all({"number", "data", "words", "problem", "frame"} <= set(m.state) for m in wire.pictures(view))


def test_after_a_blocking_call_a_page_is_waited_for_again(quick_time, wire, run, view, open_page):
    page = open_page(view)
    run.blocking = True
    quick_time.now += 5
    run.pulse += 1
    run.blocking = False
    quick_time.now += 500
    before = len(wire.pictures(view))
    run.pulse += 1
    assert len(wire.pictures(view)) == before
    page.draw()
    assert read(page) == shown(2)


# -- many threads


def test_threads_that_refresh_at_once_neither_stall_nor_lose_the_last_state(wire, run, open_page):
    class Slow(Picture):
        def project(self):
            values = super().project()
            time.sleep(random.random() * 1e-4)
            return values

    view = Slow(run)
    view.unobserve_all()
    page = open_page(view)
    unanswered, most, lock = [0], [0], threading.Lock()
    drawing, over = threading.Event(), threading.Event()
    arrive = page.arrive

    def noted(message):
        arrive(message)
        if "frame" in message.state:
            with lock:
                unanswered[0] += 1
                most[0] = max(most[0], unanswered[0])
            drawing.set()

    page.arrive = noted

    def draws():
        while not over.is_set() or drawing.is_set():
            if drawing.wait(0.01):
                drawing.clear()
                with lock:
                    unanswered[0] = 0
                page.draw()

    def pulses():
        for _ in range(300):
            run.pulse += 1
            view.refresh()

    drawer = threading.Thread(target=draws)
    workers = [threading.Thread(target=pulses) for _ in range(4)]
    page.draw()
    for thread in (drawer, *workers):
        thread.start()
    for thread in workers:
        thread.join(30)
        assert not thread.is_alive()
    run.pulse = 100_000
    view.refresh()
    over.set()
    drawer.join(30)
    assert not drawer.is_alive()
    assert most[0] == 1
    assert read(page) == shown(100_000)
    view.close()


def test_two_threads_that_both_found_the_page_waiting_send_one_picture(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    before, view.text = len(wire.pictures(view)), "second"
    both = threading.Barrier(2)
    may_send = view._may_send
    first = threading.local()

    def asked_together():
        found = may_send()
        if not getattr(first, "done", False):
            first.done = True
            both.wait(5)
        return found

    view._may_send = asked_together
    threads = [threading.Thread(target=view.refresh) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(wire.pictures(view)) == before + 1


def test_a_view_that_is_sending_does_not_keep_training_waiting(wire, run, view, open_page):
    page = open_page(view)
    page.draw()
    inside, go_on = threading.Event(), threading.Event()
    project = view.project

    def slow():
        inside.set()
        assert go_on.wait(10)
        return project()

    view.project = slow
    sender = threading.Thread(target=view.refresh)
    sender.start()
    assert inside.wait(10)
    view.refresh()
    view.project = project
    go_on.set()
    sender.join(10)
    run.pulse = 4
    page.draw()
    assert read(page) == shown(4)


# -- what goes wrong


def test_a_projection_that_fails_is_said_in_the_view_and_nobody_else_hears_of_it(wire, run, view, open_page):
    page = open_page(view, eager=True)
    view.failing = True
    run.pulse = 1
    assert (
        page.state["problem"] == "This view could not be drawn: ZeroDivisionError: the model is upside down"
    )
    view.failing = False
    run.pulse = 2
    assert page.state["problem"] == "" and read(page) == shown(2)


def test_a_view_whose_first_projection_fails_is_made_all_the_same(wire, run, monkeypatch):
    monkeypatch.setattr(Picture, "project", lambda self: 1 / 0)
    assert Picture(run).problem.endswith("ZeroDivisionError: division by zero")


@pytest.mark.parametrize(
    "values", [{"number": "seven"}, {"odd": float("nan")}, {"odd": object()}, {"odd": {1, 2}}]
)
def test_a_picture_that_cannot_be_sent_is_said_in_the_view_and_the_next_one_can(wire, run, open_page, values):
    class Odd(Picture):
        odd = traitlets.Any(None, allow_none=True).tag(sync=True)

        def project(self):
            return values if self.run.pulse == 1 else {**super().project(), "odd": None}

    view = Odd(run)
    page = open_page(view, eager=True)
    run.pulse = 1
    assert page.state["problem"].startswith("This view could not be sent: ")
    run.pulse = 2
    assert page.state["problem"] == "" and read(page) == shown(2)
    view.close()


def test_a_wire_that_breaks_does_not_stop_the_training(wire, run, view, open_page, monkeypatch):
    page = open_page(view, eager=True)
    put = wire.put
    monkeypatch.setattr(wire, "put", lambda message: 1 / 0)
    run.pulse = 1
    monkeypatch.setattr(wire, "put", put)
    page.greet()
    assert read(page) == shown(1)


# -- what a page says


def test_a_wish_is_granted(view, open_page):
    open_page(view).say(wish="text", value="hello")
    assert view.wished == ["hello"]


def test_a_page_answers_for_all_views_in_what_it_says_to_one(wire, run, view, open_page):
    other = Picture(run)
    pages = open_page(view), open_page(other)
    run.pulse = 1
    assert [page.state["number"] for page in pages] == [0, 0]
    beside = {other.address: pages[1].seen, "elsewhere/1": 7}
    pages[0].say(drawn=pages[0].seen, beside=beside)
    assert [page.state["number"] for page in pages] == [1, 1]
    # With a wish too; what is not known yet, or makes no sense, counts for nothing.
    run.pulse = 2
    for drawn in (99, None, "2", [2], pages[1].seen - 1):
        pages[0].say(wish="text", value="hello", beside={other.address: drawn})
    assert pages[1].state["number"] == 1
    pages[0].say(wish="text", value="hello", beside={other.address: pages[1].seen})
    assert [page.state["number"] for page in pages] == [1, 2]
    address = other.address
    other.close()
    pages[0].say(drawn=pages[0].seen, beside={address: 5})
    assert pages[0].state["number"] == 2


def test_a_wish_that_is_refused_is_answered_with_a_sentence(wire, view, open_page):
    page = open_page(view)
    page.say(wish="text", value=3)
    page.say(wish="moon")
    assert wire.customs(view) == [
        {"refused": "text", "because": "A text is wanted, not 3."},
        {"refused": "moon", "because": "Picture does not know what to do with 'moon'."},
    ]


@pytest.mark.parametrize(
    "content",
    [None, 3, "hello", [], ["wish"], {}, {"hallo": 1}, {"drawn": None}, {"drawn": {"a": 1}}, {"drawn": 1.5},
     {"wish": None}, {"wish": {"a": [1]}}, {"wish": ["text"], "value": "x"}, {"wish": 3}, {"hello": None},
     {"hello": {"a": 1}}, {"hello": -1}, {"wish": "text"}, {"wish": "text", "value": {"__proto__": 1}},
     {"wish": "__init__"}, {"ask": 1}, {"kind": "anywidget-command"}, {"beside": 3}, {"beside": {"nobody": 1}},
     {"drawn": 1, "beside": {"nobody/1": {}}}],
)  # fmt: skip
def test_a_message_that_makes_no_sense_is_ignored_or_refused(wire, run, view, open_page, content):
    page = open_page(view, eager=True)
    for method in ("custom", "backbone", "nonsense", None):
        page.say_anything(content, method)
    assert view.wished == []
    assert all(set(said) == {"refused", "because"} for said in wire.customs(view))
    run.pulse = 5
    assert read(page) == shown(5)


def test_a_page_writes_no_trait(wire, run, view, open_page):
    open_page(view, eager=True)
    before = {name: getattr(view, name) for name in view.keys}
    state = {
        "number": 99,
        "frame": 12345,
        "problem": "pwned",
        "words": "pwned",
        "_view_count": 2,
        "_esm": "alert(1)",
    }
    sent = len(wire.of(view))
    view.comm.handle_msg(
        {"content": {"data": {"method": "update", "state": state, "buffer_paths": []}}, "buffers": []}
    )
    assert {name: getattr(view, name) for name in view.keys} == before
    assert len(wire.of(view)) == sent


# -- the end


def test_a_closed_view_lets_its_session_and_its_comms_go(wire, run, open_page):
    before = set(_instances)
    view = Picture(run)
    page = open_page(view, eager=True)
    model_id = view.model_id
    view.close()
    assert wire.of(model_id)[-1].kind == "comm_close"
    run.pulse = 5
    view.refresh()
    page.say(hello=0)
    assert wire.of(model_id)[-1].kind == "comm_close"
    assert set(_instances) == before
    assert not run._trait_notifiers.get("pulse", {}).get("change")
    view.close()


def test_a_closed_view_is_collected_with_what_it_showed(quick_time, wire, open_page):
    run = Run()
    view = Picture(run)
    page = open_page(view, eager=True)
    page.eager = False
    run.pulse = 1
    gone = weakref.ref(view), weakref.ref(run)
    view.close()
    until_no_reminder()
    page.close()
    page.view = view = run = None
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_a_view_closed_while_it_is_watched_over_ends_the_watch(wire, run, view, open_page, monkeypatch):
    monkeypatch.setattr(view_module._Reminder, "_running", False)
    page = open_page(view)
    page.draw()
    run.pulse = 1
    view.close()
    until_no_reminder()


def test_a_close_from_another_thread_while_pictures_go_out_is_quiet(wire, run, open_page):
    for _ in range(20):
        view = Picture(run)
        open_page(view, eager=True)
        closer = threading.Thread(target=view.close)
        closer.start()
        for _ in range(20):
            run.pulse += 1
        closer.join(10)
        assert view.comm is None


# -- beside the widget


@pytest.fixture
def published(monkeypatch):
    """What is published to cells: whether anew, and its data, in order."""
    found = []
    events = SimpleNamespace(callbacks={"post_run_cell": [cells._after_cell]})
    monkeypatch.setattr(cells, "_shell", lambda: SimpleNamespace(events=events, kernel=None))
    monkeypatch.setattr(cells, "_moment", lambda run: run.pulse)
    publish = "IPython.display.publish_display_data"
    monkeypatch.setattr(publish, lambda data, *_, update, **__: found.append((update, data)))
    return found


@pytest.mark.parametrize("closed", [True, False])
def test_the_cell_of_a_view_that_is_closed_meanwhile_is_not_drawn_anew(view, published, monkeypatch, closed):
    cells.show(view)
    drawing, go = threading.Event(), threading.Event()
    monkeypatch.setattr(view, "figure", lambda: (drawing.set(), go.wait(10), new_figure(1, 1))[-1])
    renewing = threading.Thread(target=cells._publish, args=(view, True))
    renewing.start()
    assert drawing.wait(10)
    if closed:
        view.close()
    go.set()
    renewing.join(10)
    assert [update for update, _ in published] == [False, True][: 2 - closed]


def test_a_picture_that_fails_does_not_take_the_place_of_the_last_one(view, published):
    cells.show(view)
    view.failing = True
    cells._publish(view, update=True)
    assert [("image/png" in data) for _, data in published] == [True]


def test_a_view_is_shown_as_a_widget_with_a_picture_and_no_html(view):
    data, _ = view._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} == set(data)
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_a_picture_that_fails_does_not_keep_the_widget_from_showing(view):
    view.failing = True
    data, _ = view._repr_mimebundle_()
    assert "image/png" not in data and "application/vnd.jupyter.widget-view+json" in data
    assert "no picture" in data["text/plain"]


# -- the module of a view


@pytest.fixture(scope="module")
def views():
    """The views that are shipped: name -> class."""
    import importlib

    found = {}
    for path in sorted(Path(view_module.__file__).parent.rglob("*.py")):
        module = ".".join(
            ["dlwidgets.views", *path.relative_to(Path(view_module.__file__).parent).with_suffix("").parts]
        )
        for cls in vars(importlib.import_module(module)).values():
            if (
                isinstance(cls, type)
                and issubclass(cls, View)
                and cls.__module__ == module
                and "_esm" in vars(cls)
            ):
                found[cls.__name__] = cls
    return found


def unpacked(text: str) -> str:
    """Return the module that a packed one exports."""
    return gzip.decompress(base64.b64decode(text.split('atob("')[1].split('"')[0])).decode()


def test_the_joined_text_of_every_view_is_one_module_that_exports_its_render_alone(views, tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    assert {"Curves", "LayerTable", "ConfusionGrid", "ActivationBrowser"} < set(views)
    for name, cls in views.items():
        text = unpacked(compress(str(cls._esm)))
        assert 'from "./' not in text and len(compress(str(cls._esm))) < 0.5 * len(str(cls._esm))
        file = tmp_path / f"{name}.mjs"
        file.write_text(text, "utf-8")
        # Parsing finds what is declared twice: a module's top level is one scope.
        told = "(m) => console.log(JSON.stringify([Object.keys(m), typeof m.default.render]))"
        code = f"import({json.dumps(file.as_uri())}).then({told})"
        done = subprocess.run([node, "--input-type=module", "-e", code], capture_output=True, text=True)
        assert done.returncode == 0, f"{name}: {done.stderr[-500:]}"
        assert json.loads(done.stdout) == [["default"], "function"], name


def test_a_view_carries_the_shared_style_once(views):
    for cls in views.values():
        assert str(cls._css).count(style()) == 1


def test_joining_takes_out_imports_of_ours_alone():
    text = module("curves")
    assert "import {" not in text and "\nexport default {" in text


@pytest.fixture
def toy(tmp_path):
    """A view that is a folder of its own: view.js, what that imports, and two style sheets."""
    front = Path(view_module.__file__).with_name("front.js")
    (tmp_path / "front.js").symlink_to(front)
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "view.js").write_text(
        'import { live, say } from "../front.js";\n'
        'import { wordsOf } from "./words.js";\n'
        "export default { render({ model, el, signal }) {\n"
        '  live({ model, el, signal, draw: () => say(el, wordsOf(model.get("number"))) });\n'
        "} };\n"
    )
    (folder / "words.js").write_text("export function wordsOf(number) { return `number ${number}`; }\n")
    (folder / "more.css").write_text(".more {}")
    (folder / "view.css").write_text(".first {}")

    class Toy(Picture):
        """The picture above with a page of its own."""

        _esm = module(folder)
        _css = style(folder)

    return Toy


def test_a_view_is_added_as_a_folder(toy, wire, run, open_page, tmp_path):
    view = toy(run)
    page = open_page(view)
    page.draw()
    run.pulse = 3
    assert read(page) == shown(3)
    css = str(toy._css)
    assert css.startswith(style()) and css.endswith(".first {}\n.more {}")
    text = str(toy._esm)
    assert text.index("function wordsOf") < text.index("export default")
    assert "import {" not in text and text.count("function live(") == 1
    node = shutil.which("node")
    if node is not None:
        file = tmp_path / "toy.mjs"
        file.write_text(text)
        subprocess.run([node, "--check", file], check=True, capture_output=True, text=True)


def test_importing_the_views_starts_no_thread_and_no_matplotlib():
    code = (
        "import dlwidgets.views.curves.view, dlwidgets.views.training.view, threading, sys;"
        "assert threading.active_count() == 1, threading.enumerate(); assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- any order of things


def test_in_any_order_of_losses_reloads_and_answers_every_page_comes_to_show_what_is(wire, open_page):
    """A machine of rules; its invariant: no picture goes out while one that was sent is unanswered."""

    class Talk(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            wire.messages.clear(), wire.pages.clear()
            self.run = Run()
            self.view = Picture(self.run)
            self.allowed = 0

        def teardown(self):
            for page in wire.pages:
                page.losing = 0
                page.greet()
            for page in wire.pages:
                page.draw(), page.draw(), page.draw()
                assert read(page) == shown(self.run.pulse, self.view.text)
            self.view.close()

        @rule(text=st.sampled_from(["first", "second"]), lose=st.integers(0, 1))
        def change(self, text, lose):
            for page in wire.pages:
                page.losing = lose
            self.view.text = text
            self.run.pulse += 1

        @rule()
        def open(self):
            self.allowed += 1
            open_page(self.view)

        @rule(which=st.integers(0, 3))
        def close(self, which):
            if which < len(wire.pages):
                wire.pages[which].close()

        @rule(which=st.integers(0, 3))
        def answer(self, which):
            if which < len(wire.pages):
                page = wire.pages[which]
                self.allowed += 1
                page.draw()

        @rule(which=st.integers(0, 3))
        def greet(self, which):
            if which < len(wire.pages):
                self.allowed += 1
                wire.pages[which].greet()

        @rule(which=st.integers(0, 3), wild=st.integers(-2, 50))
        def say_what_is_old(self, which, wild):
            if which < len(wire.pages) and wild != self.view.frame:
                wire.pages[which].say(drawn=wild)

        @invariant()
        def no_picture_is_sent_without_an_answer(self):
            assert len(wire.pictures(self.view)) <= self.allowed

    run_state_machine_as_test(Talk, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))


# -- the colours


def contrast(one, other):
    """Return the contrast ratio of two colours (WCAG 2.2)."""

    def brightness(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((brightness(one), brightness(other)))
    return (high + 0.05) / (low + 0.05)


#: JupyterLab's own paper beside ours.
PAPER = {"light": "#ffffff", "dark": "#111111"}


@pytest.mark.parametrize("theme", PAPER)
@pytest.mark.parametrize("name", ["faint", "blue", "orange", "green", "red", "ink", "ink-2"])
def test_text_in_every_colour_can_be_read_on_every_ground(theme, name):
    rules = dict(re.findall(r"([^{}]*)\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", style(), flags=re.DOTALL)))
    inside, outside = (
        body
        for selector, body in rules.items()
        if "--dlw-ink:" in body and ("dark" in selector) == (theme == "dark")
    )
    for body in (inside, inside + outside):  # in Jupyter, and where another host has the page
        colours = dict(re.findall(r"--dlw-([\w-]+):\s*(?:var\([^,]*,\s*)?(#[0-9a-f]{6})", body))
        for ground in (PAPER[theme], colours["paper"], colours["fill"], colours["wash"], colours["blue-wash"]):
            assert contrast(colours[name], ground) >= 4.5, ground


@pytest.mark.parametrize("kind", [ActivationBrowser, ConfusionGrid, Curves, Doctor, FineTunePanel, LayerTable])
def test_no_trait_of_a_view_hides_what_all_views_have(kind):
    common = {name for name in dir(View) if name not in View.class_traits()}
    assert not common & {*kind.class_traits()}  # once "parts" hid the method that shows a view
