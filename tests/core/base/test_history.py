"""History: columns that grow, the data frame, the rate, and pictures of a fixed size."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlwidgets.core.base.history import GrowingColumn, History


def step(history, **more):
    values = {"epoch": 1, "loss": 0.5, "lr": 0.1, "batch_size": 8, "grad_norm": 1.0, "seconds": 0.01}
    history.step(**{**values, **more})


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=3000))
def test_a_column_holds_what_was_appended(values):
    column = GrowingColumn()
    for value in values:
        column.append(value)
    assert len(column) == len(values)
    np.testing.assert_array_equal(column.values, values)


def test_what_was_read_from_a_column_does_not_change():
    column = GrowingColumn()
    for value in range(1024):
        column.append(value)
    before = column.values
    kept = before.copy()
    for value in range(5000):
        column.append(-value)
    np.testing.assert_array_equal(before, kept)


def test_the_frame_has_a_row_for_each_step_with_whole_numbers_whole():
    history = History()
    for number in range(5):
        step(history, epoch=1 + number // 3, loss=number / 2)
    frame = history.frame()
    assert frame.columns.tolist() == ["epoch", "loss", "lr", "batch_size", "grad_norm", "seconds"]
    assert (frame.index.name, frame.index.tolist()) == ("step", [1, 2, 3, 4, 5])
    assert frame.dtypes.astype(str).tolist() == ["int64", "float64", "float64", "int64", "float64", "float64"]
    assert frame.epoch.tolist() == [1, 1, 1, 2, 2]


def test_evaluations_stand_in_the_rows_of_their_steps():
    history = History()
    step(history), step(history)
    history.evaluation(2, valid_loss=0.7, accuracy=0.5)
    step(history)
    frame = history.frame()
    assert frame.valid_loss.isna().tolist() == [True, False, True]
    assert frame.accuracy[2] == 0.5
    assert frame.epoch.dtype == "int64"


def test_an_evaluation_at_the_same_step_replaces_the_last():
    history = History()
    step(history)
    history.evaluation(1, valid_loss=0.7)
    history.evaluation(1, valid_loss=0.6)
    assert history.frame().valid_loss.tolist() == [0.6]


def test_an_evaluation_before_the_first_step_has_row_zero_and_spoils_no_dtype():
    history = History()
    history.evaluation(0, valid_loss=0.9)
    assert history.frame().index.tolist() == [0]
    step(history)
    frame = history.frame()
    assert frame.index.tolist() == [0, 1]
    assert frame.index.name == "step"
    assert (frame.epoch.tolist(), frame.batch_size.tolist()) == ([0, 1], [0, 8])
    assert frame.epoch.dtype == frame.batch_size.dtype == "int64"
    assert frame.loss.isna().tolist() == [True, False]


def test_no_step_is_an_empty_frame_with_its_columns():
    frame = History().frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 0
    assert "loss" in frame


def test_a_new_name_opens_a_column_that_is_empty_before():
    history = History()
    step(history)
    step(history, loss_box=2.0)
    step(history)
    assert history.frame().loss_box.tolist() == pytest.approx([np.nan, 2.0, np.nan], nan_ok=True)


def test_the_rate_is_that_of_the_last_two_seconds():
    history = History()
    assert history.rate() is None
    for seconds in [1.0] * 10 + [0.01] * 300:
        step(history, seconds=seconds)
    assert history.rate() == pytest.approx(100, rel=1e-6)
    step(history, seconds=30.0)
    assert history.rate() == pytest.approx(1 / 30)


def test_reading_while_steps_are_recorded_gives_whole_rows():
    history, done = History(), threading.Event()

    def record():
        for number in range(20_000):
            step(history, loss=number, lr=number)
        done.set()

    thread = threading.Thread(target=record)
    thread.start()
    frames = 0
    while not done.is_set() or not frames:
        frame = history.frame()
        assert (frame.loss == frame.lr).all()
        assert frame.loss.tolist() == list(range(len(frame)))
        frames += 1
    thread.join()
    assert len(history) == 20_000
