"""The evaluations of a run: when due, and what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..base.numbers import to_seconds
from ..base.state import Reference, dereference
from ..data.batches import Batches
from ..scoring.detections import BoxScores
from ..scoring.evaluation import Evaluation
from ..scoring.past_scores import PastScores, ScoreHistory

if TYPE_CHECKING:
    from .loop import Loop


class Evaluations:
    """Evaluates the model between two steps, on the training thread.

    Parameters
    ----------
    valid : what is evaluated; None for nothing.
    seed : chooses the samples, where not all are evaluated.
    wish : returns what is wished for now: "evaluate_every", "evaluate_samples", "iou_threshold".
    note : told, in a sentence, of what a person should know.

    Attributes
    ----------
    latest : the last evaluation, or that of the best weights once these were put back; None before any.
    best : that of the best weights; None where it is not known.
    owed : whether the model is to be evaluated before the next step.
    past : what the evaluations of all lines found.
    """

    def __init__(
        self,
        loop: Loop,
        valid: Batches | None,
        seed: int,
        wish: Callable[[str], Any],
        note: Callable[[str], None],
    ) -> None:
        self._loop, self._valid, self.seed, self._wish, self._note = loop, valid, seed, wish, note
        self.latest: Evaluation | None = None
        self.best: Evaluation | None = None
        self.owed, self.past = False, ScoreHistory()
        #: What the steps had taken in all when it was last evaluated [s].
        self._since = 0.0

    def due(self, took: bool, steps: int | None = None) -> bool:
        """Say whether to evaluate now, or after `steps`, one `took`."""
        every, loop = self._wish("evaluate_every"), self._loop
        steps = loop.steps if steps is None else steps
        if every is None and loop.patience.rule is not None:
            self._note(
                "Early stopping waits for evaluations, and evaluate_every=None makes none: the run goes on to "
                'its end. evaluate_every="epoch" makes one each epoch.'
            )
        if self._valid is None or every is None:
            return False
        if every == "epoch":
            return loop.epoch_ended
        if (seconds := to_seconds(every)) is None:
            return took and steps % every == 0
        waits = loop.rate.plan is not None and loop.rate.plan.metric not in (None, "loss")
        if waits or loop.patience.rule is not None:
            self._note(
                f"{'The schedule' if waits else 'Early stopping'} goes by evaluations that the clock times: "
                "the same seed need not give the same weights again. A script (to_script) holds the steps at "
                "which they fell and gives these weights; replay() evaluates by the clock anew."
            )
        return took and loop.history.seconds - self._since >= seconds

    def make(self, line: str) -> Evaluation:
        """Evaluate now, on the line of this name; return what was found."""
        loop = self._loop
        found = self.latest = loop.evaluate(self._valid, self._wish("evaluate_samples"), self.seed)  # type: ignore[arg-type]
        self._since = loop.history.seconds
        for said in filter(None, (found.note, found.loss_note)):
            self._note(said)
        if found.scores is not None:
            self.past.add(PastScores.of(found.scores, loop.steps, loop.epoch, line))
        return found

    def show_best(self) -> None:
        """Have the evaluation of the best weights as the latest."""
        samples = self._wish("evaluate_samples")
        self.latest = self.best or self._loop.evaluate(self._valid, samples, self.seed, record=False)  # type: ignore[arg-type]

    def facts(self) -> dict[str, Any]:
        """Return the facts that an evaluation renews, in order."""
        found, iou, past = self.latest, self._wish("iou_threshold"), self.past.all
        scores = None if found is None else found.scores
        if isinstance(scores, BoxScores):
            # Another overlap judges the same boxes anew, without the model.
            if scores.iou != iou:
                scores = scores.detections.scores(iou)
                found = self.latest = replace(found, scores=scores)
            past = tuple(one.at(iou) for one in past)
        return {"past_scores": past, "evaluation": found, "scores": scores}

    def arrived(self, spans: Mapping[str, tuple[int, int]]) -> None:
        """Follow the run to another place; see `ScoreHistory.on_lines` for `spans`."""
        loop = self._loop
        patience, rows = loop.patience, loop.history.evaluations
        last = rows[-1:]
        shown = last if patience.restored != loop.steps else [r for r in rows if r["step"] == patience.best_step]
        if self.latest is not None and [self.latest.loss] != [row["valid_loss"] for row in shown]:
            self.latest = None  # a later one than the last of this line
        self.past.on_lines(spans)
        before = last[0]["step"] if last else 0
        self._since = float(loop.history.columns["seconds"].values[:before].sum())
        self.owed = self.due(loop.steps > 0) and before != loop.steps

    def state(self) -> dict[str, Any]:
        """Return what was evaluated last, and whether an evaluation is due."""
        return {"evaluation": Reference(self.latest), "best": Reference(self.best), "owed": self.owed}

    def install(self, state: dict[str, Any]) -> None:
        """Have that as the last evaluation, and as what is due."""
        self.latest, self.owed = dereference(state["evaluation"]), state["owed"]
        self.best = dereference(state.get("best"))
