"""Inputs that are not scaled, do not vary, or stand in another order."""

from __future__ import annotations

import pytest
import torch
from sklearn import datasets
from torch import nn

from dlwidgets import Session

from .by_facts import found, labelled, linear, names, numbers


@pytest.mark.parametrize("change", [lambda X: X, lambda X: X / 3 + 0.4, lambda X: (X * 3 + 8).round()])
def test_inputs_of_a_usual_scale_are_quiet(change):
    X, y = labelled()
    assert names((change(X), y)) == []


@pytest.mark.parametrize("change", [lambda X: X * 100, lambda X: X + 100, lambda X: X / 255 / 255])
def test_inputs_far_off_are_found(change):
    X, y = labelled()
    assert names((change(X), y)) == ["inputs_not_scaled"]


def test_columns_far_apart_are_found_in_wine_and_not_once_it_is_standardised():
    X, y = datasets.load_wine(return_X_y=True)
    (one,) = found((X, y), model=linear(13))
    assert "very different scales" in one.title and one.remedies == ("scale_inputs",)
    assert names(((X - X.mean(0)) / X.std(0), y), model=linear(13)) == []


def test_it_is_over_once_the_session_scales_the_inputs():
    X, y = labelled()
    session = Session(linear(), (X * 100 + 50, y))
    session.step(1)
    (one,) = (one for one in session.findings if one.rule == "inputs_not_scaled")
    assert one.until is None
    session.input_scaling = "standardize"
    session.step(12)
    (one,) = (one for one in session.findings if one.rule == "inputs_not_scaled")
    assert one.until is not None


def test_pixels_from_0_to_255_are_named_unless_the_model_divides_them():
    class Divided(nn.Sequential):
        def forward(self, x):
            return super().forward(x.float() / 255)

    X, y = torch.randint(0, 256, (120, 1, 4, 4)), torch.arange(120) % 3
    assert "pixels" in found((X.float(), y), model=linear(16))[0].title
    assert names((X, y), model=Divided(linear(16))) == []


def test_a_model_that_begins_with_a_normalisation_may_be_given_any_scale():
    X, y = labelled()
    assert names((X * 100, y), model=nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 3))) == []


def test_tokens_have_no_scale():
    X, y = torch.randint(0, 200, (120, 6)), torch.arange(120) % 3
    assert names((X, y), model=nn.Sequential(nn.Embedding(200, 4), nn.Flatten(), nn.Linear(24, 3))) == []


def test_the_same_inputs_for_all_are_found():
    X, y = labelled()
    (one,) = found((X[:1].expand_as(X).clone(), y))
    assert (one.rule, one.severity) == ("inputs_constant", "high")


def test_channels_taken_for_the_height_are_found():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(12, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 12 * 3, 3))
    y = torch.arange(60) % 3
    assert names((numbers(60, 12, 12, 3), y), model=model) == ["channels_last"]


def test_a_validation_that_was_not_scaled_as_train_was_is_found():
    (X, y), (V, v) = labelled(), labelled(120, seed=1)
    assert names((X, y), (V, v)) == []
    assert names((X, y), (V * 40 + 100, v)) == ["valid_scaled_otherwise"]
