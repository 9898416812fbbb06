"""Long work in slices."""

from __future__ import annotations

import threading

import pytest

from dlwidgets.core.base.slices import SlicedWork, pause, unpaused


def counted(log, upto=5):
    for number in range(upto):
        log.append(number)
        pause()
    return "done"


def test_each_slice_goes_on_where_the_last_one_paused():
    log: list[int] = []
    work = SlicedWork(lambda: counted(log))
    for number in range(5):
        assert not work.run(0.0) and log == list(range(number + 1))
    assert work.run(0.0) and work.result() == "done" and log == list(range(5))


def test_a_long_slice_is_enough_for_short_work():
    log: list[int] = []
    assert SlicedWork(lambda: counted(log)).run(60.0) and len(log) == 5


def test_what_the_work_raises_is_raised_where_its_result_is_asked_for():
    work = SlicedWork(lambda: 1 // 0)
    assert work.run(1.0)
    with pytest.raises(ZeroDivisionError):
        work.result()


def test_within_unpaused_there_is_no_pause():
    log: list[int] = []

    def work():
        with unpaused():
            counted(log, 3)
        return counted(log, 2)

    sliced = SlicedWork(work)
    assert not sliced.run(0.0) and log == [0, 1, 2, 0]


def test_work_that_is_abandoned_ends_its_thread():
    seen = []

    def work():
        seen.append(threading.current_thread())
        while True:
            try:
                pause()
            except Exception:  # noqa: BLE001 - as a model might
                pass

    sliced = SlicedWork(work)
    sliced.run(0.0)
    sliced.abandon()
    seen[0].join(5.0)
    assert not seen[0].is_alive()


def test_without_slices_a_pause_does_nothing():
    assert counted([]) == "done"
    with unpaused():
        pause()
