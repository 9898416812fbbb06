"""Detections: boxes that a model found in pictures, against the true ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.words import name_kind, pluralize, quote_names
from .metrics import ratio
from .scores import Scores, Thresholds

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

#: The IoUs over which COCO averages: 0.5, 0.55, ... 0.95.
IOUS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))
#: What became of a box, by the number in `Matches.kind`.
KINDS = ("found", "missed", "false", "ignored")
FOUND, MISSED, FALSE, IGNORED = range(4)
#: The score of what nothing was said of: below every threshold.
UNSAID = -np.inf
_BACKGROUND = {"background", "__background__"}


@dataclass(frozen=True, eq=False)
class Matches:
    """What became of every box at one IoU, picture by picture.

    They are N: the boxes that were said, and those that were missed.

    Attributes
    ----------
    iou : at which a true box and one that was said are the same.
    image : N int64, the number of the picture.
    column : N int64, the number of the class among those that are judged.
    kind : N int8: `FOUND`, `MISSED` (a true box that nothing was matched with), `FALSE`, `IGNORED` (matched with a
        true box that does not count).
    score : N floats; `UNSAID` of those that were missed.
    box : N x 4, x1 y1 x2 y2: of those that were said the said one, of the missed the true one.
    overlap : N floats: the IoU with the true box that it was matched with, NaN of none.
    true : N int64: the number of the matched or missed true box among `Detections.true_boxes`; -1 of none.
    """

    iou: float
    image: NDArray[np.int64]
    column: NDArray[np.int64]
    kind: NDArray[np.int8]
    score: NDArray[np.floating]
    box: NDArray[np.float64]
    overlap: NDArray[np.float64]
    true: NDArray[np.int64]


def _refuse(self: Any, *_: Any, **__: Any) -> Any:
    raise ValueError(
        "Of boxes this is not defined: an empty place in a picture is no sample. See confusion(), metrics(), "
        "precision_recall() and average_precision()."
    )


class BoxScores(Scores):
    """Scores whose samples are boxes: those that were said, and those missed.

    A said box has the label 1 where it was matched with a true one, else 0; a missed one has the label 1 and a score
    below every threshold. All other classes of a row are unknown; `groups` and `numbers` are the pictures. An empty
    place that nothing was said of is no box: there are no true negatives, and so no measure that needs them.

    Attributes
    ----------
    matches : what became of each box, a row each.
    detections : what they are of.
    """

    true_negatives = False

    def __init__(self, detections: Detections, iou: float) -> None:
        at = detections.matches(iou)
        rows = np.flatnonzero(at.kind != IGNORED)
        # Without any box there is one row of which nothing is known.
        n, empty = max(1, len(rows)), not len(rows)
        label = np.full((n, len(detections.classes)), np.nan, np.float32)
        score = np.full(label.shape, UNSAID, at.score.dtype)
        image = np.zeros(1, np.int64) if empty else at.image[rows]
        if not empty:
            label[np.arange(n), at.column[rows]] = at.kind[rows] != FALSE
            score[np.arange(n), at.column[rows]] = at.score[rows]
        names = detections.names_of(image)
        super().__init__(label, score, detections.classes, names, task="multilabel", groups=image)
        self.detections = detections
        self.matches = Matches(iou, *(getattr(at, name)[rows] for name in list(vars(at))[1:]))
        self.numbers = image if detections.numbers is None else detections.numbers[image]

    @property
    def iou(self) -> float:
        """At which IoU a box counts as found."""
        return self.matches.iou

    roc = ranking = ranking_averages = label_ranking = reliability = suspicious = _refuse
    missed_for = cooccurrence = mistaken_sets = exact_match = _refuse

    def precision_recall(self, cls: int | str | None = None) -> pd.DataFrame:
        """Return precision and recall of a class at each of its scores.

        As of `Scores.precision_recall`; the recall of the last row is that of all boxes that were said.
        """
        curve = super().precision_recall(cls)
        return curve[curve["threshold"] > UNSAID]

    def average_precision(self) -> NDArray[np.float64]:
        """Return the average precision of each class at this IoU, as COCO's."""
        return self.detections.average_precision(self.iou)

    @property
    def mean_precision(self) -> float:
        """The mean of the classes' average precisions: mAP at this IoU."""
        return _mean(self.average_precision())

    def __repr__(self) -> str:
        true, found = int(self.positives.sum()), int(self.confusion(0.5)[:, 1, 1].sum())
        return (
            f"BoxScores({pluralize(true, 'true box')} of {pluralize(self.n_classes, 'class')}, "
            f"{found:,} found with a score of 0.5 and an IoU of {self.iou:g})"
        )


