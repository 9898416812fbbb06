"""A control is one file and one line: a toy control goes through all that a control takes part in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import dlwidgets as dlw
from dlwidgets.core.controls import steering
from dlwidgets.core.controls.control import Control, PanelRow, Writer

X, y = torch.linspace(-1, 1, 64)[:, None].expand(64, 4).clone(), torch.linspace(-1, 1, 64)[:, None]


class NudgeWriter(Writer):
    def change(self, entry):
        return [f"nudge = {entry.applied}"]


class Nudge(Control):
    """A number that does nothing, and cannot be 13."""

    name = "nudge"
    default = 0
    aliases = ("shove",)
    bounds = "any"
    rows = (PanelRow("run", "Nudge"),)
    writer = NudgeWriter
    value = 0

    def read(self, value: Any) -> int:
        if not isinstance(value, int):
            raise ValueError(f"nudge={value!r}: a whole number is wanted.")
        return value

    def now(self) -> int:
        return self.value

    def put(self, value: int) -> str | None:
        if value == 13:
            raise ValueError("13 brings bad luck")
        self.value = value
        return None

    def state(self) -> int:
        return self.value

    def install(self, state: int) -> None:
        self.value = state

    @classmethod
    def headline(cls, panel) -> str:
        return f"nudged {panel.applied['nudge']}"


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(steering, "CONTROLS", [*steering.CONTROLS, Nudge])
    for module in ("dlwidgets.session", "dlwidgets.core.controls.near_names", "dlwidgets.views.training.sections",
                   "dlwidgets.views.limits"):  # fmt: skip
        monkeypatch.setattr(f"{module}.CONTROLS", steering.CONTROLS)
    torch.manual_seed(0)
    session = dlw.Session(nn.Linear(4, 1), train=(X, y), batch_size=8, nudge=2)
    yield session
    session.close()


def test_a_control_is_an_argument_a_trait_and_what_is_in_force(made):
    assert made.nudge == 2 and made.applied["nudge"] == 2
    made.nudge = 3
    made.step()
    assert made.applied["nudge"] == 3
    with pytest.raises(ValueError, match="nudge='much': a whole number is wanted"):
        made.nudge = "much"
    with pytest.raises(AttributeError, match="Did you mean 'nudge'"):
        made.shove = 1


def test_a_control_is_in_the_ledger_and_rejected_beside_it(made):
    made.step()
    made.nudge = 13
    made.step()
    assert made.rejected == {"nudge": "13 brings bad luck"} and made.applied["nudge"] == 2
    row = made.ledger().iloc[-1]
    assert (row["name"], row["asked"], row["applied"], row["rejected"]) == ("nudge", 13, 2, True)


def test_a_control_is_in_snapshots(made):
    made.step(2)
    made.nudge = 5
    made.step(2)
    made.rewind(1)
    assert made.nudge == 2 and made.applied["nudge"] == 2


def test_a_control_has_its_row_limits_and_lock_in_the_panel(made):
    panel = dlw.TrainingPanel(made, limits={"nudge": (0, 9)})
    row = panel._sections.project()["rows"]["nudge"]
    assert (row["value"], row["fact"]) == ("2", "2")
    assert "nudged 2" in panel._sections.project()["sums"]["run"]
    panel._sections.wish("nudge", "11")
    assert "outside what this panel allows" in panel._sections.project()["rows"]["nudge"]["why"]
    panel.lock("nudge")
    assert panel._sections.project()["rows"]["nudge"]["locked"]
    panel.close()


def test_a_control_writes_its_lines_in_a_script(made, tmp_path):
    made.step(2)
    made.nudge = 7
    made.step(2)
    text = made.to_script(tmp_path / "run.py").read_text()
    assert "nudge = 7" in text


def test_a_slider_asks_one_control(made, monkeypatch):
    made.step()
    asked = []
    for control in made._run.steering.controls.values():
        monkeypatch.setattr(
            control, "now", lambda name=control.name, now=control.now: asked.append(name) or now()
        )
    made._run.put({"lr": 0.25}, {"lr": "code"})
    assert set(asked) == {"lr"}
    assert made.applied["lr"] == 0.25
