"""Calls of layers by way of their class."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import nn

#: Given a layer and what it is called with: what is to be told its output.
Heard = Callable[[nn.Module, Sequence[Any], Mapping[str, Any]], Callable[[Any], None]]


@contextmanager
def hear_unbound(modules: Iterable[nn.Module], heard: Heard) -> Iterator[None]:
    """Tell of calls as `nn.Linear.forward(self.layer, x)`, on this thread.

    Python's profiler tells of them, which slows all code down: it is for layers that a first run has missed.
    """
    wanted, running = {id(module): module for module in modules}, dict[FrameType, Callable[[Any], None]]()

    def tell(frame: FrameType, event: str, result: Any) -> None:
        if event == "call" and frame.f_code.co_name == "forward" and frame.f_code.co_argcount:
            given = inspect.getargvalues(frame)
            first, *names = given.args
            module = wanted.get(id(given.locals[first]))
            # A method of its class that calls that of the class above is one call.
            if module is not None and frame.f_back not in running:
                rest = given.locals[given.varargs] if given.varargs else ()
                named = given.locals[given.keywords] if given.keywords else {}
                running[frame] = heard(module, [*(given.locals[name] for name in names), *rest], named)
        elif event == "return" and frame in running:
            running.pop(frame)(result)

    before = sys.getprofile()
    sys.setprofile(tell)
    try:
        yield
    finally:
        sys.setprofile(before)
