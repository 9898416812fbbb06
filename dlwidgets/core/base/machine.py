"""The CPUs and the memory that this process may really use."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

from .words import pluralize

#: The share of the memory that snapshots take of themselves, and the most they do [bytes].
SHARE, MOST = 0.10, 512 * 2**20
#: Two snapshots are kept even where they take more than that, up to this share.
TWO_SHARE = 0.25


def available_cpus(system: str | Path = "/") -> int:
    """Count the whole CPUs that affinity and quota allow, at least 1.

    A quota is rounded down: half a CPU more is of no use to threads that spin while they wait for another.
    `system` is the folder in which `proc` and `sys` lie, here and below.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(system)
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def cpu_quota(system: str | Path = "/") -> float | None:
    """Return the smallest CPU quota of this process's control groups, or None.

    Read from `cpu.max` (cgroup v2) or `cpu.cfs_quota_us` (v1).
    """
    quotas = []
    for folder in _group_folders(Path(system), "cpu", "cpu,cpuacct"):
        with suppress(OSError, ValueError):  # no such file, or "max": no limit
            if (folder / "cpu.max").exists():
                words = (folder / "cpu.max").read_text("ascii").split()
            else:
                words = [(folder / f"cpu.cfs_{name}_us").read_text("ascii") for name in ("quota", "period")]
            quota, period = map(float, words[:2])
            if quota > 0 and period > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)


def total_memory(system: str | Path = "/") -> int:
    """Return the bytes of memory that machine and control groups allow.

    Read from `memory.max` (cgroup v2) or `memory.limit_in_bytes` (v1), and from `proc/meminfo`.
    """
    root, found = Path(system), []
    with suppress(OSError, ValueError, IndexError):
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
        found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    if not found and root == Path("/"):
        with suppress(AttributeError, OSError, ValueError):
            found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    # An unlimited group of version 1 has the limit 2**63, rounded down to pages.
    for folder in _group_folders(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):  # no such file, or "max": no limit
                found.append(int((folder / name).read_text("ascii")))
    return min(filter(None, found), default=4 * 2**30)


def _group_folders(root: Path, controller: str, *mounts: str) -> list[Path]:
    """Return the folders of this process's control groups, version 1 and 2.

    They are the groups named in `/proc/self/cgroup` and those around them. In a container the root of the
    visible tree is its own. Version 1 mounts a controller in a folder of that name, or one of `mounts`.
    """
    base = root / "sys/fs/cgroup"
    folders = [base, *(base / name for name in (controller, *mounts))]
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return folders
    for line in lines:
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        if controllers and controller not in controllers.split(","):
            continue
        for mount in [base] if not controllers else [base / controllers, base / controller]:
            folder = mount / path.strip("/")
            # A path outside the visible tree ("/../other") belongs to a group that cannot be read.
            if ".." not in folder.parts:
                folders += [folder, *(parent for parent in folder.parents if mount in parent.parents)]
    return folders


def snapshot_budget(size: int, wanted: int | None = None, system: str | Path = "/") -> int:
    """Return the bytes that snapshots may take, of which one has `size`.

    What was wanted; else a tenth of the memory but no more than 512 MB, or room for two where those take no
    more than a quarter of the memory.
    """
    if wanted is not None:
        return wanted
    total = total_memory(system)
    budget = min(MOST, int(SHARE * total))
    return max(budget, 2 * size) if 2 * size <= TWO_SHARE * total else budget


def choose_threads(wanted: int | None = None, system: str | Path = "/") -> tuple[int, str]:
    """Choose how many threads torch trains with, and say why.

    Without a wish it is what torch would use, but no more than the CPUs that are really there: OpenMP's
    threads spin while they wait, and where two of them share one CPU a step takes ten times as long.
    """
    if wanted is not None:
        return wanted, f"{pluralize(wanted, 'thread')}, as asked"
    import torch

    usual, cpus = torch.get_num_threads(), available_cpus(system)
    seen = os.cpu_count() or 1
    if cpus < usual:
        return cpus, f"{pluralize(cpus, 'thread')}: {seen} CPUs are visible but only {cpus} may be used"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if usual > 1 and load > 2 * seen:
        return usual, (
            f"{pluralize(usual, 'thread')}; the machine is busy (load {load:.0f} on {seen} CPUs): "
            "session.threads = 1 may be faster"
        )
    return usual, pluralize(usual, "thread")


def release_thread_pool() -> bool:
    """Release the calling thread's OpenMP threads; return whether a library was found.

    GNU OpenMP keeps a pool of threads for each thread that ran a parallel operation. With a second pool it
    counts more threads than CPUs and stops spinning between operations, which cost a third of the speed (75
    to 47 steps a second on two cores). The pool comes back by itself when the thread next needs it.
    """
    library = _load_openmp()
    # omp_pause_soft is 1 (OpenMP 5.0, section 3.2.44).
    return library is not None and library.omp_pause_resource_all(1) == 0


@cache
def _load_openmp() -> ctypes.CDLL | None:
    """Return torch's own GNU OpenMP library, or None where torch uses another."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        with open("/proc/self/maps", encoding="utf-8") as file:
            paths = {line.split()[-1] for line in file if "libgomp" in line}
        # scikit-learn ships one too; the pool to release is that of the library that torch runs on.
        library = ctypes.CDLL(sorted(paths, key=lambda path: ("torch" not in path, path))[0])
        library.omp_pause_resource_all.restype = ctypes.c_int
        return library
    except (OSError, IndexError, AttributeError):
        return None
