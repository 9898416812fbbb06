"""Operations in the graph of a Functional model that are no layers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..framework import is_layer
from .mirrored_call import copy_value


def list_graph_operations(modules: Mapping[str, Any]) -> dict[str, Any]:
    """Return name -> operation, as "add" for `x + y`.

    Those of a model within have its path before theirs. ValueError: a model of one's own has no graph.
    """
    if modules[""]._obj_type() not in ("Sequential", "Functional"):
        raise ValueError(
            "What a subclassed Keras model computes between its layers has no names: a Functional one would have them."
        )
    found = {}
    for path, module in modules.items():
        if hasattr(module, "_operations"):
            named = [one for one in module._operations if not is_layer(type(one))]
            found.update((f"{path}.{one.name}" if path else one.name, one) for one in named)
    return found


@contextmanager
def hear_calls(operations: Mapping[str, Any], tell: Callable[[str, Any, Any], None]) -> Iterator[None]:
    """Tell of each call within: the operation's name, itself, its output."""

    def heard(name: str, operation: Any, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        made = call(*args, **kwargs)
        tell(name, operation, sys.modules["keras"].tree.map_structure(copy_value, made))
        return made

    for name, operation in operations.items():
        vars(operation)["call"] = partial(heard, name, operation, operation.call)
    try:
        yield
    finally:
        for operation in operations.values():
            vars(operation).pop("call", None)
