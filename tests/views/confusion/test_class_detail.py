"""The detail of a class without a browser: its samples, what a click does, what is sent and how much."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from dlwidgets.core.base.random_state import RandomStates
from dlwidgets.core.scoring.scores import Scores
from dlwidgets.session import Session
from dlwidgets.views.confusion.class_detail import PAGE
from dlwidgets.views.confusion.view import ConfusionGrid

NAMES = ["ant", "bee", "cat"]


def labelled(n=300, seed=0):
    """Return labels and scores of three classes."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.1, 0.5, 0.3]).astype(int)
    return y, np.clip(0.3 * y + 0.8 * rng.random((n, 3)), 0, 1)


def pictures(n, seed=0):
    """Return images and their labels, which a little network can learn."""
    torch.manual_seed(seed)
    X = torch.rand(n, 3, 8, 8)
    return X, (X[:, :, 0, 0] > 0.5).float()


@pytest.fixture
def session():
    """A session of images with three labels, evaluated."""
    X, y = pictures(260)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    session = Session(model, train=(X[:60], y[:60]), valid=(X[60:], y[60:]), classes=NAMES, seed=0)
    session.evaluate()
    yield session
    session.close()


def settle(view, session):
    """Let the training thread read what was asked for, turn by turn, until nothing is waited for."""
    for _ in range(200):
        session.at_step(lambda: None).result(10)
        if all(one["kind"] != "waiting" for one in view.cards):
            session.at_step(lambda: None).result(10)
            return
    raise AssertionError("the samples never arrived")


def rows(scores, c, cell, threshold=0.5):
    """Return the rows of a quadrant in the order in which they are to be listed, found one by one."""
    said = scores.y_score[:, c] >= threshold
    found = [r for r in range(scores.n_samples) if scores.y_true[r, c] == cell // 2 and said[r] == cell % 2]
    return sorted(found, key=lambda r: -scores.y_score[r, c] if cell % 2 else scores.y_score[r, c])


# -- which samples


@pytest.mark.parametrize("cell", [0, 1, 2, 3])
def test_a_quadrant_lists_its_samples_the_most_confident_first(open_page, cell):
    scores = Scores(*labelled(), NAMES)
    view = ConfusionGrid(scores, np.zeros((300, 4)))
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": cell})
    wanted = rows(scores, 1, cell)
    assert [one["number"] for one in page.state["cards"]] == wanted[:PAGE]
    assert page.state["listed"]["total"] == len(wanted)
    assert page.state["quadrant"] == {"class": 1, "cell": cell}


def test_the_next_page_goes_on_where_the_last_ended_and_another_quadrant_begins_anew(open_page):
    scores = Scores(*labelled(), NAMES)
    page = open_page(ConfusionGrid(scores), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 3})
    page.say(wish="sample_page", value=1)
    assert [one["number"] for one in page.state["cards"]] == rows(scores, 1, 3)[PAGE : 2 * PAGE]
    page.say(wish="quadrant", value={"class": 1, "cell": 0})
    assert page.state["sample_page"] == 0


def test_a_page_that_a_threshold_emptied_gives_way_to_the_last_there_is(open_page):
    scores = Scores(*labelled(), NAMES)
    page = open_page(ConfusionGrid(scores), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 3})
    page.say(wish="sample_page", value=3)
    page.say(wish="thresholds", value=0.95)
    wanted = rows(scores, 1, 3, 0.95)
    assert 0 < len(wanted) < 3 * PAGE
    assert [one["number"] for one in page.state["cards"]] == wanted[PAGE * ((len(wanted) - 1) // PAGE) :]


def test_the_list_follows_the_thresholds_and_the_scores(session, open_page):
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 2, "cell": 3})
    session.thresholds = [0.5, 0.5, 0.4]
    assert [one["number"] for one in page.state["cards"]] == rows(session.scores, 2, 3, 0.4)[:PAGE]
    session.step(5)
    session.evaluate()
    assert [one["number"] for one in page.state["cards"]] == rows(session.scores, 2, 3, 0.4)[:PAGE]


