"""ClassDetail: the part of a confusion grid that looks into one class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.data.card import Card
from ...core.scoring.one_class import (
    count_instead,
    find_mistaken_sets,
    find_quadrant_rows,
    predict_rows,
    sample_curve,
    summarize_class,
)
from .sample_reader import SampleReader

if TYPE_CHECKING:
    from ...core.scoring.past_scores import PastScores
    from ...core.scoring.scores import Scores
    from ...session import Session

#: Samples on a page.
PAGE = 24
#: The list of labels to check, which stands beside the four quadrants.
SUSPECTS = 4
#: What is sent of the past at once [bytes]: it is sent again at each move of a threshold.
PAST_BYTES = 48 * 1024


class ClassDetail:
    """What opens under the tiles when a class is pinned.

    It lists the samples of one quadrant, the most confident first, a page at a time. With a session the
    samples are its validation data, read between two steps of the training and kept; a click on one makes
    it the session's `selected_sample`. With bare Scores they are `X`, and the click is kept here.
    The curves of the class are drawn by the page, from points that depend on no threshold and from the counts
    of the grid; the past evaluations of a session are judged at the thresholds of now.

    Parameters
    ----------
    session : the session, or None.
    scores, thresholds : return those of now.
    X : the samples of bare Scores, or None.
    arrived : called, on any thread, when samples that were wanted have been read.

    Raises
    ------
    TypeError, ValueError : X cannot be read by number, has another length, or there is a session too.
    """

    def __init__(
        self,
        session: Session | None,
        scores: Callable[[], Scores | None],
        thresholds: Callable[[], Any],
        X: Any,
        arrived: Callable[[], None],
    ) -> None:
        reader, found = SampleReader(session, X, arrived), scores()
        if X is not None and found is not None and len(reader.samples) != found.n_samples:
            raise ValueError(
                f"X has {len(reader.samples)} samples, the scores have {found.n_samples}: one each is wanted."
            )
        self._session, self._scores, self._thresholds = session, scores, thresholds
        self.reader = reader
        self._open_at, self._page_at = (-1, -1), 0
        self._past_open = False
        self._chosen_sample: int | None = None
        self._of_class: tuple[Any, dict[str, Any]] | None = None
        self._of_list: tuple[Any, np.ndarray, int] | None = None
        self._suspects: tuple[Any, np.ndarray, str] | None = None

    def project(self) -> dict[str, Any]:
        """Return the values of the detail's traits."""
        scores, (cls, cell) = self._scores(), self._open_at
        values: dict[str, Any] = {
            "quadrant": {"class": cls, "cell": cell}, "selected_sample": self._selected(),
            "listed": {}, "cards": [], "card_pixels": b"", "class_facts": {}, "class_curve": b"",
            "mistakes": {}, **self._past(cls >= 0),
        }  # fmt: skip
        if scores is not None and 0 <= cls < scores.n_classes:
            values |= self._class(scores, cls)
            if cell >= 0:
                values |= self._list(scores, cls, cell)
        return {**values, "sample_page": self._page_at}

    def close(self) -> None:
        """Let the samples go."""
        self.reader.close()

    # -- the picture

    def _class(self, scores: Scores, cls: int) -> dict[str, Any]:
        if self._of_class is None or self._of_class[0] != (scores, cls):
            found = {
                "class_facts": {"class": cls, **summarize_class(scores, cls)},
                "class_curve": sample_curve(scores, cls).tobytes(),
            }
            self._of_class = ((scores, cls), found)
        limits = self._thresholds()
        counts, wrong, missed = count_instead(scores, cls, limits)
        often = [c for c in np.argsort(-counts, kind="stable").tolist() if counts[c]][:5]
        sets = find_mistaken_sets(scores, cls, limits) if scores.task == "multilabel" else []
        mistakes = {
            "class": cls, "missed": missed, "instead": [[c, int(counts[c]), int(wrong[c])] for c in often],
            "sets": [[list(true), list(said), count] for true, said, count in sets],
        }  # fmt: skip
        return {**self._of_class[1], "mistakes": mistakes}

    def _list(self, scores: Scores, cls: int, cell: int) -> dict[str, Any]:
        rows, total = self._rows(scores, cls, cell)
        found = self.reader.want(scores, cls, rows.tolist())
        columns = self.reader.columns(cls) if any(c is not None and c.kind == "row" for c in found) else []
        said = predict_rows(scores, rows, None if scores.task == "multiclass" else self._thresholds())
        packed_cards = [
            {**self._facts(scores, row, cls, of), **_words(one, [c for c, _ in columns])}
            for row, of, one in zip(rows.tolist(), said, found)
        ]
        pixels = [one.image.tobytes() for one in found if one is not None and one.image is not None]
        forms = [one.kind for one in found if one is not None and one.kind != "none"]
        listed = {
            "class": cls, "cell": cell, "total": total, "page": self._page_at, "first": self._page_at * PAGE,
            "form": forms[0] if forms else "none", "columns": [name for _, name in columns],
            "note": self.reader.why_not(scores), "rule": self._rule() if cell == SUSPECTS else "",
        }  # fmt: skip
        return {"listed": listed, "cards": packed_cards, "card_pixels": b"".join(pixels)}

    def _rows(self, scores: Scores, cls: int, cell: int) -> tuple[np.ndarray, int]:
        """Return the rows on the open page, and how many there are."""
        limits = self._thresholds()
        key = (scores, str(limits), cls, cell, self._page_at)
        if self._of_list is None or self._of_list[0] != key:
            rows, total = self._some(scores, cls, cell, limits)
            if not len(rows) and total:
                # The list has become shorter than the page that was open.
                self._page_at = (total - 1) // PAGE
                rows, total = self._some(scores, cls, cell, limits)
            self._of_list = (key, rows, total)
        return self._of_list[1], self._of_list[2]

    def _some(self, scores: Scores, cls: int, cell: int, limits: Any) -> tuple[np.ndarray, int]:
        first = self._page_at * PAGE
        if cell < SUSPECTS:
            return find_quadrant_rows(scores, cls, cell, limits, first, PAGE)
        if self._suspects is None or self._suspects[0] != (scores, cls):
            self._suspects = ((scores, cls), *_suspicious(scores, cls))
        found = self._suspects[1]
        return found[first : first + PAGE], len(found)

    def _rule(self) -> str:
        """Say by which rule labels are suspected, and of which scores."""
        if self._suspects is not None and self._suspects[2]:
            return self._suspects[2]
        sample = (
            "Scores of the validation data are out-of-sample, as they must be."
            if self._session is not None
            else "The scores must be out-of-sample: of samples that the model was not trained on."
        )
        return f"Confident learning: the other answer scores as high as it does where it is given. {sample}"

    def _facts(self, scores: Scores, row: int, cls: int, said: np.ndarray) -> dict[str, Any]:
        """Return what the scores say of a sample."""
        number = self.reader.number(scores, row)
        return {
            "number": number, "name": str(number if scores.sample_ids is None else scores.sample_ids[row]),
            # JSON has no infinity.
            "score": float(np.clip(float(scores.y_score[row, cls]), -1e300, 1e300)),
            "true": np.flatnonzero(scores.y_true[row] == 1).tolist(), "said": np.flatnonzero(said).tolist(),
        }  # fmt: skip

    def _past(self, pinned: bool) -> dict[str, Any]:
        session = self._session
        if session is None:
            return {"past": b"", "past_width": 1, "past_moments": [], "past_line": ""}
        past, limits = session.past_scores, self._thresholds()
        if pinned or self._past_open:
            return {**pack_past(past, 0.5 if limits is None else limits), "past_line": session.line}
        # Whether there is a past at all is said, so that it can be opened.
        last = [[one.step, one.epoch, one.line] for one in past[-1:]]
        return {"past": b"", "past_width": 1, "past_moments": last, "past_line": session.line}

    # -- what a person wants

    def wish(self, name: str, value: Any) -> bool:
        """Do what a person asked for; return whether it was the detail's."""
        if name == "quadrant":
            self._open_quadrant(value)
        elif name == "sample_page":
            if not _whole(value) or value < 0:
                raise ValueError(f"There is no page {value!r} of samples: they count from 0.")
            self._page_at = value
        elif name == "selected_sample":
            self._select(value)
        elif name == "past_open":
            self._past_open = bool(value)
        else:
            return False
        return True

    def _open_quadrant(self, value: Any) -> None:
        given = value if isinstance(value, dict) else {}
        cls, cell = given.get("class", -1), given.get("cell", -1)
        scores = self._scores()
        known = 0 if scores is None else scores.n_classes
        fits = _whole(cls) and _whole(cell) and cls < known and -1 <= cell <= SUSPECTS
        if value is not None and not fits:
            raise ValueError(f"There is no quadrant {value!r}: a class and a cell, 0 to 3, are wanted.")
        asked = (cls, cell) if cls >= 0 else (-1, -1)
        if asked != self._open_at:
            self._page_at = 0
        self._open_at = asked

    def _select(self, number: Any) -> None:
        scores, count = self._scores(), self.reader.count
        if count is None:
            count = 0 if scores is None else self.reader.number(scores, scores.n_samples - 1) + 1
        if not _whole(number) or not 0 <= number < count:
            raise ValueError(f"Sample {number!r} does not exist: the samples are 0 to {count - 1}.")
        self._chosen_sample = number
        if self._session is not None:
            self._session.selected_sample = number

    def _selected(self) -> int | None:
        session = self._session
        return self._chosen_sample if session is None else session.selected_sample


