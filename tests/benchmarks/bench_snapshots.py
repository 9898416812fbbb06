"""What snapshots and checkpoints cost: time of a capture, memory, and their share of the training time.

    python tests/benchmarks/bench_snapshots.py

Prints tables and fails on nothing.
"""

from __future__ import annotations

import statistics
import tempfile
import time

import torch
from torch import nn

from dlwidgets.session import Session

SECONDS = 6.0


def small_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def large():
    """25 M parameters."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 4000), nn.ReLU(), nn.Linear(4000, 4000), nn.ReLU(),
        nn.Linear(4000, 1500), nn.ReLU(), nn.Linear(1500, 10),
    )  # fmt: skip


def frozen():
    """25 M parameters, of which the last layer alone trains."""
    model = large()
    model[:-1].requires_grad_(False)
    return model


def made(make, **options):
    torch.manual_seed(0)
    X = torch.randn(4096, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return Session(make(), (X, torch.arange(4096) % 10), batch_size=64, epochs=10**6, **options)


def megabytes(size: float) -> str:
    return f"{size / 2**20:.1f} MB"


def capture(make) -> list[str]:
    """Return what taking one snapshot costs, when the optimizer has its state."""
    session = made(make)
    session.step(2)
    timeline, times, copies = session._run.timeline, [], []

    def work():
        for _ in range(6):
            began = time.perf_counter()
            copies.append(timeline.capture("time", must=True))
            times.append(time.perf_counter() - began)
            session._run.loop.step()

    session._run.result(work)
    state = sum({id(t): t.nbytes for t in [*session.model.parameters()]}.values())
    fresh = sum(size for key, size in copies[-1].sizes.items() if key not in copies[-2].sizes)
    session.close()
    return [
        f"{1e3 * times[0]:.1f} ms", f"{1e3 * statistics.median(times[1:]):.1f} ms", megabytes(state),
        megabytes(copies[-1].bytes), megabytes(fresh),
    ]  # fmt: skip


def share(make, **options) -> tuple[float, int, int]:
    """Return steps a second over a few seconds, and how many snapshots are kept, of how many bytes."""
    session = made(make, **options)
    session.step(3)
    first, began = len(session.record), time.perf_counter()
    session.start()
    while time.perf_counter() - began < SECONDS:
        time.sleep(0.05)
    steps, seconds = len(session.record) - first, time.perf_counter() - began
    session.stop()
    ring = session._run.timeline.ring
    kept, size = len(ring), ring.bytes
    session.close()
    return steps / seconds, kept, size


def row(cells, widths=(26, 12, 12, 12, 14, 16)):
    print("".join(str(cell).ljust(width) for cell, width in zip(cells, widths)))


if __name__ == "__main__":
    models = {"small CNN": small_cnn, "25 M parameters": large, "the same, head alone": frozen}
    row(["one snapshot", "first", "later", "weights", "snapshot", "not shared"])
    for name, make in models.items():
        row([name, *capture(make)])
    print()
    row(["training", "none", "snapshots", "+ disk 1 s", "kept", "bytes"])
    for name, make in models.items():
        none, with_them, disk = [], [], []
        for _ in range(2):
            none.append(share(make, snapshot_memory=0)[0])
            found = share(make)
            with_them.append(found[0])
            with tempfile.TemporaryDirectory() as folder:
                disk.append(share(make, checkpoint_dir=folder, checkpoint_every=1.0)[0])
        base = max(none)
        row([
            name, f"{base:.0f}/s", f"x {max(with_them) / base:.3f}", f"x {max(disk) / base:.3f}", found[1],
            megabytes(found[2]),
        ])  # fmt: skip
