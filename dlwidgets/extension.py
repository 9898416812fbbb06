"""`%load_ext dlwidgets`: a bare model shows its layer table."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.utils.dir2 import get_real_method

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from torch import nn


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Show models as tables from now on, once however often called."""
    printers = _html(ipython)
    for name, table in _TABLES.items():
        before = printers.pop(name, None)
        printers.for_type(name, before if isinstance(before, _Shown) else _Shown(table, before))


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Show models as before."""
    printers = _html(ipython)
    for name in _TABLES:
        current = printers.pop(name, None)
        left = current.before if isinstance(current, _Shown) else current
        if left is not None:
            printers.for_type(name, left)


def table(model: nn.Module) -> str:
    """Return a model's layer table as HTML, with a hint.

    The model is not run, and nothing is kept: unlike a view, the table costs nothing once it is shown.
    """
    from .core.layers.example_input import input_hint
    from .core.layers.summary import make_summary
    from .core.layers.summary_text import html
    from .core.layers.walk import walk

    found = make_summary(layers := walk(model))
    hint = input_hint(layers, call="dlwidgets.summary")
    return html(dataclasses.replace(found, notes=(*found.notes, hint)))


class _Shown:
    """Makes the text/html of one type, where the object has none itself.

    Only this one format is added: text/plain stays the object's `repr`, and a terminal, which has no HTML,
    asks for nothing more. `before` is what made it until the extension was loaded; None for nothing.
    """

    def __init__(self, table: Callable[[Any], str] | None, before: Callable[[Any], Any] | None) -> None:
        self._table, self.before = table, before

    def __call__(self, shown: Any) -> Any:
        # IPython would ask us before these.
        if get_real_method(shown, "_repr_mimebundle_") is not None:
            return None
        if (own := get_real_method(shown, "_repr_html_")) is not None:
            return own()
        if self._table is None:
            return None
        try:
            return self._table(shown)
        except Exception as error:  # noqa: BLE001 - said in a line; the object is shown by its repr
            words = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
            print(f"dlwidgets has no layer table of this {type(shown).__name__}: {words}", file=sys.stderr)
            return None


#: By the names of types, so that neither torch nor Keras is imported here; IPython takes the nearest base.
_TABLES: dict[str, Callable[[Any], str] | None] = {
    "torch.nn.modules.module.Module": table,
    # On the torch backend these are modules, too, but most hide their layers from torch.
    "keras.src.layers.layer.Layer": None,
}


def _html(ipython: InteractiveShell) -> Any:
    return ipython.display_formatter.formatters["text/html"]
