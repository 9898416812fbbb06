"""ConfusionGrid without a browser: what it sends, what it takes from the page, what it says when empty."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, multilabel_confusion_matrix
from torch import nn

from dlwidgets.core.scoring.confusion_figure import order_classes
from dlwidgets.core.scoring.metrics import METRICS, Metric
from dlwidgets.core.scoring.scores import Scores
from dlwidgets.session import Session
from dlwidgets.views.confusion.view import ConfusionGrid

NAMES = ["ant", "<img src=x onerror=alert(1)>", "cat"]


VIEWS = Path(__file__).resolve().parents[3] / "dlwidgets" / "views"


def labelled(n=300, seed=0):
    """Return labels and scores of three classes."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.1, 0.5, 0.3]).astype(int)
    return y, np.clip(0.3 * y + 0.8 * rng.random((n, 3)), 0, 1)


@pytest.fixture
def session():
    """A session of three labels that has not been evaluated."""
    torch.manual_seed(0)
    X = torch.randn(160, 4)
    y = (X[:, :3] > 0.3).float()
    return Session(nn.Linear(4, 3), train=(X[:100], y[:100]), valid=(X[100:], y[100:]), classes=NAMES)


@pytest.fixture
def said(monkeypatch):
    """What views refuse; views of other tests may ask their pages for a sign of life meanwhile."""
    messages = []

    def send(self, message, buffers=None):
        if "refused" in message:
            messages.append(message)

    monkeypatch.setattr(ConfusionGrid, "send", send)
    return messages


def page_says(view, **message):
    """Do what the page does when it sends a message."""
    view._handle_custom_msg(message, [])


def open_page(view):
    """Open a page on the view, which draws what it gets."""
    page_says(view, hello=True)
    page_says(view, drawn=view.frame)


def counts_of(view):
    """Unpack the counts, one fall after the other: C x 2 x 1001."""
    falls, numbers, value, weight = [], [], 0, 1
    for byte in view.counts:
        value, weight = value + (byte & 127) * weight, weight * 128
        if byte < 128:
            numbers.append(value)
            value, weight = 0, 1
    rest = iter(numbers)
    for number in rest:
        falls += [0] * next(rest) if number == 0 else [number]
    totals = np.frombuffer(view.totals, np.uint32).astype(int)
    falls += [0] * (len(totals) * 1001 - len(falls))
    counts = totals[:, None] - np.reshape(falls, (-1, 1001)).cumsum(axis=1)
    assert counts.max(initial=0) < 256**view.width
    return counts.reshape(len(view.names), 2, 1001)


def cells(predicted, totals):
    """Return C x 2 x 2 from the two arrays that the page has."""
    (tp, fp), (fn, tn) = predicted.T.astype(int), (totals - predicted.astype(int)).T
    return np.stack([tn, fp, fn, tp], axis=1).reshape(-1, 2, 2)


@pytest.mark.parametrize("n", [40, 300, 70_000])
def test_the_page_can_count_at_every_position_by_itself(n):
    y, p = labelled(n)
    view = ConfusionGrid(Scores(y, p, NAMES))
    totals = np.frombuffer(view.totals, np.uint32).reshape(3, 2).astype(int)
    for k in (0, 1, 333, 500, 999, 1000):
        np.testing.assert_array_equal(
            cells(counts_of(view)[:, :, k], totals), multilabel_confusion_matrix(y, p >= k / 1000)
        )


@pytest.mark.parametrize("thresholds", [0.5, 0.33333, [0.1234567, 0.5, 2.5]])
def test_counts_at_thresholds_between_the_positions_are_exact_too(thresholds):
    y, p = labelled()
    view = ConfusionGrid(Scores(y, p), thresholds=thresholds)
    exact = np.frombuffer(view.exact, np.uint32).reshape(3, 2)
    totals = np.frombuffer(view.totals, np.uint32).reshape(3, 2).astype(int)
    np.testing.assert_array_equal(cells(exact, totals), multilabel_confusion_matrix(y, p >= thresholds))
    assert view.thresholds == np.atleast_1d(thresholds).tolist()


