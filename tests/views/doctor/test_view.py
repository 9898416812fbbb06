"""The doctor without a browser: what a page is told of findings, and what it may ask for."""

from __future__ import annotations

import json
import math
import threading

import pytest
import torch
from torch import nn

from dlwidgets.core.doctor.finding import Chart, Finding
from dlwidgets.session import Session
from dlwidgets.views.doctor.packing import pack_finding
from dlwidgets.views.doctor.view import Doctor


def new_session(**options) -> Session:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    return Session(model, (torch.randn(256, 8), torch.randint(0, 3, (256,))), **options)


@pytest.fixture
def session():
    made = new_session()
    yield made
    made.close()


@pytest.fixture
def exploded():
    """A run whose rate is far too high, and which failed of it."""
    made = new_session(optimizer="sgd", lr=30.0)
    with pytest.raises(ArithmeticError):
        made.fit(progress=False)
    yield made
    made.close()


def arrive() -> None:
    """Wait until a journey that was begun has arrived."""
    for thread in threading.enumerate():
        if thread.name == "dlwidgets-going-back":
            thread.join(10)


def test_a_finding_is_told_whole_with_its_chart_and_what_may_help(wire, exploded, open_page):
    page = open_page(Doctor(exploded))
    found = page.state["findings"]
    assert [one["key"].split()[0] for one in found] == [one.rule for one in exploded.findings]
    assert found[0]["title"] == exploded.findings[0].title
    assert found[0]["chart"]["values"] == list(exploded.findings[0].chart.values)
    assert [one["name"] for one in found[0]["remedies"]][:2] == ["lower_rate", "clip"]


def test_numbers_that_json_has_not_are_gaps():
    chart = Chart((1.0, math.nan, math.inf), "losses", limit=math.inf)
    packed = pack_finding(Finding("toy", "low", "A toy", "It is there.", chart=chart))
    json.dumps(packed, allow_nan=False)
    assert (packed["chart"]["values"], packed["chart"]["limit"]) == ([1.0, None, None], None)


def test_a_remedy_is_a_change_of_the_run_by_the_doctor_and_undone_by_one_button(wire, exploded, open_page):
    view = Doctor(exploded)
    page = open_page(view, eager=True)
    first = page.state["findings"][0]
    page.say(wish="remedy", value=[first["key"], "lower_rate"])
    arrive()
    assert exploded.lr == pytest.approx(3.0)
    assert exploded.ledger().iloc[-1]["by"] == "doctor"
    assert page.state["moment"]["taken"] == "Taken after step 0: lr → 3" and exploded.findings == ()
    page.say(wish="undo")
    arrive()
    assert (exploded.lr, page.state["moment"]["taken"]) == (30.0, "")


def test_remedies_tried_side_by_side_are_rows_of_which_the_best_can_be_taken(wire, exploded, open_page):
    view = Doctor(exploded)
    page = open_page(view, eager=True)
    page.say(wish="try", value=page.state["findings"][0]["key"])
    arrive()
    page.greet()
    tried, outcome = exploded.remedy_trials, page.state["outcome"]
    assert outcome["words"] == tried.sentence
    assert [row["name"] for row in outcome["rows"]] == [one.name for one in tried.tried]
    assert [row["name"] for row in outcome["rows"] if row["best"]] == [tried.best.name]
    best = outcome["rows"][[row["best"] for row in outcome["rows"]].index(True)]
    line = next(one for one in exploded.branches if one.name == tried.best.line)
    assert best["losses"] == list(line.record.columns["loss"].values[tried.start :].astype(float))
    page.say(wish="take", value=best["name"])
    arrive()
    page.greet()
    assert (exploded.steps, page.state["outcome"]) == (tried.start + tried.steps, {})


def test_trials_that_were_left_alone_are_shown_no_more(wire, exploded, open_page):
    page = open_page(Doctor(exploded), eager=True)
    exploded.try_remedies(steps=5)
    page.greet()
    assert page.state["outcome"]["rows"]
    page.say(wish="leave")
    assert page.state["outcome"] == {}


def test_what_is_over_offers_nothing(wire, session, open_page):
    session.step(3)
    over = Finding("toy", "low", "A toy", "It is there.", step=1, until=2, remedies=("lower_rate",))
    session.set_trait("findings", (over,))
    page = open_page(Doctor(session))
    assert [(one["over"], one["remedies"]) for one in page.state["findings"]] == [(True, [])]


def test_a_click_on_a_layer_or_a_step_marks_it_for_all_views(wire, session, open_page):
    page = open_page(Doctor(session))
    page.say(wish="layer", value="1")
    page.say(wish="step", value=7)
    assert (session.selected_layer, session.selected_step) == ("1", 7)


def test_a_remedy_of_what_is_no_longer_found_is_refused_with_a_sentence(wire, session, open_page):
    view = Doctor(session)
    page = open_page(view)
    page.say(wish="remedy", value=["toy ", "lower_rate"])
    assert wire.customs(view)[-1]["because"] == "This is no longer found."
    assert page


def test_without_findings_it_says_what_it_does_and_then_what_was_quiet(wire, session, open_page):
    page = open_page(Doctor(session), eager=True)
    assert page.state["moment"]["words"].startswith("Watches loss") and page.state["moment"]["checkable"]
    assert "not run" in page.state["checks"]["line"]
    session.step(30)
    page.greet()
    quiet = [row for row in page.state["checks"]["rows"] if row[1] == "quiet"]
    assert page.state["moment"]["words"] == f"Nothing found: {len(quiet)} checks quiet."


def test_a_pulse_with_nothing_new_sends_nothing(wire, session, open_page):
    view = Doctor(session)
    open_page(view, eager=True)
    session.step(60)
    sent = len(wire.pictures(view))
    for _ in range(20):
        session.set_trait("pulse", session.pulse + 1)
    assert len(wire.pictures(view)) == sent


def test_what_is_no_session_is_refused(wire):
    with pytest.raises(TypeError, match=r"Doctor wants a Session, not Linear: dlwidgets\.Doctor\(session\)\."):
        Doctor(nn.Linear(2, 2))


def test_the_figure_has_each_finding_and_the_checks(exploded):
    figure = Doctor(exploded).figure()
    words = " ".join(text.get_text() for text in figure.texts)
    assert all(one.title.split(":")[0] in words for one in exploded.findings)
    assert len(figure.axes) == len(exploded.findings)