def test_true_and_said_classes_stand_with_each_sample(open_page):
    y, p = labelled()
    page = open_page(ConfusionGrid(Scores(y, p, NAMES)), eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 1})
    for one in page.state["cards"]:
        assert one["true"] == np.flatnonzero(y[one["number"]]).tolist()
        assert one["said"] == np.flatnonzero(p[one["number"]] >= 0.5).tolist()
        assert one["score"] == p[one["number"], 0]


def test_a_sample_is_called_by_its_name_where_it_has_one(open_page):
    y, p = labelled(40)
    scores = Scores(y, p, NAMES, sample_ids=[f"patient {n}" for n in range(40)])
    page = open_page(ConfusionGrid(scores), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 0})
    assert [one["name"] for one in page.state["cards"]] == [f"patient {r}" for r in rows(scores, 1, 0)][:PAGE]


# -- what they look like


def test_images_come_as_bytes_that_are_those_of_the_data(session, open_page):
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 2})
    settle(view, session)
    X = session.samples.inputs(page.state["cards"][0]["number"])[0]
    pixels = np.frombuffer(page.state["card_pixels"], np.uint8)
    first = pixels[: 8 * 8 * 3].reshape(8, 8, 3)
    np.testing.assert_allclose(first / 255, X.permute(1, 2, 0).numpy(), atol=0.5 / 255)
    assert [one["size"] for one in page.state["cards"]] == [[8, 8, 3]] * len(page.state["cards"])
    assert len(pixels) == 8 * 8 * 3 * len(page.state["cards"])


def test_a_page_of_large_images_is_under_300_kilobytes(open_page, wire):
    y, p = labelled(60)
    view = ConfusionGrid(Scores(y, p, NAMES), torch.rand(60, 3, 640, 640))
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 0})
    assert len(page.state["cards"]) == PAGE and all(one["kind"] == "image" for one in page.state["cards"])
    assert 100_000 < wire.pictures(view)[-1].size < 300_000


def test_rows_show_the_columns_that_tell_the_class_apart_by_their_names(open_page):
    y, p = labelled()
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(300, 9)), columns=[f"gene {i}" for i in range(9)])
    X["gene 7"] += 3 * y[:, 1]
    X["site"] = "left"
    page = open_page(ConfusionGrid(Scores(y, p, NAMES), X), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 3})
    assert page.state["listed"]["form"] == "row" and page.state["listed"]["columns"][0] == "gene 7"
    first = page.state["cards"][0]
    assert first["values"][0] == X["gene 7"].iloc[first["number"]]


def test_the_columns_of_a_sessions_frame_keep_their_names(open_page):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 4)), columns=["age", "dose", "weight", "pulse"])
    frame["ill"] = (frame["dose"] > 0).astype(int)
    model = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    session = Session(model, train=frame[:100], valid=frame[100:], target="ill", task="binary")
    session.evaluate()
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 2})
    settle(view, session)
    assert page.state["listed"]["columns"][0] == "dose"
    session.close()


def test_texts_are_shown_as_they_are(open_page):
    y, p = labelled(30)
    view = ConfusionGrid(Scores(y, p, NAMES), [f"<b>text</b> {n}" for n in range(30)])
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 0})
    assert page.state["listed"]["form"] == "text"
    assert all(one["text"] == f"<b>text</b> {one['number']}" for one in page.state["cards"])


def test_what_is_missing_from_the_numbers_of_a_row_is_no_number_that_json_lacks(open_page):
    y, p = labelled(30)
    view = ConfusionGrid(Scores(y, p, NAMES), np.full((30, 3), np.nan))
    page = open_page(view, eager=True)  # the wire refuses NaN
    page.say(wish="quadrant", value={"class": 1, "cell": 0})
    assert page.state["cards"][0]["values"] == [None, None, None]


# -- where they cannot be seen


def test_scores_alone_say_how_to_see_the_samples(open_page):
    page = open_page(ConfusionGrid(Scores(*labelled(), NAMES)), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 3})
    assert "ConfusionGrid(scores, X)" in page.state["listed"]["note"]
    assert len(page.state["cards"]) == PAGE


