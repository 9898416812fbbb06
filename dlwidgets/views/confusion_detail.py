"""ClassDetail: the part of ConfusionGrid that looks into one class, its samples, its curves and its past."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from ..core.data.cards import Card, by_number, card
from ..core.models.borrowed import untouched_rng
from ..core.scoring.quadrants import rows_in, telling_columns

if TYPE_CHECKING:
    from ..core.scoring.scores import Scores
    from ..session import Session

#: The parts of the page, in the order in which they are joined, and the style sheet.
DETAIL_JS = ("confusion_charts.js", "confusion_samples.js", "confusion_rail.js", "confusion_detail.js")
DETAIL_CSS = "confusion_detail.css"
#: Samples on a page.
PAGE = 24
#: How long samples may be read between two steps of the training [s].
_TURN = 0.01
#: Cards that are kept, and samples of each side that choose the columns of a row.
_KEPT, _COMPARED = 480, 200


class ClassDetail(traitlets.HasTraits):
    """What opens under the tiles of a ConfusionGrid when a class is pinned.

    It lists the samples of one quadrant, the most confident first, a page at a time. With a session the
    samples are its validation data, read between two steps of the training and kept; a click on one makes
    it the session's `selected_sample`. With bare Scores they are `X`, and `selected_sample` holds the click.
    The curves of the class are drawn by the page from the counts that the grid has.

    The grid calls `_open_detail` before its own traits are sent, `project_detail` within `project` and
    `wish_detail` first in `wish`; `_thresholds()` is the grid's.
    """

    #: Also of a view that was refused before the detail was opened.
    _detail_session: Session | None = None

    quadrant = traitlets.Dict(help="class: a number, or -1; cell: 0 tn, 1 fp, 2 fn, 3 tp, -1").tag(sync=True)
    sample_page = traitlets.Int(0, help="which page of samples is shown").tag(sync=True)
    listed = traitlets.Dict(
        help="of the list: class, cell, total, page, first, form, columns, waiting, note"
    ).tag(sync=True)
    cards = traitlets.List(
        help="a dict a sample: number, name, score, true, said (class numbers), kind, size, values, text"
    ).tag(sync=True)
    card_pixels = traitlets.Bytes(
        b"", help="uint8, the images of `cards` one after the other, each size = H x W x channels, C order"
    ).tag(sync=True)
    selected_sample = traitlets.Int(None, allow_none=True, help="number of the chosen sample").tag(sync=True)

    def _open_detail(
        self, session: Session | None, scores: Callable[[], Scores | None], X: Any = None
    ) -> None:
        if X is not None and session is not None:
            raise ValueError("X are the samples of bare Scores: a Session brings its own.")
        self._detail_session, self._detail_scores = session, scores
        self._given = None if X is None else by_number(X)
        found = scores()
        if self._given is not None and found is not None and len(self._given) != found.n_samples:
            raise ValueError(
                f"X has {len(self._given)} samples, the scores have {found.n_samples}: one each is wanted."
            )
        self._open_at, self._page_at = (-1, -1), 0
        self._chosen_sample: int | None = None
        self._cards: dict[int, Card] = {}
        self._wanted: list[int] = []
        self._unlike = ""
        self._columns: tuple[Any, list[int]] | None = None
        self._reading = False
        self._ordered: tuple[Any, np.ndarray, int] | None = None
        if session is not None:
            session.observe(self._detail_moved, names=["selected_sample"])

    # -- the picture

    def project_detail(self) -> dict[str, Any]:
        """Return the values of the detail's traits."""
        scores, (cls, cell) = self._detail_scores(), self._open_at
        values: dict[str, Any] = {
            "quadrant": {"class": cls, "cell": cell},
            "selected_sample": self._selected(),
            "sample_page": self._page_at,
        }
        if scores is None or not 0 <= cls < scores.n_classes or cell < 0:
            return {**values, "listed": {}, "cards": [], "card_pixels": b""}
        return {**values, **self._page_of(scores, cls, cell)}

    def _page_of(self, scores: Scores, cls: int, cell: int) -> dict[str, Any]:
        rows, total = self._rows(scores, cls, cell)
        numbers = [self._number(scores, row) for row in rows.tolist()]
        self._want(scores, cls, rows.tolist(), numbers)
        found = [self._cards.get(number) for number in numbers]
        columns = self._telling(cls) if any(c is not None and c.kind == "row" for c in found) else []
        names = self._column_names()
        packed, pixels = [], []
        for row, number, one in zip(rows.tolist(), numbers, found):
            packed.append({**self._facts(scores, row, number, cls), **_words(one, columns)})
            if one is not None and one.image is not None:
                pixels.append(one.image.tobytes())
        forms = [one.kind for one in found if one is not None and one.kind != "none"]
        listed = {
            "class": cls, "cell": cell, "total": total, "page": self._page_at, "first": self._page_at * PAGE,
            "form": forms[0] if forms else "none",
            "columns": [names[c] if names is not None and c < len(names) else f"column {c}" for c in columns],
            "waiting": any(one is None for one in found) and self._samples() is not None,
            "note": self._why_not(scores),
        }  # fmt: skip
        return {"listed": listed, "cards": packed, "card_pixels": b"".join(pixels)}

    def _rows(self, scores: Scores, cls: int, cell: int) -> tuple[np.ndarray, int]:
        limits = np.broadcast_to(np.asarray(self._thresholds(), np.float64).reshape(-1), (scores.n_classes,))
        key = (id(scores), float(limits[cls]), cls, cell, self._page_at)
        if self._ordered is None or self._ordered[0] != key:
            rows, total = rows_in(scores, cls, cell, float(limits[cls]), self._page_at * PAGE, PAGE)
            if not len(rows) and total:
                # The list has become shorter than the page that was open.
                self._page_at = (total - 1) // PAGE
                rows, total = rows_in(scores, cls, cell, float(limits[cls]), self._page_at * PAGE, PAGE)
            self._ordered = (key, rows, total)
        return self._ordered[1], self._ordered[2]

    def _facts(self, scores: Scores, row: int, number: int, cls: int) -> dict[str, Any]:
        """Return what the scores say of a sample: number, name, score, true and said classes."""
        limits = np.asarray(self._thresholds(), np.float64)
        said = scores.y_score[row].astype(np.float64) >= limits
        if scores.task == "multiclass":
            said = np.arange(scores.n_classes) == scores.y_score[row].argmax()
        name = str(number) if scores.sample_ids is None else str(scores.sample_ids[row])
        return {
            "number": number, "name": name, "score": _finite(scores.y_score[row, cls]),
            "true": np.flatnonzero(scores.y_true[row] == 1).tolist(), "said": np.flatnonzero(said).tolist(),
        }  # fmt: skip

    # -- the samples

    def _samples(self) -> Any:
        session = self._detail_session
        return self._given if session is None else (session.samples if session.has_valid else None)

    def _number(self, scores: Scores, row: int) -> int:
        """Return the number of a row of the scores among the samples."""
        if self._detail_session is None or scores.sample_ids is None:
            return row
        return int(scores.sample_ids[row])

    def _want(self, scores: Scores, cls: int, rows: list[int], numbers: list[int]) -> None:
        """Have the cards of some samples read: at once, or between two steps where there is a session."""
        self._asked_for = (scores, rows, numbers)
        samples, session = self._samples(), self._detail_session
        if samples is None or self._unlike:
            return
        if all(number in self._cards for number in numbers) and self._columns_known(scores, cls):
            return
        if session is None:
            self._read(None)
        elif not self._reading:
            self._reading = True
            try:
                session.at_step(lambda: self._read(_TURN)).add_done_callback(self._was_read)
            except (RuntimeError, ValueError):  # the session was closed: what is here stays
                self._reading = False

    def _was_read(self, _future: Any) -> None:
        self._reading = False
        self.refresh()

    def _read(self, within: float | None) -> None:
        """Read cards that are wanted, for about `within` seconds; what is left over is asked for again."""
        began, samples = time.perf_counter(), self._samples()
        scores, rows, numbers = self._asked_for
        with untouched_rng():
            for row, number in zip(rows, numbers):
                if number not in self._cards:
                    self._cards[number] = self._card(samples, scores, row, number)
                    if within is not None and time.perf_counter() - began > within:
                        break
            else:
                self._compare(samples, scores)
        while len(self._cards) > _KEPT:
            self._cards.pop(next(iter(self._cards)))

    def _card(self, samples: Any, scores: Scores, row: int, number: int) -> Card:
        try:
            if number >= len(samples):
                return Card("none", text="not to be had by number")
            # A loader that shuffles gives its samples in another order than they are numbered.
            if self._detail_session is not None and not _same(samples.target(number), scores.y_true[row]):
                self._unlike = (
                    f"Sample {number} has other labels than its row of the scores: the data gives its "
                    "samples in another order each time. A DataLoader with shuffle=False lets you see them."
                )
                return Card("none", text="another sample")
            return card(samples.inputs(number))
        except Exception as error:  # noqa: BLE001 - said on the card; the list and the training go on
            return Card("none", text=str(error) or type(error).__name__)

    def _why_not(self, scores: Scores) -> str:
        """Say why samples cannot be looked at, or only some; "" where all can."""
        samples = self._samples()
        if samples is None:
            return "To see the samples pass them too: ConfusionGrid(scores, X)."
        if self._unlike:
            return self._unlike
        if self._detail_session is not None and len(samples) < self._detail_session.evaluation.samples:
            return (
                f"The validation data is an iterable: only its first {len(samples)} samples can be seen. "
                "Pass a Dataset or (X, y) to see them all."
            )
        return ""

    # -- the columns of rows

    def _columns_known(self, scores: Scores, cls: int) -> bool:
        if not any(one.kind == "row" for one in self._cards.values()):
            return True
        return self._columns is not None and self._columns[0] == cls

    def _compare(self, samples: Any, scores: Scores) -> None:
        """Choose the columns by which the samples of the class differ most from the others."""
        cls = self._open_at[0]
        if cls < 0 or self._columns_known(scores, cls):
            return
        groups: list[np.ndarray] = []
        for label in (1, 0):
            rows = np.flatnonzero(scores.y_true[:, cls] == label)
            rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), _COMPARED)).astype(int)]
            numbers = [n for n in (self._number(scores, row) for row in rows.tolist()) if n < len(samples)]
            read = [card(samples.inputs(number)).values for number in numbers]
            groups.append(np.array([[v if isinstance(v, float) else np.nan for v in row] for row in read]))
        width = max(group.shape[1] if group.ndim == 2 else 0 for group in groups)
        groups = [group if group.ndim == 2 else np.empty((0, width)) for group in groups]
        self._columns = (cls, telling_columns(*groups))

    def _telling(self, cls: int) -> list[int]:
        return self._columns[1] if self._columns is not None and self._columns[0] == cls else []

    def _column_names(self) -> tuple[str, ...] | None:
        session = self._detail_session
        found = getattr(self._given, "columns", None) if session is None else session._opened.columns
        return None if found is None else tuple(str(name) for name in found)

    # -- what a person wants

    def wish_detail(self, name: str, value: Any) -> bool:
        """Do what a person asked for, where it is the detail's; say whether it was."""
        if name == "quadrant":
            cls, cell = (-1, -1) if value is None else (value.get("class", -1), value.get("cell", -1))
            scores = self._detail_scores()
            if not (_whole(cls) and _whole(cell)) or cell > 3 or (scores and cls >= scores.n_classes):
                raise ValueError(f"There is no quadrant {value!r}: a class and a cell, 0 to 3, are wanted.")
            if (cls, cell) != self._open_at:
                self._page_at = 0
            self._open_at = (cls, cell) if cls >= 0 else (-1, -1)
        elif name == "sample_page":
            if not _whole(value) or value < 0:
                raise ValueError(f"There is no page {value!r} of samples: they count from 0.")
            self._page_at = value
        elif name == "selected_sample":
            self._select(value)
        else:
            return False
        self.refresh()
        return True

    def _select(self, number: Any) -> None:
        samples, scores = self._samples(), self._detail_scores()
        count = len(samples) if samples is not None else scores.n_samples if scores is not None else 0
        if not _whole(number) or not 0 <= number < count:
            raise ValueError(f"Sample {number!r} does not exist: the samples are 0 to {count - 1}.")
        if self._detail_session is not None:
            self._detail_session.selected_sample = number
        self._chosen_sample = number

    def _selected(self) -> int | None:
        # With a session nothing is marked before somebody chose: its number begins at 0.
        session = self._detail_session
        return self._chosen_sample if session is None else session.selected_sample

    def _detail_moved(self, _change: Any) -> None:
        self.refresh()

    def close(self) -> None:
        """Stop following the session's sample and let the samples go."""
        session = self._detail_session
        if session is not None:
            with contextlib.suppress(ValueError):
                session.unobserve(self._detail_moved, names=["selected_sample"])
        self._cards = {}
        super().close()  # type: ignore[misc]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> float:
    """Return a number that JSON has, as an infinite score is told."""
    return float(np.clip(float(value), -1e300, 1e300))


def _words(one: Card | None, columns: list[int]) -> dict[str, Any]:
    if one is None:
        return {"kind": "waiting"}
    if one.image is not None:
        return {"kind": "image", "size": list(one.image.shape)}
    if one.kind == "row":
        return {"kind": "row", "values": [_json(one.values[c]) for c in columns if c < len(one.values)]}
    return {"kind": one.kind, "text": one.text}


def _json(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else None


def _same(target: Any, labels: np.ndarray) -> bool:
    """Say whether a sample's target is what the scores hold for it, as far as that can be told."""
    found = np.asarray(target, np.float64).reshape(-1) if target is not None else np.empty(0)
    if len(found) == len(labels):
        known = np.isfinite(found) & (labels >= 0)
        return bool((found[known] == labels[known]).all())
    if len(found) == 1 and (labels == 1).sum() == 1:
        return int(found[0]) == int(labels.argmax())
    return True
