"""The ledger: entries in order, and their data frame."""

from __future__ import annotations

import time

from dlwidgets.core.base.ledger import Entry, Ledger


def test_the_frame_has_a_row_for_each_entry_in_order():
    ledger, began = Ledger(), time.time()
    ledger.add(Entry(3, "lr", 0.1, 0.1, "panel"))
    ledger.add(Entry(5, "batch_size", 64, 32, "code", "the data comes as ready-made batches", rejected=True))
    frame = ledger.frame()
    assert len(ledger) == 2
    assert frame.columns.tolist() == [
        "time", "step", "name", "asked", "applied", "by", "rejected", "note", "line"
    ]  # fmt: skip
    assert frame.step.tolist() == [3, 5]
    assert frame.by.tolist() == ["panel", "code"]
    assert frame.rejected.tolist() == [False, True]
    assert str(frame.time.dt.tz) == "UTC"
    assert abs(frame.time[0].timestamp() - began) < 10


def test_an_empty_ledger_is_an_empty_frame():
    frame = Ledger().frame()
    assert len(frame) == 0
    assert frame.columns.tolist()[:3] == ["time", "step", "name"]
    assert frame.rejected.dtype == bool
