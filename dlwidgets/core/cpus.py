"""How many CPUs are really there for training, and how the training thread gets the use of them."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

import torch


def available_cpus() -> int:
    """Return the whole CPUs this process may use: affinity and container quota (cgroup) counted, at least 1.

    joblib reads `cpu.max` (cgroup v2) or `cpu.cfs_quota_us` (v1); a quota of 1.5 CPUs is 2 to it, which
    is one more than spinning threads can have: so the quota is rounded down here.
    """
    import joblib

    cpus = joblib.cpu_count()
    quota = _quota()
    return max(1, min(cpus, int(quota)) if quota is not None else cpus)


def _quota() -> float | None:
    """Return the container's CPU quota in CPUs, or None where there is none."""
    for limit, period in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
    ):
        try:
            with open(limit, encoding="ascii") as file:
                words = file.read().split()
            if period is not None:
                with open(period, encoding="ascii") as file:
                    words += file.read().split()
        except OSError:
            continue
        if len(words) == 2 and words[0] not in ("max", "-1"):
            return int(words[0]) / int(words[1])
    return None


def choose_threads(wanted: int | None = None) -> tuple[int, str]:
    """Return how many threads torch is to use for training, and why, in words.

    Without a wish it is what torch would use, but no more than the CPUs that are really there: OpenMP's
    threads spin while they wait, and where two of them share one CPU a step takes ten times as long.
    """
    if wanted is not None:
        return wanted, f"{_threads(wanted)}, as asked"
    usual, cpus = torch.get_num_threads(), available_cpus()
    seen = os.cpu_count() or 1
    if cpus < usual:
        return cpus, f"{_threads(cpus)}: {seen} CPUs are visible but only {cpus} may be used"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if usual > 1 and load > 2 * seen:
        return usual, (
            f"{_threads(usual)}; the machine is busy (load {load:.0f} on {seen} CPUs): "
            "Session(..., threads=1) may be faster"
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