def test_of_an_iterable_only_the_first_batch_can_be_seen_and_that_is_said(open_page):
    X, y = pictures(120)
    batches = [(X[at : at + 20], y[at : at + 20]) for at in range(0, 120, 20)]
    session = Session(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), train=batches, valid=batches)
    session.evaluate()
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 3})
    settle(view, session)
    assert "iterable" in page.state["listed"]["note"] and "first 20" in page.state["listed"]["note"]
    kinds = {one["kind"] for one in page.state["cards"] if one["number"] >= 20}
    assert kinds == {"none"}
    assert all(one["kind"] == "image" for one in page.state["cards"] if one["number"] < 20)
    session.close()


def test_a_loader_that_shuffles_shows_no_samples_rather_than_others(open_page):
    X, y = pictures(160)
    loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
    session = Session(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), train=(X, y), valid=loader)
    session.evaluate()
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 3})
    for _ in range(5):
        session.at_step(lambda: None).result(10)
    assert "shuffle=False" in page.state["listed"]["note"]
    session.close()


def test_a_sample_that_cannot_be_read_says_why_and_the_others_are_shown(open_page):
    class Torn:
        def __len__(self):
            return 30

        def __getitem__(self, i):
            if i == 7:
                raise OSError("the file is torn")
            return torch.rand(3, 8, 8)

    y, p = np.ones((30, 1), int), np.linspace(0.6, 0.9, 30)[:, None]
    page = open_page(ConfusionGrid(Scores(y, p), Torn()), eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 3})
    page.say(wish="sample_page", value=0)
    kinds = {one["number"]: (one["kind"], one.get("text")) for one in page.state["cards"]}
    assert kinds[7] == ("none", "the file is torn") and kinds[8][0] == "image"


def test_samples_of_another_number_than_the_scores_are_refused():
    with pytest.raises(ValueError, match="X has 20 samples, the scores have 300"):
        ConfusionGrid(Scores(*labelled()), np.zeros((20, 4)))


def test_a_session_brings_its_own_samples(session):
    with pytest.raises(ValueError, match="a Session brings its own"):
        ConfusionGrid(session, np.zeros((20, 4)))


# -- the training is not disturbed


def test_samples_are_read_on_the_training_thread_and_draw_no_random_numbers(open_page):
    readers = set()

    class Noisy(torch.utils.data.Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, i):
            if watched:
                readers.add(threading.current_thread())
            return torch.rand(1, 8, 8), torch.tensor([float(i % 2)])

    watched = []
    X, y = torch.rand(40, 1, 8, 8), torch.tensor([[float(i % 2)] for i in range(40)])
    session = Session(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), train=(X, y), valid=Noisy())
    session.evaluate()
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    watched.append(True)
    before = torch.get_rng_state()
    page.say(wish="quadrant", value={"class": 0, "cell": 2})
    page.say(wish="quadrant", value={"class": 0, "cell": 3})
    settle(view, session)
    assert readers and threading.current_thread() not in readers
    assert torch.equal(before, torch.get_rng_state())
    session.close()


def test_a_sample_that_was_read_is_not_read_again(open_page):
    read = []

    class Counted:
        def __len__(self):
            return 60

        def __getitem__(self, i):
            read.append(i)
            return torch.rand(1, 8, 8)

    y, p = labelled(60)
    page = open_page(ConfusionGrid(Scores(y, p, NAMES), Counted()), eager=True)
    for threshold in (0.5, 0.45, 0.5, 0.4):
        page.say(wish="quadrant", value={"class": 1, "cell": 3})
        page.say(wish="thresholds", value=threshold)
    assert read and len(read) == len(set(read))


