"""The study below the maps without a page: what it projects and obeys, and that folded it costs nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from dlwidgets.core.activations.activations import activations
from dlwidgets.core.activations.study.ablation import scores_under
from dlwidgets.core.activations.study.attribution import grad_cam
from dlwidgets.session import Session
from dlwidgets.views.activations.view import ActivationBrowser

NAMES = ["zero", "one", "two"]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Flatten(), nn.Dropout(0.5),
        nn.Linear(216, 8), nn.ReLU(), nn.Linear(8, 3),
    )  # fmt: skip


def data(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.arange(n) % 3


@pytest.fixture
def session():
    made = Session(net(), data(), data(40), classes=NAMES, batch_size=8, epochs=2, threads=1)
    yield made
    made.close()


@pytest.fixture
def view(session):
    made = ActivationBrowser(session, layer="2")
    yield made
    made.close()


def settle(session: Session) -> None:
    """Wait until every job that was asked for is done, and what follows from it."""
    for _ in range(8):
        session.at_step(lambda: None).result(10)


def opened(view: ActivationBrowser, section: str) -> dict:
    view.wish("study", section)
    settle(view.session)
    return view.project()


# -- folded


def test_folded_it_shows_nothing_and_runs_nothing(session, view):
    calls = []
    for name in ("_work", "_compute"):
        setattr(view._study, name, lambda *args, n=name: calls.append(n))
    session.step(2)
    settle(session)
    shown = view.project()
    assert not calls and shown["study"] == ""
    assert not shown["touching"] and not shown["exciting"] and not shown["film"]
    assert not any(shown[name] for name in ("excited", "where_map", "film_maps", "film_now", "spread_shades"))


def test_a_section_that_is_folded_again_lets_its_bytes_go(view):
    assert opened(view, "excites")["excited"]
    shown = opened(view, "")
    assert not shown["excited"] and not shown["exciting"]


def test_everything_but_bytes_is_plain_json_in_every_section(view):
    for section in ("touch", "excites", "where", "time", ""):
        shown = opened(view, section)
        json.dumps({k: v for k, v in shown.items() if not isinstance(v, bytes)}, allow_nan=False)


def test_an_unknown_section_is_refused_in_words(view):
    with pytest.raises(ValueError, match="sections touch, excites, where, time"):
        view.wish("study", "dance")


# -- touch


def test_touching_shows_the_probabilities_before_and_after(session, view):
    opened(view, "touch")
    view.wish("chosen", 4)
    view.wish("touch", 0)
    settle(session)
    shown = view.project()["touching"]
    before, after = scores_under(session.model, data(40)[0][:1], [{}, {"2": {4: 0.0}}], session.scores_of)
    assert shown["list"] == [["2", 4, 0.0]] and shown["channels"] == 6
    assert [row[0] for row in shown["rows"]] == NAMES
    assert [row[1] for row in shown["rows"]] == pytest.approx(before.tolist())
    assert [row[2] for row in shown["rows"]] == pytest.approx(after.tolist())


def test_the_ladder_tells_what_off_half_and_double_would_do(session, view):
    opened(view, "touch")
    view.wish("chosen", 2)
    settle(session)
    rows = view.project()["touching"]["rows"]
    for place, factor in enumerate((0.0, 0.5, 1.0, 2.0)):
        (expected,) = scores_under(session.model, data(40)[0][:1], [{"2": {2: factor}}], session.scores_of)
        assert [row[3 + place] for row in rows] == pytest.approx(expected.tolist())


def test_several_channels_are_listed_and_undone_one_by_one_and_given_back_together(session, view):
    opened(view, "touch")
    view.wish("touch", {"layer": "2", "channel": 1, "factor": 0})
    view.wish("touch", {"layer": "5", "channel": 3, "factor": 2})
    view.wish("touch", {"layer": "2", "channel": 1, "factor": 0.5})

    def touched() -> list:
        return view.project()["touching"]["list"]

    assert touched() == [["2", 1, 0.5], ["5", 3, 2.0]]
    view.wish("touch_undo", None)
    assert touched() == [["2", 1, 0.0], ["5", 3, 2.0]]
    view.wish("touch_reset", None)
    assert touched() == []
    view.wish("touch_undo", None)
    assert touched() == [["2", 1, 0.0], ["5", 3, 2.0]]
    view.wish("touch", {"layer": "2", "channel": 1, "factor": 1})
    assert touched() == [["5", 3, 2.0]]


def test_what_was_touched_stays_while_other_sections_are_open(session, view):
    opened(view, "touch")
    view.wish("touch", 0)
    opened(view, "where")
    assert opened(view, "touch")["touching"]["list"] == [["2", 0, 0.0]]


@pytest.mark.parametrize("factor", ["much", None, True, float("nan"), 1e9])
def test_a_factor_that_is_none_is_refused_in_words(view, factor):
    opened(view, "touch")
    with pytest.raises(ValueError, match="multiplied by a number"):
        view.wish("touch", factor)


def test_nothing_to_undo_is_said(view):
    opened(view, "touch")
    with pytest.raises(ValueError, match="nothing to undo"):
        view.wish("touch_undo", None)


def test_a_run_that_is_studied_ends_with_the_weights_of_one_that_is_not():
    def weights(studied: bool) -> list[torch.Tensor]:
        session = Session(net(), data(), data(40), classes=NAMES, batch_size=8, epochs=6, threads=1)
        view = ActivationBrowser(session, layer="2") if studied else None
        try:
            for section in ("touch", "excites", "where", "time", "touch", "excites"):
                if view is not None:
                    view.wish("study", section)
                    view.wish("touch", {"layer": "2", "channel": 1, "factor": 0})
                    settle(session)
                session.step(3)
            return [tensor.clone() for tensor in session.model.state_dict().values()]
        finally:
            if view is not None:
                view.close()
            session.close()

    assert all(map(torch.equal, weights(False), weights(True)))


# -- excites


def test_the_strongest_samples_are_shown_with_their_place(session, view):
    maps = activations(session.model, data(40)[0], "2")["2"].flatten(2)
    channel = int(maps.amax((0, 2)).argmax())
    maps = maps[:, channel]
    view.wish("chosen", channel)
    shown = opened(view, "excites")
    found = shown["exciting"]
    expected = maps.amax(1).argsort(descending=True)[:12].tolist()
    assert [tile["sample"] for tile in found["tiles"]] == expected
    assert found["taken"] == found["wanted"] == 40
    assert len(shown["excited"]) == 12 * 8 * 8 * 3
    images = np.frombuffer(shown["excited"], np.uint8).reshape(12, 8, 8, 3)
    first = data(40)[0][expected[0], 0]
    np.testing.assert_allclose(images[0, :, :, 0], (first * 255).round().numpy(), atol=1)
    row, column = divmod(int(maps[expected[0]].argmax()), 6)
    assert found["tiles"][0]["box"][:2] == pytest.approx([column / 6, row / 6])


def test_another_channel_and_another_order_are_shown_without_running_the_samples_again(session, view):
    opened(view, "excites")
    answers = view._study._sections["excites"]._shown.answers
    view.wish("chosen", 5)
    view.wish("excites_by", "mean")
    settle(session)
    found = view.project()["exciting"]
    assert (found["channel"], found["by"]) == (5, "mean")
    assert view._study._sections["excites"]._shown.answers is answers


def test_after_a_step_the_samples_are_run_again(session, view):
    before = opened(view, "excites")["exciting"]
    session.step(1)
    settle(session)
    after = view.project()["exciting"]
    assert (before["last"], after["last"]) == (0, 1)
    assert before["tiles"] != after["tiles"]


def test_a_table_and_tokens_have_no_image_but_a_line_and_words():
    rows = ActivationBrowser(nn.Sequential(nn.Linear(5, 3), nn.ReLU()), torch.rand(20, 5), layer="1")
    rows.open_study("excites")
    tile = rows.project()["exciting"]["tiles"][0]
    assert len(tile["line"]) == 5 and not rows.project()["excited"]
    model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 3))
    words = ActivationBrowser(model, torch.arange(24).reshape(4, 6) % 9)
    words.open_study("excites")
    assert "[" in words.project()["exciting"]["tiles"][0]["words"]
    rows.close()
    words.close()


# -- where


def test_grad_cam_of_the_predicted_class_is_shown(session, view):
    shown = opened(view, "where")
    found = shown["where"]
    expected = grad_cam(session.model, data(40)[0][:1])
    assert (found["target"], found["layer"], found["size"]) == (expected.target, "0", [6, 6])
    codes = np.frombuffer(shown["where_map"], np.uint8).reshape(6, 6).astype(float)
    values = (codes - 128) * found["peak"] / 127
    assert np.abs(values - expected.values.numpy()).max() <= found["peak"] / 254 * 1.001


def test_another_class_and_the_layer_shown_are_chosen(session, view):
    opened(view, "where")
    view.wish("where_target", 2)
    view.wish("where_here", True)
    settle(session)
    found = view.project()["where"]
    assert (found["target"], found["chosen"], found["layer"]) == (2, 2, "2")
    view.wish("where_method", "gradient_x_input")
    settle(session)
    found = view.project()["where"]
    assert found["method"] == "gradient_x_input" and found["size"] == [8, 8]


def test_without_a_convolution_it_says_what_works_instead():
    view = ActivationBrowser(nn.Sequential(nn.Linear(5, 3)), torch.rand(4, 5), layer="0")
    view.open_study("where")
    assert "gradient × input works" in view.project()["where"]["reason"]
    view.wish("where_method", "gradient_x_input")
    assert view.project()["where"]["form"] == "line" and not view.project()["where"]["reason"]
    view.close()


# -- over time


def frames(shown: dict) -> np.ndarray:
    """Read the frames' large maps as the page does."""
    film = shown["film"]
    count, (h, w), (nh, nw) = film["count"], film["size"], film["near"]
    size = count * h * w + nh * nw
    codes = np.frombuffer(shown["film_maps"], np.uint8).reshape(-1, size)[:, count * h * w :]
    scales = np.frombuffer(shown["film_scales"], np.float32).reshape(-1, count + 1)[:, -1]
    return ((codes.astype(float) - 128) / 127 * scales[:, None]).reshape(-1, nh, nw)


