"""A schedule that was fitted to the run still ends with it where the batch size changes its steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD, lr_scheduler

from dlwidgets.core.controls.schedule.plan import Ahead, SchedulePlan
from dlwidgets.session import Session
from tests.core.export.script_runs import X, Y, differing, net, run_alone, session

FITTED = {
    "one-cycle": "one-cycle", "cosine": "cosine", "linear": "linear", "polynomial": "polynomial",
    "exponential": "exponential", "step": "step", "restarts": "cosine restarts",
    "after a warm-up": ("cosine", {"warmup": 3}), "after a share": ("linear", {"warmup": 0.2}),
    "with options": ("one-cycle", {"pct_start": 0.5, "div_factor": 10.0}),
}  # fmt: skip


def begun(made):
    """Begin a run, whose end is known then, and pause it before its first step."""

    def at_once(change):
        if change["new"] == "running":
            made.pause(wait=False)

    made.observe(at_once, "status")
    made.start().pause()
    made.unobserve(at_once, "status")
    assert made.status == "paused"


def run(schedule, *changes, **options):
    """Return a session of 50 samples and 6 epochs whose batch size was changed after so many steps."""
    made = session(**{"schedule": schedule, "epochs": 6, "optimizer": "sgd", "lr": 0.2, **options})
    begun(made)
    for step, name, value in changes:
        if step > made.steps:
            made.step(step - made.steps)
        setattr(made, name, value)
    return made.fit()


def rates(made):
    return made.history().lr.to_numpy()


def curve(scheduler, count, **options):
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    made, found = scheduler(optimizer, **options), []
    for number in range(count):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if number < count - 1:
            made.step()
    return np.array(found)


@pytest.mark.parametrize(("size", "steps"), [(8, 36), (25, 16), (16, 24)])
def test_a_one_cycle_ends_at_the_runs_end(size, steps):
    plain, made = run("one-cycle"), run("one-cycle", (8, "batch_size", size))
    found = rates(made)
    assert made.steps == steps and len(rates(plain)) == 24
    assert found[-1] == pytest.approx(rates(plain)[-1], rel=1e-9)
    assert found.max() == pytest.approx(0.2, rel=0.02)


def test_what_is_left_is_the_curve_of_torch_over_as_many_steps():
    made = run("one-cycle", (8, "batch_size", 8))
    entry = made.changes[-1]
    assert (entry.name, entry.by, entry.step) == ("schedule", "run", 8)
    options = dict(entry.applied[1])
    length, behind = options["over"], options["at"]
    assert length - behind == made.steps - 8
    assert behind / length == pytest.approx(8 / 24, abs=0.02)
    wanted = curve(lr_scheduler.OneCycleLR, length, max_lr=0.2, total_steps=length)
    np.testing.assert_allclose(rates(made)[8:], wanted[behind:], rtol=1e-12)


@pytest.mark.parametrize("name", FITTED)
def test_every_fitted_schedule_goes_on_where_it_is_and_ends_as_it_would_have(name):
    plain, made = run(FITTED[name]), run(FITTED[name], (11, "batch_size", 4))
    found, usual = rates(made), rates(plain)
    assert len(found) > len(usual)
    assert np.array_equal(found[:11], usual[:11])
    # No jump beyond what one step of the curve is.
    assert abs(found[11] - usual[11]) <= np.abs(np.diff(usual)).max() + 1e-12
    assert abs(found[-1] - usual[-1]) <= np.abs(np.diff(usual)).max() + 1e-12
    if name not in ("restarts", "step"):  # where a curve jumps, a shift of a step is a large difference
        share = np.linspace(0, 1, 30)
        ours, theirs = (np.interp(share, np.linspace(0, 1, len(r) - 11), r[11:]) for r in (found, usual))
        assert np.abs(ours - theirs).mean() < 0.02


def test_a_change_within_the_warm_up_leaves_the_warm_up():
    made = run(("cosine", {"warmup": 6}), (2, "batch_size", 8))
    np.testing.assert_allclose(rates(made)[:6], [0.2 * (i + 1) / 7 for i in range(6)], rtol=1e-12)
    assert rates(made)[-1] < 0.01


def test_accumulating_batches_stretches_it_as_well():
    made = run("linear", (8, "accumulate", 3))
    assert rates(made)[-1] == pytest.approx(0.2 / (len(rates(made)) - 8) * 16 / 24, rel=0.35)
    assert made.changes[-1].name == "schedule" and "stretched" in made.changes[-1].note


def test_the_slider_over_it_stays():
    made = run("cosine", (4, "lr", 0.02), (10, "batch_size", 8))
    one = run("cosine", (10, "batch_size", 8))
    ratio = rates(made)[4:-1] / rates(one)[4:-1]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)


@pytest.mark.parametrize(
    "schedule",
    [
        ("cosine", {"over": 30}), ("cosine", {"T_max": 30}), ("linear", {"unit": "epoch"}),
        ("step", {"step_size": 4}), ("plateau", {"metric": "loss"}), None,
        lambda optimizer: lr_scheduler.StepLR(optimizer, 2),
    ],
)  # fmt: skip
def test_what_was_not_fitted_to_the_run_stays_as_it_is(schedule):
    made = run(schedule, (8, "batch_size", 8))
    assert [one.name for one in made.changes if one.step] == ["batch_size"]


def test_it_is_drawn_to_the_end_of_the_run():
    made = session(schedule="linear", epochs=6, optimizer="sgd", lr=0.2)
    begun(made)
    made.step(8)
    made.batch_size = 8
    made.step()
    coming = made.coming_rates()
    assert coming.steps[-1] == made.progress()["total"] and not coming.note
    made.fit()
    assert coming.rates[-1] == pytest.approx(rates(made)[-1], rel=1e-6)


def test_undo_takes_the_batch_size_and_the_schedule_back():
    made = session(schedule="one-cycle", epochs=6, optimizer="sgd", lr=0.2)
    made.step(8)
    made.batch_size = 8
    made.step(3)
    made.undo()
    assert (made.steps, made.batch_size, made.line_changes) == (8, 16, [])
    made.fit()
    plain = session(schedule="one-cycle", epochs=6, optimizer="sgd", lr=0.2)
    plain.step(8)
    plain.fit()
    assert np.array_equal(rates(made), rates(plain))


@pytest.mark.parametrize("name", FITTED)
def test_a_rewind_past_it_goes_on_bit_for_bit(name):
    whole = run(FITTED[name], (8, "batch_size", 8), (13, "batch_size", 20))
    made = run(FITTED[name], (8, "batch_size", 8), (13, "batch_size", 20))
    made.rewind(15)
    made.fit()
    assert np.array_equal(rates(made), rates(whole))
    assert all(map(torch.equal, made.model.state_dict().values(), whole.model.state_dict().values()))


@pytest.mark.parametrize("name", FITTED)
def test_a_replay_goes_the_same_way(name):
    made = run(FITTED[name], (8, "batch_size", 8), (13, "accumulate", 2))
    other = session(schedule=FITTED[name], epochs=6, optimizer="sgd", lr=0.2)
    other.replay(made.ledger())
    other.fit()
    assert np.array_equal(rates(other), rates(made))
    assert all(map(torch.equal, made.model.state_dict().values(), other.model.state_dict().values()))
    names = [(one.step, one.name, one.applied) for one in made.changes if one.step]
    assert [(one.step, one.name, one.applied) for one in other.changes if one.step] == names


def test_a_checkpoint_goes_on_with_it(tmp_path):
    def made(**options):
        return {"schedule": "one-cycle", "epochs": 6, "optimizer": "sgd", "lr": 0.2, "batch_size": 16,
                "threads": 1, "seed": 3, **options}  # fmt: skip

    whole = run("one-cycle", (8, "batch_size", 8))
    one = Session(net(), (X, Y["multiclass"]), **made(checkpoint_dir=tmp_path))
    begun(one)
    one.step(8 - one.steps)
    one.batch_size = 8
    one.step(2)
    one.save_checkpoint().close()
    other = Session.from_checkpoint(tmp_path, net(), (X, Y["multiclass"]), **made())
    other.batch_size = 5
    other.batch_size = 8
    other.fit()
    assert np.array_equal(rates(other), rates(whole))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder, sessions, paths = tmp_path_factory.mktemp("scripts"), {}, []
    runs = {name: (FITTED[name], (8, "batch_size", 8), (13, "batch_size", 20)) for name in FITTED}
    runs["with a slider"] = ("one-cycle", (3, "lr", 0.02), (8, "batch_size", 8), (12, "lr", 0.01))
    runs["another optimizer"] = ("cosine", (6, "optimizer", "adam"), (8, "batch_size", 8))
    runs["in a warm-up"] = (("cosine", {"warmup": 6}), (2, "batch_size", 8))
    runs["more epochs"] = ("one-cycle", (8, "epochs", 8), (14, "epochs", 9))
    runs["fewer epochs"] = (("cosine", {"warmup": 3}), (8, "epochs", 4))
    runs["accumulated"] = ("polynomial", (5, "accumulate", 2), (9, "batch_size", 8))
    for name, arguments in runs.items():
        sessions[name] = run(*arguments)
        paths.append(folder / f"{name.replace(' ', '_')}.py")
        sessions[name].to_script(paths[-1])
    return folder, sessions, run_alone(paths, folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *FITTED,
        "with a slider",
        "another optimizer",
        "in a warm-up",
        "accumulated",
        "more epochs",
        "fewer epochs",
    ],
)
def test_a_script_gives_the_same_weights_bit_for_bit(scripts, name):
    folder, sessions, failed = scripts
    stem = name.replace(" ", "_")
    assert stem not in failed, failed[stem]
    assert differing(sessions[name], folder / f"{stem}.weights.pt") == []


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 3000), st.integers(0, 300), st.integers(1, 3000))
def test_a_stretched_schedule_has_as_many_steps_left_as_the_run(length, taken, warmup, rest):
    plan = SchedulePlan("cosine", None, None, {}, "step", warmup, length, fitted=True)
    found = plan.stretch(("cosine", {}), taken, Ahead(rest, 1), [0.1])
    left = warmup + length - taken
    if left <= 0 or (taken < warmup and rest <= warmup - taken) or length * rest > 300_000 * left:
        assert found is None
    elif found is None:
        assert rest == warmup + length - taken
    else:
        options = found[1]
        at = options.get("at", 0)
        assert options.get("warmup", 0) + options["over"] - at == rest
        if taken >= warmup:
            before, after = (taken - warmup) / length, (at - warmup) / options["over"]
            assert abs(before - after) <= 1 / options["over"]


@pytest.mark.slow
def test_one_cycle_may_be_put_over_rmsprop_in_mid_run(tmp_path):
    made = session(optimizer="rmsprop", lr=0.001, epochs=4)
    made.step(3)
    made.schedule = "one-cycle"  # which gives it a momentum that it did not begin with
    made.step(6)
    assert made.error == "" and made.applied["momentum"] > 0
    made.rewind(5)
    made.step(4)
    made.to_script(tmp_path / "run.py")
    assert run_alone([tmp_path / "run.py"], tmp_path) == {}
    assert differing(made, tmp_path / "run.weights.pt") == []


def test_more_or_fewer_epochs_in_mid_run_move_the_end_of_the_schedule():
    plain = run("cosine")
    for epochs, steps in ((9, 36), (4, 16)):
        made = run("cosine", (8, "epochs", epochs))
        found = rates(made)
        assert made.steps == steps
        assert np.array_equal(found[:8], rates(plain)[:8])
        # No jump, and the end of the curve at the end of the run.
        assert abs(found[8] - rates(plain)[8]) <= np.abs(np.diff(found)).max() + 1e-12
        assert found[-1] == pytest.approx(0, abs=0.004) and (np.diff(found) <= 1e-12).all()
        entry = made.changes[-1]
        assert (entry.name, entry.by, entry.step) == ("schedule", "run", 8) and "stretched" in entry.note


def test_epochs_that_change_while_it_goes_or_rests_are_followed_once():
    made = session(schedule="linear", epochs=6, optimizer="sgd", lr=0.2)
    made.step(8)
    made.epochs = 8
    assert [one for one in made.changes if one.step] == []  # no run is under way that would end elsewhere
    begun(made)
    made.step(2)
    made.epochs = 12
    made.epochs = 10
    begun(made)
    made.step(1)
    made.step(1)
    assert len([one for one in made.changes if one.by == "run" and "stretched" in one.note]) == 1
    made.fit()
    assert rates(made)[-1] == pytest.approx(0, abs=0.02)


def test_epochs_say_nothing_of_a_schedule_that_was_not_fitted_to_the_run():
    for schedule in (None, ("cosine", {"over": 30}), "plateau"):
        made = run(schedule, (8, "epochs", 8))
        assert [one for one in made.changes if one.step and one.by == "run"] == []


def test_back_before_the_end_was_moved_the_schedule_follows_the_run_all_the_same():
    made = session(schedule="cosine", epochs=6, optimizer="sgd", lr=0.2)
    begun(made)
    made.step(10)
    made.epochs = 9
    made.step(4)
    made.rewind(6)
    made.fit()
    assert made.steps == 36
    assert rates(made)[-1] == pytest.approx(0, abs=0.004)
