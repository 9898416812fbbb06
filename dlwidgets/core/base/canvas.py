"""Matplotlib Figures without pyplot, so that any thread may draw them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

#: Colours that colour-blind people tell apart (Okabe & Ito 2008, darkened: as text they stand out from white
#: by 4.5 to 1 at least, WCAG 2.2 AA), and a line that does not.
BLUE, ORANGE, GREEN, GREY, INK, LINE = "#2563ab", "#a85507", "#1d6f42", "#5f6875", "#1f2328", "#e3e6ea"

#: Fonts with the characters of many scripts, which are tried first, by how their names begin.
_FONTS = (
    "Noto Sans CJK", "Source Han Sans", "Noto Sans", "WenQuanYi", "Microsoft YaHei", "PingFang", "Hiragino",
    "Malgun Gothic", "Arial Unicode", "Droid Sans Fallback", "FreeSans", "Unifont",
)  # fmt: skip
_LAST_RESORT = "Last Resort"
#: What is written from right to left, with what stands inside it; a mark that says "from left to right".
_ARABIC = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff"
_FROM_RIGHT, _FROM_LEFT = re.compile(rf"[{_ARABIC}](?:[{_ARABIC}\W]*[{_ARABIC}])?"), "\u200e"


def new_figure(width: float = 6.4, height: float = 3.6) -> Figure:
    """Return an empty Figure of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure_class()(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@cache
def _figure_class() -> type[Figure]:
    """Return a class of Figure that a notebook shows as a picture."""
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    class ShownFigure(Figure):
        def draw(self, renderer: Any) -> None:
            for axes in self.axes:  # the names at an axis are written when they are asked for
                for axis in (axes.xaxis, axes.yaxis):
                    axis.get_ticklabels()
            with _no_word_of_weights():
                for text in self.findobj(Text):
                    _prepare_text(text)
                super().draw(renderer)

        def _repr_png_(self) -> bytes:
            return render_png(self)

    return ShownFigure


def _prepare_text(text: Text) -> None:
    """Have a text drawn as it is written, in any script.

    A dollar sign starts no formula, but in matplotlib's own numbers at an axis. Numbers beside an Arabic or Hebrew
    name stay where they are in the sentence.
    """
    words = text.get_text()
    if text.get_wrap():  # measured as a formula where it looks like one
        plain = re.sub(r"(?<!\\)\$", r"\\$", words)
    else:
        text.set_parse_math("\\mathdefault" in words)
        plain = words
    plain = _FROM_RIGHT.sub(rf"{_FROM_LEFT}\g<0>{_FROM_LEFT}", plain.replace(_FROM_LEFT, ""))
    if plain != words:
        text.set_text(plain)
    if not words.isascii() or not words.isprintable():
        _add_fonts(text)


@contextmanager
def _no_word_of_weights() -> Iterator[None]:
    """Let matplotlib not log that a fallback font has no bold face."""
    log = logging.getLogger("matplotlib.font_manager")

    def other(record: logging.LogRecord) -> bool:
        return "font weight" not in str(record.msg)

    log.addFilter(other)
    try:
        yield
    finally:
        log.removeFilter(other)


def _add_fonts(text: Text) -> None:
    """Let a text fall back to fonts that have its characters."""
    from matplotlib.font_manager import findfont, get_font

    own = get_font(findfont(text.get_fontproperties()))
    signs = {*text.get_text()} - {"\n"}
    missing = frozenset(sign for sign in signs if not own.get_char_index(ord(sign)))
    if missing:
        text.set_fontfamily([*dict.fromkeys([*text.get_fontfamily(), *find_fonts(missing)])])


@cache
def find_fonts(signs: frozenset[str]) -> tuple[str, ...]:
    """Find installed fonts that have these characters, each what the others lack.

    For what none has, matplotlib's font of last resort draws a box; without it, as before 3.9, it warns.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    chosen, left = list[str](), {ord(sign) for sign in signs}
    names = _installed_fonts()
    for name in names:
        if name.startswith(("cm", _LAST_RESORT)):
            continue  # mathematical signs in places of their own; boxes
        face = get_font(findfont(FontProperties(family=[name])))
        there = {sign for sign in left if face.get_char_index(sign)}
        if there:
            chosen.append(name)
            left -= there
        if not left:
            break
    return (*chosen, *(name for name in names if left and name.startswith(_LAST_RESORT)))


@cache
def _installed_fonts() -> tuple[str, ...]:
    """Name all fonts that are there, those of many scripts first."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    for path in {*findSystemFonts()} - {entry.fname for entry in fontManager.ttflist}:
        with suppress(Exception):  # installed since matplotlib looked; some it cannot read
            fontManager.addfont(path)

    def place(name: str) -> tuple[int, str]:
        return next((n for n, one in enumerate(_FONTS) if name.startswith(one)), len(_FONTS)), name

    return tuple(sorted({entry.name for entry in fontManager.ttflist}, key=place))


def render_png(figure: Figure, dpi: int = 100) -> bytes:
    """Draw the Figure as PNG bytes at `dpi` dots an inch."""
    return encode_png(render_pixels(figure, dpi))


def encode_png(image: np.ndarray, few_colours: bool = False) -> bytes:
    """Encode an image (uint8, height x width x 4) as PNG bytes.

    With `few_colours` it has the 128 that suit it best and no transparency, in a quarter of the bytes.
    """
    from PIL import Image

    file, picture = BytesIO(), Image.fromarray(image)
    if few_colours:
        picture = picture.convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    # Level 4 of 9 takes half of the time for one hundredth more bytes.
    picture.save(file, format="png", compress_level=9 if few_colours else 4)
    return file.getvalue()


def render_pixels(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Draw the Figure as RGBA pixels, uint8; `Figure.savefig` draws it twice."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    before = figure.canvas, figure.dpi
    try:
        figure.dpi = dpi
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())
    finally:
        figure.canvas, figure.dpi = before


def stack_pixels(figures: list[Figure], dpi: int = 100) -> np.ndarray:
    """Draw Figures below one another: uint8, height x width x 4."""
    images = [render_pixels(figure, dpi) for figure in figures]
    width = max(image.shape[1] for image in images)
    right = [((0, 0), (0, width - image.shape[1]), (0, 0)) for image in images]
    return np.concatenate([np.pad(*one, constant_values=255) for one in zip(images, right)])


def stack_figures(figures: list[Figure], dpi: int = 100) -> Figure:
    """Return one Figure that shows the given ones below one another, unscaled."""
    page = stack_pixels(figures, dpi)
    whole = new_figure(page.shape[1] / dpi, page.shape[0] / dpi)
    whole.set_layout_engine("none")
    whole.figimage(page)
    return whole
