"""The part of the training panel that folds away, without a browser: its rows, presets and way back."""

from __future__ import annotations

import re
import threading
import time

import pytest
import torch
from torch import nn

from dlwidgets.core.controls.steering import names_of
from dlwidgets.session import Session
from dlwidgets.views.training.sections import rows_of
from dlwidgets.views.training.view import TrainingPanel


def new_session(**options) -> Session:
    torch.manual_seed(0)
    X = torch.randn(256, 4)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.25), nn.Linear(8, 3))
    y = (X[:, :3] > 0.3).float()
    return Session(model, train=(X, y), valid=(X[:64], y[:64]), **{"epochs": 100, **options})


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


@pytest.fixture
def page(panel, open_page):
    return open_page(panel._sections, eager=True)


def ledger(session):
    return [(entry.name, entry.asked, entry.by) for entry in session.changes if not entry.rejected]


def wait_for(page, condition):
    """Wait until a condition holds, looked at whenever something reaches the page."""
    met = threading.Event()
    arrive = page.arrive

    def arrived(message):
        arrive(message)
        if condition():
            met.set()

    page.arrive = arrived
    assert condition() or met.wait(20)


@pytest.mark.parametrize(
    ("row", "said", "name", "wish"),
    [
        ("optimizer", "SGD", "optimizer", ("SGD", {})),
        ("betas", "0.8, 0.99", "betas", (0.8, 0.99)),
        ("weight_decay", "1e-4", "weight_decay", 1e-4),
        ("schedule", "cosine", "schedule", ("cosine", {})),
        ("dropout", "0.5", "dropout", {"*": 0.5}),
        ("normalise", "max-norm", "normalise", {"*": ("max_norm", 3.0)}),
        ("normalise", "unit, dim 1", "normalise", {"*": "unit_dim1"}),
        ("accumulate", "4", "accumulate", 4),
        ("ema", "0.99", "ema", 0.99),
        ("precision", "bf16", "precision", "bf16"),
        ("early_stopping", "valid_loss", "early_stopping", ("valid_loss", 5, 0.0, False)),
        ("threads", "1", "threads", 1),
        ("lr_scale", "0: 0.1, 2.bias: 2", "lr_scale", {"0": 0.1, "2.bias": 2}),
        ("lr_scale.decay", "0.5", "lr_scale", {"0": 0.5, "2": 1}),
        ("unfreeze_at", "0: 3 epochs", "unfreeze_at", {"0": "3 epochs"}),
        ("unfreeze_at", "gradual 20", "unfreeze_at", {"0": 20}),
        ("unfreeze_at", "after 2 epochs", "unfreeze_at", {"0": "2 epochs"}),
    ],
)
def test_a_row_writes_its_wish_in_the_name_of_the_panel(session, page, row, said, name, wish):
    page.say(wish=row, value=said)
    session.step()
    # The threads may have been one before.
    assert ledger(session) == [(name, wish, "panel")] or session.applied[name] == wish
    assert page.state["rows"][row]["kind"] == "in-force" and page.state["rows"][row]["why"] == ""


@pytest.mark.parametrize(
    ("row", "said", "wish"),
    [("epochs", "7", 7), ("evaluate_every", "50 steps", 50), ("evaluate_every", "never", None)],
)
def test_what_is_no_control_of_the_loop_is_set_too(session, page, row, said, wish):
    page.say(wish=row, value=said)
    assert getattr(session, row) == wish
    assert page.state["rows"][row]["value"] == said


def test_every_control_of_a_session_has_its_place_in_the_panel(session):
    elsewhere = {"lr", "batch_size", "clip", "trainable", "reinitialise", "loss_function", "head"}
    assert {*names_of(steers=True)} - elsewhere <= {row.control for row in rows_of(session).values()}


def test_options_of_a_schedule_are_kept_when_another_of_them_is_set(session, page):
    page.say(wish="schedule", value="cosine")
    page.say(wish="schedule.warmup", value="10")
    page.say(wish="schedule.eta_min", value="1e-5")
    assert session.schedule == ("cosine", {"warmup": 10, "eta_min": 1e-5})
    page.say(wish="schedule", value="linear")
    assert session.schedule == ("linear", {"warmup": 10})
    page.say(wish="schedule.warmup", value="")
    assert session.schedule == ("linear", {})
    page.say(wish="schedule", value="constant")
    assert session.schedule is None


