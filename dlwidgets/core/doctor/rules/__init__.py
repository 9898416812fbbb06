"""The doctor's rules, each in the file of its subject."""

from __future__ import annotations

from ..rule import Rule
from . import batches, chance, clipping, companions, fitting, gradients, loss, precision, rate, speed

#: All rules, in the order in which they are listed.
RULES: tuple[Rule, ...] = (
    *loss.RULES, *gradients.RULES, *rate.RULES, *clipping.RULES, *batches.RULES, *fitting.RULES, *chance.RULES,
    *speed.RULES, *precision.RULES, *companions.RULES,
)  # fmt: skip
