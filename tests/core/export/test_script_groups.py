"""Scripts of runs with factors on the rates of parts."""

from __future__ import annotations

import pytest
import torch

from tests.core.export.script_runs import Runs, check_weights, session

RUNS = Runs()


def two(parameters):
    """Make an optimizer with two groups."""
    first, *rest = parameters
    return torch.optim.SGD([{"params": [first], "lr": 0.2}, {"params": rest}], lr=0.1, momentum=0.9)


@RUNS.add
def factors_from_the_beginning():
    return session(lr=0.01, lr_scale={"0": 0.1, "1": 0.3}).fit()


@RUNS.add
def factors_set_in_mid_run_with_own_groups():
    made = session(optimizer=two).fit(1)
    made.lr_scale = ("layer_decay", 0.7)
    made.fit(1)
    made.lr = 0.05
    made.step()
    made.lr_scale = None
    return made.fit(1)


@RUNS.add
def factors_and_a_schedule():
    made = session(optimizer=two, schedule="cosine", lr_scale={"4": 3}).fit(1)
    made.lr_scale = {"0.weight": 0.3, "4": 0.7}
    made.step()
    made.lr = 0.3
    return made.fit(1)


@RUNS.add
def factors_and_one_cycle():
    made = session(optimizer="sgd", schedule=("one-cycle", {"max_lr": 0.3})).fit(1)
    made.lr_scale = {"0": 0.3}
    made.fit(1)
    made.optimizer = "adamw"
    return made.fit(1)


@RUNS.add
def factors_and_what_joins():
    made = session(lr=0.01, trainable={"0": False}, optimizer=lambda own: torch.optim.Adam(own[2:], 0.01)).fit(1)
    made.lr_scale = {"4": 0.5, "0": 0.3}
    made.step()
    made.unfreeze("0")
    return made.fit(1)


@RUNS.add
def a_timetable_and_factors():
    made = session(lr=0.01, optimizer="adam", lr_scale={"0": 0.3, "1": 0.5}, unfreeze_at={"1": 3})
    made.fit(1)
    made.unfreeze_at = ("gradual", 2)
    return made.fit(1)


@pytest.mark.parametrize("name", RUNS)
def test_a_script_with_factors_gives_the_same_weights(done, name):
    check_weights(done, name)
