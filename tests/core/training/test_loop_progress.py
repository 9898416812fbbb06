"""Progress: what it foretells is what comes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dlwidgets.core.data.batches import IndexedBatches
from dlwidgets.core.data.loader import LoaderBatches
from dlwidgets.core.data.objective import Objective
from dlwidgets.core.data.source import Rows
from dlwidgets.core.data.stream import StreamBatches
from dlwidgets.core.data.task import Task
from dlwidgets.core.training.loop import Loop


def loop(kind, count, size):
    model = nn.Linear(1, 1)
    X, y = torch.zeros(count, 1), torch.zeros(count, 1)
    batches = {
        "rows": lambda: IndexedBatches(Rows(X, y), size, seed=0),
        "loader": lambda: LoaderBatches(DataLoader(TensorDataset(X, y), size)),
        "dropping loader": lambda: LoaderBatches(DataLoader(TensorDataset(X, y), size, drop_last=True)),
        "list": lambda: StreamBatches([*zip(X.split(size), y.split(size))], size),
        "generator": lambda: StreamBatches(zip(X.split(size), y.split(size)), size),
    }[kind]()
    task = Task("regression", nn.MSELoss(), "")
    return Loop(
        Objective(model, task, torch.device("cpu")), batches, torch.optim.SGD(model.parameters(), lr=0.1)
    )


@pytest.mark.parametrize("kind", ["rows", "loader", "dropping loader", "list"])
@given(
    count=st.integers(1, 30), size=st.integers(1, 10), resized=st.none() | st.integers(1, 10),
    epochs=st.integers(1, 4), at=st.integers(0, 60),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_the_total_is_the_number_of_steps_that_a_run_takes(kind, count, size, resized, epochs, at):
    size = min(size, count)
    made = loop(kind, count, size)
    while made.epochs < epochs:
        if made.steps == at and resized is not None and made.batches.why_not(resized) is None:
            made.batches.batch_size, resized = resized, None
        told = made.progress(epochs)
        made.step()
    assert told["total"] in (made.steps, made.steps - 1)  # the very last may have been without a batch
    last = made.progress(epochs)
    assert (last["total"], last["share"], last["steps"]) == (made.steps, 1.0, made.steps)


@pytest.mark.parametrize("kind", ["rows", "loader", "list"])
def test_share_and_total_before_in_and_after_a_run(kind):
    made = loop(kind, 10, 4)
    told = made.progress(2)
    assert told == {"epoch": 0, "epochs": 2, "steps": 0, "total": 6, "share": 0.0, "rate": None, "left": None}
    shares = []
    for _ in range(6):
        made.step()
        shares.append(made.progress(2)["share"])
    assert shares == [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1.0]
    assert made.progress(2)["epoch"] == 2
    assert made.progress(2)["left"] == 0
    assert made.progress(3)["total"] == 9


@pytest.mark.parametrize("kind", ["rows", "loader", "list"])
def test_the_total_is_the_same_in_the_middle_of_a_step(kind):
    made, totals = loop(kind, 10, 4), set()
    made.model.register_forward_hook(lambda *_: totals.add(made.progress(2)["total"]))
    for _ in range(6):
        made.step()
    assert totals == {6}


def test_a_source_that_cannot_say_has_no_total():
    made = loop("generator", 10, 4)
    made.step()
    told = made.progress(2)
    assert (told["total"], told["share"], told["left"]) == (None, None, None)
    assert told["rate"] > 0


def test_a_new_batch_size_counts_from_here_on():
    made = loop("rows", 12, 4)
    made.step()
    made.batches.batch_size = 1
    assert made.progress(2)["total"] == 1 + 8 + 12


def test_the_time_left_is_steps_over_rate_and_evaluations():
    made = loop("rows", 12, 4)
    made.step()
    made.evaluation_cost = 10.0
    told = made.progress(2)
    assert told["left"] == pytest.approx(5 / told["rate"])
    assert made.progress(2, "epoch")["left"] == pytest.approx(5 / told["rate"] + 2 * 10)
    # After steps 2, 4 and 6 of 6.
    assert made.progress(2, 2)["left"] == pytest.approx(5 / told["rate"] + 3 * 10)


def test_a_goal_that_lies_behind_is_reached():
    made = loop("rows", 4, 2)
    for _ in range(5):
        made.step()
    assert made.progress(1)["share"] == 1.0
