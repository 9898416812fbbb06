"""How many CPUs are really there for training, and how the training thread gets the use of them."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from pathlib import Path

import torch

from .cgroups import group_folders


def available_cpus(system: str | Path = "/") -> int:
    """Return the whole CPUs this process may use: affinity and container quota (cgroup) counted, at least 1.

    A quota is rounded down: half a CPU more is of no use to threads that spin while they wait for another.

    Parameters
    ----------
    system : the folder in which `proc` and `sys` lie.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(system)
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def cpu_quota(system: str | Path = "/") -> float | None:
    """Return the smallest CPU quota of this process's control groups, in CPUs; None where there is none.

    Read from `cpu.max` (cgroup v2) or `cpu.cfs_quota_us` (v1), for the group named in `/proc/self/cgroup`
    and those around it.
    """
    root = Path(system)
    found = [_group_quota(folder) for folder in group_folders(root, "cpu", "cpu,cpuacct")]
    return min((quota for quota in found if quota is not None), default=None)


def _group_quota(folder: Path) -> float | None:
    try:
        limit = folder / "cpu.max"
        if limit.exists():
            words = limit.read_text("ascii").split()
        else:
            words = [
                (folder / name).read_text("ascii").strip()
                for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            ]
        quota, period = float(words[0]), float(words[1])
    except (OSError, ValueError, IndexError):
        return None  # no such file, or "max": no limit
    return quota / period if quota > 0 and period > 0 else None


def choose_threads(wanted: int | None = None, system: str | Path = "/") -> tuple[int, str]:
    """Return how many threads torch is to use for training, and why, in words.

    Without a wish it is what torch would use, but no more than the CPUs that are really there: OpenMP's
    threads spin while they wait, and where two of them share one CPU a step takes ten times as long.
    """
    if wanted is not None:
        return wanted, f"{_threads(wanted)}, as asked"
    usual, cpus = torch.get_num_threads(), available_cpus(system)
    seen = os.cpu_count() or 1
    if cpus < usual:
        return cpus, f"{_threads(cpus)}: {seen} CPUs are visible but only {cpus} may be used"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if usual > 1 and load > 2 * seen:
        return usual, (
            f"{_threads(usual)}; the machine is busy (load {load:.0f} on {seen} CPUs): "
            "session.threads = 1 may be faster"
        )
    return usual, _threads(usual)


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


@cache
def _openmp() -> ctypes.CDLL | None:
    """Return torch's own GNU OpenMP library, or None where torch uses another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open("/proc/self/maps", encoding="utf-8") as file:
            paths = {line.split()[-1] for line in file if "libgomp" in line}
        # scikit-learn ships one too; the pool to release is that of the library that torch runs on.
        path = sorted(paths, key=lambda p: ("torch" not in p, p))[0]
        library = ctypes.CDLL(path)
        library.omp_pause_resource_all.restype = ctypes.c_int
        return library
    except (OSError, IndexError, AttributeError):
        return None


def release_pool() -> bool:
    """Let go of the calling thread's OpenMP threads; return whether there was a library to ask.

    Once a thread has run a parallel torch operation, GNU OpenMP keeps a pool of threads for it. A second
    thread that trains gets a pool of its own; the library then counts more threads than CPUs and stops
    spinning between operations, which cost a third of the speed (75 to 47 steps a second on two cores).
    The pool comes back by itself when the thread next needs it.
    """
    library = _openmp()
    if library is None:
        return False
    soft = 1  # omp_pause_soft (OpenMP 5.0, section 3.2.44)
    return library.omp_pause_resource_all(soft) == 0