def test_a_threshold_chosen_in_one_page_is_the_sessions_and_reaches_the_other(session):
    session.evaluate()
    one, other = ConfusionGrid(session), ConfusionGrid(session)
    open_page(one), open_page(other)
    page_says(one, wish="thresholds", value=0.7)
    assert session.thresholds == 0.7
    assert other.thresholds == [0.7]
    exact = np.frombuffer(other.exact, np.uint32).reshape(3, 2)
    np.testing.assert_array_equal(exact, session.scores.confusion(0.7)[:, ::-1, 1])


def test_a_threshold_for_each_class_may_be_wished(session):
    session.evaluate()
    view = ConfusionGrid(session)
    page_says(view, wish="thresholds", value=[0.2, 0.4, 0.6])
    assert session.thresholds == [0.2, 0.4, 0.6]


@pytest.mark.parametrize("value", [None, True, "half", [0.1, 0.2], float("nan"), [0.1, None, 0.2]])
@pytest.mark.parametrize("live", [True, False])
def test_a_threshold_that_makes_no_sense_is_refused_with_a_sentence(session, said, value, live):
    session.evaluate()
    view = ConfusionGrid(session if live else session.scores)
    page_says(view, wish="thresholds", value=value)
    assert [m["refused"] for m in said] == ["thresholds"] and said[0]["because"].endswith(".")
    assert session.thresholds == 0.5
    assert view.thresholds == [0.5] and view.problem == ""


def test_the_counts_are_made_once_for_many_thresholds(monkeypatch):
    made = []
    counts_at = Scores.counts_at
    monkeypatch.setattr(Scores, "counts_at", lambda self, n: made.append(n) or counts_at(self, n))
    view = ConfusionGrid(Scores(*labelled()))
    open_page(view)
    for k in range(20):
        page_says(view, wish="thresholds", value=k / 20)
        page_says(view, drawn=view.frame)
    assert made == [1001]
    assert view.thresholds == [0.95]


def test_new_scores_reach_a_page_that_has_drawn_the_last(session):
    view = ConfusionGrid(session)
    assert view.names == [] and view.empty
    open_page(view)
    session.step(3)
    session.evaluate()
    page_says(view, drawn=view.frame)
    assert view.empty == "" and view.names == NAMES
    assert view.about == {
        "task": "multilabel", "samples": 60, "validation": True, "step": 3, "note": "",
        "low": session.scores.y_score.min(), "high": session.scores.y_score.max(), "unknown": "",
    }  # fmt: skip


def test_the_look_chosen_in_the_page_is_kept_for_the_next_page_and_the_figure():
    scores = Scores(*labelled(), ["ant", "bee", "cat"])
    view = ConfusionGrid(scores)
    open_page(view)
    page_says(view, wish="look", value={"sort": "-recall", "table": True, "more": True})
    assert view.look["sort"] == "-recall" and view.look["table"] is True and view.look["more"] is True
    titles = [ax.get_title().split("  ")[0] for ax in view.figure().axes if ax.get_title()]
    assert titles == [scores.classes[c] for c in order_classes(scores, scores.confusion(), "-recall")]


@pytest.mark.parametrize(
    ("option", "value"),
    [("normalise", "diagonal"), ("columns", ["f1", "mcc"]), ("columns", []), ("filter", "f1"),
     ("table", "no"), ("matrix", 1), ("filter", ("f1", "above", 0.5)), ("filter", ("f1", "below", float("nan")))],
)  # fmt: skip
def test_a_look_that_does_not_exist_is_refused_in_python_and_from_the_page(said, option, value):
    scores = Scores(*labelled())
    with pytest.raises(ValueError, match=r"\.$"):
        ConfusionGrid(scores, **{option: value})
    view = ConfusionGrid(scores)
    page_says(view, wish="look", value={**view.look, option: value})
    assert said[0]["refused"] == "look" and view.look["columns"] == ["precision", "recall", "f1", "support"]


