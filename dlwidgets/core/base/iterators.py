"""Iterators lent out, and given back unmoved."""

from __future__ import annotations

import types
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

#: Of a generator that gives once more what was drawn from it: that, and the generator itself.
_SOURCES: WeakKeyDictionary[Any, tuple[deque[Any], Iterator[Any]]] = WeakKeyDictionary()


def is_iterator(one: Any) -> bool:
    """Say whether `next` moves an object unseen in its attributes."""
    return hasattr(type(one), "__next__") and not hasattr(one, "__dict__")


def lend(one: Any) -> tuple[Any, Callable[[], Any]] | None:
    """Return a loan of an iterator, and what returns it unmoved.

    A copy is lent where there can be one. What is drawn from the loan of a generator is drawn from it, and
    comes once more from the generator that stands in for it afterwards. None: it can be neither.
    """
    if isinstance(one, types.GeneratorType):
        return _lend_generator(one)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return _copied(one), lambda: one
    except (TypeError, NotImplementedError):
        # One over a generator; from Python 3.14 on also those of itertools.
        return _lend_generator(one) if type(one).__module__ in ("builtins", "itertools") else None


def _copied(one: Any) -> Any:
    """Copy an iterator and those that it draws from."""
    if not is_iterator(one):
        return one
    make, given, *state = one.__reduce__()
    made = make(*map(_copied, given))
    if state and state[0] is not None:
        kept = state[0]
        made.__setstate__(tuple(map(_copied_state, kept)) if isinstance(kept, tuple) else kept)
    return made


def _copied_state(part: Any) -> Any:
    return list(part) if isinstance(part, list) else _copied(part)  # that in which cycle() collects


def _lend_generator(one: Any) -> tuple[Any, Callable[[], Any]]:
    known = _SOURCES.get(one) if isinstance(one, types.GeneratorType) else None
    first, source = known or (deque(), one)
    waiting, taken = list(first), list[Any]()

    def loan() -> Iterator[Any]:
        yield from waiting
        for value in source:
            taken.append(value)
            yield value

    def put_back() -> Any:
        if not taken:
            return one
        first = deque([*waiting, *taken])
        made = _again(first, source)
        _SOURCES[made] = first, source
        return made

    return loan(), put_back


def _again(first: deque[Any], source: Iterator[Any]) -> Iterator[Any]:
    while first:
        yield first.popleft()
    for value in source:  # noqa: UP028 - `yield from` would end it where this one is ended
        yield value


#: What has entries that can be replaced.
Place = MutableMapping[Any, Any] | list[Any] | deque[Any]


def lend_iterators(places: Iterable[Place]) -> Callable[[], list[tuple[int, Any, Any]]]:
    """Replace iterators in containers by loans; return what puts them back.

    That returns identity of the container, key, and what is there again.
    """
    lent: list[tuple[Any, Any, Any, Callable[[], Any]]] = []
    loans: dict[int, tuple[Any, Callable[[], Any]] | None] = {}
    for place in places:
        for key, value in list(enumerate(place) if isinstance(place, (list, deque)) else place.items()):
            if is_iterator(value):
                loan = loans[id(value)] if id(value) in loans else loans.setdefault(id(value), lend(value))
                if loan is not None:
                    place[key] = loan[0]
                    lent.append((place, key, *loan))

    def put_back() -> list[tuple[int, Any, Any]]:
        origins: dict[int, Any] = {}
        for place, key, loan, origin in lent:
            if id(loan) not in origins:
                origins[id(loan)] = origin()
            with suppress(LookupError):  # the forward has taken it out
                if place[key] is loan:
                    place[key] = origins[id(loan)]
        return [(id(place), key, origins[id(loan)]) for place, key, loan, _ in lent]

    return put_back
