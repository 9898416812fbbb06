"""What the doctor knows, as a page reads it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from ...core.base.buckets import Curve
from ...core.base.ledger import Entry
from ...core.doctor.examination import Check
from ...core.doctor.finding import Chart, Finding
from ...core.doctor.remedies import Offer
from ...core.doctor.report import describe_checks, describe_time
from ...core.doctor.trials import RemedyTrials
from ...core.training.snapshots.timeline import Branch
from ...core.training.trials import Trial

#: Points of a small curve.
_POINTS = 60


def key_of(finding: Finding) -> str:
    """Return a finding's key as text."""
    return f"{finding.rule} {finding.layer or ''}"


def pack_finding(finding: Finding) -> dict[str, Any]:
    """Return a finding as a page reads it."""
    chart = finding.chart
    return {
        "key": key_of(finding), "severity": finding.severity, "title": finding.title, "sentence": finding.sentence,
        "why": finding.why, "layer": finding.layer, "step": finding.step, "when": describe_time(finding),
        "over": finding.until is not None, "chart": _pack_chart(chart),
    }  # fmt: skip


def _pack_chart(chart: Chart | None) -> dict[str, Any] | None:
    if chart is None or (chart.kind == "line" and len(chart.values) < 2):
        return None  # of a single look there is no course to see; its number stands in the sentence
    return {
        "values": finite_or_none(chart.values), "label": chart.label, "kind": chart.kind, "names": list(chart.names),
        "limit": None if chart.limit is None else finite_or_none([chart.limit])[0],
    }  # fmt: skip


def taken_last(changes: Sequence[Entry]) -> str:
    """Say what the doctor changed, where that is the last change."""
    last = list(takewhile(lambda entry: entry.by == "doctor" and entry.step == changes[-1].step, reversed(changes)))
    words = [f"{one.name.replace('_', ' ')} → {_describe(one.applied)}" for one in reversed(last) if not one.rejected]
    return f"Taken after step {last[0].step:,}: {', '.join(words)}" if words else ""


def _describe(value: Any) -> str:
    """Return a value in few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_describe(one)}" for name, one in value.items())
    if isinstance(value, tuple):
        return " ".join(_describe(one) for one in value if one != {})
    return "off" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def pack_checks(checks: Iterable[Check]) -> dict[str, Any]:
    """Return what was checked, in short and one by one."""
    order = ("not run", "found", "quiet")
    rows = sorted(checks, key=lambda check: order.index(check.outcome))
    return {"line": describe_checks(rows), "rows": [[one.rule.label, one.outcome, one.why] for one in rows]}


def pack_trials(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return trials under way as a page reads them."""
    unknown = {"losses": [], "last": None, "best": False, "note": "", "ended": False}
    rows = [{"name": one.name, "label": one.name, "taken": one.taken, **unknown} for one in trials if one.name]
    words = "Each takes the same steps on the same batches."
    return {"words": words, "steps": trials[0].steps, "rows": rows} if rows else {}


def pack_tried(tried: RemedyTrials, branches: Iterable[Branch]) -> dict[str, Any]:
    """Return what came of remedies, with the losses of their lines."""
    lines, rows = {branch.name: branch for branch in branches}, []
    for one in tried.tried:
        losses: list[float | None] = []
        if one.line in lines:
            branch = lines[one.line]
            curve = Curve(branch.record.columns["loss"]).buckets(tried.start + 1, branch.steps, _POINTS)
            losses = finite_or_none(curve.mean)
        last = one.valid_loss if tried.measure == "valid_loss" else one.loss
        rows.append({
            "name": one.name, "label": one.label, "losses": losses, "last": last if math.isfinite(last) else None,
            "best": one is tried.best, "note": one.note or ("" if one.stable else "its loss rises"),
            "taken": one.steps, "ended": True,
        })  # fmt: skip
    return {"words": tried.sentence, "steps": tried.steps, "rows": rows, "measure": tried.measure.replace("_", " ")}


def finite_or_none(values: Iterable[float]) -> list[float | None]:
    """Return numbers as JSON has them, None for the others."""
    return [float(one) if math.isfinite(one) else None for one in values]


def pack_offer(offer: Offer, steps: int) -> dict[str, str]:
    """Return a remedy as a button, for a run after `steps`."""
    back = f"Rewind to {offer.back:,}" if offer.back is not None and offer.back != steps else ""
    full = f"{back}, {offer.label[0].lower()}{offer.label[1:]}" if back else offer.label
    return {"name": offer.name, "label": offer.label, "back": back, "full": full, "off": offer.why_not}
