"""Examination: has rules look at a run, and keeps their findings."""

from __future__ import annotations

import dataclasses
import operator
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ..base.buckets import common_steps
from ..base.time_budget import TimeBudget
from ..data.hosted_batches import HostedBatches
from ..layers.framework import framework_of
from .data_facts import BatchLook, DataFacts
from .divergence import Divergence
from .evidence import Evidence, FailedStep
from .finding import Finding
from .model_facts import ModelFacts, find_mover, read_model
from .preflight import Preflight, make_preflight, mix_in_passing
from .producer import find_producer
from .rule import Rule
from .rules import RULES
from .unzeroed import Unzeroed

if TYPE_CHECKING:
    import pandas as pd
    from torch.optim import Optimizer

    from ..layers.probes import LayerStats
    from ..scoring.evaluation import Evaluation, NotFiniteOutput
    from ..scoring.scores import Scores
    from ..training.loop import NotFinite
    from ..training.run import Run

#: The share of the time that rules may take after steps, and again after evaluations.
SHARE = 0.004
#: The steps after which the rules look at a young run, or after a change, and every how many later.
_EARLY, _AFTER, _EVERY = (1, 2, 5), (3, 10, 20, 50, 100), 10
#: Up to this step, as after a change, they look whatever the time: a fast loop is there before it allows a second look.
_YOUNG = 100
#: So many evaluations of a run are looked at whatever the time.
_FIRST_EVALUATIONS = 10
#: A finding is over once it was not seen again in so many examinations in a row.
_QUIET = 3
#: How many looks at the layers are kept as evidence, and findings that are over.
_LOOKS, _PAST = 64, 20


class Check(NamedTuple):
    """What came of a rule: "found", "quiet", or "not run" with why."""

    rule: Rule
    outcome: str
    why: str = ""


