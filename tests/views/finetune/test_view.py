"""Fine-tuning without a browser: what a page is told, and what it may ask for."""

from __future__ import annotations

import json
import threading

import pytest
import torch
from torch import nn

from dlwidgets.core.base.canvas import render_png
from dlwidgets.core.training.proof import Proof
from dlwidgets.session import Session
from dlwidgets.views.dashboard import Dashboard
from dlwidgets.views.finetune.packing import pack_proof
from dlwidgets.views.finetune.view import FineTunePanel


def new_session(**options) -> Session:
    torch.manual_seed(0)
    layers = {f"layer{number}": nn.Linear(8, 8) for number in range(1, 4)}
    model = nn.Sequential()
    for name, layer in {**layers, "norm": nn.BatchNorm1d(8), "head": nn.Linear(8, 3)}.items():
        model.add_module(name, layer)
    X, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
    return Session(model, (X, y), (X[:32], y[:32]), batch_size=32, epochs=8, **options)


@pytest.fixture
def session():
    made = new_session()
    yield made
    made.close()


def arrive() -> None:
    """Wait until a journey that was begun has arrived."""
    for thread in threading.enumerate():
        if thread.name == "dlwidgets-going-back":
            thread.join(20)


def frozen(session: Session) -> list[str]:
    return [name for name, one in session.model.named_parameters() if not one.requires_grad]


def test_a_page_is_told_of_each_block_with_its_state_and_rate(wire, session, open_page):
    session.freeze("layer1")
    session.lr_scale = {"layer2": 0.1}
    session.step(1)
    page = open_page(FineTunePanel(session))
    names = ["layer1", "layer2", "layer3", "norm", "head"]
    assert [block[0] for block in page.state["blocks"]] == names and page.state["problem"] == ""
    assert [block[3] for block in page.state["blocks"]] == [72, 72, 72, 16, 27]
    assert [block[4] for block in page.state["blocks"]] == [False] * 4 + [True]
    assert page.state["states"] == "nyyyy"
    assert page.state["about"]["rates"] == pytest.approx([1e-3, 1e-4, 1e-3, 1e-3, 1e-3])
    assert (page.state["about"]["trained"], page.state["about"]["parameters"]) == (187, 259)


def test_a_click_on_a_block_freezes_it_and_another_has_it_train(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish="block", value=[1, False])
    assert frozen(session) == ["layer2.weight", "layer2.bias"] and page.state["states"] == "ynyyy"
    assert session.ledger().iloc[-1]["by"] == "finetune"
    page.say(wish="block", value=[1, True])
    assert frozen(session) == [] and page.state["states"] == "yyyyy"


