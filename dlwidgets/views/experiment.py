"""Experiment: the few controls and views that one needs, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets

from ..core.base.words import name_kind, quote_value
from ..session import Session
from .activations.view import ActivationBrowser
from .confusion.view import ConfusionGrid
from .curves.view import Curves
from .doctor.view import Doctor
from .finetune.view import FineTunePanel
from .layers.view import LayerTable
from .training.view import TrainingPanel
from .view import Arranged, close_widgets

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The main controls of the training panel.
CONTROLS = ("lr", "batch_size", "clip")
VIEWS = {
    "curves": Curves, "doctor": Doctor, "confusion": ConfusionGrid, "activations": ActivationBrowser,
    "layers": LayerTable, "finetune": FineTunePanel,
}  # fmt: skip


class Experiment(Arranged):
    """Shows the run with a few controls and views, side by side.

    For a lesson, whose text, control and effect are to stand on one screen.

    Parameters
    ----------
    session : the session that is shown and steered.
    show : what is shown, in this order: of the controls "lr", "batch_size", "clip", of the views "curves",
        "doctor", "confusion", "activations", "layers", "finetune". None: the learning rate and the curves.

    Attributes
    ----------
    training : the `TrainingPanel` whose controls these are.
    views : name -> view.
    """

    def __init__(self, session: Session, *show: str) -> None:
        if not isinstance(session, Session):
            given = name_kind(session)
            raise TypeError(f"Experiment wants a Session, not {given}: dlwidgets.Experiment(session, 'lr').")
        show = show or ("lr", "curves")
        for name in show:
            if name not in (*CONTROLS, *VIEWS):
                known = ", ".join(map(repr, (*CONTROLS, *VIEWS)))
                raise ValueError(f"Experiment shows no {quote_value(name)}; there are {known}.")
        self.training = TrainingPanel(session)
        self.views: dict[str, Any] = {name: VIEWS[name](session) for name in show if name in VIEWS}
        self._controls = controls = [name for name in show if name in CONTROLS]
        for name in set(CONTROLS) - {*controls}:
            self.training.controls.add_class(f"dlw-without-{name.replace('_', '-')}")
        parts = [*([self.training.controls] if controls else []), *self.views.values()]
        self._row = ipywidgets.Box(parts).add_class("dlw-experiment-row")
        self._row.add_class("dlw-steered" if controls else "dlw-unsteered")
        super().__init__([self.training.bar, self._row])
        self.add_class("dlw-experiment")

    @property
    def session(self) -> Session | None:
        """The session that is shown; None once closed."""
        return self.training.session

    def figure(self) -> Figure:
        """Return the views' figures as one, from top to bottom."""
        from ..core.base.canvas import stack_figures

        return stack_figures([view.figure() for view in self._drawn])

    def _still(self) -> bytes:
        from ..core.base.canvas import encode_png, stack_pixels

        return encode_png(stack_pixels([view.picture() for view in self._drawn]))

    def _in_marimo(self) -> list[Any]:
        return [*self.training.elements(self._controls), *self.views.values()]

    @property
    def _drawn(self) -> list[Any]:
        return [*self.views.values()] or [self.training]

    def close(self) -> None:
        """Remove the views and let the session go; a run goes on."""
        if self.comm is None:  # closed before, or refused: Python closes what it collects
            return
        for view in (self.training, *self.views.values()):
            view.close()
        close_widgets(self._row, self.layout)
        super().close()
