"""Schedules: each of torch's has torch's own rates and weights, and a person's rate scales them."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import copy
import json
import math
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import lr_scheduler as S
from torch.optim.swa_utils import SWALR

from dlwidgets.core.base.state import Reference, StateCopier
from dlwidgets.session import Session

COUNT, SIZE, EPOCHS = 40, 8, 4
EACH, STEPS = COUNT // SIZE, EPOCHS * (COUNT // SIZE)
X = torch.randn(COUNT, 6, generator=torch.Generator().manual_seed(1))
Y = torch.arange(COUNT) % 3
LR = 0.1

#: Every class of torch.optim.lr_scheduler that can be stepped, and SWALR.
SCHEDULERS = {
    "LambdaLR": lambda o: S.LambdaLR(o, lambda k: 0.9**k),
    "MultiplicativeLR": lambda o: S.MultiplicativeLR(o, lambda k: 0.95),
    "StepLR": lambda o: S.StepLR(o, 3, gamma=0.5),
    "MultiStepLR": lambda o: S.MultiStepLR(o, [2, 9], gamma=0.3),
    "ConstantLR": lambda o: S.ConstantLR(o, factor=0.2, total_iters=6),
    "LinearLR": lambda o: S.LinearLR(o, start_factor=0.1, total_iters=9),
    "ExponentialLR": lambda o: S.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda o: S.PolynomialLR(o, total_iters=15, power=2.0),
    "CosineAnnealingLR": lambda o: S.CosineAnnealingLR(o, T_max=7, eta_min=1e-3),
    "CosineAnnealingWarmRestarts": lambda o: S.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2),
    "OneCycleLR": lambda o: S.OneCycleLR(o, max_lr=0.2, total_steps=STEPS),
    "CyclicLR": lambda o: S.CyclicLR(o, 0.01, 0.2, step_size_up=4, mode="exp_range", gamma=0.9),
    "SequentialLR": lambda o: S.SequentialLR(
        o, [S.ConstantLR(o, 0.1, 3), S.LinearLR(o, 0.5, 1.0, 4), S.ExponentialLR(o, 0.9)], [3, 8]
    ),
    "ChainedScheduler": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.1, 4), S.ExponentialLR(o, 0.9)]),
    "ReduceLROnPlateau": lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=0.5),
    "SWALR": lambda o: SWALR(o, swa_lr=0.02, anneal_epochs=8),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=LR, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=LR, weight_decay=0.1),
    "groups": lambda p: torch.optim.SGD(
        [{"params": p[:2]}, {"params": p[2:], "lr": LR / 4}], lr=LR, momentum=0.5
    ),
}


def net():
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def plain(make, schedule, unit="step", change=lambda step, optimizer: None, scale=lambda step: 1.0, epochs=EPOCHS):
    """The loop that torch's documentation shows; a factor over the rates is put on and taken off by hand."""
    model = net()
    optimizer = make(list(model.parameters()))
    scheduler = schedule(optimizer)
    torch.manual_seed(0)
    order = torch.Generator().manual_seed(0)
    loss_function, rates, step = nn.CrossEntropyLoss(), [], 0
    model.train()

    def advance():
        if isinstance(scheduler, S.ReduceLROnPlateau):
            model.eval()
            with torch.no_grad():
                value = float(loss_function(model(X), Y))
            model.train()
            scheduler.step(value)
        else:
            scheduler.step()

    for _ in range(epochs):
        for index in torch.randperm(COUNT, generator=order).split(SIZE):
            raw = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * scale(step)
            loss = loss_function(model(X[index]), Y[index])
            optimizer.zero_grad()
            loss.backward()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for group, rate in zip(optimizer.param_groups, raw):
                group["lr"] = rate
            step += 1
            if unit == "step" and not isinstance(scheduler, S.ReduceLROnPlateau):
                advance()
        if unit == "epoch" or isinstance(scheduler, S.ReduceLROnPlateau):
            advance()
    return model, rates


