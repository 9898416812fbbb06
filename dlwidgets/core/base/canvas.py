"""Static pictures: plain matplotlib Figures, drawn without pyplot so that any thread may draw them."""

from __future__ import annotations

import math
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours that colour-blind people tell apart (Okabe & Ito 2008, darkened: as text they stand out from white
#: by 4.5 to 1 at least, WCAG 2.2 AA), and a line that does not.
BLUE, ORANGE, GREEN, GREY, INK, LINE = "#2563ab", "#a85507", "#1d6f42", "#5f6875", "#1f2328", "#e3e6ea"


def blank(width: float = 6.4, height: float = 3.6) -> Figure:
    """Return an empty Figure of `width` x `height` inches on an Agg canvas.

    pyplot keeps one global list of figures and is not safe outside the main thread; a bare Figure is.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _shown_figure()(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


@cache
def _shown_figure() -> type[Figure]:
    """Return a class of Figure that a notebook shows as a picture: without pyplot it shows the repr."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return png(self)

    return ShownFigure


def png(figure: Figure, dpi: int = 100) -> bytes:
    """Return the Figure as PNG bytes at `dpi` dots an inch."""
    return encoded(pixels(figure, dpi))


def encoded(image: np.ndarray) -> bytes:
    """Return an image (uint8, height x width x 4) as PNG bytes."""
    from PIL import Image

    file = BytesIO()
    # Level 4 of 9 takes half of the time for one hundredth more bytes.
    Image.fromarray(image).save(file, format="png", compress_level=4)
    return file.getvalue()


def rate(value: float) -> str:
    """Return a learning rate as the page writes it, so that two of them compare at a glance: 2.8e-4."""
    mantissa, power = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(power)}" if value else "0"


def significant(value: float) -> str:
    """Return a number with three significant digits, as the page writes it: 0.0320, 12.3, 1,234, 2.80e-5."""
    if not 1e-3 <= abs(value) < 1e6 and value:
        mantissa, power = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(power)}"
    return f"{value:,.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if value else "0"


def pixels(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Return the Figure as it is drawn at `dpi` dots an inch: uint8, height x width x 4 (RGBA).

    `Figure.savefig` draws it twice; a notebook waits for it with the first display.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    before = figure.canvas, figure.dpi
    try:
        figure.dpi = dpi
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.array(canvas.buffer_rgba())
    finally:
        figure.canvas, figure.dpi = before


def stack(figures: list[Figure], dpi: int = 100) -> np.ndarray:
    """Return the Figures as drawn, below one another on white: uint8, height x width x 4 (RGBA)."""
    images = [pixels(figure, dpi) for figure in figures]
    width = max(image.shape[1] for image in images)
    page = np.full((sum(image.shape[0] for image in images), width, 4), 255, dtype=np.uint8)
    top = 0
    for image in images:
        page[top : top + image.shape[0], : image.shape[1]] = image
        top += image.shape[0]
    return page


def stacked(figures: list[Figure], dpi: int = 100) -> Figure:
    """Return one Figure that shows the given ones below one another, each as wide as its own inches ask."""
    page = stack(figures, dpi)
    whole = blank(page.shape[1] / dpi, page.shape[0] / dpi)
    whole.set_layout_engine("none")
    whole.figimage(page)
    return whole
