"""Rules on validation samples that are in the training data too."""

from __future__ import annotations

from collections.abc import Iterator

from ...base.words import pluralize
from ..evidence import Evidence
from ..finding import Finding
from ..row_matches import Repeats
from ..rule import Rule
from .inputs import missing_data

#: The share of valid that is in train too, from which it is said, and from which it spoils the validation; and how
#: often that is over the share in which train repeats itself.
_SOME, _MANY, _TIMES = 0.01, 0.1, 3.0


def _missing_repeats(evidence: Evidence) -> str:
    if why := missing_data(evidence):
        return why
    if not evidence.has_valid:
        return "there is no validation data"
    return "" if evidence.data.repeats is not None else "train and valid do not both lie in memory"


def find_leak(evidence: Evidence) -> Iterator[Finding]:
    """Find validation samples that are in train."""
    repeats: Repeats = evidence.data.repeats
    share = repeats.count / repeats.of
    if repeats.count < 2 or share < _SOME or share <= _TIMES * repeats.usual:
        return
    pairs = ", ".join(f"{row:,} = {there:,}" for row, there in repeats.pairs)
    exact = "to the last digit" if repeats.exact == repeats.count else f"{repeats.exact:,} to the last digit"
    yield Finding(
        "valid_in_train", "high" if share >= _MANY else "medium", f"{share:.0%} of valid is in train too",
        f"{repeats.count:,} of {pluralize(repeats.of, 'sample')} of valid have inputs that are in train as well "
        f"({exact}; valid = train: {pairs}). Leave them out of one.",
        why="What was learnt by heart looks like what was understood: the validation is better than the truth.",
        evidence={"share": share, "count": repeats.count, "usual": repeats.usual},
    )  # fmt: skip


RULES = (
    Rule(
        "valid_in_train", "validation samples that are in train too", find_leak,
        f"{_SOME:.0%} of valid equal to three digits, and over {_TIMES:g} times the share in which train repeats "
        "itself", _missing_repeats, "start",
    ),
)  # fmt: skip