def test_a_sample_of_a_session_is_read_once_and_random_states_are_saved_once_for_it(open_page, monkeypatch):
    read, saved, inside = [], [], []

    class Counted(torch.utils.data.Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, i):
            read.append(i)
            return torch.rand(1, 8, 8), torch.tensor([float(i % 2)])

    X, y = torch.rand(40, 1, 8, 8), torch.tensor([[float(i % 2)] for i in range(40)])
    session = Session(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), train=(X, y), valid=Counted())
    session.evaluate()
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    read.clear()
    capture, at_batch = RandomStates.capture, session.at_batch

    def watched(work):
        before = len(saved)
        work()
        inside.append(len(saved) - before)

    monkeypatch.setattr(RandomStates, "capture", lambda: saved.append(1) or capture())
    monkeypatch.setattr(Session, "at_batch", lambda self, work: at_batch(lambda: watched(work)))
    page.say(wish="quadrant", value={"class": 0, "cell": 2})
    page.say(wish="quadrant", value={"class": 0, "cell": 3})
    settle(view, session)
    assert {one["number"] for one in view.cards} <= set(read) and read
    assert len(read) == len(set(read)) == sum(inside)
    session.close()


# -- a click


def test_a_click_makes_the_sample_the_sessions_own_and_code_moves_the_mark(session, open_page):
    view, other = ConfusionGrid(session), ConfusionGrid(session)
    page, beside = open_page(view, eager=True), open_page(other, eager=True)
    page.say(wish="selected_sample", value=17)
    assert session.selected_sample == 17
    assert page.state["selected_sample"] == beside.state["selected_sample"] == 17
    session.selected_sample = 3
    assert page.state["selected_sample"] == 3


def test_where_only_a_part_was_evaluated_a_row_counts_among_all_samples(session, open_page):
    scores = session.scores
    part = np.sort(np.random.default_rng(0).permutation(scores.n_samples)[:50])
    some = Scores(scores.y_true[part], scores.y_score[part], NAMES)
    some.numbers = np.array(part)
    session.set_trait("scores", some)
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 2})
    settle(view, session)
    first = page.state["cards"][0]
    assert first["number"] == part[rows(session.scores, 1, 2)[0]]
    pixels = np.frombuffer(page.state["card_pixels"], np.uint8)[:192].reshape(8, 8, 3)
    wanted = session.samples.inputs(first["number"])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(pixels / 255, wanted, atol=0.5 / 255)


def test_with_bare_scores_the_view_keeps_what_was_clicked(open_page):
    view = ConfusionGrid(Scores(*labelled(), NAMES))
    page = open_page(view, eager=True)
    assert view.selected_sample is None
    page.say(wish="selected_sample", value=42)
    assert view.selected_sample == 42


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quadrant", {"class": 3, "cell": 0}),
        ("quadrant", {"class": 0, "cell": 9}),
        ("quadrant", {"class": "ant", "cell": 0}),
        ("sample_page", -1),
        ("sample_page", "next"),
        ("selected_sample", 300),
        ("selected_sample", True),
        ("selected_sample", None),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(open_page, wire, name, value):
    view = ConfusionGrid(Scores(*labelled(), NAMES))
    page = open_page(view, eager=True)
    page.say(wish=name, value=value)
    said = wire.customs(view)
    assert [m["refused"] for m in said] == [name] and said[0]["because"].endswith(".")


def test_a_class_that_is_let_go_takes_its_list_along(open_page):
    page = open_page(ConfusionGrid(Scores(*labelled(), NAMES)), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 3})
    page.say(wish="quadrant", value=None)
    assert page.state["cards"] == [] and page.state["class_facts"] == {} and page.state["mistakes"] == {}


# -- curves, mistakes, labels to check


def test_the_points_and_numbers_of_the_pinned_class_are_sent_once_for_many_thresholds(open_page, wire):
    scores = Scores(*labelled(), NAMES)
    view = ConfusionGrid(scores)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 2, "cell": -1})
    curve = np.frombuffer(page.state["class_curve"]).reshape(-1, 3)
    for cut, tp, fp in curve[::9]:
        assert scores.confusion(cut)[2, :, 1].tolist() == [fp, tp]
    assert page.state["class_facts"]["roc_auc"] == pytest.approx(scores.ranking().roc_auc["cat"])
    before = len(wire.pictures(view))
    for k in range(5):
        page.say(wish="thresholds", value=0.3 + k / 10)
    assert not any("class_curve" in m.state for m in wire.pictures(view)[before:])


