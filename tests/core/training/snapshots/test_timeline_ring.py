"""The ring of snapshots: within the budget, dense near now, sparse far back, with the beginning kept."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlwidgets.core.base.machine import MOST, snapshot_budget, total_memory
from dlwidgets.core.training.snapshots.snapshot import Ring, Snapshot

SIZE = 64  # bytes of one snapshot


def snapshot(step, why="time", line="main", shared=None, changes=0):
    tensors = [torch.zeros(SIZE // 4)] + ([] if shared is None else [shared])
    return Snapshot(step, changes, why, line, {"weights": tensors})


def bytes_in(ring):
    return sum({id(t): t.nbytes for one in ring for t in one.parts["weights"]}.values())


def run(ring, steps, whys=None):
    for number, step in enumerate(steps):
        ring.make_room(SIZE)
        ring.add(snapshot(step, "start" if number == 0 else (whys or {}).get(step, "time")))
        yield ring


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 50), min_size=1, max_size=150),
    room=st.integers(2, 20),
    whys=st.dictionaries(st.integers(0, 3000), st.sampled_from(["change", "epoch"])),
)
def test_the_budget_is_kept_and_so_are_the_newest_and_the_beginning(gaps, room, whys):
    steps = [0]
    for gap in gaps:
        steps.append(steps[-1] + gap)
    ring = Ring(room * SIZE + SIZE // 2)
    for number, _ in enumerate(run(ring, steps, whys)):
        assert bytes_in(ring) == ring.bytes <= ring.budget
        kept = [one.step for one in ring]
        assert kept == sorted(kept)
        assert kept[0] == 0 and kept[-1] == steps[number]
        assert len(kept) >= min(number + 1, 2)


@settings(max_examples=30, deadline=None)
@given(
    count=st.integers(5, 400),
    every=st.integers(1, 30),
    whys=st.dictionaries(st.integers(0, 2000), st.sampled_from(["change", "epoch"])),
)
def test_no_gap_is_longer_than_twice_its_age_where_there_is_room_for_its_logarithm(count, every, whys):
    steps = [n * every for n in range(count)]
    room = 2 * math.ceil(math.log2(steps[-1] + 2)) + 4
    ring = Ring(room * SIZE)
    for _ in run(ring, steps, whys):
        kept = [one.step for one in ring]
        now = kept[-1]
        for left, right in zip(kept, kept[1:]):
            assert right - left <= max(every, 2 * (now - left))
            if right - left > every:
                assert right - left <= 2 * max(1, now - left)


def test_it_is_denser_near_now_than_far_back():
    ring = Ring(24 * SIZE)
    list(run(ring, range(2000)))
    kept = [one.step for one in ring]
    assert sum(step >= 1000 for step in kept) > 2 * sum(step < 1000 for step in kept)
    assert len(kept) == 24


def test_a_snapshot_before_a_change_outlives_its_neighbours():
    ring = Ring(12 * SIZE)
    list(run(ring, range(300), {250: "change"}))
    kept = [one.step for one in ring]
    neighbours = [step for step in (248, 249, 251, 252) if step in kept]
    assert 250 in kept
    assert len(neighbours) < 2


def test_what_snapshots_share_counts_once():
    shared = torch.zeros(1000)
    ring = Ring(4000 + 5 * SIZE)
    for step in range(5):
        ring.add(snapshot(step, shared=shared))
    assert len(ring) == 5
    assert ring.bytes == 4000 + 5 * SIZE


def test_a_snapshot_larger_than_the_budget_is_not_kept():
    ring = Ring(SIZE - 1)
    assert not ring.add(snapshot(0))
    assert (len(ring), ring.bytes) == (0, 0)


def test_with_room_for_one_it_is_the_newest():
    ring = Ring(SIZE)
    for step in range(5):
        assert ring.add(snapshot(step))
        assert [one.step for one in ring] == [step]


def test_what_was_left_of_other_lines_goes_first_and_their_ends_last_of_it():
    ring = Ring(6 * SIZE)
    ring.ours = lambda one: one.line == "main"
    for one in (
        snapshot(0), snapshot(4, line="old"), snapshot(9, "left", line="old"), snapshot(5), snapshot(6),
        snapshot(7),
    ):  # fmt: skip
        ring.add(one)
    ring.add(snapshot(8))
    assert [(one.step, one.line) for one in ring if one.line == "old"] == [(9, "old")]
    ring.add(snapshot(10))
    assert [one.step for one in ring] == [0, 5, 6, 7, 8, 10]


@pytest.mark.parametrize("limit", ["1073741824", "max"])
def test_the_memory_is_that_of_the_container(tmp_path, limit):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       8388608 kB\nMemFree: 1 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/user/notebook\n")
    group = tmp_path / "sys/fs/cgroup/user/notebook"
    group.mkdir(parents=True)
    (group / "memory.max").write_text(limit + "\n")
    assert total_memory(tmp_path) == (2**30 if limit != "max" else 2**33)


def test_the_memory_of_a_container_of_the_first_version_is_known(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       8388608 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("5:memory:/\n")
    folder = tmp_path / "sys/fs/cgroup/memory"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("2147483648\n")
    assert total_memory(tmp_path) == 2**31
    # A tenth of it; room for two where those take no more than a quarter; as a person said.
    assert snapshot_budget(10, system=tmp_path) == int(0.1 * 2**31)
    assert snapshot_budget(2**28 - 2**24, system=tmp_path) == 2 * (2**28 - 2**24)
    assert snapshot_budget(2**29, system=tmp_path) == int(0.1 * 2**31)
    assert snapshot_budget(10, wanted=77, system=tmp_path) == 77


def test_the_memory_here_is_that_of_the_machine_or_less():
    psutil = pytest.importorskip("psutil")
    assert 0 < total_memory() <= psutil.virtual_memory().total
    assert 0 < snapshot_budget(1) <= MOST
