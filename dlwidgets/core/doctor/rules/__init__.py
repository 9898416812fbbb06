"""The doctor's rules, each in the file of its subject."""

from __future__ import annotations

from ..rule import Rule
from . import (
    batch_norm,
    batches,
    boxes,
    chance,
    clipping,
    companions,
    duplicates,
    first_batch,
    fitting,
    freezing,
    gradients,
    initialisation,
    inputs,
    labels,
    last_layer,
    loss,
    parameters,
    precision,
    rate,
    speed,
    targets,
    units,
)

#: All rules, in the order in which they are listed.
RULES: tuple[Rule, ...] = (
    *loss.RULES, *gradients.RULES, *rate.RULES, *clipping.RULES, *batches.RULES, *fitting.RULES, *chance.RULES,
    *speed.RULES, *precision.RULES, *companions.RULES, *last_layer.RULES, *initialisation.RULES, *units.RULES,
    *parameters.RULES, *batch_norm.RULES, *freezing.RULES, *inputs.RULES, *targets.RULES, *boxes.RULES, *labels.RULES,
    *duplicates.RULES, *first_batch.RULES,
)  # fmt: skip
