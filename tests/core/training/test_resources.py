"""Freed memory stays with the process; whether others hold the CPUs is told, with what helps."""

import ctypes
import os
import platform
import subprocess
import sys
import time

import psutil
import pytest

from dlwidgets.core.training.resources import CpuContention, cpu_times, give_back_freed_memory, keep_freed_memory

#: Page faults of a thread that takes and frees three blocks of 3 MB, as a training step does: at the most, while
#: it comes to hold more in between than its first heap of 64 MB has room for.
FAULTS = """
import ctypes, resource, sys, threading
from dlwidgets.core.training.resources import keep_freed_memory
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


class Machine:
    """A machine whose programs take what they are told to."""

    def __init__(self, cpus: int) -> None:
        self.cpus, self.now, self.busy, self.own_time = cpus, 0.0, 0.0, 0.0
        self.crowd = CpuContention(
            lambda: (self.busy, self.cpus * self.now - self.busy), lambda: self.own_time, lambda: self.now
        )

    def run(self, own: float, others: float, seconds: float = 6.0, threads: int | None = None) -> str | None:
        self.now += seconds
        self.own_time += own * seconds
        self.busy += (own + others) * seconds
        return self.crowd.note(self.cpus if threads is None else threads)


@pytest.mark.parametrize(
    ("cpus", "own", "others", "fewer"),
    [(2, 1.4, 0.6, 1), (8, 6.5, 1.5, 6), (2, 0.2, 1.8, 1), (16, 14, 2.0, 14)],
)
def test_a_machine_that_others_use_too_is_told_of_with_the_threads_that_are_left(cpus, own, others, fewer):
    machine = Machine(cpus)
    assert [machine.run(own, others), machine.run(own, others)] == [None, None]
    said = machine.run(own, others)
    assert said is not None and f"take {others:.1f} of the {cpus} CPUs: session.threads = {fewer} " in said


@pytest.mark.parametrize(("own", "others"), [(1.9, 0.1), (1.0, 0.5), (0.1, 0.1)])
def test_a_machine_with_cpus_to_spare_or_to_itself_is_not(own, others):
    machine = Machine(2)
    assert not any(machine.run(own, others) for _ in range(5))


def test_one_moment_of_work_elsewhere_is_not():
    machine = Machine(2)
    assert not any(machine.run(1.4, others) for others in (0, 0.6, 0, 0.6, 0.1, 0.6))


def test_one_thread_has_none_to_give_up():
    machine = Machine(2)
    assert not any(machine.run(1.0, 1.0, threads=1) for _ in range(5))


def test_it_is_measured_over_seconds_and_not_across_a_pause():
    machine = Machine(2)
    assert not any(machine.run(1.4, 0.6, seconds=0.1) for _ in range(100))
    machine = Machine(2)
    for _ in range(2):
        machine.run(1.4, 0.6)
        machine.crowd.start()
    assert machine.run(1.4, 0.6) is None


def test_the_times_are_those_of_the_machine():
    ours = cpu_times()
    if ours is None:
        pytest.skip("This machine has no /proc/stat.")
    theirs = psutil.cpu_times()
    busy, idle = ours
    assert idle == pytest.approx(theirs.idle + theirs.iowait, abs=1.0)
    assert busy == pytest.approx(sum(theirs[:8]) - theirs.idle - theirs.iowait, abs=1.0)


@pytest.mark.parametrize("text", [None, "", "cpu 1 2 3", "cpu a b c d e f g h", "intr 1 2 3 4 5 6 7 8 9"])
def test_where_the_times_cannot_be_read_nothing_is_said(text, tmp_path):
    file = tmp_path / "stat"
    if text is not None:
        file.write_text(text)
    assert cpu_times(file) is None
    crowd = CpuContention(lambda: cpu_times(file), clock=iter(range(0, 100, 10)).__next__)
    assert [crowd.note(2), crowd.note(2), crowd.note(2)] == [None] * 3


def test_asking_costs_the_training_nothing():
    crowd = CpuContention()
    crowd.note(2)
    began = time.perf_counter()
    for _ in range(1000):
        crowd.note(2)
    assert time.perf_counter() - began < 0.1  # at ten a second: a hundred thousandth of the time


@glibc
def test_freed_memory_goes_back_where_there_is_little_of_it(tmp_path):
    if not keep_freed_memory():
        pytest.skip("The allocator was set up by the environment.")
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    (tmp_path / "proc").mkdir()
    left = {}
    for memory in (16_000_000, 2_000_000):  # kB
        (tmp_path / "proc/meminfo").write_text(f"MemTotal: {memory} kB\n")
        blocks = [library.malloc(1_000_000) for _ in range(100)]
        for block in blocks:
            ctypes.memset(block, 1, 1_000_000)
        full = psutil.Process().memory_info().rss
        for block in blocks:
            library.free(block)
        gave = give_back_freed_memory(tmp_path)
        left[gave] = psutil.Process().memory_info().rss - full
    assert left[False] > -20e6 and left[True] < -80e6
