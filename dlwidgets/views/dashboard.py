"""Dashboard: every view of one session, arranged for wide and narrow notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from ..session import Session
from .activations.view import ActivationBrowser
from .confusion.view import ConfusionGrid
from .curves.view import Curves
from .layers.view import LayerTable
from .training.view import TrainingPanel
from .view import Pictured, close_widgets

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Dashboard(Pictured, ipywidgets.VBox):
    """Arranges all views of one session; it keeps no state itself.

    Parameters
    ----------
    session : the session that is shown and steered.

    Attributes
    ----------
    training, curves, layers, confusion, activations : the views, each usable by itself.
    """

    def __init__(self, session: Session) -> None:
        if not isinstance(session, Session):
            given = type(session).__name__
            raise TypeError(f"Dashboard wants a Session, not {given}: dlwidgets.Dashboard(session).")
        self.training, self.curves, self.layers = TrainingPanel(session), Curves(session), LayerTable(session)
        self.confusion, self.activations = ConfusionGrid(session, table=True), ActivationBrowser(session)
        steer = ipywidgets.Box([self.training.controls, self.curves]).add_class("dlw-row-steer")
        look = ipywidgets.Box([self.confusion, self.activations]).add_class("dlw-row-look")
        self._rows = [steer.add_class("dlw-row"), look.add_class("dlw-row")]
        super().__init__([self.training.bar, steer, self.layers, look])
        self.add_class("dlw-dash")

    @property
    def views(self) -> tuple[Any, ...]:
        """The views, from top to bottom."""
        return self.training, self.curves, self.layers, self.confusion, self.activations

    def figure(self) -> Figure:
        """Return all views' figures as one, from top to bottom."""
        from ..core.base.canvas import stack_figures

        return stack_figures([view.figure() for view in self.views])

    def _still(self) -> bytes:
        from ..core.base.canvas import encode_png, stack_pixels

        return encode_png(stack_pixels([view.picture() for view in self.views]))

    def close(self) -> None:
        """Remove every view and let the session go; a run goes on."""
        if self.comm is None:  # closed before, or refused: Python closes what it collects
            return
        for view in self.views:
            view.close()
        close_widgets(*self._rows, self.layout)
        super().close()
