"""Figures: drawn without pyplot, shown by a notebook, and saying what the numbers are."""

from __future__ import annotations

import subprocess
import sys
import threading
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from scipy.optimize import minimize

from dlwidgets.core.base import canvas
from dlwidgets.core.base.canvas import new_figure, render_png, stack_figures
from dlwidgets.core.base.history import History
from dlwidgets.core.base.numbers import format_number, format_rate
from dlwidgets.core.figures.curves import apart, curves_figure
from dlwidgets.core.figures.panel import format_value, panel_figure


def history(steps: int, every: int = 0, loss=lambda n: 1 / n, lr=lambda n: 1e-3) -> History:
    made = History()
    for n in range(1, steps + 1):
        made.step(epoch=1, loss=loss(n), lr=lr(n), batch_size=8, grad_norm=2.0 + n % 3, seconds=0.01)
        if every and n % every == 0:
            made.evaluation(n, valid_loss=1.1 / n)
    return made


def written(figure) -> list[str]:
    """Return every text that the figure shows."""
    figure.canvas.draw()
    texts = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    return [text.get_text() for text in texts if text.get_text()]


def brightness(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


# -- shared


def test_a_figure_is_drawn_without_pyplot_and_shown_by_a_notebook():
    code = (
        "import sys; from dlwidgets.core.base.canvas import new_figure, render_png\n"
        "figure = new_figure(2, 1); assert figure._repr_png_() == render_png(figure)\n"
        "assert render_png(figure).startswith(b'\\x89PNG')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["BLUE", "ORANGE", "GREEN", "GREY", "INK"])
def test_every_colour_of_text_stands_out_from_white(name):
    assert 1.05 / (brightness(getattr(canvas, name)) + 0.05) >= 4.5


def test_pictures_are_as_large_as_their_inches_say():
    image = imread(BytesIO(render_png(new_figure(3, 2), dpi=50)))
    assert image.shape[:2] == (100, 150)


def test_stacked_figures_lie_below_one_another_pixel_for_pixel():
    parts = [new_figure(2, 1), new_figure(3, 0.5)]
    parts[0].text(0.5, 0.5, "above"), parts[1].text(0.1, 0.5, "below")
    images = [imread(BytesIO(render_png(part))) for part in parts]
    page = imread(BytesIO(render_png(stack_figures(parts))))
    assert page.shape[:2] == (150, 300)
    np.testing.assert_allclose(page[:100, :200], images[0], atol=1 / 255)
    np.testing.assert_allclose(page[100:], images[1], atol=1 / 255)
    assert (page[:100, 200:] == 1).all()


def test_figures_may_be_drawn_on_several_threads_at_once():
    made = [history(200, 20), history(30)]
    alone = [render_png(curves_figure(one)) for one in made]
    found: list[tuple[int, bytes]] = []

    def draw(number):
        found.extend((number, render_png(curves_figure(made[number]))) for _ in range(3))

    threads = [threading.Thread(target=draw, args=(n % 2,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 12 and all(picture == alone[number] for number, picture in found)


@pytest.mark.parametrize(
    ("value", "text"), [(1e-3, "1.0e-3"), (2.84e-4, "2.8e-4"), (0.0, "0"), (20.0, "2.0e1")]
)
def test_a_learning_rate_is_always_written_alike(value, text):
    assert format_rate(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.032, "0.0320"),
        (12.34, "12.3"),
        (1234.6, "1,235"),
        (2.8e-5, "2.80e-5"),
        (-0.5, "-0.500"),
    ],
)
def test_a_number_has_three_digits_that_count(value, text):
    assert format_number(value) == text


# -- curves


def test_the_curves_carry_their_names_and_last_values():
    figure = curves_figure(history(50, 10), clip=1.5)
    names = {"loss", "LR", "‖grad‖"}
    assert set(written(figure)) == {"train 0.0200", "valid 0.0220", "1.0e-3", "4.00", "clip 1.50", *names}
    assert figure.axes[-1].get_xlabel() == "step"


def test_what_was_measured_is_what_is_drawn():
    made = history(50, 10)
    train, valid = curves_figure(made).axes[0].lines
    np.testing.assert_allclose(train.get_xydata(), [[n, 1 / n] for n in range(1, 51)], rtol=1e-6)
    np.testing.assert_allclose(valid.get_xydata(), [[n, 1.1 / n] for n in range(10, 51, 10)], rtol=1e-6)


def test_a_rate_jumps_between_two_steps():
    line = curves_figure(history(20, lr=lambda n: 1e-3 if n < 9 else 1e-2)).axes[1].lines[0]
    assert line.get_drawstyle() == "steps-pre"


def test_one_step_and_one_evaluation_are_points_that_can_be_seen():
    figure = curves_figure(history(1, 1))
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)
    assert "train 1.00" in written(figure)


def test_no_step_says_what_to_do():
    assert written(curves_figure(History())) == ["No step taken yet: session.start() trains."]


def test_changes_are_marked_above_the_loss_in_the_stretch_shown():
    changes = [(3, "lr → 0.1"), (20, "lr → 0.2"), (40, "lr → 0.3")]
    for window, steps in ((None, [3, 20, 40]), ((10, 30), [20])):
        lines = curves_figure(history(50), changes, window).axes[0].lines
        assert [line.get_xdata()[0] for line in lines if line.get_marker() == "v"] == steps


@pytest.mark.parametrize("loss", [0.0, -3.0, 5.0, 1e-9, 1e9])
def test_a_constant_loss_lies_inside_its_axis(loss):
    axes = curves_figure(history(20, loss=lambda n: loss)).axes[0]
    bottom, top = axes.get_ylim()
    assert bottom <= loss <= top and bottom < top


def test_values_that_are_none_are_gaps():
    made = history(
        20, loss=lambda n: float("inf") if n == 7 else float("nan") if n == 9 else 1.0, lr=lambda n: 0.0
    )
    figure = curves_figure(made)
    assert render_png(figure).startswith(b"\x89PNG")
    assert np.isnan(figure.axes[0].lines[0].get_ydata()).sum() == 1
    assert "0" in written(figure)


def test_names_that_end_at_one_height_are_written_apart():
    made = history(50)
    made.evaluation(50, valid_loss=1 / 50)
    figure = curves_figure(made)
    figure.canvas.draw()
    ends = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() != "loss"]
    lower, upper = sorted(ends, key=lambda box: box.y0)
    assert lower.y1 <= upper.y0 + 1


def test_every_text_of_the_curves_lies_inside_the_picture():
    made = history(1200, 100, loss=lambda n: 123456.0 + n, lr=lambda n: 1.2e-12)
    figure = curves_figure(made, clip=1.2345e-7)
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    labels = [
        label for axes in figure.axes for label in (*axes.get_yticklabels(), *axes.texts) if label.get_text()
    ]
    assert len(labels) > 8
    for label in labels:
        box = label.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height, label.get_text()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.sampled_from([0.02, 0.1, 0.3]))
