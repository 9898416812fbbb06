"""Factors on the rate of parts of a model, against optimizers with such groups."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets.session import Session
from tests.core.controls.by_hand import SIZE, X, Y, net, plain, same, session

BACKBONE = {"0": 0.1, "1": 0.1}
KINDS = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.05, momentum=0.9),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.05, weight_decay=0.1),
}


def grouped(model, kind, factor=0.1):
    """Return the optimizer that a person makes by hand."""
    backbone = [*model[0].parameters(), *model[1].parameters()]
    head = [*model[5].parameters(), *model[7].parameters()]
    return KINDS[kind]([{"params": backbone, "lr": 0.05 * factor}, {"params": head}])


def rates(made):
    return [group["lr"] for group in made.optimizer.param_groups]


@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_gives_the_weights_of_groups_made_by_hand(kind):
    model = net()
    made = session(optimizer=KINDS[kind], lr_scale=BACKBONE).fit()
    same(made.model, plain(model, optimizer=lambda _: grouped(model, kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_factor_set_in_mid_run_is_a_rate_written_into_a_group(kind):
    def slower(factor):
        return lambda _, optimizer: optimizer.param_groups[0].update(lr=0.05 * factor)

    model = net()
    at = {3: slower(0.1), 7: slower(0.0), 10: slower(1)}
    by_hand = plain(model, optimizer=lambda _: grouped(model, kind, 1), at=at)
    made = session(optimizer=KINDS[kind])
    for steps, wish in ((3, BACKBONE), (4, {"0": 0, "1": 0}), (3, None), (4, None)):
        for _ in range(steps):
            made.step()
        made.lr_scale = wish
    same(made.model, by_hand)
    assert rates(made) == [0.05]


SCHEDULES = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 0.9**step),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 14),
    "warm restarts": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 4),
    "one-cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, [0.1 * 0.25, 0.1][-len(o.param_groups):], 20),
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_as_over_groups_made_by_hand(name):
    model, make = net(), SCHEDULES[name]
    optimizer = grouped(model, "sgd", 0.25)  # a power of two: in which order it is multiplied plays no part
    scheduler = make(optimizer)
    by_hand = plain(model, optimizer=lambda _: optimizer, after=lambda _: scheduler.step())
    made = session(optimizer=KINDS["sgd"], lr_scale={"0": 0.25, "1": 0.25}, schedule=(make, {"unit": "step"})).fit()
    same(made.model, by_hand)
    assert rates(made) == [group["lr"] for group in optimizer.param_groups]
    if name == "one-cycle":  # the momentum is cycled in both
        assert [g["momentum"] for g in made.optimizer.param_groups] == [g["momentum"] for g in optimizer.param_groups]


@pytest.mark.parametrize("name", ["cosine", "warm restarts", "one-cycle"])
def test_under_a_schedule_the_rate_is_the_schedules_times_the_factor_as_in_timm(name):
    model, factors, at = net(), [1.0], {5: 0.3, 9: 0.7}
    optimizer = grouped(model, "sgd", 1)
    stand_in = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.05, momentum=0.9)
    scheduler = SCHEDULES[name](stand_in)

    def follow(group, scale):
        own = stand_in.param_groups[0]
        group.update(lr=own["lr"] * scale, momentum=own["momentum"])

    def after(_model):
        stand_in.step(), scheduler.step()
        factors[0] = at.get(scheduler.last_epoch, factors[0])
        follow(optimizer.param_groups[0], factors[0])
        follow(optimizer.param_groups[1], 1.0)

    follow(optimizer.param_groups[0], 1.0), follow(optimizer.param_groups[1], 1.0)
    by_hand = plain(model, optimizer=lambda _: optimizer, after=after)
    made = session(optimizer=KINDS["sgd"], schedule=(SCHEDULES[name], {"unit": "step"})).step(5)
    made.lr_scale = {"0": 0.3, "1": 0.3}
    made.step(4)
    made.lr_scale = {"0": 0.7, "1": 0.7}
    same(made.step(5).model, by_hand)


def test_a_plateau_with_the_least_rate_of_own_groups_goes_on_with_their_number():
    def two(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.2}, {"params": rest}], lr=0.1)

    def plateau(optimizer):
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=10.0, min_lr=[0.15, 0.01])

    made = session(optimizer=two, schedule=plateau, lr_scale={"0": 0.5, "7": 0.5}).fit(4)
    # The groups of its owner reach 0.15 and 0.01; the factor lies over them.
    own = [0.15, 0.01]
    assert [(g["own"], g["factor"]) for g in made.applied["lr_groups"]] == [(0, 0.5), (1, 0.5), (1, 1.0)]
    assert all(group["lr"] == pytest.approx(max(own[group["own"]], (0.2, 0.1)[group["own"]] * 0.1**3) * group["factor"])
               for group in made.applied["lr_groups"])  # fmt: skip


def test_a_rate_and_another_optimizer_keep_the_factors():
    made = session(lr_scale={"0": 0.5})
    made.step()
    made.lr, made.weight_decay = 0.2, 0.01
    made.step()
    assert rates(made) == [0.1, 0.2] and made.applied["lr"] == 0.2
    made.optimizer = "adamw"
    made.step()
    assert rates(made) == [0.1, 0.2] and isinstance(made.optimizer, torch.optim.AdamW)
    assert [group["weight_decay"] for group in made.optimizer.param_groups] == [0.01, 0.01]


def test_what_joins_later_gets_the_factor_of_its_pattern():
    made = session(lr_scale={"0": 0.5, "7": 2}, lr=0.1)
    made.step()
    made.model[7] = nn.Linear(8, 4)
    made.step()
    held = {id(one): group["lr"] for group in made.optimizer.param_groups for one in group["params"]}
    assert [held[id(one)] for one in made.model[7].parameters()] == [0.2, 0.2]


def test_a_new_head_has_the_factor_of_its_place_and_is_counted():
    made = session(lr_scale={"7": 2}, loss="cross_entropy").step(1)
    made.head = 6
    made.step(1)
    held = {id(one): group["lr"] for group in made.optimizer.param_groups for one in group["params"]}
    assert [held[id(one)] for one in made.model[7].parameters()] == [0.1, 0.1]
    counted = sum(group["parameters"] for group in made.applied["lr_groups"])
    assert counted == sum(one.numel() for one in made.model.parameters())


def test_going_back_and_forth_gives_the_groups_and_the_weights_of_then():
    made = session(optimizer=KINDS["adamw"])
    made.lr_scale = BACKBONE
    for _ in range(3):
        made.step()
    made.lr_scale = {"7": 3, "0.weight": 0}
    made.fit(1)
    there, groups = {name: one.clone() for name, one in made.model.state_dict().items()}, rates(made)
    made.rewind(2)
    assert rates(made) == [0.05 * 0.1, 0.05] and made.lr_scale == BACKBONE
    made.switch("main")
    assert rates(made) == groups and all(one.equal(there[name]) for name, one in made.model.state_dict().items())
    made.undo()
    assert made.lr_scale == BACKBONE and len(rates(made)) == 2


def test_a_checkpoint_goes_on_with_the_factors(tmp_path):
    options = {"optimizer": "adamw", "lr": 0.05, "schedule": "cosine"}
    straight, broken = (session(checkpoint_dir=place, **options) for place in (None, tmp_path))
    for made in (straight, broken):
        for _ in range(3):
            made.step()
        made.lr_scale = BACKBONE
        made.step()
    broken.close()
    options = {"batch_size": SIZE, "valid": (X[:10], Y[:10]), "optimizer": "adamw"}
    resumed = Session.from_checkpoint(tmp_path, net(), (X, Y), **options)
    assert resumed.lr_scale == BACKBONE and rates(resumed) == rates(straight)
    for made in (straight, resumed):
        made.step()
    same(resumed.model, straight.model)


def test_backbone_and_head_are_those_of_the_proposed_split():
    made = session(lr_scale={"backbone": 0.1})
    assert dict(made.lr_scale) == dict.fromkeys(made.split.backbone, 0.1)


def test_a_session_says_its_rates_and_its_timetable():
    said = repr(session(lr_scale={"0": 0.1}, unfreeze_at={"0": 3}))
    assert "rates      0 × 0.1\n" in said and "unfreezes  0 at step 3\n" in said


def test_layer_decay_is_a_power_for_each_block_from_the_head():
    made = session()
    made.lr_scale = ("layer_decay", 0.8)
    assert dict(made.lr_scale) == {"0": 0.8**2, "1": 0.8**2, "5": 0.8, "7": 1.0}


def test_a_factor_of_nothing_says_what_goes_on():
    made = session(lr_scale={"1": 0.5})
    made.step()
    before = [one.clone() for one in made.model[1].parameters()], made.model[1].running_mean.clone()
    made.lr_scale = {"1": 0}
    made.step()
    assert all(map(torch.equal, made.model[1].parameters(), before[0]))
    assert not made.model[1].running_mean.equal(before[1])
    assert all(said in made.ledger().note[0] for said in ("BatchNorm's statistics go on", "freeze() holds all of it"))
    assert "freeze() holds all of it" in session(lr_scale={"1": 0}).notes[-1]


@pytest.mark.parametrize(("wish", "sentence"), [
    ({"8": 0.1}, "lr_scale: The Sequential has no layer or parameter '8'. Its layers are"),
    ({"0": -1}, "lr_scale has -1 for '0': a factor on the rate, 0 or more, is wanted, as 0.1."),
    ("backbone", "lr_scale='backbone': factors on the rate are wanted, as {'features': 0.1}, or ('layer_decay', 0.8)"),
    (("layer_decay", 8), "lr_scale=('layer_decay', 8): ('layer_decay', 0.8) is wanted, with a number above 0"),
    (("layer_decoy", 0.8), "lr_scale has 'layer_decoy': 'layer_decay' is wanted."),
])  # fmt: skip
def test_factors_that_cannot_be_are_refused(wish, sentence):
    with pytest.raises(ValueError) as caught:
        session(lr_scale=wish)
    assert str(caught.value).startswith(sentence)


def test_going_back_to_weights_that_were_split_keeps_a_factor_on_the_whole_one():
    made = session(lr_scale={"5.weight": 0.2}).step(1)
    made.normalise = "weight_norm"
    made.step(2)
    made.normalise = None
    made.step(1)
    assert len(rates(made)) == 2
    made.rewind(2)
    assert len(rates(made)) == 1 and made.lr_scale == {"5.weight": 0.2}
