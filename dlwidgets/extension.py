"""`%load_ext dlwidgets`: a bare model shows its layer table, and `%dlw`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.utils.dir2 import get_real_method

from .magics import MODEL_CLASSES, load_magic, unload_magic

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from torch import nn


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Show models as tables, and add `%dlw`, once however often called."""
    printers = _printers(ipython)
    for name, table in _TABLES.items():
        before = printers.pop(name, None)
        printers.for_type(name, before if isinstance(before, _Shown) else _Shown(table, before))
    load_magic(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Show models as before, and take `%dlw` away."""
    unload_magic(ipython)
    printers = _printers(ipython)
    for name in _TABLES:
        current = printers.pop(name, None)
        left = current.before if isinstance(current, _Shown) else current
        if left is not None:
            printers.for_type(name, left)


def table(model: nn.Module, as_text: bool = False) -> str:
    """Return a model's layer table as HTML, or text, with a hint.

    The model is not run, and nothing is kept: unlike a view, the table costs nothing once it is shown.
    """
    from .core.layers.summary import outline
    from .core.layers.summary_text import html, text

    return (text if as_text else html)(outline(model))


class _Shown:
    """Makes the text/html of one type, or a terminal's text.

    An object that makes its own is left to it. Only this one format is added: in a notebook text/plain stays
    the object's `repr`, and in a terminal that of an object inside another. `before` is
    what made it until the extension was loaded; None for nothing.
    """

    def __init__(self, table: Callable[..., str], before: Callable[..., Any] | None) -> None:
        self._table, self.before = table, before

    def __call__(self, shown: Any, printer: Any = None, cycle: bool = False) -> Any:
        if printer is not None:
            own = self._make(shown, as_text=True) if len(printer.stack) == 1 else None
            if own is None and self.before is not None:
                return self.before(shown, printer, cycle)
            return printer.text(repr(shown) if own is None else own)
        # IPython would ask us before these.
        if get_real_method(shown, "_repr_mimebundle_") is not None:
            return None
        if (own := get_real_method(shown, "_repr_html_")) is not None:
            return own()
        return self._make(shown)

    def _make(self, shown: Any, **options: Any) -> str | None:
        try:
            return self._table(shown, **options)
        except Exception as error:  # noqa: BLE001 - said in a line; the object is shown by its repr
            words = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
            print(f"dlwidgets has no layer table of this {type(shown).__name__}: {words}", file=sys.stderr)
            return None


#: By the names of classes; IPython takes the nearest base. On other backends than torch Keras's are no modules.
_TABLES: dict[str, Callable[..., str]] = dict.fromkeys(MODEL_CLASSES, table)


def _printers(ipython: InteractiveShell) -> Any:
    """Return what makes HTML, or a terminal's text."""
    shown = ipython.display_formatter
    return shown.formatters["text/html" if "text/html" in shown.active_types else "text/plain"]