def test_labels_are_moved_as_little_as_their_distance_allows(wanted, gap):
    placed = apart(wanted, gap, 0.0, 1.0)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    steps = np.diff([placed[i] for i in order])
    assert (steps >= gap - 1e-9).all()
    room = (len(wanted) - 1) * gap <= 1
    if room:
        assert min(placed) >= -1e-9 and max(placed) <= 1 + 1e-9
        goal = np.array([wanted[i] for i in order])
        distances = [
            {"type": "ineq", "fun": lambda x, k=k: x[k + 1] - x[k] - gap} for k in range(len(wanted) - 1)
        ]
        start = np.linspace(0, 1, len(wanted)) if len(wanted) > 1 else goal
        best = minimize(
            lambda x: ((x - goal) ** 2).sum(), start, bounds=[(0, 1)] * len(wanted), constraints=distances
        )
        moved = sum((placed[i] - wanted[i]) ** 2 for i in order)
        # Only between the bounds are both least squares; at a bound one block may hold the other.
        assert moved <= best.fun + 2e-2 * len(wanted)


# -- the training panel


def test_the_panel_tells_the_run_and_what_is_in_force():
    run = {
        "title": "Net",
        "about": "binary",
        "status": "paused",
        "epoch": 2,
        "epochs": 9,
        "steps": 1234,
        "share": 0.4,
    }
    asked = {"lr": 2e-3, "batch_size": 2048, "clip": ("norm", 1.0)}
    said = written(panel_figure(run, "", asked, {**asked, "lr": 1e-3}))
    assert {"Net", "binary", "paused · epoch 2 of 9 · step 1,234", "2.0e-3", "in force 1.0e-3", "2,048",
            "in force 2,048", "norm 1", "in force norm 1"} <= set(said)  # fmt: skip


def test_what_else_is_in_force_stands_below_and_nothing_lies_over_another():
    others = [("Optimizer", "SGD"), ("Momentum", "0.9"), ("Accumulate", "2 = 128 a step")]
    figure = panel_figure({}, "", {}, {}, others)
    texts = {text.get_text() for text in figure.texts}
    assert {word for pair in others for word in pair} <= texts
    boxes = [text.get_window_extent() for text in figure.texts]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[i + 1 :])


def test_a_failure_stands_in_the_panels_figure():
    assert "▲ RuntimeError: cable" in written(panel_figure({}, "RuntimeError: cable", {}, {}))


@pytest.mark.parametrize("share", [None, 0.0, 1.0])
def test_a_run_of_unknown_length_has_no_bar(share):
    lines = panel_figure({"share": share}, "", {}, {}).axes[0].lines
    assert lines[-1].get_xdata()[1] == (share or 0)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("clip", None, "off"),
        ("lr", 0.0, "0"),
        ("lr", 3e-5, "3.0e-5"),
        ("batch_size", 4096, "4,096"),
        ("clip", ["value", 0.25], "value 0.25"),
    ],
)
def test_a_controls_value_is_said_in_few_words(name, value, words):
    assert format_value(name, value) == words
