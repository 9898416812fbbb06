"""A Keras model in the dashboard: its layers in the table, its training, its maps, the grid, in light and dark."""

from __future__ import annotations

import os

import pytest
from playwright.sync_api import expect

from .panel import Panel

pytest.importorskip("keras")
pytestmark = pytest.mark.keras

#: The tutorial's CNN, on scikit-learn's digits.
TUTORIAL = """
import os, numpy as np
import keras
from keras import layers
from sklearn.datasets import load_digits
digits = load_digits()
images, labels = (digits.images / 16).astype("float32")[..., None], digits.target
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((8, 8, 1)),
    layers.Conv2D(16, (3, 3), padding="same", activation="relu"),
    layers.BatchNormalization(),
    layers.MaxPooling2D((2, 2)),
    layers.Conv2D(32, (3, 3), padding="same", activation="relu"),
    layers.Flatten(),
    layers.Dropout(0.3),
    layers.Dense(10, activation="softmax"),
])
model.compile(optimizer=keras.optimizers.Adam(0.002), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
session = dlw.Session(model, (images[:1400], labels[:1400]), (images[1400:], labels[1400:]), evaluate_every=30)
board = dlw.Dashboard(session{})
board
"""


def test_a_keras_model_is_shown_trained_and_browsed(desk):
    page = desk.page
    page.set_viewport_size({"width": 1280, "height": 2200})
    desk.run_cell(TUTORIAL.format(", show='full'"))
    board, panel = page.locator(".dlw-dash"), Panel(page)
    table = board.locator(".dlw-layers")
    for name in ("conv2d", "batch_normalization", "max_pooling2d", "dense"):
        expect(table).to_contain_text(name)
    expect(table).to_contain_text(f"{desk.kernel_eval('model.count_params()'):,} parameters")
    panel.button("Start").click()
    desk.wait_until("session.steps >= 60 and session.scores is not None")
    panel.button("Pause").click()
    desk.wait_until("session.status == 'paused'")
    expect(board.locator(".dlw-confusion .dlw-head")).to_contain_text("after step")
    browser = board.locator(".dlw-activations")
    browser.get_by_role("combobox", name="layer", exact=True).select_option("max_pooling2d")
    expect(browser.locator(".dlw-act-what")).to_contain_text("max_pooling2d · sample 0")
    expect(browser.locator(".dlw-act-what")).to_contain_text("16 maps")
    shown = desk.kernel_eval("board.activations.project()['drawing']['size']")
    assert shown == [4, 4], "maps, not strips"
    for section in ("Touch", "Excites", "Over time", "Where it looked"):
        browser.get_by_role("button", name=section).first.click()
        expect(browser.get_by_role("region", name=section)).to_be_visible()
    expect(browser.get_by_role("region")).to_contain_text("conv2d_1")
    _look(desk, board)


def _look(desk, board) -> None:
    """Keep pictures of it where a person asks for them."""
    if os.environ.get("DLWIDGETS_PICTURES"):
        for theme in ("light", "dark"):
            desk.set_theme(theme)
            for width in (1280, 700):
                desk.page.set_viewport_size({"width": width, "height": 2200})
                desk.screenshot(f"keras-{width}-{theme}", of=board)
        desk.set_theme("light")
