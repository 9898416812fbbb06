"""Hints for names that a session does not have."""

# ruff: noqa: E501 - a case is one line, with the whole of its sentence

from __future__ import annotations

import pytest

from dlwidgets.core.controls.near_names import name_hint


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