def session(schedule, optimizer="sgd", **options):
    return Session(
        net(), (X, Y), **{"valid": (X, Y), "optimizer": OPTIMIZERS.get(optimizer, optimizer), "batch_size": SIZE,
                          "epochs": EPOCHS, "schedule": schedule, "threads": 1, **options},
    )  # fmt: skip


def rates(made):
    return made.record.columns["lr"].values.tolist()


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values()))


def test_every_scheduler_of_torch_is_among_those_that_are_tried():
    classes = {
        name for name, kind in vars(S).items()
        if isinstance(kind, type) and issubclass(kind, S.LRScheduler) and name not in ("LRScheduler", "_LRScheduler")
    }  # fmt: skip
    assert classes <= SCHEDULERS.keys()


@pytest.mark.parametrize(
    "optimizer", [name if name == "sgd" else pytest.param(name, marks=pytest.mark.slow) for name in OPTIMIZERS]
)
@pytest.mark.parametrize("unit", ["step", "epoch"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_rates_and_weights_are_those_of_the_plain_loop(name, unit, optimizer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = session((SCHEDULERS[name], {"unit": unit}), optimizer).fit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, expected = plain(OPTIMIZERS[optimizer], SCHEDULERS[name], unit)
    assert rates(made) == expected
    assert same(made.model, model)
    assert not made.rejected


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_rate_that_is_halved_halves_all_that_comes(name):
    made = session((SCHEDULERS[name], {"unit": "step"}), "adamw")
    made.step(8)
    made.lr = made.lr / 2
    made.step(STEPS - made.steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, expected = plain(
            OPTIMIZERS["adamw"], SCHEDULERS[name], scale=lambda step: 1.0 if step < 8 else 0.5
        )
    if name != "ReduceLROnPlateau":  # it decides by what it sees, and sees other losses
        _, own = plain(OPTIMIZERS["adamw"], SCHEDULERS[name])
        assert rates(made)[8:] == [rate / 2 for rate in own[8:]]
    assert rates(made) == expected
    assert same(made.model, model)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_is_set_is_what_the_schedule_scales(name):
    made = session((SCHEDULERS[name], {"unit": "step"}))
    made.step(4)
    scheduled = made.applied["scheduled_lr"]
    assert scheduled == made.applied["lr"]
    made.lr = 0.037
    made.step()
    assert rates(made)[4] == pytest.approx(scheduled * 0.037 / LR)
    made.step(3)
    assert made.lr == 0.037
    assert made.applied["lr_multiplier"] == pytest.approx(0.037 / LR)
    assert made.applied["lr"] == pytest.approx(made.applied["scheduled_lr"] * 0.037 / LR)


@pytest.mark.parametrize("schedule", [("cosine", {"warmup": 20}), "one-cycle", ("exponential", {"gamma": 0.5})])
def test_a_nudge_of_the_rate_is_a_nudge_wherever_the_schedule_stands(schedule):
    plain, made = session(schedule), session(schedule)
    for step in (1, 9, 17):
        made.step(step - made.steps)
        made.lr *= 1.05
    made.step(STEPS - made.steps)
    plain.step(STEPS)
    ratios = np.array(rates(made)) / np.array(rates(plain))
    wanted = np.repeat([1, 1.05, 1.05**2, 1.05**3], [1, 8, 8, STEPS - 17])
    np.testing.assert_allclose(ratios, wanted, rtol=1e-9)


def test_a_rate_set_while_the_schedule_has_left_next_to_nothing_is_no_danger_to_the_next():
    made = session(("exponential", {"gamma": 0.2, "unit": "step"}))
    made.step(12)
    made.lr = LR
    made.step()
    made.schedule = "one-cycle"
    made.step(STEPS - 13)
    assert max(rates(made)) <= LR * (1 + 1e-9)


def test_what_a_schedule_begins_from_is_the_learning_rate_from_then_on():
    made = session("cosine")
    made.step(12)
    now = made.applied["lr"]
    made.schedule = "linear"
    made.step()
    assert made.lr == rates(made)[12] == now
    made.lr = now / 2
    made.step()
    scheduled = made.applied["scheduled_lr"]
    assert made.applied["lr"] == pytest.approx(scheduled / 2)
    made.schedule = None
    made.step()
    assert made.lr == made.applied["lr"] == pytest.approx(scheduled / 2)


def test_a_rate_asked_for_with_a_schedule_is_that_of_the_schedule():
    made = session("cosine")
    made.step(12)
    made.lr, made.schedule = 0.03, "linear"
    made.step()
    assert made.lr == rates(made)[12] == pytest.approx(0.03)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_coming_rates_are_those_that_come(name):
    made = session((SCHEDULERS[name], {"unit": "step"}))
    made.step(3)
    made.lr = made.lr * 0.5
    made.step(2)
    state = copy.deepcopy(made._run.loop.rate.active.scheduler.state_dict())
    generator = torch.get_rng_state()
    coming = made.coming_rates()
    assert torch.equal(torch.get_rng_state(), generator)
    assert made._run.loop.rate.active.scheduler.state_dict().keys() == state.keys()
    assert getattr(made._run.loop.rate.active.scheduler, "last_epoch", None) == state.get("last_epoch")
    made.step(STEPS - 5)
    assert coming.steps.tolist() == list(range(6, 6 + len(coming.steps)))
    if name == "ReduceLROnPlateau":
        assert "depends on valid_loss" in coming.note
        assert len(set(coming.rates.tolist())) == 1
    else:
        count = STEPS - 5
        assert coming.rates[:count].tolist() == pytest.approx(rates(made)[5:], rel=1e-9, abs=1e-12)


NAMED = {
    "step": lambda o: S.StepLR(o, 7, gamma=0.1),
    "exponential": lambda o: S.ExponentialLR(o, 0.01 ** (1 / STEPS)),
    "cosine": lambda o: S.CosineAnnealingLR(o, STEPS),
    "cosine restarts": lambda o: S.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    "one-cycle": lambda o: S.OneCycleLR(o, LR, STEPS),
    "linear": lambda o: S.LinearLR(o, 1.0, 0.0, STEPS),
    "polynomial": lambda o: S.PolynomialLR(o, STEPS, 2.0),
    "plateau": lambda o: S.ReduceLROnPlateau(o, factor=0.1, patience=1),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_name_fits_torchs_scheduler_to_the_run(name):
    made = session(name).fit()
    model, expected = plain(OPTIMIZERS["sgd"], NAMED[name])
    assert rates(made) == expected
    assert same(made.model, model)


@pytest.mark.parametrize("name", [n for n in NAMED if n != "plateau"])
def test_what_a_schedule_came_to_is_torchs_own_with_those_options(name):
    made = session(name)
    plan = made._run.loop.rate.plan
    made.fit()
    model, expected = plain(OPTIMIZERS["sgd"], lambda optimizer: plan.scheduler(optimizer, **plan.options))
    assert rates(made) == expected
    assert same(made.model, model)


@given(
    name=st.sampled_from([n for n in NAMED if n not in ("plateau", "one-cycle")]), warmup=st.integers(0, 12)
)
@settings(max_examples=25, deadline=None)
def test_a_warm_up_is_a_line_to_where_the_schedule_begins(name, warmup):
    made = session((name, {"warmup": warmup, "over": STEPS - warmup}), valid=None).fit()
    got = rates(made)
    assert got[:warmup] == pytest.approx([LR * (i + 1) / (warmup + 1) for i in range(warmup)], rel=1e-12)
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    plan = made._run.loop.rate.plan
    scheduler, expected = plan.build(optimizer), []
    for _ in range(STEPS - warmup):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert got[warmup:] == expected


@given(
    changes=st.dictionaries(st.integers(1, STEPS - 1), st.floats(1e-4, 1.0), max_size=4),
    name=st.sampled_from([n for n in SCHEDULERS if n != "ReduceLROnPlateau"]),
)
@settings(max_examples=20, deadline=None)
def test_rates_that_are_set_at_any_steps_scale_torchs_own(changes, name):
    made = session((SCHEDULERS[name], {"unit": "step"}), valid=None)
    for step, value in sorted(changes.items()):
        made.step(step - made.steps)
        made.lr = value
    made.step(STEPS - made.steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, own = plain(OPTIMIZERS["sgd"], SCHEDULERS[name])
    factor, expected = 1.0, []
    for step, raw in enumerate(own):
        if step in changes:
            factor = changes[step] / LR
        expected.append(raw * factor)
    assert rates(made) == pytest.approx(expected, rel=1e-12)


# -- in mid-run


def test_a_schedule_swapped_in_mid_run_begins_at_the_rate_in_force_and_spans_the_rest():
    made = session("constant", lr=0.05)
    made.start()
    made.pause()
    done = made.steps
    made.schedule = "cosine"
    made.resume()
    made.wait()
    rest = STEPS - done
    expected = [0.05 * (1 + math.cos(math.pi * k / rest)) / 2 for k in range(rest)]
    assert rates(made)[done:] == pytest.approx(expected, rel=1e-9)
    entry = made.changes[-1]
    assert (entry.name, entry.asked, entry.by) == ("schedule", ("cosine", {}), "code")
    assert entry.applied[1]["T_max"] == rest


def test_the_same_schedule_asked_for_again_begins_anew():
    made = session("linear")
    made.step(10)
    now = made.applied["lr"]
    made.schedule = "linear"
    made.step()
    assert made.applied["schedule"][1]["over"] == 20  # four epochs from here are what start() would train
    assert rates(made)[10] == now


def test_the_rate_that_was_asked_for_before_changes_nothing():
    made = session("cosine", lr=LR)
    made.step(10)
    assert made.applied["lr"] < LR == made.lr
    made.lr = LR
    made.step()
    assert rates(made)[10] < LR and not made.changes


def test_no_schedule_any_more_leaves_the_rate_where_it_is():
    made = session("exponential")
    made.step(10)
    now = made.applied["lr"]
    made.schedule = None
    made.step(3)
    assert rates(made)[10:] == [now] * 3
    assert made.applied["schedule"] is None


def test_a_schedule_that_cycled_the_momentum_gives_it_back():
    made = session("one-cycle")
    assert any("it cycles momentum as well" in note for note in made.notes)
    made.step(6)
    assert made.applied["momentum"] != 0.9
    made.schedule = None
    made.step()
    assert made.applied["momentum"] == 0.9


def test_a_new_run_begins_a_fitted_schedule_anew_and_each_reaches_its_end():
    made = session("cosine")
    made.fit(2)
    made.fit(3)
    first = [LR * (1 + math.cos(math.pi * k / (2 * EACH))) / 2 for k in range(2 * EACH)]
    second = [LR * (1 + math.cos(math.pi * k / (3 * EACH))) / 2 for k in range(3 * EACH)]
    assert rates(made) == pytest.approx(first + second, rel=1e-9)
    assert made.changes[-1].by == "run"


def test_steps_taken_before_the_run_belong_to_its_schedule():
    whole, parted = session("cosine").fit(), session("cosine")
    parted.step(2)
    parted.fit()
    assert rates(parted) == rates(whole)
    assert same(parted.model, whole.model)


def test_a_pause_changes_nothing():
    whole, parted = session("one-cycle").fit(), session("one-cycle")
    parted.start()
    for _ in range(3):
        parted.pause()
        parted.resume()
    parted.wait()
    assert rates(parted) == rates(whole)
    assert same(parted.model, whole.model)


def test_a_schedule_past_its_end_stays_there():
    made = session(("cosine", {"over": 5, "eta_min": 0.01})).fit()
    assert rates(made)[5:] == [0.01] * (STEPS - 5)
    made = session(lambda o: S.OneCycleLR(o, 0.2, 6)).fit()
    assert made.status == "done"
    assert len(set(rates(made)[7:])) == 1
    assert any("The schedule stays where it is" in note for note in made.notes)


def test_where_the_schedule_left_nothing_the_next_begins_where_it_had_begun():
    made = session(("linear", {"over": 6}))
    made.step(8)
    assert made.applied["lr"] == 0
    made.schedule = "cosine"
    made.step()
    assert rates(made)[8] == LR


def test_a_rate_set_where_the_schedule_has_none_is_said_to_do_nothing_yet():
    made = session(("linear", {"over": 6}))
    made.step(8)
    made.lr = 0.05
    made.step()
    assert made.applied["lr_multiplier"] == 0.5
    assert "the schedule has a rate of 0 here" in made.changes[-1].note


def test_a_rate_written_into_the_optimizer_by_hand_counts_as_set():
    made = session((SCHEDULERS["OneCycleLR"], {"unit": "step"}))
    made.step(6)
    made.optimizer.param_groups[0]["lr"] *= 0.5
    made.step(6)
    _, own = plain(OPTIMIZERS["sgd"], SCHEDULERS["OneCycleLR"])
    assert rates(made)[6:] == [rate / 2 for rate in own[6:12]]


def test_a_scheduler_that_was_made_already_goes_on_as_it_is():
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)
    scheduler = S.StepLR(optimizer, 2, gamma=0.5)
    made = Session(
        model, (X, Y), optimizer=optimizer, schedule=scheduler, batch_size=SIZE, epochs=EPOCHS, threads=1
    ).fit()
    expected_model, expected = plain(OPTIMIZERS["sgd"], lambda o: S.StepLR(o, 2, gamma=0.5), "epoch")
    assert rates(made) == expected
    assert same(made.model, expected_model)


def test_plateau_is_fed_what_the_run_evaluates_and_not_what_a_person_asks_for():
    made, calm = (session((S.ReduceLROnPlateau, {"factor": 0.5, "patience": 1})) for _ in range(2))
    for _ in range(STEPS):
        made.step()
        made.evaluate()
    calm.fit()
    assert rates(made) == rates(calm)


def test_plateau_without_validation_data_goes_by_the_training_loss():
    made = session("plateau", valid=None)
    assert made.applied["schedule"][1]["metric"] == "loss"
    made.fit()
    assert made.status == "done"


def test_a_metric_that_is_not_measured_is_said():
    made = session(("plateau", {"metric": "auc"})).fit()
    assert any("The schedule waits for 'auc', which the evaluation does not measure" in n for n in made.notes)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "valid_loss"])
def test_plateau_goes_by_the_chosen_metric(metric):
    made = session(("plateau", {"metric": metric, "patience": 0, "threshold": 0.2, "factor": 0.5})).fit()
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=LR)
    better = "min" if metric == "valid_loss" else "max"
    scheduler = S.ReduceLROnPlateau(optimizer, mode=better, patience=0, threshold=0.2, factor=0.5)
    expected = []
    for row in made.record.evaluations:
        expected += [optimizer.param_groups[0]["lr"]] * EACH
        scheduler.step(row[metric])
    assert rates(made) == expected


def test_coming_rates_before_the_run_are_those_of_the_whole_run():
    made = session(("cosine", {"warmup": 0.25}))
    coming = made.coming_rates()
    made.fit()
    assert coming.steps.tolist() == list(range(1, STEPS + 1))
    assert coming.rates.tolist() == pytest.approx(rates(made), rel=1e-9)


@pytest.mark.parametrize("schedule", [("cosine", {"warmup": 0.25}), "one-cycle", ("linear", {"over": 9}), ("step", {"step_size": 3})])
def test_coming_rates_after_a_run_are_those_of_the_next(schedule):
    made = session(schedule)
    made.fit()
    done, before = made.steps, rates(made)
    coming = made.coming_rates()
    assert rates(made) == before
    assert ("begins the schedule anew" in coming.note) == (schedule not in (("linear", {"over": 9}), ("step", {"step_size": 3})))
    made.fit()
    assert coming.steps.tolist() == list(range(done + 1, made.steps + 1))
    assert coming.rates.tolist() == pytest.approx(rates(made)[done:], rel=1e-9, abs=1e-12)


def test_coming_rates_of_a_long_run_are_few_and_end_where_it_does():
    made = session(("cosine", {"unit": "step"}), epochs=200_000)
    coming = made.coming_rates(points=50)
    assert len(coming.steps) == 50
    assert coming.steps[-1] == 200_000 * EACH
    assert coming.rates[0] == LR
    assert coming.rates[-1] < 1e-6
    assert np.all(np.diff(coming.rates) <= 0)


def test_coming_rates_count_epochs_where_the_schedule_does():
    made = session(("step", {"unit": "epoch", "step_size": 1, "gamma": 0.5}))
    made.step(3)
    coming = made.coming_rates()
    made.step(STEPS - 3)
    assert coming.rates.tolist()[: STEPS - 3] == pytest.approx(rates(made)[3:])


@pytest.mark.parametrize(
    ("schedule", "sentence"),
    [
        ("cosin", "schedule='cosin' is not known. Did you mean 'cosine'?"),
        ("zzz", "schedule='zzz' is not known. There are: constant, step, exponential, cosine, "),
        (("cosine", {"t_max": 5}), "schedule 'cosine' has no option 't_max'. Did you mean 'T_max'?"),
        (("step", {"warmup": -1}), "schedule 'step' has warmup=-1: steps, or a share below 1, are wanted."),
        (("step", {"unit": "batch"}), "schedule 'step' has unit='batch': \"step\" or \"epoch\" is wanted."),
        (("step", {"over": 0}), "schedule 'step' has over=0: a whole number, 1 or more, is wanted."),
        (("one-cycle", {"warmup": 5}), "schedule: 'one-cycle' cannot be had: one-cycle warms up by itself"),
        (("step", {"step_size": 0}), "schedule: 'step' cannot be had: its first steps failed"),
        (("one-cycle", {"max_lr": -1.0}), "schedule 'one-cycle' has max_lr=-1.0: 0 or more is wanted."),
        (("one-cycle", {"max_lr": [0.1, -1.0]}), "schedule 'one-cycle' has max_lr=[0.1, -1.0]: 0 or more is wanted."),
        (("cosine", {"eta_min": -0.1}), "schedule 'cosine' has eta_min=-0.1: 0 or more is wanted."),
        (("step", {"gamma": -0.5}), "schedule 'step' has gamma=-0.5: 0 or more is wanted."),
        (("plateau", {"patience": -1}), "schedule 'plateau' has patience=-1: 0 or more is wanted."),
        (lambda o: S.OneCycleLR(o, max_lr=-1.0, total_steps=50), "schedule: this scheduler cannot be had: its rate is -0.04"),
        (("plateau", {"factor": 2}), "schedule: 'plateau' cannot be had: Factor should be < 1.0."),
        ("CyclicLR", "schedule='CyclicLR' wants base_lr, max_lr"),
        ("SequentialLR", "schedule='SequentialLR' is made of schedulers: pass a factory"),
        (lambda o: 3, "schedule: this scheduler cannot be had: the factory returned int, which is no scheduler."),
        (3, "schedule=3: pass a name such as \"cosine\", a scheduler, or a factory"),
        ({"warmup": 3}, "schedule={'warmup': 3}: say which, as {\"name\": \"cosine\""),
        (S.StepLR(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0), 3), "schedule: this scheduler cannot be had: the scheduler was made for another optimizer"),
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused_in_a_sentence(schedule, sentence):
    made = session(None)
    for ask in (lambda: session(schedule), lambda: setattr(made, "schedule", schedule)):
        with pytest.raises(ValueError) as caught:
            ask()
        assert str(caught.value).startswith(sentence)
    assert made.applied["schedule"] is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("constant", None), (None, None), ("Cosine_Annealing", ("cosine", {})), ("1cycle", ("one-cycle", {})),
        ("OneCycleLR", ("one-cycle", {})), ("CosineAnnealingLR", ("cosine", {})), ("SGDR", ("cosine restarts", {})),
        ({"name": "poly", "power": 1.0}, ("polynomial", {"power": 1.0})), (S.StepLR, ("step", {})),
        (("StepLR", {"step_size": 2}), ("StepLR", {"step_size": 2})),
    ],
)  # fmt: skip
def test_a_schedule_is_read_from_what_people_write(given, meant):
    assert session(given).schedule == meant


def test_a_run_taken_back_has_the_rates_that_it_had():
    made = session(("plateau", {"patience": 0, "threshold": 0.5, "factor": 0.5}))
    made.step(3)
    made.lr = 0.05
    made.step(9)
    there = {k: v.clone() for k, v in made.model.state_dict().items()}
    rate = made.applied["lr"]
    made.step(4)
    made.schedule = "one-cycle"
    made.step(3)
    made.rewind(12)
    assert made.applied["lr"] == rate
    assert all(torch.equal(there[k], v) for k, v in made.model.state_dict().items())
    assert made.schedule[0] == "plateau"
    assert made.applied["momentum"] == 0.9


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_goes_on_after_a_rewind_as_it_would_have(name):
    made = session((SCHEDULERS[name], {"unit": "step"}), "adamw")
    made.step(6)
    made.lr = made.applied["lr"] * 0.5
    made.step(6)
    expected, weights = rates(made), {k: v.clone() for k, v in made.model.state_dict().items()}
    made.rewind(4)
    made.step(2)
    made.lr = made.applied["lr"] * 0.5
    made.step(6)
    assert rates(made) == expected
    assert all(torch.equal(weights[k], v) for k, v in made.model.state_dict().items())


def from_disk(state):
    """Return a state as it comes back from disk: plain data, and nothing of what is kept by reference."""
    def plain(value):
        if isinstance(value, Reference):
            return None
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value

    return json.loads(json.dumps(plain(StateCopier()(state))))


@pytest.mark.parametrize(
    "schedule",
    [*NAMED, ("MultiStepLR", {"milestones": [2, 9], "unit": "step"}), ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1}),
     (SCHEDULERS["LambdaLR"], {"unit": "step"}), (SCHEDULERS["SequentialLR"], {"unit": "step"}), None],
    ids=lambda one: re.sub(r" at 0x\w+", "", str(one)),
)  # fmt: skip
def test_a_schedule_goes_on_from_its_state_on_disk(schedule):
    made, again = session(schedule), session(schedule)
    made.step(7)
    made.lr = 0.03
    made.step()
    rate, other = made._run.loop.rate, again._run.loop.rate
    state = from_disk(rate.state())
    for group, theirs in zip(other.optimizer.param_groups, rate.optimizer.param_groups):
        group.update({key: value for key, value in theirs.items() if key != "params"})
    assert other.install(state, other.optimizer) is None
    got = []
    for one in (rate, other):
        got.append([])
        for _ in range(10):
            got[-1].append(one.value)
            one.after_step(1.0)
    assert got[0] == got[1]
    assert rate.multiplier == other.multiplier


def test_a_schedule_made_by_code_is_asked_for_again_where_there_is_only_its_state():
    made, again = session((SCHEDULERS["LambdaLR"], {"unit": "step"})), session(None)
    rate = again._run.loop.rate
    said = rate.install(from_disk(made._run.loop.rate.state()), rate.optimizer)
    assert said == "the schedule (LambdaLR) was made by code: set session.schedule again"
    assert rate.plan is None


def test_a_rate_that_a_scheduler_would_make_negative_stays_and_is_said():
    made = session((lambda o: S.LambdaLR(o, lambda step: 1 - step / 3), {"unit": "step"}))
    made.step(8)
    assert rates(made) == pytest.approx([LR, LR * 2 / 3, LR / 3] + [0.0] * 5)
    assert any("negative" in note for note in made.notes)
