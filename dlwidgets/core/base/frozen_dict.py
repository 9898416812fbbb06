"""A read-only dict whose order is part of its value."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, TypeVar

T = TypeVar("T")


class FrozenDict(dict[str, T]):
    """A read-only dict; two are equal where their order is too."""

    #: What is said to somebody who writes into it: what to do instead.
    instead: ClassVar[str] = "It is replaced as a whole."

    def __eq__(self, other: object) -> bool:
        if isinstance(other, type(self)):
            return [*self.items()] == [*other.items()]
        return super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(self.instead)

    __setitem__ = __delitem__ = __ior__ = _refuse  # type: ignore[assignment]
    clear = pop = popitem = setdefault = update = _refuse  # type: ignore[assignment]
