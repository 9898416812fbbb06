"""What views may leave to threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.base.frontend import find_frontend
from ..core.base.threads import make_thread


def shows_threads() -> bool:
    """Say whether the page shows what any thread sends."""
    return find_frontend().shows_threads


def start_where_shown(work: Callable[[], Any], name: str) -> bool:
    """Start a thread that sends; say whether it can and is seen."""
    if not shows_threads():
        return False
    try:
        make_thread(work, name).start()
    except RuntimeError:  # a host without threads, or an interpreter that ends
        return False
    return True