def test_the_table_that_is_shown_is_there_as_a_frame():
    scores = Scores(*labelled(), ["ant", "bee", "cat"])
    view = ConfusionGrid(scores, thresholds=[0.4, 0.5, 0.6], sort="-support", columns=["recall", "support"])
    frame, all_of_it = view.to_frame(), scores.metrics([0.4, 0.5, 0.6], interval="wilson")
    assert list(frame.columns) == ["threshold", "recall", "recall_low", "recall_high", "support"]
    assert frame["support"].is_monotonic_decreasing
    assert frame["threshold"].to_dict() == {"ant": 0.4, "bee": 0.5, "cat": 0.6}
    np.testing.assert_array_equal(frame["recall_low"], all_of_it.loc[frame.index, "recall_low"])


def test_a_filter_leaves_out_classes_in_the_frame_and_the_figure():
    scores = Scores(*labelled(), ["ant", "bee", "cat"])
    view = ConfusionGrid(scores, filter=("support", "least", 60))
    kept = [name for name, n in zip(scores.classes, scores.positives) if n >= 60]
    assert 0 < len(kept) < 3
    assert list(view.to_frame().index) == kept
    assert [ax.get_title().split("  ")[0] for ax in view.figure().axes if ax.get_title()] == kept
    nobody = ConfusionGrid(scores, filter=("f1", "least", 2.0))
    assert nobody.to_frame().empty
    assert nobody.picture().texts[0].get_text() == "None of 3 classes has f1 at least 2."


@pytest.mark.parametrize(
    ("normalise", "axis"), [("true", (2,)), ("predicted", (1,)), ("all", (1, 2)), (None, None)]
)
def test_the_figure_writes_the_share_that_was_asked_for_and_each_threshold(normalise, axis):
    y, p = labelled()
    thresholds = [0.4, 0.5, 0.6]
    figure = ConfusionGrid(
        Scores(y, p, ["ant", "bee", "cat"]), thresholds=thresholds, normalise=normalise
    ).figure()
    counts = multilabel_confusion_matrix(y, p >= thresholds)
    written = sorted(t.get_text() for ax in figure.axes for t in ax.texts if "%" in t.get_text())
    if axis is None:
        assert written == []
    else:
        share = 100 * counts / counts.sum(axis=axis, keepdims=True)
        assert written == sorted(f"{part:.0f} %" for part in share.ravel())
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert [title.split("\nat ")[1] for title in titles] == ["0.400", "0.500", "0.600"]


def test_a_multiclass_matrix_is_the_likeliest_classes_and_is_drawn_as_such():
    rng = np.random.default_rng(0)
    truth, said = rng.integers(0, 4, 400), rng.integers(0, 4, 400)
    p = rng.random((400, 4)) * 0.2 + 0.5 * np.eye(4)[said]
    view = ConfusionGrid(Scores(truth, p / p.sum(axis=1, keepdims=True)), matrix=True)
    kind = {1: np.uint8, 2: np.uint16}[view.matrix_width]
    wanted = confusion_matrix(truth, said)
    np.testing.assert_array_equal(np.frombuffer(view.matrix, kind).reshape(4, 4), wanted)
    for figure in (view.figure(), view.picture()):
        texts = [t.get_text().split("\n")[0] for ax in figure.axes for t in ax.texts]
        assert sorted(int(t) for t in texts if t) == sorted(n for n in wanted.ravel().tolist() if n)
    assert "threshold" not in view.to_frame()


def test_only_a_multiclass_task_has_a_matrix():
    with pytest.raises(ValueError, match="only a multiclass task has one"):
        ConfusionGrid(Scores(*labelled()), matrix=True)


def test_a_new_threshold_sends_the_counts_of_every_position_to_nobody():
    view, changed = ConfusionGrid(Scores(*labelled(), NAMES)), []
    open_page(view)
    # What does not change is not sent to a page that has drawn the last picture.
    view.observe(lambda change: changed.append(change.name))
    page_says(view, wish="thresholds", value=[0.2, 0.3, 0.4])
    assert set(changed) == {"exact", "thresholds", "frame"}
    assert not view._whole


