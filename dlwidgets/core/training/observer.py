"""An observer whose failure does not stop the training that tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Guarded:
    """Calls `handler`; where `caught(error)` takes the exception, all goes on.

    Equal to its handler, so that a list of observers finds it by the handler.

    Parameters
    ----------
    caught : given the handler and the exception; returns whether it was dealt with.
    """

    def __init__(self, handler: Callable[..., Any], caught: Callable[[Any, Exception], bool]) -> None:
        self.handler, self._caught = handler, caught

    def __call__(self, change: Any) -> Any:
        try:
            return self.handler(change)
        except Exception as error:
            if not self._caught(self.handler, error):
                raise

    def __eq__(self, other: object) -> bool:
        return self.handler == (other.handler if isinstance(other, Guarded) else other)

    def __hash__(self) -> int:
        return hash(self.handler)
