"""Matplotlib Figures without pyplot, so that any thread may draw them."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours that colour-blind people tell apart (Okabe & Ito 2008, darkened: as text they stand out from white
#: by 4.5 to 1 at least, WCAG 2.2 AA), and a line that does not.
BLUE, ORANGE, GREEN, GREY, INK, LINE = "#2563ab", "#a85507", "#1d6f42", "#5f6875", "#1f2328", "#e3e6ea"


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

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return render_png(self)

    return ShownFigure


def render_png(figure: Figure, dpi: int = 100) -> bytes:
    """Draw the Figure as PNG bytes at `dpi` dots an inch."""
    return encode_png(render_pixels(figure, dpi))


def encode_png(image: np.ndarray) -> bytes:
    """Encode an image (uint8, height x width x 4) as PNG bytes."""
    from PIL import Image

    file = BytesIO()
    # Level 4 of 9 takes half of the time for one hundredth more bytes.
    Image.fromarray(image).save(file, format="png", compress_level=4)
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
