"""ClassDetail: one class of a confusion grid, with its samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.base.isolation import preserve_random_state
from ...core.data.samples import Card, make_box_card, make_card, only_image, read_samples
from ...core.pictures.thumbnail import make_thumbnail
from ...core.scoring import one_class
from ...core.scoring.detections import UNSAID, BoxScores
from ...core.scoring.suspects import find_suspicious

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
#: How long samples may be read between two steps of the training [s].
_TURN = 0.01
#: Cards that are kept, and samples of each side that choose the columns of a row.
_KEPT, _COMPARED = 480, 200
#: The longest side of the picture that is open, in pixels.
_PICTURE = 416


class ClassDetail:
    """What opens under the tiles when a class is pinned.

    It lists the samples of one quadrant, the most confident first, a page at a time: a session's validation
    data, or with bare Scores `X`. A click on one makes it the session's `selected_sample`. The page draws
    the curves of the class, from points that depend on no threshold and from the counts of the grid; the past
    evaluations of a session are judged at the thresholds of now.

    `scores` and `thresholds` return those of now; `arrived` is called, on any thread, when samples that were
    wanted have been read. A TypeError or ValueError says that X cannot be read by number, has another length,
    or that there is a session too.
    """

    def __init__(
        self, session: Session | None, scores: Callable[[], Scores | None], thresholds: Callable[[], Any],
        X: Any, arrived: Callable[[], None],
    ) -> None:  # fmt: skip
        self.reader, found = SampleReader(session, X, arrived), scores()
        count = 0 if found is None else found.detections.n_images if isinstance(found, BoxScores) else found.n_samples
        if X is not None and found is not None and len(self.reader.samples) != count:
            of = "pictures, the detections" if isinstance(found, BoxScores) else "samples, the scores"
            raise ValueError(f"X has {len(self.reader.samples)} {of} have {count}: one each is wanted.")
        self._session, self._scores, self._thresholds = session, scores, thresholds
        self._open_at, self._page_at = (-1, -1), 0
        self._past_open = False
        self._chosen_sample: int | None = None
        # What was found last, after what it was found for.
        self._of_class: tuple[Any, dict[str, Any]] = (None, {})
        self._of_list: tuple[Any, np.ndarray, int] = (None, np.empty(0, np.int64), 0)
        self._suspects: tuple[Any, np.ndarray, str] = (None, np.empty(0, np.int64), "")

    def project(self) -> dict[str, Any]:
        """Return the values of the detail's traits."""
        scores, session, (cls, cell) = self._scores(), self._session, self._open_at
        values: dict[str, Any] = {
            "quadrant": {"class": cls, "cell": cell}, "listed": {}, "cards": [], "card_pixels": b"",
            "selected_sample": self._chosen_sample if session is None else session.selected_sample,
            "class_facts": {}, "class_curve": b"", "mistakes": {}, "opened": {}, "opened_pixels": b"", **self._past(),
        }  # fmt: skip
        if scores is not None and 0 <= cls < scores.n_classes:
            values |= self._class(scores, cls)
            if cell >= 0:
                values |= self._list(scores, cls, cell)
            if isinstance(scores, BoxScores):
                values |= self._picture(scores, values["selected_sample"], values["cards"])
        return {**values, "sample_page": self._page_at}

    def close(self) -> None:
        """Let the samples go."""
        self.reader.close()

    # -- the picture

    def _class(self, scores: Scores, cls: int) -> dict[str, Any]:
        if isinstance(scores, BoxScores):
            precision = scores.average_precision()[cls]
            facts = {"class": cls, "average_precision": None if np.isnan(precision) else float(precision)}
            return {"class_facts": facts, "class_curve": one_class.sample_curve(scores, cls).tobytes()}
        if self._of_class[0] != (scores, cls):
            facts = {"class": cls, **one_class.summarize_class(scores, cls)}
            curve = one_class.sample_curve(scores, cls).tobytes()
            self._of_class = (scores, cls), {"class_facts": facts, "class_curve": curve}
        limits = self._thresholds()
        counts, wrong, known, missed = one_class.count_instead(scores, cls, limits)
        often = [c for c in np.argsort(-counts, kind="stable").tolist() if counts[c]][:5]
        sets = one_class.find_mistaken_sets(scores, cls, limits) if scores.task == "multilabel" else []
        mistakes = {
            "class": cls, "missed": missed,
            "instead": [[c, int(counts[c]), int(wrong[c]), int(known[c])] for c in often],
            "sets": [[list(true), list(said), count] for true, said, count in sets],
        }  # fmt: skip
        return {**self._of_class[1], "mistakes": mistakes}

    def _picture(self, scores: BoxScores, selected: Any, cards: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the open picture, the selected one if listed, and its boxes."""
        numbers = [card["number"] for card in cards]
        number = selected if selected in numbers or not numbers else numbers[0]
        row = next(iter(np.flatnonzero(scores.numbers == number).tolist()), None)
        image, size = (None, []) if row is None else self.reader.picture(scores, row)
        if row is None:
            return {}
        marks = scores.detections.marks(int(scores.groups[row]), self._thresholds(), scores.iou)
        name = str(number if scores.sample_ids is None else scores.sample_ids[row])
        return {
            "opened": {
                "number": number, "name": name, "size": [] if image is None else list(image.shape), "of": size,
                "marks": marks,
            },
            "opened_pixels": b"" if image is None else image.tobytes(),
        }  # fmt: skip

    def _list(self, scores: Scores, cls: int, cell: int) -> dict[str, Any]:
        rows, total = self._rows(scores, cls, cell)
        found = self.reader.want(scores, cls, rows.tolist())
        columns = self.reader.columns(cls) if any(c is not None and c.kind == "row" for c in found) else []
        limits = None if scores.task == "multiclass" else self._thresholds()
        said = one_class.predict_rows(scores, rows, limits)
        cards, shown = [], [one for one in found if one is not None]
        for row, of, one in zip(rows.tolist(), said, found):
            number = self.reader.number(scores, row)
            cards.append({
                "number": number,
                "name": str(number if scores.sample_ids is None else scores.sample_ids[row]),
                # JSON has no infinity.
                "score": float(np.clip(float(scores.y_score[row, cls]), -1e300, 1e300)),
                "true": np.flatnonzero(scores.y_true[row] == 1).tolist(),
                "said": np.flatnonzero(of).tolist(),
                "unknown": _listed(scores.classes, np.flatnonzero(scores.y_true[row] < 0)),
                **_words(one, [c for c, _ in columns]), **_box_words(scores, row),
            })  # fmt: skip
        # Which rule suspects labels, and of which scores, or why none can be suspected.
        rule = "" if cell != SUSPECTS else self._suspects[2] or (
            "Confident learning: the other answer scores as high as it does where it is given. "
            + ("The scores must be out-of-sample: of samples that the model was not trained on."
               if self._session is None
               else "Scores of the validation data are out-of-sample, as they must be.")
        )  # fmt: skip
        listed = {
            "class": cls, "cell": cell, "total": total, "page": self._page_at, "first": self._page_at * PAGE,
            "form": next((one.kind for one in shown if one.kind != "none"), "none"),
            "columns": [name for _, name in columns], "note": self.reader.why_not(scores), "rule": rule,
        }  # fmt: skip
        pixels = b"".join(one.image.tobytes() for one in shown if one.image is not None)
        return {"listed": listed, "cards": cards, "card_pixels": pixels}

    def _rows(self, scores: Scores, cls: int, cell: int) -> tuple[np.ndarray, int]:
        """Return the rows on the open page, and how many there are."""
        limits = self._thresholds()
        key = (scores, str(limits), cls, cell, self._page_at)
        if self._of_list[0] != key:
            rows, total = self._some(scores, cls, cell, limits)
            if not len(rows) and total:
                # The list has become shorter than the page that was open.
                self._page_at = (total - 1) // PAGE
                rows, total = self._some(scores, cls, cell, limits)
            self._of_list = (key, rows, total)
        return self._of_list[1:]

    def _some(self, scores: Scores, cls: int, cell: int, limits: Any) -> tuple[np.ndarray, int]:
        first = self._page_at * PAGE
        if cell < SUSPECTS:
            return one_class.find_quadrant_rows(scores, cls, cell, limits, first, PAGE)
        if self._suspects[0] != (scores, cls):
            found, why_not = np.empty(0, np.int64), ""
            try:
                found = find_suspicious(scores, cls)[0]
            except ValueError as error:
                why_not = str(error)
            self._suspects = (scores, cls), found, why_not
        found = self._suspects[1]
        return found[first : first + PAGE], len(found)

    def _past(self) -> dict[str, Any]:
        session = self._session
        if session is None:
            return {**pack_past([], None), "past_line": ""}
        past, limits = session.past_scores, self._thresholds()
        if self._open_at[0] >= 0 or self._past_open:
            return {**pack_past(past, limits), "past_line": session.line}
        # Whether there is a past at all is said, so that it can be opened.
        last = [[one.step, one.epoch, one.line] for one in past[-1:]]
        return {"past": b"", "past_width": 1, "past_moments": last, "past_line": session.line}

    # -- what a person wants

    def wish(self, name: str, value: Any) -> bool:
        """Do what a person asked for; return whether it was the detail's."""
        scores = self._scores()
        if name == "quadrant":
            given, known = value if isinstance(value, dict) else {}, scores.n_classes if scores else 0
            cls, cell = given.get("class", -1), given.get("cell", -1)
            fits = _whole(cls) and _whole(cell) and cls < known and -1 <= cell <= SUSPECTS
            if value is not None and not fits:
                raise ValueError(f"There is no quadrant {value!r}: a class and a cell, 0 to 3, are wanted.")
            asked = (cls, cell) if cls >= 0 else (-1, -1)
            self._page_at = self._page_at if asked == self._open_at else 0
            self._open_at = asked
        elif name == "sample_page":
            if not _whole(value) or value < 0:
                raise ValueError(f"There is no page {value!r} of samples: they count from 0.")
            self._page_at = value
        elif name == "selected_sample":
            count = self.reader.count
            if count is None:
                count = self.reader.number(scores, scores.n_samples - 1) + 1 if scores else 0
            if not _whole(value) or not 0 <= value < count:
                raise ValueError(f"Sample {value!r} does not exist: the samples are 0 to {count - 1}.")
            self._chosen_sample = value
            if self._session is not None:
                self._session.selected_sample = value
        elif name == "past_open":
            self._past_open = bool(value)
        else:
            return False
        return True


class SampleReader:
    """Reads samples as `Card`s: a session's validation data, or those handed over.

    A session's samples are read on its training thread: a Dataset of its own may draw random numbers, read
    files, or be read by the training at the same time. Handed over, they are read at once.
    """

    def __init__(self, session: Session | None, X: Any, arrived: Callable[[], None]) -> None:
        if X is not None and session is not None:
            raise ValueError("X are the samples of bare Scores: a Session brings its own.")
        self._session, self._arrived = session, arrived
        self._given = None if X is None else read_samples(X)
        self._cards: dict[Any, Card] = {}
        #: The picture that is open, and its number; the size that it has.
        self._open: tuple[int, Any, list[int]] = (-1, None, [])
        self._opening: tuple[BoxScores, int] | None = None
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
        return row if scores.numbers is None else int(scores.numbers[row])

    def want(self, scores: Scores, cls: int, rows: list[int]) -> list[Card | None]:
        """Return the cards of some rows; None where one is being read."""
        keys = [self._key(scores, row) for row in rows]
        self._wanted = scores, cls, rows
        self._read_if(any(key not in self._cards for key in keys) or not self._compared(cls))
        return [self._cards.get(key) for key in keys]

    def picture(self, scores: BoxScores, row: int) -> tuple[np.ndarray | None, list[int]]:
        """Return a box's picture, None while it is read, and its size."""
        number = self.number(scores, row)
        self._opening = scores, row
        self._read_if(self._open[0] != number)
        return self._open[1:] if self._open[0] == number else (None, [])

    def _key(self, scores: Scores, row: int) -> Any:
        number = self.number(scores, row)
        return (number, *scores.matches.box[row].tolist()) if isinstance(scores, BoxScores) else number

    def _read_if(self, missing: bool) -> None:
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
        self._cards, self._wanted, self._given, self._opening, self._open = {}, None, None, None, (-1, None, [])

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
            if self._opening is not None:
                self._open_picture(samples, *self._opening)
            for row in rows:
                number, key = self.number(scores, row), self._key(scores, row)
                if key not in self._cards:
                    self._cards[key] = self._card(samples, scores, row, number)
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
            if isinstance(scores, BoxScores):
                return make_box_card(samples.inputs(number), scores.matches.box[row].tolist())
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

    def _open_picture(self, samples: Any, scores: BoxScores, row: int) -> None:
        """Read the picture of a box as large as it is shown."""
        number = self.number(scores, row)
        if self._open[0] == number:
            return
        try:
            image = only_image(samples.inputs(number))
            size = [] if image is None else list(image.shape[-2:])
            self._open = number, None if image is None else make_thumbnail(image, side=_PICTURE).image, size
        except Exception:  # noqa: BLE001 - its card says why; the list and the training go on
            self._open = number, None, []

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
        self._columns = (cls, one_class.find_telling_columns(*groups))


def pack_past(past: Sequence[PastScores], thresholds: Any, budget: int = PAST_BYTES) -> dict[str, Any]:
    """Pack the past as values of `past`, `past_width` and `past_moments`.

    Where it would take more than `budget` bytes, evaluations are left out evenly; the first and the last of
    each line stay.
    """
    if not past:
        return {"past": b"", "past_width": 1, "past_moments": []}
    classes = past[-1].classes
    # Other classes than now: what was counted then is of no use to those who compare.
    kept = [one for one in past if one.classes == classes]
    dtype = np.min_scalar_type(max(int(one.totals.sum(axis=1).max(initial=0)) for one in kept))
    most, last = max(2, budget // max(1, 4 * len(classes) * dtype.itemsize)), len(kept) - 1
    if len(kept) > most:
        ends = {
            i for i, one in enumerate(kept)
            if i in (0, last) or kept[i - 1].line != one.line or kept[i + 1].line != one.line
        }  # fmt: skip
        evenly = np.linspace(0, last, max(2, most - len(ends))).round().astype(int).tolist()
        kept = [kept[i] for i in sorted(ends | set(evenly))]
    cells = np.stack([one.confusion(thresholds).reshape(len(classes), 4) for one in kept])
    return {
        "past": cells.astype(dtype).tobytes(), "past_width": dtype.itemsize,
        "past_moments": [[int(one.step), int(one.epoch), one.line] for one in kept],
    }  # fmt: skip


def _box_words(scores: Scores, row: int) -> dict[str, Any]:
    """Return what is said of a box instead of a sample."""
    if not isinstance(scores, BoxScores):
        return {}
    score, overlap = float(scores.matches.score[row]), float(scores.matches.overlap[row])
    return {
        "true": [], "said": [], "unknown": "", "score": score if score > UNSAID else None,
        "overlap": overlap if math.isfinite(overlap) else None,
    }  # fmt: skip


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _listed(names: Sequence[str], which: np.ndarray, most: int = 3) -> str:
    """Return the first names and how many there are besides."""
    more = f" and {len(which) - most:,} more" if len(which) > most else ""
    return ", ".join(names[c] for c in which[:most]) + more


def _words(one: Card | None, columns: list[int]) -> dict[str, Any]:
    if one is None:
        return {"kind": "waiting"}
    if one.image is not None:
        return {"kind": "image", "size": list(one.image.shape), "box": list(one.box)}
    if one.kind != "row":
        return {"kind": one.kind, "text": one.text}
    values = [one.values[c] for c in columns if c < len(one.values)]
    # JSON has neither infinity nor NaN.
    bare = [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]
    return {"kind": "row", "values": bare}


def _same(target: Any, labels: np.ndarray) -> bool:
    """Say whether a sample's target is what the scores hold for it."""
    found = np.asarray(target, np.float64).reshape(-1) if target is not None else np.empty(0)
    if len(found) == len(labels):
        known = np.isfinite(found) & (labels >= 0)
        # Some losses want -1 for no.
        return bool((np.where(found[known] == -1, 0, found[known]) == labels[known]).all())
    if len(found) == 1 and (labels == 1).sum() == 1:
        return int(found[0]) == int(labels.argmax())
    return True
