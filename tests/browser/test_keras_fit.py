"""Keras's own fit, followed in the dashboard: in a cell that it blocks, and beside the notebook."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .panel import Panel

pytest.importorskip("keras")
pytestmark = pytest.mark.keras

SHOWN = """
import os
import numpy as np
import keras
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).normal(size=(320, 16)).astype("float32")
y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
model = keras.Sequential([
    keras.Input((16,)), keras.layers.Dense(32, activation="relu", name="hidden"),
    keras.layers.Dense(3, activation="softmax", name="last"),
])
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
session = dlw.Session(model, valid=(x, y))
board = dlw.Dashboard(session)
board
"""
FIT = "model.fit(x, y, epochs=100_000, verbose=0, callbacks=[session.keras_callback()])"


@pytest.mark.parametrize("fit", [FIT, f"future = session.in_background(lambda: {FIT})"])
def test_a_fit_is_drawn_live_paused_steered_and_stopped(desk, fit):
    desk.run_cell(SHOWN)
    panel, board = Panel(desk.page), desk.page.locator(".dlw-dash")
    desk.run_cell(fit, 1, wait=False)
    desk.wait_until("session.steps > 20", busy=True)
    expect(panel.status).to_have_text("running")
    panel.button("Pause").click()
    expect(panel.status).to_have_text("paused")
    taken = desk.wait_until("session.status == 'paused' and session.steps", busy=True)
    expect(board).to_contain_text(f"{taken:,}")
    panel.drag("Learning rate", 0.2)
    rate = desk.wait_until("session.lr != 0.01 and session.lr", busy=True)
    panel.button("Resume").click()
    desk.wait_until(f"session.steps > {taken} + 20 and session.history()['lr'].iloc[-1] == {rate}", busy=True)
    expect(panel.fact("Batch size")).to_contain_text("batch_size= is an argument of model.fit")
    desk.page.set_viewport_size({"width": 1280, "height": 1800})
    desk.screenshot("keras-fit-running", of=board)
    panel.button("Stop").click()
    expect(panel.status).to_have_text("stopped")
    desk.wait_for_cells()
    assert desk.kernel_eval("float(model.optimizer.learning_rate)") == pytest.approx(rate)
    desk.screenshot("keras-fit-stopped", of=board)
