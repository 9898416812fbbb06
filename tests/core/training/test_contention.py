"""Whether other programs hold the CPUs is told after two measurements, with what helps."""

import time

import psutil
import pytest

from dlwidgets.core.training.contention import CpuContention, cpu_times


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
