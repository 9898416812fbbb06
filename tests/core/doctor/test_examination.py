"""What rules report, kept as findings: confirmed, told once, over after a while, gone after a rewind."""

from __future__ import annotations

import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.doctor.evidence import Evidence
from dlwidgets.core.doctor.examination import Examination
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.core.doctor.rule import Rule
from dlwidgets.core.doctor.rules import RULES


def session(**options) -> Session:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    return Session(model, (torch.randn(256, 8), torch.randint(0, 3, (256,))), **options)


def watched(made: Session, steps: range, confirm: int = 1) -> Examination:
    """Have a rule look that reports something while the run is in some steps."""

    def check(evidence: Evidence) -> list[Finding]:
        return [Finding("toy", "low", "A toy", "It is there.")] if evidence.step in steps else []

    made._run.attendant = Examination(made._run, [Rule("toy", "toys", check, "none", confirm=confirm)])
    made._run.attendant._budget.due = lambda: True  # whatever the time
    return made._run.attendant


def test_a_finding_is_told_once_and_says_when_it_is_over():
    made = session()
    watched(made, range(5, 31))
    told = []
    made.observe(lambda change: told.append(change["new"]), "findings")
    made.step(100)
    assert [(one.step, one.until) for one in made.findings] == [(5, 60)]
    assert len(told) == 2  # seen, and over


def test_what_must_be_confirmed_is_not_told_of_at_once():
    made = session()
    watched(made, range(10, 12), confirm=2)
    made.step(60)
    assert made.findings == ()


def test_going_back_forgets_what_was_found_after_it():
    made = session()
    watched(made, range(20, 1000))
    made.step(40)
    assert made.findings
    made.rewind(12)
    assert made.findings == ()


def test_what_was_found_on_one_line_is_not_said_of_another():
    made = session()
    made.step(40)
    made.rewind(12)
    made.lr = 0.5
    watched(made, range(20, 1000))
    made.step(20)
    assert [one.step for one in made.findings] == [20]
    made.switch("main")
    assert (made.steps, made.findings) == (40, ())


def test_a_rule_that_raises_fails_no_training_and_is_said_not_to_have_run():
    made = session()
    made._run.attendant = Examination(made._run, [Rule("toy", "toys", lambda evidence: 1 / 0, "none")])
    made.step(3)
    row = made.diagnose().iloc[0]
    assert (row["outcome"], made.steps) == ("not run", 3)
    assert "ZeroDivisionError" in row["what"]


def test_a_run_that_explodes_is_found_to_and_the_step_that_failed_is_named():
    made = session(optimizer="sgd", lr=30.0, on_divergence="go on")
    try:
        made.fit(progress=False)
    except ArithmeticError:
        pass
    steps = {one.rule: one.step for one in made.findings}
    assert "loss_diverging" in steps and steps["loss_not_finite"] == made.steps + 1


def test_a_change_is_looked_at_soon_by_rules_and_in_the_layers():
    made, looked = session(epochs=100), []
    rule = Rule("toy", "toys", lambda evidence: looked.append(evidence.step) or [], "none")
    made._run.attendant = Examination(made._run, [rule])
    made._run.attendant._budget.due = made._run.loop.watch._time_budget.due = lambda now=None: False
    made.step(300)
    del looked[:]
    made.lr = 1e-2
    made.step(120)
    assert looked == [303, 310, 320, 350, 400]
    assert made._run.attendant.looks[-1].step == 303


def test_what_was_checked_is_said_before_a_step_too():
    made = session()
    before = {check.rule.name: check.outcome for check in made.checks}
    made.step(20)
    assert set(before.values()) == {"not run"} and "quiet" in {check.outcome for check in made.checks}


def test_a_fast_run_is_looked_at_often_while_it_is_young():
    made, looked = session(), []
    rule = Rule("toy", "toys", lambda evidence: looked.append(evidence.step) or [], "none")
    made._run.attendant = Examination(made._run, [rule])
    made.step(100)
    assert looked == [1, 2, 5, *range(10, 101, 10)]


def test_a_symptom_is_not_told_beside_its_cause():
    def found(name: str):
        return lambda evidence: [Finding(name, "low", name, "")] if evidence.step > 9 or name != "cause" else []

    made = session()
    rules = [Rule("effect", "", found("effect"), "", symptom_of=("cause",)), Rule("cause", "", found("cause"), "")]
    made._run.attendant = Examination(made._run, rules)
    made.step(5)
    assert [one.rule for one in made.findings] == ["effect"]
    made.step(10)
    assert [one.rule for one in made.findings] == ["cause"]


def test_a_symptom_names_rules_that_there_are():
    assert not {cause for rule in RULES for cause in rule.symptom_of} - {rule.name for rule in RULES}
