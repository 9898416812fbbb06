"""A rule: what it looks at, when, and its threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .evidence import Evidence
from .finding import Finding


def _nothing(evidence: Evidence) -> str:
    return ""


@dataclass(frozen=True)
class Rule:
    """One rule: a pure function from evidence to findings.

    Attributes
    ----------
    name : as "dead_relu"; a finding's `rule`.
    label : what is checked, in a few words for a list: "dead ReLU units".
    check : returns what it finds; it must be quick (some ten microseconds) and quiet in healthy runs.
    threshold : what it is held against, and the source of that, in a sentence.
    missing : returns why it cannot look, as "needs validation data"; "" where it can.
    when : "steps": every few steps; "start": in the pre-flight; "model": in both; "evaluation": after each; "proof":
        once what is frozen was compared; "failure": once a step was not taken.
    confirm : in how many examinations in a row it must find the same before it is shown.
    symptom_of : rules that name a cause of it: while one of them finds something, this is not told besides.
    """

    name: str
    label: str
    check: Callable[[Evidence], Iterable[Finding]]
    threshold: str
    missing: Callable[[Evidence], str] = _nothing
    when: str = "steps"
    confirm: int = 1
    symptom_of: tuple[str, ...] = ()


#: Losses whose value is known of a model that says how frequent each class is.
CROSS_ENTROPIES = ("CrossEntropyLoss", "NLLOfProbabilities", "BCEWithLogitsLoss", "BCELoss")
#: Rules that name why a run learns nothing.
NOT_LEARNING = (
    "loss_diverging", "rate_too_high", "rate_too_low", "clipping", "adam_epsilon", "momentum", "dead_relu", "saturated",
    "gradient_zero", "initialisation", "parameters_frozen", "last_layer", "half_precision",
)  # fmt: skip
