"""Remedies tried side by side: what came of each, and that nothing leaks into the run."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import Session
from dlwidgets.core.base.state import same_state
from dlwidgets.core.doctor.finding import Finding
from dlwidgets.core.doctor.remedies import REMEDIES
from dlwidgets.core.doctor.trials import RemedyTrials, TriedRemedy

X = torch.randn(256, 8, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()


def session(**options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    options = {"optimizer": ("sgd", {"momentum": 0.9}), "lr": 0.1, "epochs": 6, "ema": 0.9, **options}
    return Session(model, (X, Y), options.pop("valid", (X[:64], Y[:64])), **options)


def exploded(**options):
    """Return a session whose rate was raised after step 20, until a number was not finite."""
    made = session(on_divergence="go on", evaluate_every=None, **options)
    made.step(20)
    for budget in (made.timeline._often, made.timeline._epochs, made.timeline._before):
        budget.due = lambda: False  # no others, however slow the machine
    made._run.result(lambda: made.timeline.take("time"))
    made.step(2)
    made.model[1].eps = 1e-30  # BatchNorm would save it
    made.lr = 1e12
    with pytest.raises(ArithmeticError):
        made.fit(50, progress=False)
    return made


def states(made):
    def read():
        return made.timeline._copier({name: part.state() for name, part in made._run.parts.items()})

    return made._run.result(read)


def test_nothing_of_the_trials_leaks_into_the_run():
    made, twin = session(), session()
    for one in (made, twin):
        one.step(21)
    made.try_remedies(steps=10, remedies=["lower_rate", "halve_batch", "clip"])
    assert same_state(states(made), states(twin))
    for one in (made, twin):
        one.fit(progress=False)
    assert same_state(states(made), states(twin)) and made.status == twin.status == "done"
    assert made.history().loss.equals(twin.history().loss)


def test_every_remedy_that_applies_can_be_tried_and_none_leaks():
    made, twin = session(), session()
    for one in (made, twin):
        one.step(12)
    toy = Finding("toy", "low", "", "", layer="0", remedies=tuple(REMEDIES))
    found = made.try_remedies(toy, steps=2)
    names = {one.name for one in found.tried}
    assert names > {"nothing", "reinitialise", "scale_inputs", "dropout", "cosine", "halve_batch", "label_smoothing"}
    assert all(one.stable and one.steps == 2 for one in found.tried)
    assert same_state(states(made), states(twin)) and made.applied == twin.applied
    assert made.model[0].weight.equal(twin.model[0].weight)


def test_a_run_that_failed_is_where_it_failed_and_can_leave_that_batch_out_as_before():
    made, twin = exploded(), exploded()
    found = made.try_remedies("loss_not_finite", steps=10)
    assert (made.status, made.steps, made.line) == ("failed", twin.steps, "main")
    assert made.error == twin.error and [one.key for one in made.findings] == [one.key for one in twin.findings]
    assert found.start == 20 and same_state(states(made), states(twin))
    for one in (made, twin):
        one.skip()
    assert same_state(states(made), states(twin))


def test_each_begins_at_the_last_good_state_and_sees_the_same_batches():
    made = exploded()
    found = made.try_remedies("loss_not_finite", steps=10, remedies=["lower_rate", "clip"])
    lines = {branch.name: branch for branch in made.branches}
    assert [one.name for one in found.tried] == ["nothing", "lower_rate", "clip"]
    for one, settings in zip(found.tried, ({}, {"lr": 0.01}, {"clip": 1.0})):
        alone = session()
        alone.step(20)
        for name, value in settings.items():
            setattr(alone, name, value)
        alone.step(10)
        assert lines[one.line].history().loss.tolist() == alone.history().loss.tolist()
        assert one.loss == pytest.approx(alone.history().loss[-2:].mean())
        assert one.valid_loss == pytest.approx(alone.evaluate().loss)


def test_they_are_told_with_their_names_while_they_go(monkeypatch):
    monkeypatch.setattr("dlwidgets.core.training.run.PULSE", 0.0)
    made, seen = session(), []
    made.step(5)
    made.observe(lambda change: seen.append((made.status, tuple(one.name for one in change["new"]))), "trials")
    found = made.try_remedies(steps=3, remedies=["lower_rate"])
    assert ("trying", ("Nothing changed", "Rate × 0.1 → 1.0e-2")) in seen and seen[-1][1] == ()
    assert made.remedy_trials is found


def test_the_best_is_proposed_with_its_evidence_and_can_be_taken():
    made = session(lr=3.0)
    made.step(5)
    found = made.try_remedies(steps=30, remedies=["lower_rate", "raise_rate"])
    assert found.best.name == "lower_rate" and found.frame().remedy[0] == "lower_rate"
    assert found.sentence.startswith("Rate × 0.1 → 3.0e-1: validation loss ") and "after 30 steps" in found.sentence
    assert found.take() is found.best
    assert (made.steps, made.line, made.status) == (35, found.best.line, "paused")
    assert made.lr == pytest.approx(0.3) and made.line_changes[-1].by == "doctor"
    made.undo()
    assert (made.steps, made.lr) == (5, 3.0)


def test_a_trial_ends_with_the_first_number_that_is_not_finite():
    made = session(lr=1e30, valid=None)
    found = made.try_remedies(steps=30, remedies=["raise_rate"])
    branch = next(one for one in made.branches if one.name == found.tried[1].line)
    assert not found.tried[1].stable and "not taken" in found.tried[1].note
    assert branch.steps < 30 and branch.history().loss.notna().all()
    assert found.best is None or found.best.stable


def test_a_pause_ends_it_and_all_is_as_before():
    made, twin = session(), session()
    made.step(5), twin.step(5)
    made.observe(lambda change: change["new"] and change["new"][0].taken > 2 and made.pause(wait=False), "trials")
    found = made.try_remedies(steps=100_000, remedies=["lower_rate"])
    assert len(found.tried) == 1 and found.tried[0].steps < 100_000
    assert same_state(states(made), states(twin)) and (made.status, made.trials) == ("paused", ())


def tried(name, loss, valid=float("nan"), stable=True, steps=50, comparable=True):
    return TriedRemedy(name, name.title(), name, steps, loss, valid, stable, comparable)


@pytest.mark.parametrize(
    ("rows", "best"),
    [([("nothing", 1.0), ("clip", 0.5), ("cosine", 0.7)], "clip"),
     ([("nothing", 1.0), ("clip", 0.99)], "nothing"),
     ([("nothing", 1e9, 1e9, False), ("clip", 0.5, 0.9), ("cosine", 0.7, 0.6)], "cosine"),
     ([("nothing", 1.0), ("clip", 0.1, float("nan"), False)], "nothing"),
     ([("nothing", 1.0), ("clip", 0.1, float("nan"), True, 9)], "nothing"),
     ([("nothing", 1.0), ("swap_loss", 0.1, float("nan"), True, 50, False)], "nothing"),
     ([("nothing", 1.0, 1.0, False)], None)],
)  # fmt: skip
def test_the_best_is_stable_whole_comparable_and_better_by_more_than_a_hair(rows, best):
    found = RemedyTrials(tuple(tried(*row) for row in rows), 50, 0, Finding("", "low", "", ""))
    assert (found.best and found.best.name) == best
    assert found.sentence.endswith(".")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({}, "Nothing was found that names a remedy"), ({"remedies": ["clp"]}, "There is no remedy 'clp' here"),
     ({"remedies": ["no_clip"]}, "does not apply here: nothing is clipped"),
     ({"remedies": ["train_longer"]}, "no remedy to try"), ({"steps": 0, "remedies": ["clip"]}, "a whole number")],
)  # fmt: skip
def test_what_cannot_be_tried_is_refused_before_anything_is_trained(arguments, said):
    made = session()
    made.step(2)
    with pytest.raises(ValueError, match=said):
        made.try_remedies(**arguments)
    assert (made.steps, made.branches, made.status) == (2, (), "paused")


def test_data_that_can_be_read_once_only_is_refused_and_nothing_is_lost():
    made = Session(nn.Linear(8, 3), ((X[i : i + 32], Y[i : i + 32]) for i in range(0, 256, 32)), epochs=1)
    made.step(1)
    with pytest.raises(ValueError, match="read once only"):
        made.try_remedies(remedies=["clip"])
    assert made.fit(progress=False).steps == 8
