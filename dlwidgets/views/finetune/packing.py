"""What fine-tuning knows of a run, as a page reads it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...core.base.buckets import Curve
from ...core.base.words import pluralize
from ...core.layers.blocks import Block
from ...core.training.proof import Proof
from ...core.training.snapshots.timeline import Branch
from ...core.training.starts import StartTrials
from ...core.training.trials import Trial

#: Points of a curve, and how many proofs are listed.
_POINTS, _PROOFS = 120, 50
#: How many signs of a digest are shown.
_SIGNS = 8
_LETTERS = {"yes": "y", "no": "n", "partly": "p"}


def pack_blocks(blocks: Iterable[Block]) -> list[list[Any]]:
    """Return [label, whole name, kind, parameters, whether of the head] of each."""
    return [[one.label, one.title, one.kind, one.parameters, one.in_head] for one in blocks]


def letters_of(blocks: Iterable[Block]) -> str:
    """Return a letter a block: y trains, n frozen, p partly."""
    return "".join(_LETTERS[one.trainable] for one in blocks)


def mode_of(
    letters: str, blocks: Sequence[Block], scale: Mapping[str, float] | None, gentle: Mapping[str, float]
) -> str:
    """Return which of the three buttons is in force, or ""."""
    if set(letters) == {"y"}:
        return "all" if not scale else "gentle" if scale == gentle else ""
    head = "".join("y" if one.in_head else "n" for one in blocks)
    return "head" if letters == head and "y" in head else ""


def pack_proof(proof: Proof) -> dict[str, Any]:
    """Return a proof in words, and whether it holds."""
    where, tensors = f"Epoch {proof.epoch:,}, step {proof.step:,}", f"{proof.tensors:,} frozen tensors"
    if proof.holds:
        said = f"{where}: {tensors} unchanged (digest {proof.digest[:_SIGNS]}…)"
    else:
        moved = "; ".join(map(proof.describe, proof.changed[:3]))
        more = f" and {len(proof.changed) - 3} more" if len(proof.changed) > 3 else ""
        said = f"{where}: {len(proof.changed):,} of {tensors} changed: {moved}{more}"
    drifting = ", ".join(f"{name} by {far:.2g}" for name, far in list(proof.drifting.items())[:2])
    more = f" and {len(proof.drifting) - 2} more" if len(proof.drifting) > 2 else ""
    return {
        "holds": proof.holds, "words": said, "digest": proof.digest,
        "drifts": f"Running statistics that nobody holds moved: {drifting}{more}" if drifting else "",
    }  # fmt: skip


def pack_proofs(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the last proofs of a line, the newest first."""
    return [pack_proof(Proof(**row)) for row in reversed(rows[-_PROOFS:])]


def pack_begun(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return starts under way as rows of a page."""
    empty = {"losses": [], "last": None, "value": None, "seconds": None, "best": False, "note": "", "parameters": None}
    return [
        {"name": one.name, "taken": one.taken, "steps": one.steps, "ended": one.ended, "line": one.line, **empty}
        for one in trials
    ]  # fmt: skip


def pack_starts(tried: StartTrials, branches: Iterable[Branch]) -> dict[str, Any]:
    """Return what came of starts, with the losses of their lines."""
    lines, rows = {branch.name: branch for branch in branches}, []
    for one in tried.tried:
        losses: list[float | None] = []
        if one.line in lines and one.steps:
            curve = Curve(lines[one.line].record.columns["loss"])
            losses = numbers_of(curve.buckets(tried.start + 1, tried.start + one.steps, _POINTS).mean)
        rows.append({
            "name": one.name, "line": one.line, "taken": one.steps, "steps": one.steps, "ended": True,
            "losses": losses, "last": number_of(one.loss), "value": number_of(tried.value_of(one)),
            "seconds": one.seconds, "best": one is tried.best, "note": one.note, "parameters": one.parameters,
        })  # fmt: skip
    return {"words": _describe(tried), "measure": tried.measure.replace("_", " "), "rows": rows}


def _describe(tried: StartTrials) -> str:
    """Say what all have in common; the rows say the rest."""
    steps = max((one.steps for one in tried.tried), default=0)
    if not steps:
        return tried.sentence
    return f"{pluralize(steps, 'step')} each from step {tried.start:,}, on the same batches.{tried.describe_kept()}"


def number_of(value: float) -> float | None:
    """Return a number as JSON has it, or None."""
    return float(value) if math.isfinite(value) else None


def numbers_of(values: Iterable[float]) -> list[float | None]:
    """Return numbers as JSON has them."""
    return [number_of(one) for one in values]