def test_the_best_thresholds_are_chosen_on_one_half_and_reported_on_the_other(session):
    session.evaluate()
    view = ConfusionGrid(session)
    open_page(view)
    asked = {"metric": "f1", "beta": 1.0, "constraint": None, "class": -1, "asked": 7}
    page_says(view, wish="best", value=asked)
    found = session.scores.best_thresholds("f1", holdout=0.5)
    assert session.thresholds == pytest.approx(list(found.values))
    assert (
        view.best["asked"] == 7
        and view.best["metric"] == "F1"
        and view.best["warnings"] == list(found.warnings)
    )
    for name in ("chosen", "reported", "low", "high"):
        assert view.best[name] == [None if np.isnan(x) else x for x in getattr(found, name)]
    json.dumps(view.best, allow_nan=False)


def test_the_best_threshold_of_one_class_leaves_the_others_alone(session):
    session.evaluate()
    session.thresholds = [0.1, 0.2, 0.3]
    view = ConfusionGrid(session)
    open_page(view)
    asked = {"metric": "precision", "constraint": "recall >= 0.9", "class": 1, "asked": 1}
    page_says(view, wish="best", value=asked)
    assert session.thresholds[0] == 0.1 and session.thresholds[2] == 0.3
    found = session.scores.best_thresholds("precision", "recall >= 0.9", holdout=0.5)
    assert session.thresholds[1] == found.values[1] and view.best["bound"] == "recall ≥ 0.9"
    assert view.best["chance"][1] == found.chance[1]
    page_says(view, wish="best", value={**asked, "confidence": 0.95})
    assert view.project()["best"]["bound"] == "recall ≥ 0.9 with 0.95 confidence"


@pytest.mark.parametrize("asked", [{"metric": "luck"}, {"class": 3}, {"constraint": "recall >= 2"}, None])
def test_a_best_threshold_that_cannot_be_found_is_refused_with_a_sentence(session, said, asked):
    session.evaluate()
    page_says(ConfusionGrid(session), wish="best", value=asked)
    assert said[0]["refused"] == "best" and said[0]["because"].endswith(".")
    assert session.thresholds == 0.5