def test_the_film_shows_the_layer_at_each_snapshot(session, view):
    expected = []
    for _ in range(3):
        session.at_step(lambda: session._run.timeline.take("change")).result(10)
        expected.append(activations(session.model, data(40)[0][:1], "2")["2"][0, 1])
        session.step(1)
    view.wish("chosen", 1)
    shown = opened(view, "time")
    assert [step for step, _ in shown["film"]["steps"]][:3] == [0, 1, 2] and shown["film"]["now"] == 3
    for seen, wanted in zip(frames(shown), expected, strict=False):
        assert np.abs(seen - wanted.numpy()).max() <= float(wanted.max()) / 254 * 1.001


def test_after_a_step_in_pause_before_after_and_difference_are_of_that_step(session, view):
    opened(view, "time")
    session.step(1)
    settle(session)
    film = view.project()["film"]
    assert (film["before"], film["now"], film["exact"]) == (0, 1, True)
    shown = view.project()
    count, size = film["count"], film["count"] * 36 + 36
    half = len(shown["film_change"]) // 2
    assert half == 4 * (count + 1) + size
    scale = np.frombuffer(shown["film_change"][half : half + 4 * count], np.float32)
    codes = np.frombuffer(shown["film_change"][half + 4 * (count + 1) :], np.uint8)[: count * 36]
    difference = (codes.reshape(count, 36).astype(float) - 128) / 127 * scale[:, None]
    now = activations(session.model, data(40)[0][:1], "2")["2"][0].flatten(1).numpy()
    session.rewind(0)
    then = activations(session.model, data(40)[0][:1], "2")["2"][0].flatten(1).numpy()
    assert np.abs(difference - (now - then)).max() <= scale.max() / 254 * 1.001


