"""Findings and checks in words, as views, figures and terminals say them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from ..base.frontend import in_notebook
from ..base.words import pluralize
from .examination import Check
from .finding import Finding

#: What stands before a finding of a severity, beside the word.
MARKS = {"high": "▲", "medium": "◆", "low": "●"}


def describe_time(finding: Finding) -> str:
    """Say when it was seen: "since step 1,020"."""
    if finding.until is not None:
        return f"steps {finding.step:,} to {finding.until:,}, over"
    return f"since step {finding.step:,}" if finding.step else "before the first step"


def describe_checks(checks: Iterable[Check]) -> str:
    """Return "22 checks quiet · 3 not run (needs validation data)".

    In brackets stands why, of most of them, up to its first colon.
    """
    checks = list(checks)
    quiet = sum(check.outcome == "quiet" for check in checks)
    reasons = Counter(check.why.split(":")[0] for check in checks if check.outcome == "not run")
    said = [f"{pluralize(quiet, 'check')} quiet"] if quiet else []
    if reasons:
        missing = f"{pluralize(reasons.total(), 'check') if not quiet else reasons.total()} not run"
        said.append(f"{missing} ({reasons.most_common(1)[0][0]})")
    return " · ".join(said)


def report_lines(findings: Iterable[Finding]) -> list[str]:
    """Return a line for each lasting finding, and one more."""
    lines = [
        f"{MARKS[one.severity]} {one.severity}: {one.title} ({describe_time(one)})"
        for one in findings if one.until is None
    ]  # fmt: skip
    return [*lines, "session.diagnose() says more, and what may help."] if lines else []


def write_report(findings: Iterable[Finding]) -> None:
    """Write `report_lines` below a bar: to stderr, or a cell's output."""
    out = sys.stdout if in_notebook() else sys.stderr
    if (lines := report_lines(findings)) and out is not None:
        out.write("\n".join(lines) + "\n")
        out.flush()
