"""What rules say of small numbers, held against torch's own arithmetic."""

from __future__ import annotations

import pytest
import torch

from tests.core.doctor.rules.by_hand import falling, look, made, said

ADAM = {"optimizer": ("AdamW", {})}


@pytest.mark.parametrize(("eps", "found"), [(1.0, True), (0.1, True), (1e-3, False), (1e-8, False)])
def test_an_epsilon_above_the_gradients_is_found(eps, found):
    settings = {"optimizer": ("AdamW", {"eps": eps})}
    assert bool(said("adam_epsilon", made(falling(20), looks=[look(9)], settings=settings))) == found


def test_an_optimizer_without_epsilon_has_none_too_large():
    assert not said("adam_epsilon", made(falling(20), looks=[look(9, grads=1e-9)], settings={"optimizer": ("SGD", {})}))


@pytest.mark.parametrize(("eps", "found"), [(1e-8, True), (1e-4, False)])
def test_an_epsilon_that_float16_cannot_hold_is_found(eps, found):
    settings = {"optimizer": ("Adam", {"eps": eps})}
    half = made(falling(20), {"lr": 1e-2}, looks=[look(9, dtypes=("float16",) * 5)], settings=settings)
    assert [one.severity for one in said("half_precision", half)] == ["high"] * found
    assert found == (float(torch.tensor(eps).half()) == 0)


@pytest.mark.parametrize("rate", [1e-2, 3e-3, 3e-4, 1e-5])
@pytest.mark.parametrize("kind", ["bfloat16", "float32"])
def test_steps_that_are_rounded_away_are_found(rate, kind):
    evidence = made(falling(20), {"lr": rate}, looks=[look(9, dtypes=(kind,) * 5)], settings=ADAM)
    # A weight of 0.5 and a step of Adam, which is about the rate long.
    weight = torch.tensor(0.5, dtype=getattr(torch, kind))
    assert bool(said("half_precision", evidence)) == bool(weight + torch.tensor(rate).to(weight) == weight)


@pytest.mark.parametrize(("momentum", "found"), [(0.0, True), (0.99, False)])
def test_momentum_makes_steps_longer(momentum, found):
    settings = {"optimizer": ("SGD", {}), "momentum": momentum}
    half = made(falling(20), {"lr": 0.02}, looks=[look(9, dtypes=("bfloat16",) * 5)], settings=settings)
    assert bool(said("half_precision", half)) == found