def test_the_spread_counts_the_looks_and_the_snapshots(session, view):
    session.step(1)
    settle(session)
    shown = opened(view, "time")
    steps = [first for first, _ in shown["spread"]["steps"]]
    assert steps == [0, 1]
    now = activations(session.model, data(40)[0][:1], "2")["2"]
    assert shown["spread"]["mean"][1] == pytest.approx(float(now.mean()), abs=1e-5)
    assert shown["spread"]["zeros"][1] == pytest.approx(float((now == 0).float().mean()), abs=1e-4)
    assert len(shown["spread_shades"]) == 2 * shown["spread"]["bins"]


def test_after_going_back_nothing_of_the_line_that_was_left_is_shown(session, view):
    opened(view, "time")
    session.step(5)
    settle(session)
    session.rewind(2)
    settle(session)
    shown = view.project()
    assert shown["film"]["now"] == 2 and max(step for step, _ in shown["film"]["steps"]) < 2
    assert max(last for _, last in shown["spread"]["steps"]) == 2


def test_frames_are_sent_again_only_where_a_snapshot_is_new(wire, open_page, session):
    shown = ActivationBrowser(session, layer="2")
    open_page(shown, eager=True)
    shown.wish("study", "time")
    settle(session)
    wire.messages.clear()
    session.step(1)
    settle(session)
    sent = [name for message in wire.of(shown) for name in message.state]
    assert "film_now" in sent and sent.count("film_maps") <= 1
    assert max(message.size for message in wire.of(shown)) < 300_000
    shown.close()


