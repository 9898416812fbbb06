"""Static pictures: plain matplotlib Figures, drawn without pyplot so that any thread may draw them."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Colours that colour-blind people tell apart (Okabe & Ito 2008, darkened: as text they stand out from white by
#: 4.5 to 1 at least, WCAG 2.2 AA), and a line that does not.
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
    """Return a class of Figure that a notebook shows as a picture: without pyplot it shows only their repr."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            return png(self)

    return ShownFigure


def png(figure: Figure, dpi: int = 100) -> bytes:
    """Return the Figure as PNG bytes at `dpi` dots an inch."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()


def rate(value: float) -> str:
    """Return a learning rate as the page writes it, so that two of them compare at a glance: 2.8e-4."""
    mantissa, power = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(power)}" if value else "0"


def stacked(figures: list[Figure], dpi: int = 100) -> Figure:
    """Return one Figure that shows the given ones below one another, each as wide as its own inches ask."""
    import numpy as np
    from matplotlib.image import imread

    images = [imread(BytesIO(png(figure, dpi))) for figure in figures]
    width = max(image.shape[1] for image in images)
    height = sum(image.shape[0] for image in images)
    page = np.ones((height, width, 4), dtype=np.float32)
    top = 0
    for image in images:
        page[top : top + image.shape[0], : image.shape[1], : image.shape[2]] = image
        top += image.shape[0]
    whole = blank(width / dpi, height / dpi)
    whole.set_layout_engine("none")
    whole.figimage(page)
    return whole
