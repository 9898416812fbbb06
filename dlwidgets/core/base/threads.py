"""Threads that work on for a cell."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any


def make_thread(work: Callable[[], Any], name: str) -> threading.Thread:
    """Return a daemon thread for `work` with the caller's context.

    Without it ipykernel 7.0 raises LookupError on a message, or a trait update, from the thread.
    """
    run = contextvars.copy_context().run
    return threading.Thread(target=run, args=(work,), name=name, daemon=True)
