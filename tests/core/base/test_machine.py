"""CPUs: the quota of a container is read, and the threads are chosen by it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from dlwidgets.core.base import machine


def system(tmp_path, files):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


V1 = "sys/fs/cgroup/cpu/cpu.cfs_"
BOTH = "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "20000 100000\n"}, 0.2),
        ({"sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        ({"sys/fs/cgroup/cpu.max": ""}, None),
        ({f"{V1}quota_us": "-1\n", f"{V1}period_us": "100000\n"}, None),
        ({f"{V1}quota_us": "200000\n", f"{V1}period_us": "100000\n"}, 2.0),
        ({f"{V1}quota_us": "200000\n"}, None),
        ({f"{BOTH}quota_us": "50000", f"{BOTH}period_us": "50000"}, 1.0),
        # A group within the visible tree, and the groups around it: the smallest counts.
        (
            {
                "proc/self/cgroup": "0::/user.slice/run-7.scope\n",
                "sys/fs/cgroup/user.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/user.slice/run-7.scope/cpu.max": "max 100000",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "12:memory:/a\n4:cpu,cpuacct:/jobs/7\n0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/memory/a/cpu.cfs_quota_us": "1",
                "sys/fs/cgroup/memory/a/cpu.cfs_period_us": "1",
            },
            4.0,
        ),
        ({"proc/self/cgroup": "0::/../other\n", "sys/fs/cgroup/cpu.max": "100000 100000"}, 1.0),
        ({"proc/self/cgroup": "garbage"}, None),
    ],
)  # fmt: skip
def test_the_quota_is_read_from_both_versions_of_control_groups(tmp_path, files, quota):
    assert machine.cpu_quota(system(tmp_path, files)) == quota


@pytest.mark.parametrize(
    ("quota", "whole"), [("20000", 1), ("100000", 1), ("150000", 1), ("290000", 2), ("99900000", 8)]
)
def test_part_of_a_cpu_is_no_cpu_and_one_there_always_is(tmp_path, monkeypatch, quota, whole):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert machine.available_cpus(system(tmp_path, {"sys/fs/cgroup/cpu.max": f"{quota} 100000"})) == whole


def test_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert machine.available_cpus(tmp_path) == 2


@pytest.fixture
def computer(monkeypatch, tmp_path):
    """A machine of 8 CPUs on which torch would use `usual` threads."""

    def made(usual=8, quota=None, load=0.0):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load), raising=False)
        monkeypatch.setattr(torch, "get_num_threads", lambda: usual)
        return system(
            tmp_path, {} if quota is None else {"sys/fs/cgroup/cpu.max": f"{quota * 100000:.0f} 100000"}
        )

    return made


def test_threads_are_as_many_as_torch_would_use_on_a_free_machine(computer):
    assert machine.choose_threads(system=computer()) == (8, "8 threads")
    assert machine.choose_threads(system=computer(usual=1)) == (1, "1 thread")


def test_a_quota_limits_the_threads_and_is_said(computer):
    assert machine.choose_threads(system=computer(quota=1.5)) == (
        1,
        "1 thread: 8 CPUs are visible but only 1 may be used",
    )
    assert machine.choose_threads(system=computer(usual=2, quota=4)) == (2, "2 threads")


def test_a_busy_machine_is_said(computer):
    count, why = machine.choose_threads(system=computer(load=20))
    assert count == 8
    assert "the machine is busy (load 20 on 8 CPUs)" in why


def test_threads_that_were_asked_for_are_taken(computer):
    assert machine.choose_threads(3, computer(quota=1)) == (3, "3 threads, as asked")


def test_letting_go_of_the_pool_is_harmless_with_and_without_the_library(monkeypatch):
    assert machine.release_thread_pool() in (True, False)
    assert torch.equal(torch.ones(200_000) + 1, torch.full((200_000,), 2.0))
    monkeypatch.setattr(machine, "_load_openmp", lambda: None)
    assert machine.release_thread_pool() is False


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_elsewhere_than_on_linux_there_is_no_library_to_ask(monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    assert machine._load_openmp.__wrapped__() is None


def test_results_stay_the_same_when_the_pool_was_let_go():
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "from dlwidgets.core.base import machine\n"
        "a = torch.randn(400, 400); b = (a @ a).sum()\n"
        "for _ in range(3): machine.release_thread_pool(); assert torch.equal((a @ a).sum(), b)\n"
        "print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"
