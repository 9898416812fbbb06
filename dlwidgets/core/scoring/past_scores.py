"""What earlier evaluations found, kept as counts at 1,001 thresholds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .counts import build_confusion
from .detections import IOUS, BoxScores
from .inputs import match_thresholds
from .metrics import compute_rates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .scores import Scores, Thresholds

#: Thresholds at which the counts are kept: k / 1000.
POSITIONS = 1001
#: What all of them may take [bytes]; room for `FEW` is made where that takes no more than `MOST`.
BUDGET, FEW, MOST = 16 * 2**20, 32, 64 * 2**20
#: A curve shows no more of them.
COUNT = 1000


@dataclass(frozen=True, eq=False)
class PastScores:
    """What an evaluation counted, exact at each threshold of a thousandth.

    Attributes
    ----------
    step, epoch : after how many optimizer steps, and in which epoch; 0 before the first step.
    line : the name of the line of the run on which it was made.
    samples : how many were evaluated.
    classes : C names.
    totals : C x 2 int64: known positives and known negatives of each class.
    likeliest : C x 2 int64 of a multiclass task: of how many positives, and of how many negatives, the class
        is the likeliest; None of other tasks.
    iou : of boxes, from which overlap on one was found; None of all other scores.
    others : of boxes, the same evaluation at other such overlaps.
    counts : C x 2 x 1001 of the smallest unsigned dtype: how many positives, and how many negatives, score at
        least k / 1000; as `Scores.counts_at` returns them.
    """

    step: int
    epoch: int
    line: str
    samples: int
    classes: tuple[str, ...]
    totals: NDArray[np.int64]
    counts: NDArray[np.unsignedinteger]
    likeliest: NDArray[np.int64] | None = None
    iou: float | None = None
    others: tuple[PastScores, ...] = ()

    @classmethod
    def of(cls, scores: Scores, step: int, epoch: int, line: str) -> PastScores:
        """Return what is kept of the scores of an evaluation."""
        if isinstance(scores, BoxScores):
            judged = (scores.detections.counts_at(iou, POSITIONS) for iou in (scores.iou, *IOUS))
            made = [
                cls(step, epoch, line, scores.n_samples, tuple(scores.classes), totals, counts, iou=iou)
                for iou, (totals, counts) in zip((scores.iou, *IOUS), judged)
            ]
            return replace(made[0], others=tuple(made[1:]))
        totals = np.stack([scores.positives, scores.negatives], axis=1).astype(np.int64)
        counts = scores.counts_at(POSITIONS)
        likeliest = scores.confusion(None)[:, ::-1, 1] if scores.task == "multiclass" else None
        for array in (totals, counts):
            array.setflags(write=False)
        return cls(step, epoch, line, scores.n_samples, tuple(scores.classes), totals, counts, likeliest)

    def at(self, iou: float) -> PastScores:
        """Return the same evaluation at the nearest overlap that was counted."""
        return min((*self.others, self), key=lambda one: abs(one.iou - iou)) if self.others else self  # type: ignore

    def confusion(self, thresholds: Thresholds = None) -> NDArray[np.int64]:
        """Count the confusion of each class at thresholds.

        C x 2 x 2 ``[[tn, fp], [fn, tp]]``. A threshold counts as the nearest thousandth. Below 0 everything
        is predicted, above 1 nothing, as is so for probabilities. None: of a multiclass task the likeliest
        class, for other tasks 0.5.

        Raises
        ------
        ValueError : there are neither one nor C thresholds, or one is NaN.
        """
        if thresholds is None and self.likeliest is not None:
            return build_confusion(self.likeliest, self.totals)
        given = 0.5 if thresholds is None else match_thresholds(thresholds, self.classes)
        limits = np.asarray(given, np.float64)
        if limits.ndim > 1 or limits.size not in (1, len(self.classes)) or np.isnan(limits).any():
            raise ValueError(
                f"thresholds={thresholds!r}: one number, or one for each of {len(self.classes)} classes, is "
                "wanted."
            )
        place = np.broadcast_to(np.rint(limits.reshape(-1) * (POSITIONS - 1)), (len(self.classes),))
        at = place.clip(0, POSITIONS - 1).astype(np.int64)
        predicted = self.counts[np.arange(len(at)), :, at].astype(np.int64)
        predicted = np.where((place < 0)[:, None], self.totals, predicted)
        predicted[place > POSITIONS - 1] = 0
        found = build_confusion(predicted, self.totals)
        if self.iou is not None:
            found[:, 0, 0] = 0  # an empty place in a picture is no true negative
        return found

    def rates(self, thresholds: Thresholds = None) -> dict[str, NDArray[np.float64]]:
        """Compute every rate of each class, C float64."""
        return compute_rates(self.confusion(thresholds))

    @property
    def bytes(self) -> int:
        """The memory it takes."""
        return self.totals.nbytes + self.counts.nbytes + sum(one.bytes for one in self.others)


class ScoreHistory:
    """What the evaluations of a run found, within a memory budget.

    Where one has to go, it is the one whose absence leaves the smallest gap for its age: the least
    (next step - step before) / (newest step - its own step) on its line. So they lie dense near now and
    sparse far back. The first and the newest of the line under way always stay, those of other lines last.

    Parameters
    ----------
    budget : bytes; None: 16 MB, or room for 32 evaluations where these take no more than 64 MB.
    """

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        #: All that are kept: lines in the order they began, then steps.
        self.all: tuple[PastScores, ...] = ()

    def add(self, one: PastScores) -> None:
        """Keep an evaluation; the same and later ones of its line go."""
        kept = [old for old in self.all if old.line != one.line or old.step < one.step]
        last = max((place for place, old in enumerate(kept) if old.line == one.line), default=len(kept) - 1)
        kept.insert(last + 1, one)
        budget = max(BUDGET, min(FEW * one.bytes, MOST)) if self._budget is None else self._budget
        size = sum(old.bytes for old in kept)
        while (size > budget or len(kept) > COUNT) and len(kept) > 2:
            missed = _least(kept, one)
            if missed is None:
                break
            size -= missed.bytes
            kept.remove(missed)
        self.all = tuple(kept)

    def on_lines(self, spans: Mapping[str, tuple[int, int]]) -> None:
        """Let go what belongs to none of the lines any more.

        `spans` is name -> (step after which the line parted, its last step).
        """

        def stays(one: PastScores) -> bool:
            first, last = spans.get(one.line, (0, -1))
            return first <= one.step <= last

        self.all = tuple(filter(stays, self.all))

    def of(self, holds: Callable[[str, int], bool]) -> tuple[PastScores, ...]:
        """Return those of a line and its ancestors, by step.

        `holds` says of a line's name and a step whether that belongs to the line that is meant.
        """
        # What was evaluated after the parting is the newer one.
        found = {one.step: one for one in self.all if holds(one.line, one.step)}
        return tuple(found[step] for step in sorted(found))

    # -- on disk

    def state(self, chosen: Iterable[PastScores]) -> list[dict[str, Any]]:
        """Return some of them as plain data for a checkpoint."""
        return [
            {**vars(one), "classes": list(one.classes), "others": self.state(one.others)} for one in chosen
        ]

    def install(self, state: Iterable[Mapping[str, Any]], line: str) -> None:
        """Have those that `state` returned, as of one line, and no others."""
        self.all = tuple(_restored(one, line) for one in state)


def _restored(one: Mapping[str, Any], line: str) -> PastScores:
    others = tuple(_restored(other, line) for other in one.get("others", ()))
    return PastScores(**{**one, "classes": tuple(one["classes"]), "line": line, "others": others})


def _least(kept: Sequence[PastScores], newest: PastScores) -> PastScores | None:
    """Return the one that is missed least; None where none may go."""
    lines: dict[str, list[PastScores]] = {}
    for one in kept:
        lines.setdefault(one.line, []).append(one)
    worths = [
        ((after.step - before.step) / max(1, those[-1].step - one.step), one)
        for those in lines.values()
        for before, one, after in zip(those, those[1:], those[2:])
    ]
    if worths:
        return min(worths, key=lambda worth: worth[0])[1]
    return next((one for one in kept[1:] if one is not newest), None)