def test_what_is_said_where_the_class_is_missed_is_sent_the_commonest_first(open_page):
    scores = Scores(*labelled(), NAMES)
    page = open_page(ConfusionGrid(scores), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 2})
    counted = scores.missed_for(0.5).loc["bee"].sort_values(ascending=False)
    told = page.state["mistakes"]
    assert [[NAMES[c], n] for c, n, *_ in told["instead"]] == [[k, n] for k, n in counted.items() if n]
    assert told["missed"] == scores.confusion()[1, 1, 0]


def test_the_labels_to_check_are_those_of_confident_learning_in_its_order(open_page):
    y, p = labelled()
    p[:, 1] = np.where(y[:, 1] == 1, 0.9, 0.1) + np.random.default_rng(2).normal(0, 0.02, 300)
    p = np.clip(p, 0, 1)
    flipped = [5, 80, 211]
    y[flipped, 1] = 1 - y[flipped, 1]
    scores = Scores(y, p, NAMES)
    page = open_page(ConfusionGrid(scores), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 4})
    found = [one["number"] for one in page.state["cards"]]
    assert found == scores.suspicious("bee")["sample"].tolist()[:PAGE]
    assert found and set(found) <= set(flipped)
    assert "Confident learning" in page.state["listed"]["rule"]
    assert "out-of-sample" in page.state["listed"]["rule"]


def test_labels_to_check_are_found_though_samples_share_a_name(open_page):
    y, p = labelled()
    # Some have the same name, as that of a patient.
    ids = [f"s{n // 3}" for n in range(300)]
    scores = Scores(y, p, NAMES, sample_ids=ids)
    page = open_page(ConfusionGrid(scores), eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 4})
    assert [one["name"] for one in page.state["cards"]] == scores.suspicious(0)["sample"].tolist()[:PAGE]
    numbers = Scores(y, p, NAMES).suspicious(0)["sample"].tolist()[:PAGE]
    assert [one["number"] for one in page.state["cards"]] == numbers


def test_scores_that_are_no_probabilities_say_why_no_label_can_be_checked(open_page):
    y, p = labelled()
    page = open_page(ConfusionGrid(Scores(y, 10 * p - 5, NAMES)), eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 4})
    assert page.state["cards"] == [] and "from_logits" in page.state["listed"]["rule"]


# -- the past


def cells_of(page, classes=3):
    """Return the past as the page reads it: E x C x 4."""
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[page.state["past_width"]]
    return np.frombuffer(page.state["past"], kind).reshape(-1, classes, 4).astype(int)


def test_the_past_is_judged_at_the_thresholds_of_now(session, open_page):
    page = open_page(ConfusionGrid(session), eager=True)
    session.step(4)
    session.evaluate()
    page.say(wish="past_open", value=True)
    session.thresholds = 0.4
    assert [m[0] for m in page.state["past_moments"]] == [one.step for one in session.past_scores]
    wanted = [one.confusion(0.4).reshape(3, 4) for one in session.past_scores]
    np.testing.assert_array_equal(cells_of(page), wanted)
    np.testing.assert_array_equal(cells_of(page)[-1], session.scores.confusion(0.4).reshape(3, 4))


def test_a_past_that_nobody_looks_at_costs_nothing(session, open_page):
    page = open_page(ConfusionGrid(session), eager=True)
    assert page.state["past"] == b"" and len(page.state["past_moments"]) == 1


def test_of_many_evaluations_of_many_classes_some_are_left_out_but_not_the_ends():
    from dlwidgets.core.scoring.past_scores import PastScores
    from dlwidgets.views.confusion.class_detail import PAST_BYTES, pack_past

    rng = np.random.default_rng(0)
    scores = Scores(rng.integers(0, 2, (50, 80)), rng.random((50, 80)))
    past = [PastScores.of(scores, n, 0, "main" if n < 600 else "branch 1") for n in range(0, 1000, 5)]
    sent = pack_past(past, 0.5)
    steps = [m[0] for m in sent["past_moments"]]
    assert len(sent["past"]) <= PAST_BYTES and 20 < len(steps) < 200
    assert {0, 595, 600, 995} <= set(steps) and steps == sorted(steps)


