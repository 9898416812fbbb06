"""Dashboard: the views of one session, arranged for wide and narrow notebooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets
from traitlets import Dict, Int, Unicode

from ..core.base.words import name_kind, quote_value
from ..session import Session
from .activations.view import ActivationBrowser
from .confusion.view import ConfusionGrid
from .curves.view import Curves
from .doctor.view import Doctor
from .finetune.view import FineTunePanel
from .layers.view import LayerTable
from .training.view import TrainingPanel
from .view import Arranged, View, close_widgets, module, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Whether one of the tabs is shown, or all views.
SHOWS = ("simple", "full")
#: The views in tabs: the attributes of the dashboard that hold them.
TABS = ("confusion", "activations", "layers", "finetune", "doctor")


class Tabs(View):
    """Show one view of a dashboard in tabs, or all.

    The page decides which is shown; what it decided is kept here, for a page that is loaded again. Above the tabs the
    worst finding of the doctor stands in one line.
    """

    _esm = module("dashboard.js")
    _css = style("dashboard.css", "finding.css")
    BEAT = 10
    watches = ("selected_layer", "selected_sample", "findings", "status", "pulse")
    show = Unicode(help='"simple": one view, in tabs; "full": all').tag(sync=True)
    tab = Unicode(help="the view that is shown, of those in tabs").tag(sync=True)
    chosen = Unicode(help="what the activation browser looks at, in words").tag(sync=True)
    worst = Dict(help="the worst finding, see `Doctor.worst`; or line: what was checked").tag(sync=True)
    lasting = Int(help="how many findings last").tag(sync=True)

    def __init__(self, session: Session, show: str, opened: Callable[[str], None], doctor: Doctor) -> None:
        self._opened, self._doctor = opened, doctor
        doctor.changed = self.refresh
        self._kept = {"show": show, "tab": TABS[0]}
        super().__init__(session)

    def project(self) -> dict[str, Any]:
        session = self.session
        if session is None:
            return {}
        layer = f"{session.selected_layer} · " if session.selected_layer is not None else ""
        return {
            **self._kept, "chosen": f"{layer}sample {session.selected_sample}", "worst": self._doctor.worst(),
            "lasting": sum(finding.until is None for finding in session.findings),
        }  # fmt: skip

    def wish(self, name: str, value: Any) -> None:
        """Show one view or all, or a tab; or ask the doctor."""
        words = {"show": SHOWS, "tab": TABS}.get(name)
        if words is None:
            return self._doctor.wish(name, value)
        if value not in words:
            raise ValueError(f"{name}={value!r}: {' or '.join(map(repr, words))} is wanted.")
        changed, self._kept[name] = self._kept[name] != value, value
        self.refresh()
        if changed and name == "show":
            self._opened(value)

    def kept(self, name: str) -> str:
        """Return what is shown: of "show" or "tab"."""
        return self._kept[name]


class Dashboard(Arranged):
    """Arranges the views of one session.

    At first it is one screen: what steers the run, its curves, and one of the other views at a time, in tabs.

    Parameters
    ----------
    session : the session that is shown and steered.
    show : "simple": one view below the curves, in tabs; "full": all views, and every control. The page has a
        switch for it.

    Attributes
    ----------
    training, curves, doctor, layers, confusion, activations, finetune : the views, each usable by itself.
    show, tab : what is shown, "simple" or "full", and "confusion", "activations", "layers", "finetune" or "doctor";
        can be set.
    """

    def __init__(self, session: Session, show: str = "simple") -> None:
        if not isinstance(session, Session):
            raise TypeError(f"Dashboard wants a Session, not {name_kind(session)}: dlwidgets.Dashboard(session).")
        if show not in SHOWS:
            raise ValueError(f'Dashboard(session, show={quote_value(show)}): "simple" or "full" is wanted.')
        self.training, self.layers = TrainingPanel(session), LayerTable(session)
        self.curves = Curves(session, restrictions=self.training.restrictions)
        self.confusion = ConfusionGrid(session, table=show == "full")
        self.activations, self.doctor = ActivationBrowser(session), Doctor(session)
        self.finetune = FineTunePanel(session, restrictions=self.training.restrictions)
        self._tabs = Tabs(session, show, self._open, self.doctor)
        for name in TABS:
            getattr(self, name).add_class("dlw-tabbed").add_class(f"dlw-tabbed-{name}")
        steer = ipywidgets.Box([self.training.controls, self.curves]).add_class("dlw-row-steer")
        look = ipywidgets.Box([self.confusion, self.activations]).add_class("dlw-row-look")
        self._rows = [steer.add_class("dlw-row"), look.add_class("dlw-row")]
        super().__init__([self.training.bar, steer, self._tabs, self.doctor, self.layers, look, self.finetune])
        self.add_class("dlw-dash")
        self.doctor.opens = lambda tab: self._tabs.wish("tab", tab)

    @property
    def views(self) -> tuple[Any, ...]:
        """The views, from top to bottom."""
        return (
            self.training, self.curves, self.doctor, self.layers, self.confusion, self.activations, self.finetune,
        )  # fmt: skip

    def _in_marimo(self) -> list[Any]:
        import marimo

        if self.show == "full":
            return [*self.views]
        tabs = {"Fine-tuning" if name == "finetune" else name.capitalize(): getattr(self, name) for name in TABS}
        return [self.training, self.curves, marimo.ui.tabs(tabs)]

    @property
    def show(self) -> str:
        """Whether one view below the curves is shown, or all."""
        return self._tabs.kept("show")

    @show.setter
    def show(self, word: str) -> None:
        self._tabs.wish("show", word)

    @property
    def tab(self) -> str:
        """The view that is shown below the curves, where it is one."""
        return self._tabs.kept("tab")

    @tab.setter
    def tab(self, name: str) -> None:
        self._tabs.wish("tab", name)

    @property
    def session(self) -> Session | None:
        """The session that is shown; None once closed."""
        return self.training.session

    def _open(self, show: str) -> None:
        # All of it has the table of metrics too, however one came there.
        self.confusion.wish("look", {**self.confusion.look, "table": show == "full"})

    def figure(self) -> Figure:
        """Return all views' figures as one, from top to bottom."""
        from ..core.base.canvas import stack_figures

        return stack_figures([view.figure() for view in self.views])

    def _still(self) -> bytes:
        from ..core.base.canvas import encode_png, stack_pixels

        simple = dict.fromkeys((self.training, self.curves, *self._found, getattr(self, self.tab)))
        shown = self.views if self.show == "full" else simple
        return encode_png(stack_pixels([view.picture() for view in shown]), few_colours=True)

    @property
    def _found(self) -> tuple[Doctor, ...]:
        """The doctor, where it has found something that lasts."""
        found = self.session is not None and any(one.until is None for one in self.session.findings)
        return (self.doctor,) if found else ()

    def close(self) -> None:
        """Remove every view and let the session go; a run goes on."""
        if self.comm is None:  # closed before, or refused: Python closes what it collects
            return
        for view in (*self.views, self._tabs):
            view.close()
        close_widgets(*self._rows, self.layout)
        super().close()