# -- without a browser


def test_each_section_has_a_figure_and_a_table(view):
    for section, rows in (("touch", 3), ("excites", 12), ("where", 6), ("time", 1)):
        opened(view, section)
        assert len(view.study_frame()) == rows, section
        assert view.study_figure().axes
    view.wish("study", "")
    assert view.study_figure().axes
    with pytest.raises(ValueError, match="folded"):
        view.study_frame()


def test_a_bare_model_is_studied_at_once():
    view = ActivationBrowser(net(), data(30)[0], layer="2", task="multiclass", classes=NAMES)
    view.open_study("touch")
    view.wish("touch", 2)
    rows = view.project()["touching"]["rows"]
    assert [row[0] for row in rows] == NAMES and any(row[1] != row[2] for row in rows)
    for section in ("excites", "where", "time"):
        view.open_study(section)
        name = {"excites": "exciting", "where": "where", "time": "film"}[section]
        assert not view.project()[name]["reason"], section
    view.close()


def test_what_cannot_be_done_is_said_in_the_section(session):
    view = ActivationBrowser(session, layer="2")
    opened(view, "touch")
    view.wish("touch", {"layer": "2", "channel": 77, "factor": 0})
    settle(session)
    assert "channels 0 to 5, not 77" in view.project()["touching"]["reason"]
    view.wish("touch_undo", None)
    settle(session)
    assert not view.project()["touching"]["reason"]
    view.close()


def test_while_training_the_study_follows_within_its_budget(session):
    view = ActivationBrowser(session, layer="2")
    view._may_send = lambda: True
    opened(view, "touch")
    done = []
    work = view._study._work
    view._study._work = lambda: (done.append(session.steps), work())
    session.epochs = 60
    session.start()
    while session.status == "running" and session.steps < 60:
        session.at_step(lambda: None).result(10)
    session.stop()
    settle(session)
    # At most three times a second, whatever the number of steps.
    assert len(done) <= 10
    view.close()