def test_only_options_that_a_schedule_has_are_offered(session, page):
    offered = {"cosine": "eta_min", "plateau": "patience", "one-cycle": "max_lr", "polynomial": "power"}
    for name, option in offered.items():
        page.say(wish="schedule", value=name)
        there = {
            key for key, row in page.state["rows"].items() if key.startswith("schedule.") and row["there"]
        }
        assert f"schedule.{option}" in there
        assert not there & {f"schedule.{other}" for other in offered.values() if other != option}


def test_a_rate_that_only_its_schedule_moves_is_not_drawn_at_each_step(wire, session, panel, page):
    session.schedule = "cosine"
    session.step()
    sent, applied = len(wire.pictures(panel._sections)), session.applied
    session.set_trait("applied", {**applied, "lr": 0.5, "scheduled_lr": 0.5})
    assert len(wire.pictures(panel._sections)) == sent
    session.set_trait("applied", {**applied, "weight_decay": 0.25})
    assert page.state["rows"]["weight_decay"]["fact"] == "0.25"
    # Without a schedule it is somebody's wish.
    session.set_trait("applied", {**applied, "schedule": None, "lr": 0.5, "scheduled_lr": 0.5})
    assert page.state["rows"]["schedule"]["fact"] != "cosine"


def test_a_schedule_that_was_drawn_out_is_said_to_end_with_the_run(session, page):
    session.schedule, session.epochs = ("cosine", {}), 500
    session.start()
    while not len(session.record):
        time.sleep(0.001)
    session.pause()
    rows, sums = page.state["rows"], page.state["sums"]
    assert rows["schedule.over"]["fact"] == "4,000" and sums["schedule"] == "cosine over 4,000 steps"
    session.epochs = 1000
    session.step()
    rows, sums = page.state["rows"], page.state["sums"]
    assert rows["schedule.over"]["fact"] == "to the end"
    assert sums["schedule"] == "cosine to the end of the run"
    assert re.fullmatch(
        r"stretched to end with the run: cosine over 8,\d{3} steps, \d+ of them behind",
        session.changes[-1].note,
    )


def test_asked_scheduled_and_applied_rate_are_told_while_the_section_is_open(session, page):
    page.say(wish="opened", value=["schedule"])
    session.schedule = ("linear", {"over": 100})
    session.step(50)
    rates = page.state["rates"]
    assert (rates["asked"], rates["scheduled"], rates["applied"]) == (
        1e-3,
        pytest.approx(5e-4),
        pytest.approx(5e-4),
    )
    session.lr = 1e-3
    session.step()
    rates = page.state["rates"]
    assert rates["applied"] == pytest.approx(rates["scheduled"] * rates["multiplier"])
    assert [step for step, _ in rates["coming"]] == sorted(step for step, _ in rates["coming"])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("weight_decay", "-1"),
        ("betas", "2"),
        ("ema", "1.5"),
        ("epochs", "0"),
        ("accumulate", "many"),
        ("dropout", "1"),
        ("lr_scale", "0: much"),
        ("lr_scale.decay", "7"),
    ],
)
def test_a_value_that_cannot_be_is_refused_beside_its_row_until_the_next(session, page, row, said):
    page.say(wish=row, value=said)
    shown = page.state["rows"][row]
    assert shown["kind"] == "rejected" and shown["value"] == said and shown["why"].endswith((".", "None."))
    assert "\n" not in shown["why"]
    session.step()
    assert ledger(session) == []
    page.say(
        wish=row, value="2" if row in ("epochs", "accumulate") else "0.5, 0.5" if row == "betas" else "0.5"
    )
    assert page.state["rows"][row]["why"] == ""


def test_what_the_loop_rejects_is_told_beside_its_row(session, page):
    session.label_smoothing = 0.1
    session.step()
    assert page.state["rows"]["label_smoothing"]["off"] == "the loss has none"
    assert "label smoothing" in page.state["rows"]["label_smoothing"]["why"]


def test_a_wish_from_code_moves_its_row(session, page):
    session.weight_decay = 0.25
    session.optimizer = ("sgd", {"momentum": 0.9})
    assert page.state["rows"]["weight_decay"]["value"] == "0.25"
    assert page.state["rows"]["optimizer"]["value"] == "SGD"
    assert page.state["rows"]["weight_decay"]["kind"] == "waiting"
    session.step()
    assert page.state["rows"]["weight_decay"]["kind"] == "in-force"
    assert page.state["rows"]["momentum"]["there"] and not page.state["rows"]["betas"]["there"]
    assert {by for *_, by in ledger(session)} == {"code"}


