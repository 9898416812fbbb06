"""Rules on what is frozen and moves all the same."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule


def find_moving_statistics(evidence: Evidence) -> Iterator[Finding]:
    """Find layers that are frozen by hand and go on averaging."""
    paths = evidence.model.frozen_norms if evidence.model is not None else ()
    if not paths:
        return
    drifting = {} if evidence.proof is None else evidence.proof.drifting
    said = "Their parameters do not train, while in train mode they go on averaging what they get."
    if drifting:
        name = max(drifting, key=lambda one: (one.endswith(("running_mean", "running_var")), drifting[one]))
        said += f" Since they were frozen {name} has moved by {drifting[name]:.3g}."
    several = f" and {len(paths) - 1} more are frozen, but their" if paths[1:] else " is frozen, but its"
    yield Finding(
        "batch_norm_frozen", "medium", f"{paths[0]}{several} statistics move", said,
        why="requires_grad=False holds a BatchNorm's weights, not its running mean and variance: what the frozen "
        "layers say changes all the same. freeze() of the session holds these too, as module.eval() does; the "
        "session sets the whole model to train mode, so that an eval() from before does not last.",
        layer=paths[0], evidence={"layers": len(paths), **drifting}, remedies=("hold_statistics",),
    )  # fmt: skip


def find_moved(evidence: Evidence) -> Iterator[Finding]:
    """Find frozen tensors that are not what they were when frozen."""
    proof = evidence.proof
    if proof is None or not proof.moving:
        return
    names = sorted(proof.moving, key=lambda name: name in proof.by_hand)
    wished = [name for name in names if name not in proof.by_hand]
    cause, remedy = next(filter(None, (evidence.movers.get(name) for name in names)), ("", ""))
    more = f" and {len(names) - 1:,} more," if names[1:] else ""
    known = f" {cause}." if cause else ""
    hashes = f"hash {proof.before[:8]} then, {proof.digest[:8]} now"
    # What nobody but its author moves, as an average of weights that a step keeps, may be meant so.
    severity = "high" if wished else "medium" if remedy else "low"
    yield Finding(
        "frozen_moved", severity, f"Frozen but moved: {proof.describe(names[0], more)}",
        f"After step {proof.step:,}, {len(names):,} of {proof.tensors:,} frozen tensors are not what they were when "
        f"they were frozen ({hashes}).{known}",
        why="A frozen tensor has no gradient, and torch's own optimizers leave it alone then. What moves it is "
        "something else: an optimizer that does not ask for the gradient, one left at zero, which momentum and weight "
        "decay still follow, a hook or a line that writes into it. An average that a step keeps of other weights is "
        "meant to move.",
        layer=names[0].rpartition(".")[0],
        evidence={"changed": len(names), "tensors": proof.tensors, "moved": proof.moved.get(names[0], float("nan"))},
        remedies=(remedy,) if remedy else (),
    )  # fmt: skip


RULES = (
    Rule(
        "batch_norm_frozen", "BatchNorm that moves while frozen", find_moving_statistics,
        "frozen parameters and train mode", when="model",
    ),
    Rule(
        "frozen_moved", "frozen tensors that move", find_moved, "any bit of a frozen tensor is another", when="proof",
        missing=lambda evidence: "" if evidence.proof is not None else "nothing is frozen, or no epoch has ended",
    ),
)  # fmt: skip
