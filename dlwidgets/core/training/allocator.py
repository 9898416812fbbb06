"""Memory that training frees, kept for its next step."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

#: glibc's names for two of its settings (malloc.h), and what they are set to [bytes].
_TRIM_THRESHOLD, _KEPT = -1, 256 * 2**20
#: The most that glibc takes for this one on 64 bits (HEAP_MAX_SIZE / 2); its own adjustment ends there too.
_MMAP_THRESHOLD, _LARGEST = -3, 32 * 2**20
#: What stays free at the end of a heap: as much as a thread's heap is large (HEAP_MAX_SIZE).
_TOP_PAD, _HEAP = -2, 64 * 2**20


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory with the process; return whether that was possible.

    A training step frees what it took. By default glibc hands the top of a heap back to the system as soon as
    128 kB lie free there, and each step then waits for thousands of zeroed pages: a small CNN lost a quarter
    of its speed on a background thread, whose heap is not the one that the main thread has warmed up (2,900
    page faults a step, 54 instead of 76 steps a second, for 15 MB more memory). Sums are not touched by it.

    A thread has its memory in heaps of 64 MB, and the last of them is given back whole as soon as nothing lies in
    it, whatever else is set, unless less than the padding would then be left. A run whose steps reach just beyond
    the end of a heap lost 5 to 7 % to that (350 to 680 page faults a step). The padding is asked for, not used:
    it takes no memory.

    Whoever has set the allocator up by environment variables, or preloaded another, is left alone.
    """
    if platform.libc_ver()[0] != "glibc" or _own_settings():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # All: setting one ends the adjustment of the others, which would stay at 128 kB.
    asked = ((_MMAP_THRESHOLD, _LARGEST), (_TRIM_THRESHOLD, _KEPT), (_TOP_PAD, _HEAP))
    return all([mallopt(name, size) == 1 for name, size in asked])


def _own_settings() -> bool:
    return (
        "malloc" in os.environ.get("GLIBC_TUNABLES", "")
        or "malloc" in os.environ.get("LD_PRELOAD", "")
        or any(name.startswith("MALLOC_") for name in os.environ)
    )
