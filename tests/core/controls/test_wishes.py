"""Wishes: read into one form, or refused in one sentence."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from dlwidgets.core.controls.near_names import name_hint
from dlwidgets.core.controls.steering import read_alone


@pytest.mark.parametrize(
    ("read", "value", "meant"),
    [
        ("lr", 0.1, 0.1), ("lr", 1, 1.0), ("lr", 0, 0.0), ("lr", np.float32(0.5), 0.5), ("lr", np.int64(2), 2.0),
        ("lr", torch.tensor(0.25), 0.25), ("lr", Fraction(1, 4), 0.25), ("lr", np.array(0.5), 0.5),
        ("batch_size", 7, 7), ("batch_size", np.int64(7), 7), ("batch_size", torch.tensor(7), 7),
        ("epochs", 3, 3), ("epochs", np.int32(3), 3),
        ("weight_decay", None, None), ("weight_decay", 0, 0.0), ("clip", None, None), ("clip", 2, ("norm", 2.0)),
        ("clip", "off", None), ("clip", ("value", 0.5), ("value", 0.5)),
        ("evaluate_every", "epoch", "epoch"), ("evaluate_every", None, None), ("evaluate_every", np.int64(20), 20),
        ("thresholds", 0.3, 0.3), ("thresholds", np.float32(0.5), 0.5), ("thresholds", [0.1, 0.9], [0.1, 0.9]),
        ("thresholds", np.array([0.1, 0.9]), [0.1, 0.9]), ("thresholds", torch.tensor([0.25, 0.5]), [0.25, 0.5]),
        ("thresholds", 1, 1.0), ("evaluate_every", "2 min", "120 s"), ("evaluate_every", "0.5s", "0.5 s"),
        ("evaluate_samples", None, None), ("evaluate_samples", np.int64(9), 9),
    ],
)  # fmt: skip
def test_a_wish_is_read_into_one_form(read, value, meant):
    found = read_alone(read, value)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize(
    ("read", "value", "wanted"),
    [
        *[("lr", value, "a learning rate is a number, 0 or more") for value in (-1, math.nan, math.inf, "0.1", None, True, [0.1])],
        *[("batch_size", value, "a whole number of samples, 1 or more, is wanted") for value in (0, -3, 2.5, 32.0, "32", None, True)],
        *[("epochs", value, "a whole number, 1 or more, is wanted") for value in (0, -1, 1.5, "3", None, False)],
        *[("weight_decay", value, "a number, 0 or more, is wanted") for value in (-0.1, math.nan, "0", True)],
        *[("evaluate_every", value, '"epoch", a number of steps, or None') for value in (0, "step", 1.5, True, "epochs")],
        *[("thresholds", value, "one number, or one for each class, is wanted") for value in ("high", None, [], [0.1, "a"], math.nan, [math.nan], True)],
    ],
)  # fmt: skip
def test_what_cannot_be_wished_is_said_with_the_value_and_what_is_wanted(read, value, wanted):
    with pytest.raises(ValueError) as caught:
        read_alone(read, value)
    assert str(caught.value).startswith(f"{read}={value!r}: ")
    assert wanted in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("learning_rate", " Did you mean 'lr'?"), ("Batch_Size", " Did you mean 'batch_size'?"), ("bs", " Did you mean 'batch_size'?"),
        ("lrr", " Did you mean 'lr'?"), ("val", " Did you mean 'valid'?"), ("criterion", " Did you mean 'loss'?"),
        ("optimiser", " Did you mean 'optimizer'?"), ("epoch", " Did you mean 'epochs'?"), ("xyzzy", ""),
        ("X", " Data goes in as train=(X, y)."), ("shuffle", " Rows are shuffled in each epoch; pass a DataLoader for any other order."),
    ],
)  # fmt: skip
def test_a_misspelt_name_gets_a_hint(typed, hint):
    options = ["model", "train", "valid", "loss", "optimizer", "lr", "batch_size", "epochs", "classes"]
    assert name_hint(typed, options) == hint


def test_a_hint_names_only_what_there_is():
    assert name_hint("val", ["lr", "epochs"]) == ""
