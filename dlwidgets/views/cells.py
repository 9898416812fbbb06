"""What views do about a notebook's cells: pictures renewed, interrupts explained."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..core.base.frontend import find_frontend
from ..session import Session, name_in_code, sessions
from .hosts import shows_threads, start_where_shown

if TYPE_CHECKING:
    from .view import Pictured

_WIDGET = "application/vnd.jupyter.widget-view+json"
#: How long a run has been at rest before its picture is drawn anew: a person may take one step after another [s].
_REST = 1.0
_PROCESS = os.getpid()
#: The views that cells of this kernel show, by display id.
_shown: weakref.WeakValueDictionary[str, Pictured] = weakref.WeakValueDictionary()
#: Display ids of those whose picture is about to be drawn.
_due: set[str] = set()


def show(view: Pictured) -> None:
    """Show a view in the cell that runs."""
    _watch(_shell())
    # What readers make of a notebook that a program executed prefers a widget, which needs scripts from the network,
    # to a picture.
    view.pageless = not find_frontend().pages
    if not view.display_id:
        view.display_id, view.publishing = uuid4().hex, threading.RLock()
    for part in view.parts():
        part.display_id = view.display_id
    _shown[view.display_id] = view
    _publish(view, update=False)


def shown_views() -> list[Pictured]:
    """Return the views that cells of this kernel show, oldest first."""
    return [*_shown.values()]


def _watch(shell: Any) -> None:
    """Hear of the cells' ends, and of interrupts between them."""
    if _after_cell not in shell.events.callbacks["post_run_cell"]:
        shell.events.register("post_run_cell", _after_cell)
    # Between cells ipykernel ignores an interrupt. While one runs, it keeps here what it then puts back.
    if getattr(shell.kernel, "saved_sigint_handler", None) == signal.SIG_IGN:
        shell.kernel.saved_sigint_handler = _interrupted_between


def renew_soon(display_id: str) -> None:
    """Have a view's picture drawn anew, once the run rests."""
    view = _shown.get(display_id)
    if view is None or display_id in _due or not _pages_keep(view):
        return
    _due.add(display_id)
    if not start_where_shown(lambda: _renew_later(display_id), "dlwidgets-picture"):
        _due.discard(display_id)


def _renew_later(display_id: str) -> None:
    time.sleep(_REST)
    _due.discard(display_id)
    view = _shown.get(display_id)
    if view is not None and view.session is not None and view.session.status != "running":
        _renew(view)


def _renew(view: Pictured) -> None:
    """Publish a view's picture where it would be another by now."""
    if _moment(view.session) != view.pictured_at:
        with contextlib.suppress(Exception):  # closed meanwhile
            _publish(view, update=True)


def _publish(view: Pictured, update: bool) -> None:
    from IPython.display import publish_display_data

    view.pictured_at = _moment(view.session)
    data, metadata = view._repr_mimebundle_()
    if view.pageless:
        data.pop(_WIDGET, None)
    with view.publishing:
        # Closed while its picture was made: a page would draw a widget anew that is gone.
        if not update or (view.comm is not None and "image/png" in data):
            publish_display_data(data, metadata, transient={"display_id": view.display_id}, update=update)


def _moment(session: Session | None) -> Any:
    """Return what tells one moment of a run from another."""
    if session is None:
        return None
    looks = session.selected_layer, session.selected_sample, session.thresholds
    return session.steps, session.status, session.line, len(session.changes), id(session.evaluation), repr(looks)


def _pages_keep(view: Pictured) -> bool:
    """Whether a page shows it that takes a newer picture."""
    return any(part.keeps for part in view.parts())


def _after_cell(result: Any) -> None:
    """Say what an interrupt did not end; renew pictures."""
    if isinstance(getattr(result, "error_in_exec", None), (KeyboardInterrupt, asyncio.CancelledError)):
        for session in _training():
            sys.stdout.write(f"The interrupt ended the cell, not the training{_way_to_pause(session)}\n")
    alone = not shows_threads()
    for view in [*_shown.values()]:
        if view.pageless or (alone and _pages_keep(view)):
            _renew(view)
        for part in view.parts() if alone else ():
            part.refresh()


def _interrupted_between(_number: int, _frame: Any) -> None:
    """Say in the panels that an interrupt does not end the training."""
    if os.getpid() != _PROCESS:  # a worker that loads data, which inherited this
        return
    for session in _training():
        for view in [*_shown.values()]:
            for part in view.parts() if view.session is session else ():
                part.hint(f"An interrupt does not end the training{_way_to_pause(session)}")


def _way_to_pause(session: Session) -> str:
    return f": Pause in the panel, or {name_in_code(session)}.pause(), pauses it."


def _training() -> list[Session]:
    return [session for session in sessions() if session.status in ("running", "trying")]


def _shell() -> Any:
    from IPython import get_ipython

    return get_ipython()