def test_bare_scores_have_no_past(open_page):
    page = open_page(ConfusionGrid(Scores(*labelled(), NAMES)), eager=True)
    page.say(wish="past_open", value=True)
    assert page.state["past_moments"] == [] and page.state["past"] == b""


# -- the rest


def test_the_figure_of_a_class_is_had_from_the_view(session):
    figure = ConfusionGrid(session).class_figure("bee")
    assert len(figure.axes) == 3 and "bee" in figure.get_suptitle()


def test_a_view_without_scores_says_what_to_do_for_a_figure():
    X, y = pictures(20)
    session = Session(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), train=(X, y), valid=(X, y))
    with pytest.raises(ValueError, match=r"session\.evaluate\(\)"):
        ConfusionGrid(session).class_figure(0)
    session.close()


def test_a_closed_view_follows_no_sample_and_keeps_none(session, open_page):
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 1, "cell": 2})
    settle(view, session)
    view.close()
    frame = view.frame
    session.selected_sample = 9
    assert view.frame == frame and view.detail.reader.samples is not None
    assert not view.detail.reader._cards


def test_a_view_that_was_refused_is_closed_without_a_word():
    with pytest.raises(TypeError):
        ConfusionGrid(np.zeros(3))


def test_the_pages_own_curves_are_scikit_learns(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    y, p = labelled(600)
    p = np.round(p, 3)  # where a score is a thousandth, the counts say all
    view = ConfusionGrid(Scores(y, p, NAMES))
    counts, totals = np.frombuffer(view.counts, np.uint8), np.frombuffer(view.totals, np.uint32)
    charts, unpack = (
        (Path(__file__).parents[3] / "dlwidgets" / "views" / "confusion" / f"{name}.js").as_uri()
        for name in ("charts", "counts")
    )
    script = f"""
        import {{ areaUnder, averagePrecision, precisionRecallOf, rocOf, sweepOf }} from "{charts}";
        import {{ unpackCounts }} from "{unpack}";
        const [packed, totals] = {json.dumps([counts.tolist(), totals.tolist()])};
        const counts = unpackCounts(Uint8Array.from(packed), {view.width}, totals);
        console.log(JSON.stringify([0, 1, 2].map((c) => {{
          const sweep = sweepOf(counts, totals, c), roc = rocOf(sweep), pr = precisionRecallOf(sweep);
          const plain = (points) => points.map(({{ x, y }}) => [x, y]);
          return [plain(roc), plain(pr), areaUnder(roc), averagePrecision(pr)];
        }})));"""
    (tmp_path / "curves.mjs").write_text(script)
    done = subprocess.run(
        [node, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", tmp_path / "curves.mjs"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for c, (roc, pr, area, average) in enumerate(json.loads(done.stdout)):
        fpr, tpr, _ = roc_curve(y[:, c], p[:, c], drop_intermediate=False)
        np.testing.assert_allclose(roc, np.stack([fpr, tpr], axis=1), atol=1e-12)
        precision, recall, _ = precision_recall_curve(y[:, c], p[:, c])
        wanted = np.stack([recall, precision], axis=1)[::-1][1:]
        np.testing.assert_allclose(pr, wanted[: len(pr)], atol=1e-12)
        assert recall[::-1][1:][len(pr) - 1] == 1
        assert area == pytest.approx(roc_auc_score(y[:, c], p[:, c]))
        assert average == pytest.approx(average_precision_score(y[:, c], p[:, c]))


def test_an_iterable_is_drawn_from_on_the_training_thread_alone(open_page):
    drawn_on = set()

    X, y = pictures(400)

    class Stream(IterableDataset):
        def __iter__(self):
            drawn_on.add(threading.current_thread())
            return iter(zip(X, y))

    valid = DataLoader(Stream(), batch_size=20)
    session = Session(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), train=(X, y), valid=valid)
    session.evaluate()
    drawn_on.clear()
    view = ConfusionGrid(session)
    page = open_page(view, eager=True)
    page.say(wish="quadrant", value={"class": 0, "cell": 3})
    settle(view, session)
    assert drawn_on and threading.current_thread() not in drawn_on
    assert "first 256" in page.state["listed"]["note"]
    session.close()
