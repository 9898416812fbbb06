"""Planted faults are found by the rules that should, and healthy twins are left in peace."""

from __future__ import annotations

import pytest

import dlwidgets as dlw
from dlwidgets.core.doctor.rules import RULES
from dlwidgets.teaching import faults, setups

#: Rules on what needs more steps, a graphics card or is another's symptom: they have tests of their own.
UNPROVED = {
    "loss_flat", "loss_oscillating", "gradient_exploding", "gradient_not_finite", "underfitting", "targets_one_hot",
    "batch_not_learnt",
}  # fmt: skip


def diagnose(arguments: dict, steps: int, before: bool = True) -> list[tuple[str, str]]:
    """Return the rules that find something in so many steps, or before, with its severity."""
    session = dlw.Session(**arguments, threads=1)
    if before:
        session.diagnose()
    try:
        session.step(steps)
    except ArithmeticError:  # a number that is not finite
        pass
    found = [(one.rule, one.severity) for one in session.findings]
    session.close()
    return found


def test_each_fault_names_rules_that_there_are():
    known = {rule.name for rule in RULES}
    assert not {rule for fault in faults.FAULTS.values() for rule in fault.rules} - known


def test_each_rule_has_a_fault_that_it_is_proved_on():
    proved = {rule for fault in faults.FAULTS.values() for rule in fault.rules}
    assert {rule.name for rule in RULES} - proved <= UNPROVED


SLOW = [
    ("ReLU killed", "collages", 10), ("rate x 1000", "sentences", 10), ("inputs x 1000", "collages", 1),
    ("samples mixed", "sentences", 1), ("shuffled labels", "sentences", 70), ("over-fitting", "sentences", 100),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "setup", "steps"),
    [
        ("rate 0", "sentences", 10),
        ("cut by detach", "sentences", 10),
        ("NaN in the middle", "sentences", 1),
        ("softmax twice", "sentences", 2),
        ("leaking validation", "sentences", 1),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW),
    ],
)
def test_a_planted_fault_is_found(name, setup, steps):
    found = {rule for rule, _ in diagnose(faults.plant(name, setup), steps, (name, setup, steps) in SLOW)}
    assert found & {*faults.FAULTS[name].rules}


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", setups.OPTIMIZERS)
@pytest.mark.parametrize("setup", ["collages", "findings", "sentences"])
def test_a_healthy_twin_is_left_in_peace(setup, optimizer):
    assert not diagnose(setups.healthy(setup, optimizer=optimizer).arguments(), 100)
