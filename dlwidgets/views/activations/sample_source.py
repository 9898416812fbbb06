"""The samples of an activation browser, and a person's own."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from ...core.activations.samples import OwnSample, fit_sample, in_order, value_range
from ...core.base.numbers import read_integer
from ...core.base.trees import tree_tensors

if TYPE_CHECKING:
    from ...core.scoring.scores import Scores

#: Classes that are offered to go through, and the bytes of pixels that a page may hand over.
_MOST_CLASSES, _MOST_PIXELS = 200, 300_000


class SampleSource:
    """Numbered samples, with the one that a person brought behind the last.

    It answers as the samples themselves do: `len()`, `.name`, `.inputs(i)` a batch of one, `.item(i)` that
    and the target, None where none is known. The own sample is number `len()`, which no count contains.

    Attributes
    ----------
    samples : a session's, or those that were handed over; `scores` returns theirs, None before any.
    own : the sample that a person brought, while it is looked at.
    order : "number", "worst", "best" or "class:NAME": the way that next and previous go.
    takes : whether an image or a text can be brought; of an image it is known once a sample was read.
    """

    def __init__(
        self,
        samples: Any,
        scores: Callable[[], Scores | None] = lambda: None,
        encode: Callable[[str], Any] | None = None,
    ) -> None:
        if encode is not None and not callable(encode):
            raise TypeError(f"encode={encode!r} cannot be called: a function text -> sample is wanted.")
        self.samples = samples
        self.own: OwnSample | None = None
        self.order = "number"
        self._scores, self._encode = scores, encode
        self.takes = {"image": False, "text": encode is not None}
        #: The numbers of the samples in the order of scores, found once for both.
        self._numbers: tuple[Any, str, list[int]] = (None, "", [])
        self._value_range = cache(lambda: value_range(samples))

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def name(self) -> str:
        """What the samples are, as "validation"."""
        return str(self.samples.name)

    def inputs(self, index: int) -> Any:
        """Return the inputs of a sample as a batch of one."""
        return self.item(index)[0]

    def item(self, index: int) -> tuple[Any, Any]:
        """Return inputs and target of a sample, which is read once."""
        if self.own is not None and index == len(self):
            return self.own.inputs, None
        item = self.samples.item(index)
        given = list(tree_tensors(item[0]))
        self.takes["image"] = len(given) == 1 and given[0].ndim == 4 and given[0].is_floating_point()
        return item

    def must_exist(self, index: Any) -> None:
        """Refuse with a ValueError what is no number of a sample."""
        last = len(self) - 1
        if read_integer(index) not in range(last + 1):
            raise ValueError(f"Sample {index!r} does not exist: the {self.name} samples are 0 to {last}.")

    # -- one's own

    def bring(self, x: Any, name: str | None = None, before: str = "") -> None:
        """Look at `x`, fitted, henceforth; `before` was done to it already."""
        found = fit_sample(x, self.samples.inputs(0), name, span=self._value_range, encode=self._encode)
        self.own = OwnSample(found.inputs, found.name, ", ".join(filter(None, [before, found.done])))

    def bring_pixels(self, about: dict[str, Any], pixels: bytes) -> None:
        """Look at an image that a page decoded; `about` tells its size."""
        width, height = about.get("width"), about.get("height")
        fits = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
        if not fits or len(pixels) != width * height * 3 or len(pixels) > _MOST_PIXELS:
            raise ValueError("The page sent an image whose size is not what it says.")
        image = torch.frombuffer(bytearray(pixels), dtype=torch.uint8).reshape(height, width, 3)
        name, done = str(about.get("name") or "your own")[:80], str(about.get("done") or "")[:120]
        self.bring(image, name, done)

    # -- the way through

    def orders(self) -> list[list[str]]:
        """Return the orders there are, each with the words for it."""
        found, scores = [["number", "number"]], self._scores()
        if scores is None:
            return found
        found += [["worst", "loss, worst first"], ["best", "loss, best first"]]
        return found + [[f"class:{name}", f"of {name}"] for name in scores.classes[:_MOST_CLASSES]]

    def choose_order(self, order: str) -> None:
        """Go in another order; ValueError where there is none, or none yet."""
        scores = self._scores()
        if order != "number":
            if scores is None:
                raise ValueError("Samples are ordered by loss and class after the first evaluation.")
            in_order(scores, order)
        self.order = order

    def _in_order(self) -> list[int]:
        scores = self._scores()
        if scores is None:
            return []
        if self._numbers[0] is not scores or self._numbers[1] != self.order:
            numbers = in_order(scores, self.order)
            if scores.numbers is not None:
                numbers = scores.numbers[numbers]
            # Of boxes many lie in one picture: it stands where the first of them does.
            self._numbers = (scores, self.order, list(dict.fromkeys(numbers.tolist())))
        return self._numbers[2]

    def place(self, index: int) -> list[int] | None:
        """Return a sample's place in the order, and its length, or None."""
        if self.order == "number":
            return None
        numbers = self._in_order()
        return [numbers.index(index) if index in numbers else -1, len(numbers)]

    def go(self, where: str, index: int) -> int:
        """Return the "next", "previous", "first" or a "random" sample from `index`."""
        numbers = list(range(len(self))) if self.order == "number" else self._in_order()
        if not numbers:
            raise ValueError("There is no sample to go to in this order.")
        at, last = numbers.index(index) if index in numbers else -1, len(numbers) - 1
        ways = {"next": min(at + 1, last), "previous": max(at - 1, 0), "first": 0}
        if where == "random":
            # Not from the generators that training draws from.
            return random.SystemRandom().choice([one for one in numbers if one != index] or numbers)
        if where not in ways:
            raise ValueError(f"There is no way {where!r} from a sample.")
        return numbers[ways[where]]
