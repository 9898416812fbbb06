"""The doctor's rules, each in the file of its subject."""

from __future__ import annotations

from ..rule import Rule
from . import companions, loss

#: All rules, in the order in which they are listed.
RULES: tuple[Rule, ...] = (*loss.RULES, *companions.RULES)
