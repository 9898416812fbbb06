"""Long work of views, done in slices between steps."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets.core.base.slices import pause


def made():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), nn.Linear(8, 3))
    data = torch.randn(64, 4), torch.randint(0, 3, (64,))
    return dlw.Session(model, train=data, batch_size=8, epochs=50, seed=1)


def finish(session):
    while session.status == "running":
        time.sleep(0.01)
    assert session.steps == 400


def test_steps_are_taken_between_the_slices_of_long_work():
    session, seen = made(), []

    def work():
        for _ in range(16):
            time.sleep(0.04)
            seen.append(session._run.loop.steps)
            pause()
        return "done"

    session.epochs = 10_000
    session.start()
    assert session._run.in_slices(work).result(60) == "done"
    session.stop()
    assert len(set(seen)) > 10


def test_slices_that_draw_random_numbers_leave_the_run_as_it_is():
    plain, sliced = made(), made()
    plain.fit()

    def work():
        for _ in range(30):
            torch.rand(3)
            time.sleep(0.03)
            pause()

    sliced.start()
    done = sliced._run.in_slices(work)
    done.result(60)
    finish(sliced)
    for ours, theirs in zip(sliced.model.parameters(), plain.model.parameters()):
        assert torch.equal(ours, theirs)


def test_what_sliced_work_raises_is_its_futures_and_the_run_goes_on():
    session = made()
    with pytest.raises(ZeroDivisionError):
        session._run.in_slices(lambda: 1 // 0).result(60)
    session.fit()
    assert session.steps == 400


def test_a_table_opened_in_mid_run_leaves_the_training_bit_for_bit():
    plain, watched = made(), made()
    plain.fit()
    watched.start()
    table = watched.find_layers().result(60)
    finish(watched)
    assert table.total_macs == 4 * 8 + 8 * 3
    for ours, theirs in zip(watched.model.parameters(), plain.model.parameters()):
        assert torch.equal(ours, theirs)