class Examination:
    """Keeps the findings of a run.

    The run calls `began`, `after_step`, `failed` and `arrived` on the training thread, between two steps.

    Attributes
    ----------
    divergence : what the run does by itself where it diverges.
    findings : what lasts, and what is over of late; those that last first, by severity.
    looks : what the newest looks at the layers measured, in order.
    model, data, preflight : facts of the model and the data: see `Evidence`.
    """

    def __init__(self, run: Run, rules: Iterable[Rule] = RULES) -> None:
        self._run, self._rules = run, tuple(rules)
        self.findings: tuple[Finding, ...] = ()
        self.looks: deque[LayerStats] = deque(maxlen=_LOOKS)
        self.model: ModelFacts | None = None
        self.data: DataFacts | None = None
        self.preflight: Preflight | None = None
        #: Looks at the first batch, until that was seen.
        self._look: BatchLook | None = None
        self._scalings = 0
        #: What the model's facts depend on, when they were read.
        self._read: tuple[Any, ...] = ()
        #: For the looks at steps, and for those at evaluations, which may come every few of them.
        self._budget, self._judging = TimeBudget(SHARE, least=0.0), TimeBudget(SHARE, least=0.0)
        self._failure: FailedStep | None = None
        self._unzeroed = Unzeroed()
        self.divergence = Divergence(run)
        #: That of the line which the findings are of.
        self._history = run.loop.history
        #: What stays found though the run goes back to before it.
        self._keeps: set[tuple[str, str | None]] = set()
        self._begin_anew()

    def _begin_anew(self) -> None:
        #: What a rule has reported: how many examinations in a row, and in how many since it did not.
        self._seen: dict[tuple[str, str | None], int] = {}
        self._unseen: dict[tuple[str, str | None], int] = {}
        self._checks: dict[str, Check] = {}
        self._next, self._at = 0, -1
        self._changes, self._changed = len(self._run.timeline.line.changes), -_YOUNG - 1
        self._waited = (0.0, 0.0)

    # -- the run tells

    def began(self) -> None:
        """Follow a burst of steps that begins."""
        watch = self._run.loop.watch
        if not watch.on:
            watch.switch(self._run.loop.model, True)
        self._unzeroed.follow(self._run.loop.objective.companions.optimizers)
        self._failure = None
        self._aim_look()

    def after_step(self, evaluated: bool = False) -> None:
        """Look at the run where it is time, or `evaluated`."""
        loop = self._run.loop
        if loop.layer_stats is not None and (not self.looks or self.looks[-1] is not loop.layer_stats):
            self.looks.append(loop.layer_stats)
        self._failure = None
        self._end_look()
        steps = loop.steps
        self._unzeroed.after_step(steps)
        judges = evaluated and (len(loop.history.evaluations) <= _FIRST_EVALUATIONS or self._judging.due())
        when = ["evaluation", "start"] if judges else []  # scores say more of the data than it itself
        due, began = self._is_time(steps), time.perf_counter()
        # What was found of this step before it was evaluated is not confirmed by finding it again.
        if due and steps != self._at:
            # What was found of a failure is over once steps are taken again.
            when += ["steps", "failure"]
            self._next, self._at = next((one for one in _EARLY if one > steps), (steps // _EVERY + 1) * _EVERY), steps
        if not when:
            return
        self._aim_look()
        self.examine(*when)
        if any(one.rule == "loss_diverging" and one.severity == "high" and one.until is None for one in self.findings):
            self._see_to(self.divergence.see_to_explosion)
        if due or judges:
            (self._budget if due else self._judging).spent(time.perf_counter() - began)

    def _is_time(self, steps: int) -> bool:
        """Say whether the rules are to look after this step."""
        if len(changes := self._run.timeline.line.changes) != self._changes:
            self._changes, self._changed = len(changes), steps - 1
            self._run.loop.watch.look_soon()
        if steps - self._changed in _AFTER:
            return True
        return steps >= self._next and (steps <= _YOUNG or self._budget.due())

    def _see_to(self, trouble: Callable[[], bool]) -> bool:
        """Have a trouble seen to; what was found stays found."""
        self._keeps = {one.key for one in self.findings if one.until is None}
        try:
            return trouble()
        finally:
            self._keeps = set()

    def changed(self) -> None:
        """Look again at what of the model a change may mend."""
        lasting = {one.rule for one in self.findings if one.until is None}
        if any(rule.when == "model" and rule.name in lasting for rule in self._rules):
            self.examine("model")

    def proved(self, holds: bool) -> None:
        """Look at what is frozen, where it moves or statistics drift."""
        if not holds or any(one.rule in ("frozen_moved", "batch_norm_frozen") for one in self.findings):
            self.examine("proof", "model")

    def failed(self, error: NotFinite | NotFiniteOutput) -> bool:
        """Look at a step not taken; say whether it was seen to."""
        stats = self._run.loop.layer_stats
        if stats is not None:
            self.looks.append(stats)
        try:
            producer = find_producer(self._run.loop, error.batches)
        except Exception:  # noqa: BLE001 - the step is told of all the same
            producer = None
        error.batches = ()
        self._failure = FailedStep(self._run.loop.steps + 1, str(error), error.batch_is_finite, producer)
        self._end_look()
        self.examine("steps", "failure")
        return self._see_to(lambda: self.divergence.see_to_failure(error))

    def arrived(self) -> None:
        """Follow the run elsewhere; forget what was found since the lines parted."""
        before, self._history = self._history, self._run.loop.history
        steps = min(self._run.loop.steps, common_steps(before, self._history))
        self.looks = deque((look for look in self.looks if look.step <= steps), maxlen=_LOOKS)
        self._begin_anew()
        self._failure = None
        kept = (one for one in self.findings if one.step <= steps or one.key in self._keeps)
        self._keep([
            dataclasses.replace(one, until=None) if one.until is not None and one.until > steps else one for one in kept
        ])

        if self.data is not None or self.preflight is not None:
            self.examine("start")

    # -- looking

    def look_before(self) -> None:
        """Check data, model and one batch before the first step.

        Nothing of the run is changed by it. It pauses, as a job in slices does.
        """
        self.preflight, facts = make_preflight(self._run)
        if facts is not None:
            self.data = facts
        self.examine("start")

    def _aim_look(self) -> None:
        """Have the first batch looked at, again once inputs are scaled."""
        scalings = sum(one.name == "input_scaling" for one in self._run.timeline.line.changes)
        if self._look is None and (self.data is None or scalings != self._scalings):
            loop = self._run.loop
            self._look, self._scalings = BatchLook(self._run.data, loop.model, loop.objective.target), scalings
            loop.look_next(self._look)

    def _end_look(self) -> None:
        """Keep what the look at the first batch has found."""
        if self._look is not None and self._look.seen:
            look, self._look = self._look, None
            self.data = look.end() or self.data
            if self.preflight is None and look.batch is not None:
                self.preflight = mix_in_passing(self._run.loop, look.batch)
            self.examine("start")

    def _read_model(self) -> None:
        """Read the facts of the model anew where it may have changed."""
        loop, changes = self._run.loop, len(self._run.timeline.line.changes)
        now = (loop.optimizer, loop.parameters, changes)
        if not self._read or self._read[2] != changes or any(map(operator.is_not, self._read[:2], now[:2])):
            self._read = now
            self.model = read_model(loop.model, self._optimizers())

    def _optimizers(self) -> tuple[Optimizer, ...]:
        loop = self._run.loop
        return (loop.optimizer, *loop.objective.companions.optimizers.values())

    def evidence(self) -> Evidence:
        """Return what was measured up to now."""
        run, loop = self._run, self._run.loop
        self._read_model()
        proof = run.newest_proof()
        moved = () if proof is None else proof.changed
        found = run.evaluations.latest
        return Evidence(
            step=loop.steps, record=loop.history, looks=self._all_looks(),
            unmeasured=loop.watch.why_not, data_elsewhere=isinstance(loop.batches, HostedBatches),
            settings=run.steering.applied(),
            changes=run.timeline.line.changes, task=loop.objective.task, epochs=loop.epochs,
            steps_in_epoch=loop.accumulation.steps_in_epoch(), has_valid=run.data.valid is not None,
            scores=_ranked(found), waited=self._share_waited(), failure=self._failure,
            unzeroed=self._unzeroed.found, model=self.model, data=self.data, preflight=self.preflight, proof=proof,
            movers={name: find_mover(loop.model, self._optimizers(), name) for name in moved},
        )  # fmt: skip

    def _all_looks(self) -> tuple[LayerStats, ...]:
        """Return the run's looks; before its first that of the pre-flight."""
        look = None if self.preflight is None or self._run.loop.steps else self.preflight.look
        return tuple(self.looks) if self.looks or look is None else (look,)

    def _share_waited(self) -> float | None:
        """Return the share of the time that data was waited for."""
        now = self._run.loop.waited, self._run.loop.history.seconds
        waited, seconds = now[0] - self._waited[0], now[1] - self._waited[1]
        if seconds > 0:
            self._waited = now
        return waited / seconds if seconds > 0 else None

    def examine(self, *when: str) -> None:
        """Have the rules of these moments look, and keep what they find."""
        evidence, reported = self.evidence(), {}
        for rule in self._rules:
            if rule.when in when or (rule.when == "model" and {"start", "steps"} & {*when}):
                found, self._checks[rule.name] = _look(rule, evidence)
                reported[rule.name] = (rule, [self._say(one) for one in found])
        self._take_in(reported, evidence.step)

    def _say(self, found: Finding) -> Finding:
        """Return a finding in the words of the model's framework."""
        say = partial(framework_of(self._run.loop.model).say_for, self._run.loop.model)
        said = {name: say(getattr(found, name)) for name in ("title", "sentence", "why")}
        return dataclasses.replace(found, **said)

    def _take_in(self, reported: dict[str, tuple[Rule, list[Finding]]], step: int) -> None:
        known = {one.key: one for one in self.findings}
        for name, (rule, found) in reported.items():
            now = {one.key: one for one in found}
            for key in [key for key in {**self._seen, **known} if key[0] == name and key not in now]:
                self._seen.pop(key, None)
                if key in known and known[key].until is None:
                    self._unseen[key] = self._unseen.get(key, 0) + 1
                    if self._unseen[key] >= _QUIET or rule.when in ("evaluation", "model", "proof", "start"):
                        known[key] = dataclasses.replace(known[key], until=step)
            for key, one in now.items():
                self._unseen.pop(key, None)
                self._seen[key] = self._seen.get(key, 0) + 1
                before = known.get(key)
                if before is None and self._seen[key] < rule.confirm:
                    continue
                first = one.step or step if before is None or before.until is not None else before.step
                known[key] = dataclasses.replace(one, step=first)
        self._keep(self._without_symptoms(known.values()))

    def _without_symptoms(self, findings: Iterable[Finding]) -> list[Finding]:
        """Leave out symptoms: one trouble is one card."""
        findings = list(findings)
        lasting = {one.rule for one in findings if one.until is None}
        symptoms = {rule.name for rule in self._rules if not lasting.isdisjoint(rule.symptom_of)}
        return [one for one in findings if one.until is not None or one.rule not in symptoms]

    def _keep(self, findings: Iterable[Finding]) -> None:
        ordered = sorted(findings, key=lambda one: one.rank)
        past = [one for one in ordered if one.until is not None]
        forgotten = {one.key for one in sorted(past, key=lambda one: -(one.until or 0))[_PAST:]}
        kept = tuple(one for one in ordered if one.until is None or one.key not in forgotten)
        if kept != self.findings:
            self.findings = kept
            self._run.tell(findings=kept)

    # -- what was checked

    @property
    def checks(self) -> tuple[Check, ...]:
        """What came of each rule, in their order."""
        lasting = {one.rule for one in self.findings if one.until is None}
        made = (self._checks.get(rule.name) or Check(rule, "not run", _WAITING[rule.when]) for rule in self._rules)
        return tuple(
            one._replace(outcome="found" if one.rule.name in lasting else "quiet") if one.outcome != "not run" else one
            for one in made
        )

    def frame(self) -> pd.DataFrame:
        """Return findings and checks as a data frame: see `Session.diagnose`."""
        import pandas as pd

        from .remedies import describe_remedies

        rows = [
            (one.rule, "over" if one.until is not None else "found", one.severity, one.layer, one.step, one.until,
             f"{one.title}. {one.sentence}", describe_remedies(one))
            for one in self.findings
        ]  # fmt: skip
        for outcome in ("not run", "quiet"):
            rows += [
                (one.rule.name, outcome, None, None, None, None, one.why or one.rule.label, "")
                for one in self.checks if one.outcome == outcome
            ]  # fmt: skip
        columns = ["check", "outcome", "severity", "layer", "since", "until", "what", "remedies"]
        return pd.DataFrame(rows, columns=columns).astype({"since": "Int64", "until": "Int64"})


#: Why a rule did not look yet, by when it does.
_WAITING = {
    "steps": "no step was taken here yet",
    "evaluation": "nothing was evaluated here yet",
    "failure": "no step was taken here yet",
    "proof": "nothing is frozen, or no epoch has ended here yet",
    "model": "the model was not looked at yet",
    "start": "the pre-flight was not made: session.diagnose() makes it before the first step",
}


def _look(rule: Rule, evidence: Evidence) -> tuple[list[Finding], Check]:
    """Have one rule look; what it raises is said, and fails nothing."""
    try:
        if why := rule.missing(evidence):
            return [], Check(rule, "not run", why)
        found = list(rule.check(evidence))
    except Exception as error:  # noqa: BLE001 - a rule must not fail a training
        return [], Check(rule, "not run", f"it failed: {type(error).__name__}: {error}")
    return found, Check(rule, "found" if found else "quiet")


def _ranked(found: Evaluation | None) -> Scores | None:
    """Return scores that rules may rank, which boxes are not."""
    return found.scores if found is not None and found.scores is not None and found.scores.true_negatives else None