def test_sections_are_closed_at_first_and_a_new_page_finds_them_as_they_were(panel, open_page):
    first = open_page(panel._sections, eager=True)
    assert first.state["opened"] == []
    first.say(wish="opened", value=["run", "optimizer", "no such section"])
    first.close()
    assert open_page(panel._sections).state["opened"] == ["run", "optimizer"]


def test_a_key_pauses_resumes_and_steps(session, page):
    page.say(wish="press", value="step")
    session.wait()
    assert (session.steps, session.status) == (1, "paused")
    page.say(wish="press", value="toggle")
    wait_for(page, lambda: session.status == "running")
    page.say(wish="press", value="toggle")
    wait_for(page, lambda: session.status == "paused")


# -- presets


def test_a_preset_makes_several_wishes_in_the_name_of_the_panel(session, page):
    page.say(wish="preset", value="SGD 0.1, momentum 0.9, cosine")
    session.step()
    assert [name for name, *_ in ledger(session)] == ["optimizer", "lr", "schedule"]
    assert {by for *_, by in ledger(session)} == {"panel"}
    group = session.optimizer.param_groups[0]
    assert isinstance(session.optimizer, torch.optim.SGD) and group["momentum"] == 0.9
    assert session.applied["schedule"][0] == "cosine"


def test_every_preset_can_be_had_and_says_what_it_sets(session, page):
    for name, words in page.state["presets"]:
        assert words
        page.say(wish="preset", value=name)
        session.step()
        assert not session.rejected and page.state["said"].get("presets", "") == ""


def test_a_preset_that_multiplies_the_rate_multiplies_it_wherever_the_schedule_stands(session, page):
    session.schedule = "cosine"
    session.step(20)
    before, scheduled = session.lr, session.applied["scheduled_lr"]
    assert session.applied["lr"] == scheduled < before
    page.say(wish="preset", value="Bold: rate × 3")
    session.step()
    assert session.lr == pytest.approx(3 * before)
    assert session.history().lr.iloc[-1] == pytest.approx(3 * scheduled)


def test_presets_of_a_persons_own_stand_in_the_place_of_ours(wire, session, open_page):
    panel = TrainingPanel(session, presets={"Slow": {"lr": 1e-5}})
    page = open_page(panel._sections, eager=True)
    assert page.state["presets"] == [["Slow", "lr 1.0e-5"]]
    page.say(wish="preset", value="Slow")
    assert session.lr == 1e-5
    panel.close()


# -- the way back


def test_the_undo_button_takes_the_last_change_back(session, panel, page):
    session.step(3)
    session.lr = 0.5
    session.step(2)
    panel.bar.children[1].children[-1].click()
    wait_for(page, lambda: session.steps == 3 and page.state["past"]["busy"] == "")
    assert session.lr == 1e-3 and panel.lr.value == pytest.approx(1e-3)
    assert page.state["said"].get("past", "") == ""


def test_nothing_to_undo_is_said_until_the_run_goes_on(session, panel, page, open_page):
    head = open_page(panel._head, eager=True)
    panel.bar.children[1].children[-1].click()
    wait_for(page, lambda: page.state["said"].get("past"))
    wait_for(head, lambda: "nothing to undo" in head.state["said"])
    session.step()
    assert head.state["said"] == ""


def test_a_run_goes_back_to_a_snapshot_and_to_the_line_that_was_left(session, page):
    session.step(12)
    steps = [step for step, _ in page.state["past"]["snapshots"]]
    assert 0 in steps
    page.say(wish="rewind", value=0)
    wait_for(page, lambda: session.steps == 0 and page.state["past"]["busy"] == "")
    ((name, length),) = page.state["past"]["branches"]
    assert length == 12
    page.say(wish="switch", value=name)
    wait_for(page, lambda: session.steps == 12 and page.state["past"]["busy"] == "")


# -- what a teacher sets


def test_a_value_outside_a_limit_is_refused_in_one_sentence(session, panel, page):
    assert panel.limits(weight_decay=(0, 0.1), epochs=(1, 20)) is panel
    page.say(wish="weight_decay", value="0.5")
    assert page.state["rows"]["weight_decay"]["why"] == (
        "weight_decay=0.5 is outside what this panel allows: 0 to 0.1."
    )
    page.say(wish="weight_decay", value="0.1")
    assert session.weight_decay == 0.1
    panel.limits(weight_decay=None)
    page.say(wish="weight_decay", value="0.5")
    assert session.weight_decay == 0.5


