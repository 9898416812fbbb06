"""Memory that is freed stays with the process, unless somebody has set the allocator up."""

import os
import platform
import subprocess
import sys

import pytest

#: Page faults of a thread that takes and frees three blocks of 3 MB, as a training step does: at the most, while
#: it comes to hold more in between than its first heap of 64 MB has room for.
FAULTS = """
import ctypes, resource, sys, threading
from dlwidgets.core.training.allocator import keep_freed_memory
asked = keep_freed_memory() if "ask" in sys.argv else None
library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
library.malloc.argtypes = [ctypes.c_size_t]

def taken(size):
    block = library.malloc(size)
    ctypes.memset(block, 1, size)
    return block

def steps(count):
    for _ in range(count):
        blocks = [taken(3_200_000) for _ in range(3)]
        while blocks:
            library.free(blocks.pop())

def each():
    steps(20)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    steps(50)
    return (resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before) / 50

def measured():
    most = each()
    if "hold" in sys.argv:
        for _ in range(40):
            taken(2_000_000)
            most = max(most, each())
    print(asked, most)

thread = threading.Thread(target=measured)
thread.start()
thread.join()
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Another C library has other settings.")


def faults(*words: str, **environment: str) -> tuple[str, float]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", FAULTS, *words], env={**clean, **environment},
                          capture_output=True, text=True, check=True)  # fmt: skip
    asked, each = done.stdout.split()
    return asked, float(each)


@glibc
def test_a_thread_that_frees_and_takes_memory_gets_no_new_pages():
    without, (asked, kept) = faults()[1], faults("ask")
    assert asked == "True"
    assert kept < 10 < 500 < without, (kept, without)


@glibc
def test_however_much_it_holds_meanwhile():
    kept = faults("ask", "hold")[1]
    assert kept < 30, kept


@glibc
@pytest.mark.parametrize(
    "environment",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_who_has_set_the_allocator_up_is_left_alone(environment):
    assert faults("ask", **environment)[0] == "False"