def pack_past(past: Sequence[PastScores], thresholds: Any, budget: int = PAST_BYTES) -> dict[str, Any]:
    """Pack the past as values of `past`, `past_width` and `past_moments`.

    Where it would take more than `budget` bytes, evaluations are left out evenly; the first and the last of
    each line stay.

    Returns
    -------
    past : E x C x 4 unsigned integers of `past_width` bytes, C order: tn, fp, fn, tp.
    past_moments : [step, epoch, line] of each of the E.
    """
    nothing: dict[str, Any] = {"past": b"", "past_width": 1, "past_moments": []}
    if not past:
        return nothing
    classes = past[-1].classes
    # Other classes than now: what was counted then is of no use to those who compare.
    same = [one for one in past if one.classes == classes]
    dtype = np.min_scalar_type(max(int(one.totals.sum(axis=1).max(initial=0)) for one in same))
    most = max(2, budget // max(1, 4 * len(classes) * dtype.itemsize))
    kept = _thinned(same, most)
    cells = np.stack([one.confusion(thresholds).reshape(len(classes), 4) for one in kept])
    return {
        "past": cells.astype(dtype).tobytes(), "past_width": dtype.itemsize,
        "past_moments": [[int(one.step), int(one.epoch), one.line] for one in kept],
    }  # fmt: skip


def _thinned(past: list[PastScores], most: int) -> list[PastScores]:
    if len(past) <= most:
        return past
    ends = {
        i for i, one in enumerate(past)
        if i == 0 or i == len(past) - 1 or past[i - 1].line != one.line or past[i + 1].line != one.line
    }  # fmt: skip
    evenly = np.linspace(0, len(past) - 1, max(2, most - len(ends))).round().astype(int).tolist()
    return [past[i] for i in sorted(ends | set(evenly))]


def _suspicious(scores: Scores, cls: int) -> tuple[np.ndarray, str]:
    """Return the rows to check, worst first, or why not."""
    try:
        found = scores.suspicious(cls)["sample"].to_numpy()
    except ValueError as error:
        return np.empty(0, np.int64), str(error)
    if scores.sample_ids is None:
        return found.astype(np.int64), ""
    row = {name: n for n, name in enumerate(scores.sample_ids)}
    return np.array([row[name] for name in found.tolist()], np.int64), ""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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
