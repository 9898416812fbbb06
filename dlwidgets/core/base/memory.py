"""How much memory is really there: that of the machine, or what a container was given of it."""

from __future__ import annotations

import os
from pathlib import Path

from .cgroups import group_folders

#: The share of the memory that snapshots take of themselves, and the most they do [bytes].
SHARE, MOST = 0.10, 512 * 2**20
#: Two snapshots are kept even where they take more than that, up to this share.
TWO_SHARE = 0.25


def total_memory(system: str | Path = "/") -> int:
    """Return the bytes of memory this process may use: the machine's, or its control group's limit.

    Read from `memory.max` (cgroup v2) or `memory.limit_in_bytes` (v1), for the group named in
    `/proc/self/cgroup` and those around it, and from `proc/meminfo`.

    Parameters
    ----------
    system : the folder in which `proc` and `sys` lie.
    """
    root = Path(system)
    found = [_machine(root), *map(_limit, group_folders(root, "memory"))]
    # An unlimited group of version 1 has the limit 2**63, rounded down to pages.
    return min((one for one in found if one), default=4 * 2**30)


def snapshot_budget(size: int, wanted: int | None = None, system: str | Path = "/") -> int:
    """Return the bytes that snapshots may take.

    Parameters
    ----------
    size : the bytes of one.
    wanted : as a person said; None: a tenth of the memory but no more than 512 MB, or room for two where
        those take no more than a quarter of the memory.
    """
    if wanted is not None:
        return wanted
    total = total_memory(system)
    budget = min(MOST, int(SHARE * total))
    return max(budget, 2 * size) if 2 * size <= TWO_SHARE * total else budget


def _machine(root: Path) -> int | None:
    try:
        for line in (root / "proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if str(root) == "/" else None
    except (AttributeError, OSError, ValueError):
        return None


def _limit(folder: Path) -> int | None:
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            return int((folder / name).read_text("ascii"))
        except (OSError, ValueError):
            continue  # no such file, or "max": no limit
    return None
