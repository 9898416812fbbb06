"""Targets that are all alike, lack classes, or are far off scale."""

from __future__ import annotations

import pytest
import torch
from sklearn import datasets
from torch.utils.data import DataLoader, TensorDataset

from .by_facts import found, labelled, linear, names, numbers


def test_one_class_only_is_found():
    X, _ = labelled()
    (one,) = found((X, torch.full((480,), 2)), classes=["ant", "bee", "cat"])
    assert (one.rule, one.severity) == ("targets_alike", "high") and "'cat'" in one.title


def test_the_same_labels_in_every_row_are_found():
    X, _ = labelled()
    assert names((X, torch.tensor([[1.0, 0.0, 1.0]]).repeat(480, 1))) == ["targets_alike"]


def test_a_loader_that_is_sorted_by_class_is_found_by_its_first_batch():
    X, y = labelled()
    data = TensorDataset(X, y.sort().values)
    (one,) = found(DataLoader(data, 32))
    assert (one.rule, one.severity) == ("targets_alike", "medium") and "shuffle=True" in one.sentence
    assert names(DataLoader(data, 32, shuffle=True)) == []


def test_a_class_without_samples_is_named():
    X, y = labelled()
    (one,) = found((X, y), model=linear(outputs=4), classes=["ant", "bee", "cat", "dog"])
    assert one.rule == "classes_missing" and "'dog'" in one.sentence
    assert one.chart.values == (160, 160, 160, 0)


def test_a_class_that_valid_lacks_is_found_unless_it_is_rare():
    (X, y), (V, v) = labelled(), labelled(90, seed=1)
    assert names((X, y), (V[v < 2], v[v < 2])) == ["classes_missing"]
    few = torch.cat([torch.arange(480)[y < 2], torch.arange(480)[y == 2][:40]])
    assert names((X[few], y[few]), (V[v < 2][:20], v[v < 2][:20])) == []


@pytest.mark.parametrize(("kept", "rules"), [(20, []), (10, ["classes_unbalanced"])])
def test_classes_ten_times_as_common_as_the_rarest_are_unbalanced(kept, rules):
    X, y = labelled()
    rows = torch.cat([torch.arange(480)[y < 2], torch.arange(480)[y == 2][:kept]])
    assert names((X[rows], y[rows])) == rules


def test_labels_in_columns_may_be_rare():
    X, y = labelled()
    labels = torch.stack([y == 0, y < 2, torch.arange(480) % 60 == 0], 1).float()
    assert names((X, labels)) == []
    labels[:, 2] = torch.arange(480) % 240 == 0
    assert names((X, labels)) == ["classes_unbalanced"]


def test_exclusive_classes_under_a_loss_of_labels_are_found():
    X, y = labelled()
    (one,) = found((X, torch.eye(3)[y]), loss="bce")
    assert one.rule == "targets_one_hot" and one.remedies == ("swap_loss",)


def test_the_targets_of_a_regression_are_far_off_until_they_are_standardised():
    X, y = datasets.load_diabetes(return_X_y=True)
    assert names((X * 20, y), model=linear(10, 1)) == ["targets_far_off"]
    assert names((X * 20, (y - y.mean()) / y.std()), model=linear(10, 1)) == []


def test_masks_of_0_and_255_are_found_beside_a_loss_of_ones_own():
    def dice(output, targets):
        return 1 - (output.sigmoid() * targets).mean() / (output.sigmoid().mean() + targets.mean())

    y = (numbers(480, 1) > 0).float() * 255
    assert "targets_out_of_range" in names((labelled()[0], y), model=linear(outputs=1), loss=dice, task="binary")


def test_hardly_any_label_being_known_is_said():
    X, y = labelled()
    y[15:] = -1
    assert names((X, y)) == ["targets_out_of_range"]