def in_node(tmp_path, view, cells, expression):
    """Evaluate JavaScript of the page's `metrics` and of `cells`, the counts of each class."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    script = tmp_path / "page.mjs"
    script.write_text(
        f"import {{ metricTable }} from {json.dumps((VIEWS / 'confusion' / 'metrics.js').as_uri())};\n"
        f"const metrics = metricTable({json.dumps(view.metrics)});\n"
        f"const cells = {json.dumps(cells.ravel().tolist())};\n"
        f"console.log(JSON.stringify({expression}));"
    )
    done = subprocess.run([node, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_metric_that_is_added_to_the_table_is_in_the_menu_and_computed_in_the_page(tmp_path, monkeypatch):
    formula = "(tp * tn - fp * fn) / ((tp + fp) * (tn + fn))"
    monkeypatch.setitem(METRICS, "markedness", Metric("markedness", "Markedness", formula, lowest=-1.0))
    scores = Scores(*labelled())
    view = ConfusionGrid(scores, sort="markedness", columns=["f1", "markedness"], table=True)
    assert [one["name"] for one in view.metrics if not one["count"]][-1] == "markedness"
    assert list(view.to_frame()) == ["threshold", "f1", "f1_low", "f1_high", "markedness"]
    found = in_node(
        tmp_path, view, scores.confusion(),
        "[metrics.names, [0, 4, 8].map((at) => metrics.value('markedness', cells, at))]",
    )  # fmt: skip
    assert ["markedness", "Markedness"] in found[0]
    assert found[1] == scores.metrics()["markedness"].tolist()


def test_the_table_that_the_tests_in_node_read_is_pythons():
    kept = json.loads((Path(__file__).parents[2] / "front" / "metric_table.json").read_text())
    assert kept and all(one == METRICS[one["name"]].sent() for one in kept)


def test_a_threshold_from_the_page_counts_the_confusion_once(monkeypatch):
    view, counted = ConfusionGrid(Scores(*labelled())), []
    open_page(view)
    confusion = Scores.confusion
    monkeypatch.setattr(Scores, "confusion", lambda self, t: counted.append(t) or confusion(self, t))
    page_says(view, wish="thresholds", value=0.7)
    assert counted == [0.7]


def test_the_metrics_and_intervals_of_the_page_are_those_of_python_and_scipy(tmp_path):
    rng = np.random.default_rng(0)
    y = (rng.random((200, 6)) < [0, 1, 0.02, 0.3, 0.5, 0.9]).astype(int)
    scores = Scores(y, np.clip(0.3 * y + rng.random((200, 6)) * 0.8, 0, 1))
    confusion = scores.confusion([0.5, 0.5, 0.99, 0.4, 0.5, 1.1])
    rows = in_node(
        tmp_path, ConfusionGrid(scores), confusion,
        "[0, 4, 8, 12, 16, 20].map((at) => metrics.names.map(([m]) => "
        "[m, metrics.value(m, cells, at), ...(metrics.interval(m, cells, at) ?? [])]))",
    )  # fmt: skip
    table = scores.metrics([0.5, 0.5, 0.99, 0.4, 0.5, 1.1], interval="wilson")
    seen = 0
    for c, row in enumerate(rows):
        for metric, value, *ends in row:
            wanted = table[metric].iloc[c]
            assert (value is None and np.isnan(wanted)) or value == wanted
            for end, name in zip(ends, ("low", "high")):
                wanted = table[f"{metric}_{name}"].iloc[c]
                assert (end is None and np.isnan(wanted)) or end == pytest.approx(wanted, abs=1e-9)
        (_, fp), (fn, tp) = confusion[c]
        for metric, hits, of in (("precision", tp, tp + fp), ("recall", tp, tp + fn)):
            ends = next(entry[2:] for entry in row if entry[0] == metric)
            if of:
                judged = binomtest(int(hits), int(of)).proportion_ci(method="wilson")
                assert ends == pytest.approx([judged.low, judged.high], abs=1e-9)
                seen += 1
    assert seen > 6


def test_an_order_that_does_not_exist_is_refused(said):
    view = ConfusionGrid(Scores(*labelled()))
    page_says(view, wish="look", value={"sort": "colour"})
    assert "colour" in said[0]["because"] and view.look["sort"] == "given"
    with pytest.raises(ValueError, match="colour"):
        ConfusionGrid(Scores(*labelled()), sort="colour")


def test_a_wish_that_nobody_knows_is_refused(said):
    page_says(ConfusionGrid(Scores(*labelled())), wish="explode", value=1)
    assert said[0]["refused"] == "explode"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"valid": None}, "No validation data. Pass valid=(X, y) to the Session."),
        ({}, "Appears after the first evaluation, at the end of epoch 1 (session.evaluate() does it now)."),
        (
            {"evaluate_every": 50},
            "Appears after the first evaluation, at step 50 (session.evaluate() does it now).",
        ),
        (
            {"evaluate_every": "30 s"},
            "Appears after the first evaluation, once it has trained for 30 s (session.evaluate() does it now).",
        ),
        ({"evaluate_every": None}, "Appears after the first evaluation (session.evaluate() does it now)."),
    ],
)
def test_an_empty_grid_says_what_to_do(options, sentence):
    X, y = torch.randn(20, 4), torch.randint(0, 2, (20, 3)).float()
    view = ConfusionGrid(Session(nn.Linear(4, 3), **{"train": (X, y), "valid": (X, y), **options}))
    assert view.empty == sentence and view.problem == ""
    assert view.figure().texts[0].get_text() == sentence


def test_a_regression_has_no_confusion_and_says_so():
    X = torch.randn(20, 4)
    session = Session(nn.Linear(4, 1), train=(X, X[:, :1]), valid=(X, X[:, :1]))
    session.evaluate()
    view = ConfusionGrid(session)
    assert view.empty.startswith("A regression task has no confusion") and view.problem == ""


@pytest.mark.parametrize(("y", "columns"), [(torch.arange(20) % 3, 3), ((torch.arange(20) % 2).float(), 1)])
def test_classes_and_yes_or_no_are_shown_as_labels_are(y, columns):
    X = torch.randn(20, 4)
    model = nn.Linear(4, columns) if columns > 1 else nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))
    session = Session(model, train=(X, y), valid=(X, y))
    session.evaluate()
    view = ConfusionGrid(session)
    assert view.problem == "" and len(view.names) == columns
    np.testing.assert_array_equal(
        np.frombuffer(view.exact, np.uint32), session.scores.confusion()[:, ::-1, 1].ravel()
    )


@pytest.mark.parametrize("thresholds", [float("inf"), float("-inf")])
def test_the_page_is_told_numbers_that_json_has(thresholds):
    view = ConfusionGrid(Scores([0, 1], [-np.inf, np.inf]), thresholds=thresholds)
    json.dumps([view.thresholds, view.about], allow_nan=False)


def test_the_source_is_a_session_or_scores():
    with pytest.raises(TypeError, match=r"ndarray.*Scores\(y_true, y_score"):
        ConfusionGrid(np.zeros(3))
    with pytest.raises(ValueError, match="for 3 classes"):
        ConfusionGrid(Scores(*labelled()), thresholds=[0.1, 0.2])


def test_thresholds_of_a_session_are_set_on_the_session(session):
    with pytest.raises(ValueError, match=r"session\.thresholds"):
        ConfusionGrid(session, thresholds=0.3)


def test_the_figure_and_the_picture_show_the_chosen_thresholds():
    y, p = labelled()
    view = ConfusionGrid(Scores(y, p), thresholds=0.8)
    expected = sorted(multilabel_confusion_matrix(y, p >= 0.8).ravel().tolist())
    for figure in (view.figure(), view.picture()):
        written = [t.get_text().replace(",", "") for ax in figure.axes for t in ax.texts]
        assert sorted(int(t) for t in written if t.isdecimal()) == expected


def test_a_picture_stands_beside_the_widget():
    bundle = ConfusionGrid(Scores(*labelled()))._repr_mimebundle_()[0]
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(bundle)


def test_a_closed_grid_no_longer_follows_its_session(session):
    view = ConfusionGrid(session)
    open_page(view)
    view.close()
    frame = view.frame
    session.evaluate()
    session.thresholds = 0.9
    assert view.frame == frame


def test_the_parts_of_the_page_fit_together_in_one_module(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed.")
    module = tmp_path / "confusion.mjs"
    module.write_text(str(ConfusionGrid._esm))
    done = subprocess.run([node, "--check", module], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_page_of_grouped_samples_has_no_intervals_that_are_too_narrow():
    y, scores = labelled()[:2]
    grid, alone = (ConfusionGrid(Scores(y, scores, groups=who)) for who in (np.arange(len(y)) // 10, None))
    assert all(one["share"] is None for one in grid.metrics) and any(one["share"] for one in alone.metrics)
    X, labels = torch.randn(20, 3), torch.eye(2)[torch.arange(20) % 2]
    session = Session(nn.Linear(3, 2), (X, labels), 0.5, task="multilabel", groups=torch.arange(20) // 2)
    assert all(one["share"] is None for one in ConfusionGrid(session).metrics)
    wide, narrow = (one.to_frame()["recall_high"] - one.to_frame()["recall_low"] for one in (grid, alone))
    assert (wide >= narrow - 1e-12).all()


@pytest.mark.parametrize(("samples", "classes", "spread"), [(4, 1, 0), (900, 7, 3), (20_000, 2, 12), (300, 1200, 3)])
def test_packed_counts_are_the_counts_at_every_position_in_far_fewer_bytes(samples, classes, spread):
    random = np.random.default_rng(samples)
    y = random.integers(-1, 2, (samples, classes))
    scores = Scores(y, 1 / (1 + np.exp(spread * random.normal(size=y.shape) + spread)), task="multilabel")
    view = ConfusionGrid(scores)
    np.testing.assert_array_equal(counts_of(view), scores.counts_at(1001))
    assert len(view.counts) < 0.6 * scores.counts_at(1001).nbytes
