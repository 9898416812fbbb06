"""What views may leave to threads."""

from __future__ import annotations

import threading

from ..core.base.frontend import find_frontend


def shows_threads() -> bool:
    """Say whether the page shows what any thread sends."""
    return find_frontend().shows_threads


def start_where_shown(thread: threading.Thread) -> bool:
    """Start a thread that sends; say whether it can, and is seen."""
    if not shows_threads():
        return False
    try:
        thread.start()
    except RuntimeError:  # a host without threads, or an interpreter that ends
        return False
    return True
