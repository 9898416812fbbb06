"""The confusion grid as a Figure: what is written in it, in which order, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from dlwidgets.core.base.canvas import render_png
from dlwidgets.core.figures.confusion import class_figure
from dlwidgets.core.scoring.confusion_figure import confusion_figure, confusion_tiles, order_classes
from dlwidgets.core.scoring.scores import Scores


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(3)
    y = (rng.random((60, 5)) < [0.1, 0.5, 0.3, 0.8, 0.4]).astype(int)
    y[:, 2] = 0
    return Scores(
        y, np.clip(0.5 * y + rng.random((60, 5)) * 0.6, 0, 1), ["ant", "Bee", "cat", "$dog$", "<b>eel</b>"]
    )


def texts(figure):
    """Return every text written in the axes of the Figure."""
    return [t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title) if t.get_text()]


@pytest.mark.parametrize("draw", [confusion_figure, confusion_tiles])
def test_every_count_of_the_confusion_is_written_in_the_grid(draw, scores):
    written = texts(draw(scores, 0.6))
    numbers = sorted(int(t) for t in written if t.isdecimal())
    assert numbers == sorted(scores.confusion(0.6).ravel().tolist())


@pytest.mark.parametrize("draw", [confusion_figure, confusion_tiles])
def test_the_grid_draws_whatever_the_names_and_the_order(draw, scores):
    figure = draw(scores, [0.1, 0.2, 0.3, 0.4, 0.5], sort="-f1")
    assert render_png(figure).startswith(b"\x89PNG")
    names = [t.split("  ")[0] for t in texts(figure) if "  " in t]
    by_f1 = order_classes(scores, scores.confusion([0.1, 0.2, 0.3, 0.4, 0.5]), "-f1")
    assert names == [scores.classes[c] for c in by_f1]


def test_the_heatmaps_are_one_a_class_and_shaded_by_the_share_of_the_row(scores):
    figure = confusion_figure(scores, 0.6)
    meshes = [ax.collections[0].get_array().reshape(2, 2) for ax in figure.axes if ax.collections]
    assert len(meshes) == 5
    for mesh, counts in zip(meshes, scores.confusion(0.6)):
        known = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        np.testing.assert_allclose(mesh, counts / known * [[1, -1], [-1, 1]])


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "support"])
def test_a_grid_sorts_from_the_lowest_or_with_a_minus_from_the_highest(metric, scores):
    value = scores.metrics(0.6)[metric].to_numpy()
    rising = value[order_classes(scores, scores.confusion(0.6), metric)]
    falling = value[order_classes(scores, scores.confusion(0.6), "-" + metric)]
    known = np.sort(value[~np.isnan(value)])
    np.testing.assert_array_equal(rising[: len(known)], known)
    np.testing.assert_array_equal(falling[: len(known)], known[::-1])
    assert np.isnan(rising[len(known) :]).all() and np.isnan(falling[len(known) :]).all()


def test_names_sort_without_regard_to_case(scores):
    found = [scores.classes[c] for c in order_classes(scores, scores.confusion(), "name")]
    assert found == sorted(scores.classes, key=str.lower)


def test_an_unknown_order_is_refused(scores):
    with pytest.raises(ValueError, match="'colour'.*recall"):
        confusion_figure(scores, sort="colour")


def test_the_preview_counts_the_classes_that_it_leaves_out():
    rng = np.random.default_rng(0)
    many = Scores(rng.integers(0, 2, (9, 70)), rng.random((9, 70)))
    figure = confusion_tiles(many, most=60)
    assert "10 more classes" in figure.get_suptitle()
    assert sum("  " in t for t in texts(figure)) == 60


def test_the_public_figure_is_the_seaborn_grid(scores):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    assert len([ax for ax in scores.figure(0.6).axes if ax.collections]) == 5
    assert plt.get_fignums() == before


def test_building_and_counting_import_neither_pandas_nor_a_plotting_library():
    code = (
        "import sys; from dlwidgets.core.scoring.scores import Scores; s = Scores([0, 1], [.2, .7]); "
        "s.confusion(); s.counts_at(); repr(s); "
        "print([m for m in ('pandas', 'sklearn', 'matplotlib', 'seaborn') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


# -- of one class


def test_the_figure_of_a_class_shows_where_it_stands_at_its_threshold():
    rng = np.random.default_rng(0)
    y = (rng.random((400, 4)) < 0.3).astype(int)
    p = np.clip(0.35 * y + 0.75 * rng.random((400, 4)), 0, 1)
    scores = Scores(y, p, ["ant", "b$e", "cat", "dog"])
    figure = class_figure(scores, "b$e", [0.5, 0.3, 0.5, 0.5])
    pr, roc, reliability = figure.axes
    tp, fp = ((p[:, 1] >= 0.3) & (y[:, 1] == 1)).sum(), ((p[:, 1] >= 0.3) & (y[:, 1] == 0)).sum()
    assert pr.lines[-1].get_xydata().tolist() == [[tp / y[:, 1].sum(), tp / (tp + fp)]]
    assert roc.lines[-1].get_xydata().tolist() == [[fp / (y[:, 1] == 0).sum(), tp / y[:, 1].sum()]]
    assert f"{roc_auc_score(y[:, 1], p[:, 1]):.3f}" in roc.get_title(loc="left")
    assert reliability.lines[-1].get_xdata()[0] == 0.3
    assert "b$e" in figure.get_suptitle()


@pytest.mark.parametrize("fill", [0, 1])
def test_a_class_of_one_kind_alone_is_drawn_and_says_what_is_missing(fill):
    figure = class_figure(Scores(np.full((5, 2), fill), np.random.default_rng(0).random((5, 2))), 0)
    said = " ".join(text.get_text() for ax in figure.axes for text in ax.texts)
    assert ("negatives" if fill else "positives") in said


def test_a_class_that_is_not_there_is_refused_with_the_names(scores):
    with pytest.raises(ValueError, match="ant"):
        class_figure(scores, "dog")