def test_the_slider_freezes_all_up_to_a_place_as_freeze_to_does(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    session.freeze("head")
    page.say(wish="upto", value=2)
    by_slider = frozen(session)
    session.unfreeze()
    session.freeze_to("layer2")
    assert by_slider == frozen(session) == ["layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias"]
    page.say(wish="upto", value=0)
    assert frozen(session) == [] and page.state["about"]["mode"] == "all"


def test_a_button_each_trains_the_head_all_or_all_with_a_gentle_backbone(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish="mode", value="head")
    assert session.trainable == {"*": False, "head": True} and page.state["about"]["mode"] == "head"
    page.say(wish="mode", value="gentle")
    session.step(1)
    rates = {len(group["params"]): group["lr"] for group in session.optimizer.param_groups}
    assert rates == pytest.approx({8: 1e-4, 2: 1e-3}) and page.state["about"]["mode"] == "gentle"
    page.say(wish="mode", value="all")
    session.step(1)
    page.greet()
    assert (session.lr_scale, frozen(session), page.state["about"]["mode"]) == (None, [], "all")


def test_rates_of_parts_are_set_and_taken_away(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    backbone = list(session.split.backbone)
    page.say(wish="factor", value=[backbone, 0.1])
    page.say(wish="factor", value=[["head"], 2])
    session.step(1)
    page.greet()
    rows = page.state["rates"]["rows"]
    assert [(row["name"], row["factor"]) for row in rows] == [("backbone", 0.1), ("head", 2)]
    assert [row["rate"] for row in rows] == pytest.approx([1e-4, 2e-3])
    assert page.state["about"]["mode"] == ""
    page.say(wish="factor", value=[backbone, 0.5])
    assert [*session.lr_scale] == [*backbone, "head"]
    page.say(wish="factor", value=[backbone, None])
    assert session.lr_scale == {"head": 2}
    assert ["layer1", ["layer1"]] in page.state["rates"]["others"]


def test_the_timetable_says_what_comes_next_and_what_trains_already(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish="time", value=[["layer3"], 2])
    page.say(wish="time", value=[["layer2"], "3 epochs"])
    assert frozen(session) == ["layer2.weight", "layer2.bias", "layer3.weight", "layer3.bias"]
    session.step(2)
    page.greet()
    rows = [(row["name"], row["number"], row["unit"], row["done"]) for row in page.state["timetable"]["rows"]]
    assert rows == [("layer3", 2, "step", True), ("layer2", 3, "epoch", False)]
    page.say(wish="time", value=[["layer2"], None])
    assert session.unfreeze_at == {"layer3": 2}


def test_unfreezing_gradually_begins_with_the_head_alone(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish="gradually")
    assert page.state["about"]["mode"] == "head" and page.state["states"] == "nnnny"
    times = [(row["number"], row["unit"]) for row in page.state["timetable"]["rows"]]
    assert sorted({*times}) == [(number, "epoch") for number in range(1, len({*times}) + 1)]
    session.fit(1, progress=False)
    page.greet()
    assert page.state["states"] == "nnyyy" and session.ledger().iloc[-1]["by"] == "timetable"


@pytest.mark.parametrize(
    ("wish", "section", "said"),
    [
        (("factor", [["layer1"], "much"]), "rates", "'much' for 'layer1'"),
        (("factor", [["nowhere"], 0.1]), "rates", "no layer or parameter 'nowhere'"),
        (("time", [["layer1"], "soon"]), "timetable", "has the time 'soon'"),
        (("compare", "many"), "starts", "epochs='many'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_beside_its_control(wire, session, open_page, wish, section, said):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish=wish[0], value=wish[1])
    arrive()
    page.greet()
    assert said in page.state["moment"]["said"][section]
    page.say(wish="factor", value=[["layer1"], 1])
    assert "rates" not in page.state["moment"]["said"]


def test_freezing_everything_is_refused_beside_the_bar(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish="upto", value=5)
    page.greet()
    assert "everything would be frozen" in page.state["moment"]["said"]["bar"] and page.state["states"] == "yyyyy"


@pytest.mark.parametrize(
    ("name", "wish"),
    [("trainable", ("block", [0, False])), ("trainable", ("upto", 2)), ("lr_scale", ("mode", "gentle"))],
)  # fmt: skip
def test_what_a_teacher_locks_is_locked_here_too(wire, session, open_page, name, wish):
    board = Dashboard(session)
    page = open_page(board.finetune, eager=True)
    board.training.lock(name)
    assert page.state["moment"]["locked"] == [name]
    page.say(wish=wish[0], value=wish[1])
    assert f"{name} is locked" in str(page.state["moment"]["said"]) and frozen(session) == []
    assert session.lr_scale is None
    board.close()


def test_a_range_of_factors_holds_for_each_row(wire, session, open_page):
    page = open_page(FineTunePanel(session, limits={"lr_scale": (0.01, 1)}), eager=True)
    page.say(wish="factor", value=[["layer1"], 5])
    assert "outside what this panel allows" in page.state["moment"]["said"]["rates"]
    assert page.state["rates"]["range"] == [0.01, 1] and session.lr_scale is None


def test_after_an_epoch_the_proof_is_one_line_and_those_before_are_in_a_fold(wire, session, open_page):
    page = open_page(FineTunePanel(session), eager=True)
    page.say(wish="mode", value="head")
    session.step(4)
    session.proofs(now=True)
    page.say(wish="opened", value=["proofs"])
    last, known = page.state["proof"]["last"], session.proof
    assert last["holds"] and last["words"].startswith(f"Epoch {known.epoch}, step {known.step}: {known.tensors} frozen")
    assert known.digest[:8] in last["words"]
    assert [one["words"] for one in page.state["proof"]["past"]][0] == last["words"]
    assert len(page.state["proof"]["past"]) == page.state["proof"]["count"] == len(session.proofs())


def test_a_tensor_that_moved_is_named_with_how_far_and_since_when():
    proof = Proof(8, 2, 66, 900, "ab" * 16, ("bn.weight",), "cd" * 16, {"bn.weight": 0.013}, {"bn.weight": 4})
    assert pack_proof(proof) == {
        "holds": False, "words": "Epoch 2, step 8: 1 of 66 frozen tensors changed: bn.weight by 0.013 since step 4",
        "digest": "ab" * 16, "drifts": "",
    }  # fmt: skip


def test_three_starts_are_rows_with_curves_of_which_one_can_be_gone_on_with(wire, session, open_page):
    view = FineTunePanel(session)
    page = open_page(view, eager=True)
    seen = []
    session.observe(lambda _: seen.append([row["taken"] for row in page.state["starts"]["rows"]]), "trials")
    page.say(wish="compare", value="2")
    arrive()
    page.greet()
    starts, tried = page.state["starts"], session.start_trials
    assert [row["name"] for row in starts["rows"]] == ["head only", "all", "from scratch"]
    for row, one in zip(starts["rows"], tried.tried):
        line = next(branch for branch in session.branches if branch.name == one.line)
        assert row["losses"] == list(line.record.columns["loss"].values[:4].astype("float32").astype(float))
        assert (row["value"], row["seconds"], row["parameters"]) == (tried.value_of(one), one.seconds, one.parameters)
    assert [row["best"] for row in starts["rows"]].count(True) == 1 and session.steps == 0 and seen
    page.say(wish="take", value="head only")
    arrive()
    page.greet()
    assert (session.line, session.steps, page.state["states"]) == ("head only", 4, "nnnny")
    json.dumps(starts, allow_nan=False)


def test_without_a_head_the_panel_says_why_and_offers_the_rest(wire, open_page):
    session = Session(nn.Linear(4, 2), (torch.randn(8, 4), torch.randint(0, 2, (8,))))
    page = open_page(FineTunePanel(session), eager=True)
    assert not page.state["about"]["splits"] and page.state["about"]["because"]
    page.say(wish="mode", value="head")
    assert page.state["moment"]["said"]["bar"] == session.split.because
    session.close()


def test_the_figure_shows_the_bar_the_proof_and_the_starts(wire, session):
    view = FineTunePanel(session)
    empty = view.figure().get_size_inches()[1]
    session.freeze("layer1")
    session.lr_scale = {"layer2": 0.1}
    session.step(1)
    session.compare_starts(steps=3)
    session.proofs(now=True)
    figure = view.figure()
    texts = [text.get_text() for text in figure.texts]
    assert "187 of 259 parameters train. Hatched: frozen." in texts and "Rates: layer2 × 0.1" in texts
    assert any(session.proof.digest in text for text in texts) and len(figure.axes[1].lines) == 3
    assert figure.get_size_inches()[1] > empty and render_png(figure).startswith(b"\x89PNG")


def test_a_pulse_with_nothing_new_sends_nothing(wire, session, open_page):
    view = FineTunePanel(session)
    open_page(view, eager=True)
    session.step(6)
    sent = len(wire.pictures(view))
    for _ in range(20):
        session.set_trait("pulse", session.pulse + 1)
    assert len(wire.pictures(view)) == sent


def test_what_is_no_session_is_refused(wire):
    with pytest.raises(TypeError, match="FineTunePanel wants a Session, not Linear"):
        FineTunePanel(nn.Linear(2, 2))
