"""SampleReader: the samples behind scores as cards, read once and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.base.isolation import preserve_random_state
from ...core.data.samples import Card, make_card, read_samples
from ...core.scoring.one_class import find_telling_columns

if TYPE_CHECKING:
    from ...core.scoring.scores import Scores
    from ...session import Session

#: How long samples may be read between two steps of the training [s].
_TURN = 0.01
#: Cards that are kept, and samples of each side that choose the columns of a row.
_KEPT, _COMPARED = 480, 200


class SampleReader:
    """Reads samples as `Card`s: a session's validation data, or those handed over.

    A session's samples are read on its training thread: a Dataset of its own may draw random numbers, read
    files, or be read by the training at the same time. Handed over, they are read at once.

    For `X` and `arrived` see `ClassDetail`. A TypeError or ValueError says that X cannot be read by number,
    or that there is a session too.
    """

    def __init__(self, session: Session | None, X: Any, arrived: Callable[[], None]) -> None:
        if X is not None and session is not None:
            raise ValueError("X are the samples of bare Scores: a Session brings its own.")
        self._session, self._arrived = session, arrived
        self._given = None if X is None else read_samples(X)
        self._cards: dict[int, Card] = {}
        self._wanted: tuple[Scores, int, list[int]] | None = None
        self._reading = False
        #: The class whose columns were compared last, and those that tell it apart.
        self._columns: tuple[int, list[int]] = (-1, [])
        self._other_order = ""
        #: How many samples there are by number: known once some were read, since an iterable is drawn from.
        self.count: int | None = None

    @property
    def samples(self) -> Any:
        """What gives the samples by number; None where there is nothing."""
        if self._session is None:
            return self._given
        return self._session.samples if self._session.has_valid else None

    def number(self, scores: Scores, row: int) -> int:
        """Return the number among the samples of a row of the scores."""
        alone = self._session is None or scores.sample_ids is None
        return row if alone else int(scores.sample_ids[row])

    def want(self, scores: Scores, cls: int, rows: list[int]) -> list[Card | None]:
        """Return the cards of some rows; None where one is being read."""
        numbers = [self.number(scores, row) for row in rows]
        self._wanted = scores, cls, rows
        missing = any(number not in self._cards for number in numbers) or not self._compared(cls)
        if self.samples is None or self._other_order or not missing:
            pass
        elif self._session is None:
            self._read(None)
        elif not self._reading:
            self._reading = True
            try:
                self._session.at_batch(lambda: self._read(_TURN)).add_done_callback(self._done)
            except (RuntimeError, ValueError):  # the session was closed: what is here stays
                self._reading = False
        return [self._cards.get(number) for number in numbers]

    def why_not(self, scores: Scores) -> str:
        """Say why samples cannot be seen, or only some, or nothing."""
        if self.samples is None:
            return "To see the samples pass them too: ConfusionGrid(scores, X)."
        if self._other_order:
            return self._other_order
        if self.count is not None and self.count <= self.number(scores, scores.n_samples - 1):
            return (
                f"The validation data is an iterable: only its first {self.count} samples can be seen. "
                "Pass a Dataset or (X, y) to see them all."
            )
        return ""

    def columns(self, cls: int) -> list[tuple[int, str]]:
        """Return (number, name) of the columns that tell a class apart best."""
        if self._columns[0] != cls:
            return []
        session = self._session
        names = getattr(self._given, "columns", None) if session is None else session.columns
        known = 0 if names is None else len(names)
        return [(c, str(names[c]) if c < known else f"x[{c}]") for c in self._columns[1]]

    def close(self) -> None:
        """Let the samples go."""
        self._cards, self._wanted, self._given = {}, None, None

    # -- inside

    def _done(self, _future: Any) -> None:
        self._reading = False
        self._arrived()

    def _read(self, within: float | None) -> None:
        """Read what is wanted, for about `within` seconds; the rest later."""
        began, samples, wanted = time.perf_counter(), self.samples, self._wanted
        if wanted is None or samples is None:
            return
        scores, cls, rows = wanted
        # A session's samples leave no trace in any generator by themselves.
        with preserve_random_state() if self._session is None else nullcontext():
            self.count = len(samples)
            for row in rows:
                number = self.number(scores, row)
                if number not in self._cards:
                    self._cards[number] = self._card(samples, scores, row, number)
                    if within is not None and time.perf_counter() - began > within:
                        break
            else:
                if not self._compared(cls):
                    self._compare(samples, scores, cls)
        while len(self._cards) > _KEPT:
            self._cards.pop(next(iter(self._cards)))

    def _card(self, samples: Any, scores: Scores, row: int, number: int) -> Card:
        try:
            if self.count is not None and number >= self.count:
                return Card("none", text="cannot be had by number")
            if self._session is None:
                return make_card(samples.inputs(number))
            inputs, target = samples.item(number)
            # A loader that shuffles gives its samples in another order than they are numbered.
            if not _same(target, scores.y_true[row]):
                self._other_order = (
                    "The validation data gives its samples in another order each time: which is which cannot "
                    "be told. A DataLoader with shuffle=False lets you see them."
                )
                return Card("none", text="unknown which")
            return make_card(inputs)
        except Exception as error:  # noqa: BLE001 - said on the card; the list and the training go on
            return Card("none", text=str(error) or type(error).__name__)

    def _compared(self, cls: int) -> bool:
        """Say whether the columns are chosen, or there are none to choose."""
        return self._columns[0] == cls or not any(one.kind == "row" for one in self._cards.values())

    def _compare(self, samples: Any, scores: Scores, cls: int) -> None:
        groups: list[np.ndarray] = []
        for label in (1, 0):
            rows = np.flatnonzero(scores.y_true[:, cls] == label)
            rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _COMPARED)).astype(int)]
            numbers = [self.number(scores, row) for row in rows.tolist()]
            read = [make_card(samples.inputs(n)).values for n in numbers if n < (self.count or 0)]
            groups.append(np.array([[v if isinstance(v, float) else np.nan for v in row] for row in read]))
        width = max(group.shape[1] if group.ndim == 2 else 0 for group in groups)
        groups = [group if group.ndim == 2 else np.empty((0, width)) for group in groups]
        self._columns = (cls, find_telling_columns(*groups))


def _same(target: Any, labels: np.ndarray) -> bool:
    """Say whether a sample's target is what the scores hold for it."""
    found = np.asarray(target, np.float64).reshape(-1) if target is not None else np.empty(0)
    if len(found) == len(labels):
        known = np.isfinite(found) & (labels >= 0)
        return bool((found[known] == labels[known]).all())
    if len(found) == 1 and (labels == 1).sum() == 1:
        return int(found[0]) == int(labels.argmax())
    return True
