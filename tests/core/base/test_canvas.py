"""Figures without pyplot: names in any script, by fonts that are there."""

from __future__ import annotations

import warnings
from io import BytesIO

import numpy as np
import pytest
from matplotlib import font_manager
from PIL import Image

from dlwidgets.core.base.canvas import encode_png, find_fonts, new_figure, render_pixels, render_png

NAMES = ["肺不张", "Опухоль", "ملف", "경화", "ไส้เลื่อน", "\U0001f642", "a\tb", "$5 & 经_^ $10", "肺$x_$"]


def drawn(figure, path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(path, bbox_inches="tight")


@pytest.mark.parametrize("name", NAMES)
def test_names_in_any_script_are_drawn_without_a_warning(name, tmp_path, caplog):
    figure = new_figure()
    axes = figure.add_subplot()
    axes.set_title(name)
    axes.set_xticks([0, 1], [name, "b"])
    axes.set_ylabel(name)
    figure.suptitle(name, fontweight="bold")
    axes.text(0, 0.5, name, wrap=True)
    for kind in ("png", "svg", "pdf"):
        drawn(figure, tmp_path / f"figure.{kind}")
    render_png(figure)
    assert not caplog.records  # matplotlib logs what it lacks; a notebook shows it


@pytest.mark.parametrize("name", ["ملف", "שלום"])
def test_a_number_after_a_name_from_right_to_left_stays_on_its_right(name):
    def columns(number):
        figure = new_figure(4, 1)
        figure.text(0.01, 0.5, f"{name} · {number}")
        return (render_pixels(figure) < 128).any(axis=(0, 2))

    (first, *_), (left, *_) = (np.flatnonzero(ink) for ink in (columns("0.25") != columns("0.81"), columns("0.25")))
    assert first > left + 20


def test_a_dollar_sign_starts_no_formula_but_in_the_numbers_at_an_axis():
    figure = new_figure()
    axes = figure.add_subplot(xscale="log", xlim=(1, 1e5), title="$x^2$")
    axes.text(1, 0.5, "$x^2$ and more", wrap=True)
    render_png(figure)
    assert not axes.title.get_parse_math() and axes.texts[0].get_text() == r"\$x^2\$ and more"
    assert all(label.get_parse_math() for label in axes.get_xticklabels())


def test_what_the_default_font_has_keeps_it():
    figure = new_figure()
    text = figure.suptitle("Опухоль ‖∇f‖ …")
    before = text.get_fontfamily()
    render_png(figure)
    assert text.get_fontfamily() == before


def test_a_font_that_has_the_characters_is_found():
    # Signs of mathematics that DejaVu Sans lacks and another font of matplotlib's own has.
    manager, sign = font_manager.fontManager, "\U0001d4d0"
    has = {
        entry.name
        for entry in manager.ttflist
        if font_manager.get_font(entry.fname).get_char_index(ord(sign))
    }
    (name, *_) = find_fonts(frozenset({sign}))
    assert name in has
    figure = new_figure()
    text = figure.suptitle(sign)
    render_png(figure)
    assert text.get_fontfamily()[-1] == name


def test_a_picture_of_few_colours_is_small_and_looks_the_same():
    figure = new_figure()
    figure.add_subplot().imshow([[0, 1], [2, 3]], cmap="viridis")
    figure.suptitle("a title, smoothed at its edges")
    pixels = render_pixels(figure)
    small = encode_png(pixels, few_colours=True)
    assert len(small) < 0.6 * len(encode_png(pixels))
    seen = np.asarray(Image.open(BytesIO(small)).convert("RGB"), dtype=int)
    assert abs(seen - pixels[..., :3]).max() < 10