def test_limits_are_what_the_sliders_span(session, panel):
    panel.limits(lr=(3e-4, 1e-1), batch_size=(4, 48), clip=(0.1, 10))
    assert (10**panel.lr.min, 10**panel.lr.max) == (pytest.approx(3e-4), pytest.approx(1e-1))
    assert panel.batch_size.options == (4, 8, 16, 32, 48)
    assert (10**panel.limit.min, 10**panel.limit.max) == (pytest.approx(0.1), pytest.approx(10))
    assert (session.lr, session.batch_size, session.clip) == (1e-3, 32, None)
    panel.lr.value = 3e-4
    assert session.lr == 3e-4


def test_code_may_go_beyond_a_limit_and_the_panel_shows_it_but_does_not_follow(session, panel, open_page):
    panel.limits(lr=(1e-4, 1e-1))
    page = open_page(panel._facts, eager=True)
    session.lr = 0.5
    assert panel.lr.value == pytest.approx(0.5)
    panel.lr.value = 0.4
    assert session.lr == 0.5
    assert page.state["rejected"] == {"lr": "lr=0.4 is outside what this panel allows: 0.0001 to 0.1."}


def test_limits_hold_for_a_panel_that_is_made_while_the_value_is_outside(wire, session):
    session.lr = 0.9
    panel = TrainingPanel(session, limits={"lr": (1e-4, 1e-1), "batch_size": (1, 8)}, locked=["clip"])
    assert panel.lr.value == pytest.approx(0.9) and panel.batch_size.value == 32
    assert session.lr == 0.9 and session.batch_size == 32
    assert panel.clip.disabled and panel.limit.disabled
    panel.close()


def test_a_locked_control_is_disabled_and_refuses_the_page(session, panel, page):
    assert panel.lock("optimizer", "lr", "presets").lr.disabled
    assert page.state["rows"]["optimizer"]["locked"] and page.state["rows"]["optimizer.nesterov"]["locked"]
    page.say(wish="optimizer", value="SGD")
    page.say(wish="preset", value="Clip norm 1")
    session.step()
    assert ledger(session) == []
    panel.unlock("lr")
    assert not panel.lr.disabled and page.state["rows"]["optimizer"]["locked"]
    panel.unlock()
    page.say(wish="optimizer", value="SGD")
    assert not page.state["rows"]["optimizer"]["locked"]
    session.step()
    assert [name for name, *_ in ledger(session)] == ["optimizer"]


def test_a_preset_that_would_change_what_is_locked_changes_nothing(session, panel, page):
    panel.lock("schedule")
    page.say(wish="preset", value="SGD 0.1, momentum 0.9, cosine")
    session.step()
    assert ledger(session) == [] and page.state["said"]["presets"] == "schedule is locked in this panel."


