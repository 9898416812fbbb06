"""What a look into a model takes: time beside a bare forward and a training step, and memory by cap.

    python tests/benchmarks/bench_activations.py

On the course's small CNN, one thread. Prints tables and fails on nothing. Times are medians of alternating
turns, so that a busy machine is shared fairly; memory is that of a process of its own for each row.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from dlwidgets.core.activations.activations import activations
from dlwidgets.core.activations.cap import megabytes
from dlwidgets.teaching.models import SmallCNN

TURNS, MANY = 15, 1_024
CAPS = {"bare forward": 0, "no cap": None, "256 MB": 2**28, "32 MB": 2**25, "1 MB": 2**20}


def times() -> None:
    """Print milliseconds of each kind of look, and each against a training step."""
    torch.manual_seed(0)
    model, x = SmallCNN(14), torch.rand(64, 1, 28, 28)
    y = (torch.rand(64, 14) > 0.5).float()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)

    def step() -> None:
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(x), y).backward()
        optimizer.step()

    def forward() -> None:
        with torch.no_grad():
            model(x)

    cases: dict[str, Callable[[], object]] = {
        "training step, 64 samples": step,
        "bare forward, 64 samples": forward,
        "all layers, no cap": lambda: activations(model, x, cap=None),
        "all layers, 256 MB": lambda: activations(model, x),
        "all layers, 1 MB": lambda: activations(model, x, cap=2**20),
        "one layer, one sample": lambda: activations(model, x[:1], "stage1.conv"),
        "with operations, one sample": lambda: activations(model, x[:1], functional=True),
        "all layers, with statistics": lambda: activations(model, x).statistics(),
        "all layers, with those of channels": lambda: activations(model, x).channels(),
    }
    spent: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(TURNS):
        for name, work in cases.items():
            began = time.perf_counter()
            work()
            spent[name].append(time.perf_counter() - began)
    median = {name: sorted(seconds)[TURNS // 2] for name, seconds in spent.items()}
    print(f"{'':34}{'ms':>8}{'steps':>8}")
    for name, seconds in median.items():
        print(f"{name:34}{seconds * 1e3:8.1f}{seconds / median['training step, 64 samples']:8.2f}")


def memory(name: str) -> None:
    """Print what a look at many samples takes, at its peak and afterwards."""
    model, x = SmallCNN(14), torch.rand(MANY, 1, 28, 28)
    activations(model, x[:2])
    peak, stop, before = [resident()], threading.Event(), resident()

    def watch() -> None:
        while not stop.wait(0.002):
            peak[0] = max(peak[0], resident())

    thread = threading.Thread(target=watch)
    thread.start()
    cap = CAPS[name]
    if cap == 0:
        with torch.no_grad():
            model(x)
        held = 0
    else:
        held = sum(t.untyped_storage().nbytes() for t in activations(model, x, cap=cap).values())
    stop.set()
    thread.join()
    print(f"{name:34}{megabytes(peak[0] - before):>12}{megabytes(held):>12}")


def resident() -> int:
    """Return the bytes of memory this process has (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        memory(sys.argv[1])
    else:
        times()
        if Path("/proc/self/statm").exists():
            print(f"\n{f'memory, {MANY:,} samples':34}{'peak':>12}{'held':>12}")
            for name in CAPS:
                subprocess.run([sys.executable, __file__, name], check=True)
