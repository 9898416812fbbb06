"""Scripts of runs whose inputs were scaled give their weights, bit for bit."""

from __future__ import annotations

import runpy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.core.export.script_runs import Runs, X, Y, check_weights, session

RUNS = Runs()
BYTES = (X - X.min()).div(X.max() - X.min()).mul(255).byte()


@RUNS.add
def from_the_beginning():
    return session(input_scaling="standardize").fit()


@RUNS.add
def on_the_way_and_off_again():
    made = session().step(3)
    for scale in ("standardize", (0.5, 2.0), None, (0.0, [1.0 + n for n in range(12)])):
        made.input_scaling = scale
        made.step(2)
    return made


@RUNS.add
def bytes_and_averages():
    return session(data=(BYTES, Y["multiclass"]), input_scaling="0..1", ema=0.9, precision="bf16").fit()


@RUNS.add
def many_columns():
    wide = X.repeat(1, 10) + torch.arange(120)
    model = nn.Sequential(nn.Linear(120, 8), nn.ReLU(), nn.Linear(8, 4))
    torch.manual_seed(1)
    return session(model=model, data=(wide, Y["multiclass"]), input_scaling="standardize").fit(1)


@RUNS.add
def images_of_a_loader():
    torch.manual_seed(1)
    images = X.reshape(50, 3, 2, 2) * torch.tensor([1.0, 9.0, 99.0]).reshape(3, 1, 1)
    model = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten())
    loader = DataLoader(TensorDataset(images, Y["multiclass"]), 16, shuffle=True)
    made = session(model=model, data=loader, batch_size=None, task=None).step(3)
    made.input_scaling = "standardize"
    return made.fit(1)


@RUNS.add
def labels_that_are_predicted():
    valid = X[:9] * 5, Y["multilabel"][:9]
    return session("multilabel", data=(X * 5, Y["multilabel"]), valid=valid, input_scaling="standardize").fit()


def step(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


@RUNS.add
def a_training_step():
    return session(None, data=(X, Y["multiclass"]), training_step=step, input_scaling=(0.5, 2.0)).fit()


@pytest.mark.parametrize("name", RUNS)
def test_a_script_scales_inputs_as_the_run_did(done, name):
    check_weights(done, name)


def test_a_script_predicts_from_scaled_inputs(done):
    folder, sessions, _ = done
    found = runpy.run_path(str(folder / "labels_that_are_predicted.py"))
    assert found["predict"](X * 5).equal(sessions["labels_that_are_predicted"].predict(X * 5))
