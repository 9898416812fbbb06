"""Rules on what a training step trains beside the model."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..finding import Finding
from ..rule import Rule
from ..unzeroed import STEPS

_NO_STEP = "needs a training_step with an optimizer of its own"


def find_piled_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Find optimizers of the training step that never zero gradients."""
    for name in evidence.unzeroed:
        yield Finding(
            "gradients_pile_up", "high", f"Gradients of {name} pile up: they are never zeroed",
            f"In {STEPS} steps in a row the new gradients were added to the old ones.",
            why=f"backward() adds to what is there. The session zeroes the gradients of its own optimizer only: call "
            f"{name}.zero_grad() in training_step, before its backward().",
            evidence={"steps": STEPS},
        )  # fmt: skip


RULES = (
    Rule(
        "gradients_pile_up", "gradients that are never zeroed", find_piled_gradients,
        f"old gradients are there in {STEPS} steps in a row, when the first new ones arrive: exact, and longer than "
        "anybody accumulates by hand",
        missing=lambda evidence: "" if evidence.task is None or evidence.task.name == "custom" else _NO_STEP,
    ),
)  # fmt: skip