def test_a_locked_way_back_stays_shut(session, panel, page):
    panel.lock("undo", "rewind")
    session.step(4)
    panel.bar.children[1].children[-1].click()
    assert page.state["said"]["past"] == "undo is locked in this panel."
    page.say(wish="rewind", value=0)
    assert session.steps == 4


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda panel: panel.limits(learning_rate=(0, 1)), r"has no 'learning_rate'\. Did you mean 'lr'\?"),
        (
            lambda panel: panel.limits(optimizer=(0, 1)),
            r"no number that has a range: panel\.lock\('optimizer'\)",
        ),
        (lambda panel: panel.limits(lr=1e-3), r"\(least, greatest\) is wanted"),
        (lambda panel: panel.limits(lr=(1e-1, 1e-4)), r"the least first"),
        (lambda panel: panel.limits(lr=(0, 1)), r"above 0"),
        (lambda panel: panel.lock("optimiser"), r"has no 'optimiser'\. Did you mean 'optimizer'\?"),
        (lambda panel: panel.unlock("batchsize"), r"Did you mean 'batch_size'\?"),
    ],
)
def test_what_is_no_rule_is_refused_in_a_sentence(panel, ask, sentence):
    with pytest.raises(ValueError, match=sentence):
        ask(panel)
    assert not panel.restrictions.ranges and not panel.restrictions.locked


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limits": "lr"}, "limits='lr': a dict is wanted"),
        ({"locked": True}, "locked=True: names are wanted"),
        ({"presets": ["Gentle"]}, r"presets=\['Gentle'\]: wishes by name are wanted"),
        ({"presets": {"Gentle": 1e-4}}, "presets has 'Gentle': 0.0001; wishes are wanted"),
        ({"presets": {"Gentle": {"lr": "low"}}}, r"presets\['Gentle'\]: lr='low': a learning rate is"),
    ],
)
def test_a_mistyped_argument_is_named_with_what_to_write(panel, options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        TrainingPanel(panel.session, **options)


# -- the head, and the last step


def test_the_head_tells_throughput_and_memory(session, panel, open_page):
    page = open_page(panel._head, eager=True)
    session.step(5)
    run = page.state["run"]
    assert run["samples"] == pytest.approx(32 * run["rate"])
    assert run["memory"] is None or 2**20 < run["memory"] < 2**50
    assert run["device_memory"] is None and run["undo"] == ""
    session.lr = 0.5
    session.step()
    assert page.state["run"]["undo"] == "lr, step 5"


def test_the_last_step_is_told_once_it_is_asked_for(session, page):
    session.clip = 0.01
    session.step(2)
    assert page.state["taken"] == {}
    page.say(wish="opened", value=["step"])
    taken, last = page.state["taken"], session.history().iloc[-1]
    assert taken["step"] == 2 and taken["numbers"]["loss"] == last.loss
    assert taken["numbers"]["grad_norm"] == last.grad_norm > taken["numbers"]["clipped_norm"]
    assert [path for path, *_ in taken["layers"]] == session.layer_stats.paths


def test_a_step_is_seen_closely_while_its_section_is_open(session, panel, page):
    page.say(wish="opened", value=["step"])
    panel.bar.children[1].children[3].click()
    wait_for(page, lambda: page.state["taken"].get("losses"))
    taken, row = page.state["taken"], session.history().iloc[-1]
    assert taken["step"] == session.steps == 1 and len(taken["losses"]) == row.batch_size
    assert sum(taken["losses"]) / len(taken["losses"]) == pytest.approx(row.loss, rel=1e-5)
    assert [path for path, *_ in taken["layers"]] == ["0", "2"]
    session.step()
    assert page.state["taken"]["step"] == 2 and "losses" not in page.state["taken"]


def test_adaptive_clipping_has_a_limit_of_its_own(session, panel):
    panel.clip.value = "adaptive"
    assert session.clip == ("adaptive", 0.01)
    panel.clip.value = "norm"
    assert session.clip == ("norm", 1.0)
    session.clip = ("adaptive", 0.05)
    panel.clip.value = "off"
    panel.clip.value = "value"
    assert session.clip == ("value", 1.0)
    panel.clip.value = "adaptive"
    assert session.clip == ("adaptive", 0.05)


def test_a_rare_way_to_clip_is_offered_where_it_is_in_force(session, panel):
    assert "each" not in [mode for _, mode in panel.clip.options]
    session.clip = ("each", 0.5)
    assert panel.clip.value == "each" and len(panel.clip.tooltips) == len(panel.clip.options) == 5
    panel.clip.value = "norm"
    assert session.clip == ("norm", 0.5)


# -- side by side


def test_two_values_are_tried_from_one_step_and_the_run_stands_where_it_stood(session, page):
    session.step(5)
    page.say(wish="opened", value=["lines"])
    assert page.state["lines"]["choices"][0] == ["lr", "Learning rate", "0.001, 0.0001"]
    weights = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
    page.say(wish="try", value={"control": "lr", "values": "0.01, 0.1", "steps": "7"})
    wait_for(page, lambda: len(page.state["lines"]["rows"]) == 3 and page.state["past"]["busy"] == "")
    assert session.steps == 5 and session.lr == 1e-3
    torch.testing.assert_close(session.model.state_dict(), weights, rtol=0, atol=0)
    here, *tried = page.state["lines"]["rows"]
    assert here["here"] and here["steps"] == 5
    assert {row["words"] for row in tried} == {"lr 1.0e-2", "lr 1.0e-1"}
    assert {row["steps"] for row in tried} == {7}
    for row, branch in zip(tried, reversed(session.branches)):
        own = branch.history().iloc[5:]
        assert row["loss"] == pytest.approx(own.loss.mean())
        assert row["valid"] == pytest.approx(own.valid_loss.dropna().iloc[-1])
    page.say(wish="switch", value=tried[0]["name"])
    wait_for(page, lambda: page.state["lines"]["rows"][0]["name"] == tried[0]["name"])
    assert session.line == tried[0]["name"] and session.steps == 12


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({"control": "lr", "values": "0.01", "steps": "7"}, "Two to 6 values"),
        ({"control": "lr", "values": "0.01, fast", "steps": "7"}, "lr='fast'"),
        ({"control": "lr", "values": "0.01, -1", "steps": "7"}, "lr=-1"),
        ({"control": "lr", "values": "0.01, 0.1", "steps": "many"}, "'many' steps"),
        ({"control": "optimizer", "values": "sgd, adam", "steps": "7"}, "'optimizer' cannot be tried here"),
        ({}, "'None' cannot be tried here"),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_sentence_and_takes_no_step(session, page, typed, why):
    session.step(2)
    page.say(wish="try", value=typed)
    assert why in page.state["said"]["lines"] and page.state["said"]["lines"].endswith(".")
    assert session.steps == 2 and not session.branches


def test_a_locked_control_and_a_limit_hold_for_what_is_tried_too(session, panel, page):
    panel.limits(lr=(1e-4, 1e-1))
    page.say(wish="try", value={"control": "lr", "values": "0.01, 1", "steps": "2"})
    assert page.state["said"]["lines"] == "lr=1 is outside what this panel allows: 0.0001 to 0.1."
    panel.lock("batch_size")
    page.say(wish="try", value={"control": "batch_size", "values": "8, 16", "steps": "2"})
    assert page.state["said"]["lines"] == "batch_size is locked in this panel."
    panel.lock("rewind")
    page.say(wish="try", value={"control": "lr", "values": "0.01, 0.02", "steps": "2"})
    assert page.state["said"]["lines"] == "rewind is locked in this panel."


@pytest.mark.parametrize("control", ["lr", "batch_size", "weight_decay", "momentum", "clip"])
def test_what_is_suggested_for_a_control_can_be_tried_as_it_stands(wire, open_page, control):
    session = new_session(optimizer=("sgd", {"momentum": 0.5}), lr=0.05)
    panel = TrainingPanel(session)
    page = open_page(panel._sections, eager=True)
    page.say(wish="opened", value=["lines"])
    values = next(values for name, _, values in page.state["lines"]["choices"] if name == control)
    page.say(wish="try", value={"control": control, "values": values, "steps": "2"})
    wait_for(page, lambda: len(session.branches) == 2 and page.state["past"]["busy"] == "")
    assert page.state["said"].get("lines", "") == ""
    panel.close(), session.close()


@pytest.mark.parametrize(
    ("word", "meant"), [("1 min", "60 s"), ("50 steps", 50), ("each epoch", "epoch"), ("never", None)]
)
def test_how_often_is_evaluated_is_chosen_in_steps_or_in_time(session, page, word, meant):
    assert word in page.state["rows"]["evaluate_every"]["choices"]
    page.say(wish="evaluate_every", value=word)
    assert session.evaluate_every == meant and page.state["rows"]["evaluate_every"]["value"] == word


def test_a_time_that_code_asked_for_is_shown_as_it_is(session, page):
    session.evaluate_every = "45 s"
    assert page.state["rows"]["evaluate_every"]["value"] == "45 s"


def test_a_part_of_the_validation_data_is_asked_for_and_all_of_it_again(session, page):
    page.say(wish="evaluate_samples", value="16")
    assert session.evaluate_samples == 16 and session.evaluate().samples == 16
    page.say(wish="evaluate_samples", value="")
    assert session.evaluate_samples is None and session.evaluate().samples == 64
    page.say(wish="evaluate_samples", value="-3")
    assert "evaluate_samples=-3" in page.state["rows"]["evaluate_samples"]["why"]


def test_a_rate_is_searched_and_a_click_sets_it(session, page):
    page.say(wish="opened", value=["rate"])
    page.say(wish="find_rate")
    wait_for(page, lambda: page.state["search"].get("rates"))
    found = session.rate_search
    assert page.state["search"]["rates"] == [float(rate) for rate in found.rates]
    assert [rate for _, rate in page.state["search"]["suggestions"]] == [
        float(f"{rate:.2g}") for rate in found.suggestions.values()
    ]  # fmt: skip
    page.say(wish="set_rate", value=3e-3)
    session.step()
    assert (session.lr, ledger(session)[-1]) == (3e-3, ("lr", 3e-3, "panel"))


def test_a_locked_rate_refuses_what_a_search_suggests(session, panel, page):
    panel.lock("lr")
    page.say(wish="set_rate", value=3e-3)
    assert session.lr == 1e-3 and page.state["said"]["rate"] == "lr is locked in this panel."
