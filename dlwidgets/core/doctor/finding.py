"""A finding: what is wrong, where, since when, and by which numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..base.words import did_you_mean

#: From what spoils a run to what may be as it is meant.
SEVERITIES = ("high", "medium", "low")


@dataclass(frozen=True)
class Chart:
    """The few numbers that show a finding at a glance.

    Attributes
    ----------
    values : at most some 60, in order; NaN for a gap.
    label : what they are and where from, as "gradient norm, last 50 steps".
    limit : what they are held against, drawn as a line; None for none.
    kind : "line" over steps, or "bars" side by side.
    names : of the bars.
    """

    values: tuple[float, ...]
    label: str
    limit: float | None = None
    kind: str = "line"
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that a rule found in a run.

    Attributes
    ----------
    rule : the name of the rule, as "dead_relu".
    severity : one of `SEVERITIES`.
    title : what is wrong and where, with its number: "relu5 is dying: 63 % of its units are zero".
    sentence : the evidence, as "on all 64 samples of the batch, since step 1,020, when the loss rose".
    why : what it means and why it happens, for a student, in one or two sentences.
    layer : the path of the layer; None where it is of none.
    step : the step in which it was first seen; 0 before any.
    until : the step in which it was no longer seen; None while it lasts.
    evidence : the numbers by name.
    chart : None where there is nothing to draw.
    remedies : names of what may help, the likeliest first: see `remedies.REMEDIES`.
    """

    rule: str
    severity: str
    title: str
    sentence: str
    why: str = ""
    layer: str | None = None
    step: int = 0
    until: int | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    chart: Chart | None = None
    remedies: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str | None]:
        """(rule, layer): what makes two findings the same, seen again."""
        return self.rule, self.layer

    @property
    def rank(self) -> tuple[bool, int, int]:
        """The order of findings: lasting ones first, by severity and age."""
        return self.until is not None, SEVERITIES.index(self.severity), self.step


def find_finding(which: Finding | str, findings: Sequence[Finding]) -> Finding:
    """Return a finding, given as it is or by its rule.

    Raises
    ------
    ValueError : none has that name.
    """
    if isinstance(which, Finding):
        return which
    found = next((one for one in findings if one.rule == which), None)
    if found is None:
        names = list(dict.fromkeys(one.rule for one in findings))
        there = ", ".join(names) or "no finding"
        raise ValueError(f"Nothing was found of {which!r}: there is {there}.{did_you_mean(which, names)}")
    return found


def choose_finding(
    which: Finding | str | None, findings: Sequence[Finding], step: int, remedies: Sequence[str] | None
) -> Finding:
    """Return a finding to try remedies for, with these remedies where given.

    Parameters
    ----------
    which : see `find_finding`; None: the first that lasts and names remedies.
    step : where the run is.

    Raises
    ------
    ValueError : nothing was found, and no remedies are given.
    """
    lasting = [one for one in findings if one.until is None and one.remedies]
    if which is None and not lasting and remedies is None:
        raise ValueError("Nothing was found that names a remedy: say which to try, as remedies=['lower_rate', 'clip'].")
    if which is None and not lasting:
        return Finding("", "low", "", "", step=step, remedies=tuple(remedies or ()))
    chosen = lasting[0] if which is None else find_finding(which, findings)
    return chosen if remedies is None else replace(chosen, remedies=tuple(remedies))
