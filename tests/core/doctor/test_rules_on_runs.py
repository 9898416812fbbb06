"""What the rules say of real runs: of each fault within a hundred steps, of healthy ones nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlwidgets import Session


def run(steps=100, layers=(), **options) -> Session:
    """A run on 512 points of three classes, which a small network tells apart."""
    torch.manual_seed(0)
    y = torch.arange(512) % 3
    X = torch.randn(512, 8) + 1.5 * torch.eye(8)[y]
    inner = [part for kind in layers for part in (nn.Linear(32, 32), kind())]
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), *inner, nn.Linear(32, 3))
    given = {"optimizer": "adam", "lr": 3e-3, "batch_size": 32, "epochs": 100, "on_divergence": "go on", **options}
    made = Session(model, (X, y), **given)
    try:
        made.step(steps)
    except ArithmeticError:
        pass
    return made


SGD = ("sgd", {"momentum": 0.9})


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("rate_too_high", {"lr": 3.0}),
        ("loss_not_finite", {"optimizer": "sgd", "lr": 1e6}),
        ("loss_diverging", {"optimizer": SGD, "lr": 30.0}),
        ("rate_too_low", {"lr": 0.0}),
        ("rate_too_low", {"lr": 1e-7}),
        ("momentum", {"optimizer": ("sgd", {"momentum": 0.999}), "lr": 0.05}),
        ("clipping", {"optimizer": SGD, "lr": 0.05, "clip": 1e-4}),
        ("adam_epsilon", {"optimizer": ("adam", {"eps": 1.0})}),
        ("batch_noise", {"batch_size": 1}),
        ("gradient_vanishing", {"layers": [nn.Sigmoid] * 8}),
    ],
)
def test_a_planted_fault_is_found_within_a_hundred_steps(rule, fault):
    assert rule in {one.rule for one in run(**fault).findings}


@pytest.mark.parametrize(
    "healthy",
    [
        {}, {"lr": 1e-2}, {"lr": 1e-3}, {"optimizer": SGD, "lr": 0.05}, {"optimizer": SGD, "lr": 0.01},
        {"optimizer": "rmsprop", "lr": 1e-3}, {"schedule": ("cosine", {"warmup": 0.1}), "epochs": 6},
        {"clip": 1.0}, {"label_smoothing": 0.1}, {"layers": [nn.ReLU, nn.Tanh]}, {"batch_size": 512, "lr": 1e-2},
    ],
)  # fmt: skip
def test_a_healthy_run_is_let_alone(healthy):
    assert not run(**healthy).findings


def test_a_rate_raised_in_mid_run_is_found_and_over_once_it_is_lowered():
    made = run(150)
    made.lr = 3.0
    made.step(20)
    assert "rate_too_high" in {one.rule for one in made.findings if one.until is None}
    made.lr = 1e-3
    made.step(60)
    assert "rate_too_high" not in {one.rule for one in made.findings if one.until is None}
