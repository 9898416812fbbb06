"""Findings and checks in words."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.doctor.examination import Check
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.core.doctor.report import describe_checks, describe_time, report_lines
from dlwidgets.core.doctor.rule import Rule


def check(outcome: str, why: str = "") -> Check:
    return Check(Rule("toy", "toys", lambda evidence: [], "none"), outcome, why)


def test_checks_are_counted_with_the_commonest_reason_for_those_that_did_not_run():
    missing = [check("not run", "needs validation data")] * 2 + [check("not run", "it failed: KeyError: 'a'")]
    assert describe_checks([check("quiet")] * 22 + missing) == "22 checks quiet · 3 not run (needs validation data)"
    assert describe_checks(missing[2:]) == "1 check not run (it failed)"
    assert describe_checks([check("found"), check("quiet")]) == "1 check quiet"


def test_a_finding_says_since_when_or_from_when_to_when():
    def said(**when: int) -> str:
        return describe_time(Finding("toy", "low", "A toy", "It is there.", **when))

    assert [said(step=1020), said(), said(step=20, until=1240)] == [
        "since step 1,020", "before the first step", "steps 20 to 1,240, over",
    ]  # fmt: skip


def test_the_end_of_a_run_has_a_line_for_each_finding_that_lasts_and_none_without():
    over = Finding("toy", "low", "A toy", "It is there.", step=1, until=2)
    grave = Finding("other", "high", "It burns", "There.", step=3)
    lines = report_lines((grave, over))
    assert lines[0] == "▲ high: It burns (since step 3)" and "session.diagnose()" in lines[1] and len(lines) == 2
    assert report_lines((over,)) == []


def test_a_fit_ends_with_what_was_found_unless_it_shows_no_progress(capsys):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    session = Session(model, (torch.randn(256, 8), torch.randint(0, 3, (256,))), optimizer="sgd", lr=30.0)
    with pytest.raises(ArithmeticError):
        session.fit()
    assert capsys.readouterr().err.splitlines()[-1] == report_lines(session.findings)[-1]
    with pytest.raises(ArithmeticError):
        session.fit(progress=False)
    assert capsys.readouterr().err == ""