class Detections:
    """Boxes that a model found in pictures, against the true ones.

    True boxes are matched as COCO does: in each picture and class the boxes that were said, best score first, each
    with the free true box that it overlaps most, at or above an IoU (intersection over union). So they are found,
    missed or false; what is counted and averaged is equal to pycocotools'.

    Parameters
    ----------
    truth : a dict for each picture, as torchvision has them: "boxes" n x 4 (x1 y1 x2 y2, in pixels) and "labels", n
        class numbers; None or no boxes: it has none. What "iscrowd" or "difficult" (n of 0 and 1) marks neither
        counts as missed, nor does a box that is matched with it as false; a crowd takes any number of them. A label
        of -1 is unknown: such a box is left out of every class in the same way.
    found : a dict for each picture: "boxes", "labels" and "scores".
    classes : names in the order of the numbers, or number -> name. One called "background" is left out where no box has
        its number. Default: "class 1", ... of the numbers that occur.
    image_ids : names of the pictures. Default: 0, 1, ...
    numbers : where the pictures stand in the data that they are a part of; None: in this order.
    most : how many boxes of a class and picture are judged, the best scores first: 100, as COCO does; None: all.

    Attributes
    ----------
    classes : the C names that are judged.
    true_boxes, found_boxes : T x 4 and D x 4 float64.
    true_image, true_column, found_image, found_column : the number of the picture and of the class of each.
    found_scores : D floats.
    ignored, crowd : T booleans: what does not count.

    Raises
    ------
    TypeError, ValueError : no such dicts, not as many of both, boxes, labels and scores that do not fit, a label that
        is no class.
    """

    def __init__(
        self,
        truth: Sequence[Mapping[str, Any] | None],
        found: Sequence[Mapping[str, Any] | None],
        classes: Sequence[str] | Mapping[int, str] | None = None,
        image_ids: Sequence[Any] | None = None,
        *,
        numbers: Sequence[int] | None = None,
        most: int | None = 100,
    ) -> None:
        true, said = _read_pictures(truth, "truth"), _read_pictures(found, "found")
        if len(true) != len(said):
            raise ValueError(f"truth is of {len(true)} pictures, found of {len(said)}: give a dict for each in both.")
        if not true:
            raise ValueError("There are no pictures: give a dict for each, one without boxes too.")
        if most is not None and (isinstance(most, bool) or not isinstance(most, (int, np.integer)) or most < 1):
            raise ValueError(f"most={most!r}: give how many boxes of a class and picture are judged, or None for all.")
        self.n_images, self.most = len(true), most
        self.image_ids = _names(image_ids, self.n_images)
        self.numbers = None if numbers is None else np.asarray(numbers, np.int64)
        labels, said_labels = (np.concatenate([one.labels for one in part]) for part in (true, said))
        known, self.classes = _read_classes(classes, {*labels[labels >= 0].tolist(), *said_labels.tolist()})
        self.true_boxes, self.found_boxes = (np.concatenate([one.boxes for one in part]) for part in (true, said))
        self.true_image, self.found_image = (
            np.repeat(np.arange(len(part)), [len(one.boxes) for one in part]) for part in (true, said)
        )
        self.true_column, self.found_column = (np.searchsorted(known, one) for one in (labels, said_labels))
        self.crowd = np.concatenate([one.crowd for one in true])
        self.ignored = np.concatenate([one.ignored for one in true])
        self._add_unknown(labels < 0)
        self.found_scores = np.concatenate([one.scores for one in said])
        # Of each picture and class the best scores first, of equals the one that was said first.
        key = self.found_image * len(self.classes) + self.found_column
        order = np.lexsort((-self.found_scores, key))
        self._rank = _count_up(key[order])
        kept = self._rank < (len(order) if most is None else most)
        order, self._rank = order[kept], self._rank[kept]
        for name in ("found_boxes", "found_scores", "found_image", "found_column"):
            setattr(self, name, getattr(self, name)[order])
        self._pairs = self._overlapping()
        self._matched: dict[float, Matches] = {}
        #: The scores that were asked for last: at each overlap they take as much memory as the boxes.
        self._scores: BoxScores | None = None

    # -- at one IoU

    def scores(self, iou: float = 0.5) -> BoxScores:
        """Return Scores of the boxes: found, missed and false at any threshold.

        `iou` : from which overlap on a box counts as found, 0 < iou <= 1.
        """
        iou = read_iou(iou)
        if self._scores is None or self._scores.iou != iou:
            self._scores = BoxScores(self, iou)
        return self._scores

    def matches(self, iou: float = 0.5) -> Matches:
        """Say of every box what became of it, picture by picture."""
        iou = read_iou(iou)
        if iou not in self._matched:
            matched, overlap = (one[:, 0] for one in self._match((iou,)))
            missed = ~self.ignored
            missed[matched[matched >= 0]] = False
            missed = np.flatnonzero(missed)
            kind = np.full(len(matched), FALSE)
            kind[matched >= 0] = np.where(self.ignored[matched[matched >= 0]], IGNORED, FOUND)
            none = np.full(len(missed), np.nan)
            parts = (
                np.append(self.found_image, self.true_image[missed]),
                np.append(self.found_column, self.true_column[missed]),
                np.append(kind, np.full(len(missed), MISSED)).astype(np.int8),
                np.append(self.found_scores, np.full(len(missed), UNSAID, self.found_scores.dtype)),
                np.append(self.found_boxes, self.true_boxes[missed], axis=0),
                np.append(overlap, none),
                np.append(matched, missed),
            )
            order = np.argsort(parts[0], kind="stable")
            self._matched[iou] = Matches(iou, *(part[order] for part in parts))
        return self._matched[iou]

    def counts_at(self, iou: float, positions: int = 1001) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger]]:
        """Return totals and counts at each threshold `k / (positions - 1)`.

        C x 2 true and false boxes, and C x 2 x positions: what of each scores at least that, as of
        `Scores.counts_at`, without making the Scores.
        """
        at, shape = self.matches(iou), (len(self.classes), 2, positions + 1)
        rows = np.flatnonzero(at.kind != IGNORED)
        place = np.searchsorted(np.arange(positions) / (positions - 1), at.score[rows].astype(np.float64), "right")
        cells = np.ravel_multi_index((at.column[rows], at.kind[rows] == FALSE, place), shape)
        reached = np.bincount(cells, minlength=shape[0] * 2 * shape[2]).reshape(shape)[..., ::-1].cumsum(axis=-1)
        totals, counts = reached[..., -1], reached[..., -2::-1]
        return totals, np.ascontiguousarray(counts.astype(np.min_scalar_type(totals.max(initial=0))))

    def counts(self, threshold: Thresholds = 0.5, iou: float = 0.5) -> pd.DataFrame:
        """Count the boxes of each class: true, found, missed and false.

        `threshold` is one score, or one a class, from which on a box is said.
        """
        import pandas as pd

        cells = self.scores(iou).confusion(threshold)
        (_, false), (missed, found) = np.moveaxis(cells, 0, -1)
        columns = {"true": found + missed, "found": found, "missed": missed, "false": false}
        return pd.DataFrame(columns, pd.Index(self.classes, name="class"))

    def to_frame(self, iou: float = 0.5) -> pd.DataFrame:
        """Return a row for each box.

        The columns are image, class, kind, score, iou, x1, y1, x2, y2: `kind` is "found", "missed", "false" or
        "ignored", whatever the score; the box is the one that was said, of a missed one the true box.
        """
        import pandas as pd

        at = self.matches(iou)
        score = np.where(at.kind == MISSED, np.nan, at.score)
        columns = {
            "image": self.names_of(at.image), "class": np.array(self.classes, object)[at.column],
            "kind": np.array(KINDS, object)[at.kind], "score": score, "iou": at.overlap,
        }  # fmt: skip
        return pd.DataFrame({**columns, **dict(zip(("x1", "y1", "x2", "y2"), at.box.T))})

    def marks(self, image: int, thresholds: Thresholds = 0.5, iou: float = 0.5) -> list[dict[str, Any]]:
        """List the boxes of a picture, to be drawn.

        The true ones come before those said; `image` is its number, counted from 0. Each is a dict of "box" (x1 y1
        x2 y2), "class", "kind" ("found", "missed" or "false", at these thresholds), "score" (None of one that
        nothing was said of) and "true" (whether it is a true box, or one that was said).
        """
        at, limits = self.matches(iou), self.scores(iou).read_thresholds(thresholds)
        said: list[dict[str, Any]] = []
        true: list[dict[str, Any]] = []
        for row in np.flatnonzero((at.image == image) & (at.kind != IGNORED)).tolist():
            column, kind, score = int(at.column[row]), int(at.kind[row]), float(at.score[row])
            reached = score >= limits[column]  # type: ignore[index]
            about = {"class": self.classes[column], "score": score if kind != MISSED else None}
            if reached:
                said.append({"box": at.box[row].tolist(), **about, "kind": KINDS[kind], "true": False})
            if kind != FALSE:
                box, found = self.true_boxes[at.true[row]].tolist(), KINDS[FOUND if reached else MISSED]
                true.append({"box": box, **about, "kind": found, "true": True})
        return true + said

    # -- over all thresholds

    def average_precision(self, iou: float = 0.5, points: int | None = 101) -> NDArray[np.float64]:
        """Return the average precision of each class.

        It is NaN where no box is true. The precision at each recall is the best at that recall or above. `points` :
        over how many recalls, evenly from 0 to 1, it is averaged: 101 as COCO does, 11 as PASCAL VOC did in 2007;
        None: the area under the curve, as PASCAL VOC since 2010.
        """
        return self._precision((read_iou(iou),), points)[0]

    @property
    def map50(self) -> float:
        """The mean of the classes' average precisions at an IoU of 0.5."""
        return _mean(self.average_precision(0.5))

    @property
    def map(self) -> float:
        """COCO's AP: the mean over classes and the IoUs of `IOUS`."""
        return _mean(self._precision(IOUS, 101))

    def names_of(self, image: NDArray[np.int64]) -> NDArray:
        """Return the names of pictures by their numbers."""
        return image if self.image_ids is None else self.image_ids[image]

    def __repr__(self) -> str:
        return (
            f"Detections({pluralize(self.n_images, 'picture')}: {int((~self.ignored).sum()):,} true boxes, "
            f"{len(self.found_boxes):,} said, of {pluralize(len(self.classes), 'class')}, "
            f"mAP at IoU 0.5 {self.map50:.3f})"
        )

    # -- inside

    def _add_unknown(self, unknown: NDArray[np.bool_]) -> None:
        """Have a true box of unknown class be ignored in every class."""
        if not unknown.any():
            return
        where = np.append(np.flatnonzero(~unknown), np.repeat(np.flatnonzero(unknown), len(self.classes)))
        column = np.append(self.true_column[~unknown], np.tile(np.arange(len(self.classes)), int(unknown.sum())))
        self.ignored = (self.ignored | unknown)[where]
        self.true_boxes, self.true_image, self.crowd = (
            one[where] for one in (self.true_boxes, self.true_image, self.crowd)
        )
        self.true_column = column

    def _overlapping(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return pairs of a said and a true box that overlap.

        Numbers of both, and their IoU. Only pairs of one picture and class; they go by the rank of the said box, then
        by it.
        """
        count = len(self.classes)
        true, said = self.true_image * count + self.true_column, self.found_image * count + self.found_column
        order = np.argsort(true, kind="stable")
        first, last = (np.searchsorted(true[order], said, side) for side in ("left", "right"))
        d = np.repeat(np.arange(len(said)), last - first)
        g = order[np.arange(len(d)) - np.repeat(np.cumsum(last - first) - last, last - first)]
        iou = _overlap(self.found_boxes[d], self.true_boxes[g], self.crowd[g])
        some = np.flatnonzero(iou > 0)
        some = some[np.argsort(self._rank[d[some]], kind="stable")]
        return d[some], g[some], iou[some]

    def _match(self, ious: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Match greedily at K IoUs.

        Returns D x K numbers of true boxes (-1: none), and overlaps. All boxes of one rank, one of each picture and
        class, choose at once.
        """
        # COCO's own margin: at an IoU of 1 equal boxes match.
        least = np.minimum(np.asarray(ious, np.float64), 1 - 1e-10)
        d, g, iou = (part[self._pairs[2] >= least.min()] for part in self._pairs)
        matched = np.full((len(self.found_boxes), len(least)), -1)
        overlap = np.full(matched.shape, np.nan)
        taken = np.zeros((len(self.true_boxes), len(least)), bool)
        # What does not count is taken where nothing else is left.
        worth = np.where(self.ignored[g], iou - 2, iou)
        rank = self._rank[d]
        ends = np.searchsorted(rank, np.arange(rank.max(initial=-1) + 2))
        for start, end in zip(ends, ends[1:]):
            if start == end:
                continue
            own, true = d[start:end], g[start:end]
            starts = np.flatnonzero(np.append(True, own[1:] != own[:-1]))
            free = (iou[start:end, None] >= least) & (~taken[true] | self.crowd[true, None])
            value = np.where(free, worth[start:end, None], -np.inf)
            best = np.repeat(np.maximum.reduceat(value, starts), np.diff(np.append(starts, len(own))), axis=0)
            # Of equals COCO takes the last.
            place = np.where(free & (value == best), np.arange(len(own))[:, None], -1)
            chosen = np.maximum.reduceat(place, starts)
            row, column = np.nonzero(chosen >= 0)
            pair = chosen[row, column]
            taken[true[pair], column] = True
            matched[own[pair], column] = true[pair]
            overlap[own[pair], column] = iou[start + pair]
        return matched, overlap

    def _precision(self, ious: Sequence[float], points: int | None) -> NDArray[np.float64]:
        """Return K x C average precisions."""
        if points is not None and (isinstance(points, bool) or not isinstance(points, (int, np.integer)) or points < 2):
            raise ValueError(f"points={points!r}: give 101 (COCO), 11 (PASCAL VOC 2007) or None (the whole area).")
        matched, _ = self._match(ious)
        counts = np.append(~self.ignored, True)[matched]  # the last is of no match
        positives = np.bincount(self.true_column[~self.ignored], minlength=len(self.classes))
        found = np.full((len(ious), len(self.classes)), np.nan)
        # By score, then by picture and rank, as COCO sorts what it has gathered.
        order = np.argsort(-self.found_scores, kind="stable")
        for c in np.flatnonzero(positives):
            rows = order[self.found_column[order] == c]
            for k in range(len(ious)):
                hits = matched[rows[counts[rows, k]], k] >= 0
                found[k, c] = _area(hits, int(positives[c]), points)
        return found


def read_iou(value: Any) -> float:
    """Read an IoU above 0, at most 1; raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 < value <= 1:
        raise ValueError(f"iou={value!r}: give the overlap from which on a box counts as found, above 0 and at most 1.")
    return float(value)


def judged_names(classes: Sequence[str], task: str = "detection") -> tuple[str, ...]:
    """Return the classes that have thresholds: the background has none."""
    names = tuple(classes)
    return names[1:] if task == "detection" and len(names) > 1 and names[0].lower() in _BACKGROUND else names


def _area(hits: NDArray[np.bool_], positives: int, points: int | None) -> float:
    """Return the average precision of boxes in the order of their scores."""
    tp = np.cumsum(hits)
    recall, precision = tp / positives, tp / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if points is None:
        return float((np.diff(recall, prepend=0) * envelope).sum())
    at = np.searchsorted(recall, np.linspace(0, 1, points), side="left")
    return float(np.append(envelope, 0)[at].mean())


def _overlap(said: NDArray, true: NDArray, crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the IoU of pairs; with a crowd the covered share."""
    sides = np.minimum(said[:, 2:], true[:, 2:]) - np.maximum(said[:, :2], true[:, :2])
    shared = sides.clip(0).prod(axis=1)
    area, other = ((one[:, 2:] - one[:, :2]).clip(0).prod(axis=1) for one in (said, true))
    return np.nan_to_num(ratio(shared, np.where(crowd, area, area + other - shared)))


def _count_up(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number what is equal in a row: 0, 1, ... of each."""
    place = np.arange(len(key))
    first = np.append(True, key[1:] != key[:-1])[: len(key)]
    return place - np.maximum.accumulate(np.where(first, place, 0))


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


# -- reading


@dataclass(frozen=True)
class _Picture:
    """The boxes of a picture, read."""

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    scores: NDArray[np.floating]
    ignored: NDArray[np.bool_]
    crowd: NDArray[np.bool_]


def _read_pictures(given: Any, name: str) -> list[_Picture]:
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"{name} is {name_kind(given)}: a list of dicts is wanted, one for each picture.")
    return [_read_picture(one, f"{name}[{n}]", name == "found") for n, one in enumerate(given)]


def _read_picture(one: Any, name: str, said: bool) -> _Picture:
    keys = ("boxes", "labels", "scores") if said else ("boxes", "labels")
    if one is None:
        one = dict.fromkeys(keys, ())
    if not isinstance(one, Mapping):
        raise TypeError(f"{name} is {name_kind(one)}: a dict with {quote_names(keys)} is wanted.")
    if missing := [key for key in keys if key not in one]:
        raise ValueError(f"{name} has no {missing[0]!r}, but {quote_names(one)}: {quote_names(keys)} are wanted.")
    boxes = _array(one["boxes"], np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}['boxes'] has shape {boxes.shape}: n x 4 is wanted, x1 y1 x2 y2 of each.")
    labels = np.nan_to_num(_array(one["labels"], np.float64), nan=-1).astype(np.int64)
    scores = _array(one["scores"]) if said else np.ones(len(boxes))
    flags = [np.asarray(_array(one.get(key, np.zeros(len(boxes)))), bool) for key in ("iscrowd", "difficult")]
    for key, part in zip((*keys[1:], "iscrowd", "difficult"), (labels, *([scores] if said else []), *flags)):
        if part.shape != (len(boxes),):
            raise ValueError(
                f"{name}[{key!r}] has shape {part.shape} for {pluralize(len(boxes), 'box')}: one each is wanted."
            )
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}['scores'] holds {scores[~np.isfinite(scores)][0]}: is the model's output finite?")
    scores = scores if scores.dtype.kind == "f" else scores.astype(np.float64)
    return _Picture(boxes, labels, scores, flags[0] | flags[1], flags[0])


def _array(given: Any, dtype: Any = None) -> NDArray:
    if isinstance(given, torch.Tensor):
        given = given.detach().cpu()
        given = (given.float() if given.dtype == torch.bfloat16 else given).numpy()
    found = np.asarray(given, dtype)
    return found.astype(np.float32) if found.dtype == np.float16 else found


def _read_classes(classes: Any, seen: set[int]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the rising numbers of the judged classes, and their names."""
    if classes is None:
        numbers = sorted(seen) or [0]
        return np.array(numbers), tuple(f"class {n}" for n in numbers)
    if isinstance(classes, str):
        raise TypeError(f"classes is one text, {classes!r}: give a list of names.")
    named = {int(n): str(name) for n, name in (classes.items() if isinstance(classes, Mapping) else enumerate(classes))}
    if 0 not in seen and len(named) > 1 and named.get(0, "").lower() in _BACKGROUND:
        del named[0]
    if strange := sorted(seen - set(named)):
        first = " Where 0 is the background, name it first: ['background', ...]." if strange == [len(named)] else ""
        raise ValueError(
            f"A box has the label {strange[0]}, and the {pluralize(len(named), 'class')} are numbered "
            f"{min(named, default=0)} to {max(named, default=0)}.{first}"
        )
    numbers = sorted(named)
    return np.array(numbers), tuple(named[n] for n in numbers)


def _names(given: Any, count: int) -> NDArray | None:
    if given is None:
        return None
    names = list(given)
    if len(names) != count:
        raise ValueError(f"{len(names)} image_ids for {pluralize(count, 'picture')}: give one each.")
    found = np.empty(count, object)
    found[:] = names
    return found
