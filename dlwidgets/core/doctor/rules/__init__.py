"""The doctor's rules, each in the file of its subject."""

from __future__ import annotations

from ..rule import Rule
from . import (
    batches,
    boxes,
    chance,
    clipping,
    companions,
    duplicates,
    fitting,
    gradients,
    inputs,
    labels,
    loss,
    precision,
    rate,
    speed,
    targets,
)  # fmt: skip

#: All rules, in the order in which they are listed.
RULES: tuple[Rule, ...] = (
    *loss.RULES, *gradients.RULES, *rate.RULES, *clipping.RULES, *batches.RULES, *fitting.RULES, *chance.RULES,
    *speed.RULES, *precision.RULES, *companions.RULES, *inputs.RULES, *targets.RULES, *boxes.RULES, *labels.RULES,
    *duplicates.RULES,
)  # fmt: skip
