"""What looking at the layers costs the training: a look, how often there is one, and its share of the time.

    python tests/benchmarks/bench_layers.py             every model
    python tests/benchmarks/bench_layers.py mlp cnn     some

Prints a table and fails on nothing. For each model: the time of a step without and with a look, how long one
look takes and which part of it is the dead units', the share of the time that the watch says it took, and the
steps per second with the watch on against those with it off, turn by turn in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from dlwidgets.core.layers.probes import LayerMonitor
from dlwidgets.teaching.models import MLP, SmallCNN


def transformer() -> nn.Module:
    """Return four blocks of a transformer whose activations are layers."""

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.norm1(x)
            x = x + self.attention(y, y, y, need_weights=False)[0]
            return x + self.feed(self.norm2(x))

    return nn.Sequential(*(Block(128) for _ in range(4)), nn.Linear(128, 10))


def deep() -> nn.Module:
    """Return 300 small layers, each with an activation: many hooks for little arithmetic."""
    return nn.Sequential(
        *(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(300)), nn.Linear(64, 10)
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: MLP(28 * 28, 10, hidden=(128, 64)), (64, 28 * 28)),
    "cnn": (lambda: SmallCNN(10), (64, 1, 28, 28)),
    "transformer": (transformer, (32, 64, 128)),
    "deep": (deep, (64, 64)),
}


class Run:
    """A model with its optimizer, trained a step at a time as the loop does, watched or not."""

    def __init__(self, make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        self.model, self.watch, self.steps = make(), LayerMonitor(), 0
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3)
        self.x = torch.randn(shape)

    def step(self) -> Any:
        """Take one step; return what was measured, or None."""
        with self.watch.forward():
            loss = self.model(self.x).float().square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.watch.before()
        self.optimizer.step()
        self.steps += 1
        return self.watch.after(self.steps)

    def for_seconds(self, seconds: float) -> tuple[float, list[Any]]:
        """Train for so long; return steps per second, and what was measured."""
        began, first, found = time.perf_counter(), self.steps, []
        while time.perf_counter() - began < seconds:
            if (stats := self.step()) is not None:
                found.append(stats)
        return (self.steps - first) / (time.perf_counter() - began), found


def row(name: str, seconds: float) -> str:
    """Measure one model; return its line of the table."""
    run = Run(*MODELS[name])
    run.for_seconds(0.5)
    rates: dict[bool, list[float]] = {False: [], True: []}
    began, found, looks, units = time.perf_counter(), [], [], []
    run.watch.switch(run.model, True)
    run.step()
    first = run.watch._spent
    for turn in range(8):
        on = turn % 2 == 1
        run.watch.switch(run.model, on)
        rate, stats = run.for_seconds(seconds)
        rates[on].append(rate)
        found += stats
        if on and run.watch._units is not None:
            looks.append(run.watch._spent)
            units.append(run.watch._units.cost)
    said = [stats for stats in found if stats.share is not None]
    plain, watched = (statistics.median(rates[on]) for on in (False, True))
    share = f"{100 * statistics.median(s.share for s in said):6.2f} %" if said else "       –"
    every = f"{statistics.median(s.every for s in said):6.2f} s" if said else "       –"
    took = time.perf_counter() - began
    return (
        f"{name:12} {1e3 / plain:8.2f} ms {1e3 * statistics.median(looks):8.2f} ms"
        f" {1e3 * statistics.median(units):8.2f} ms {1e3 * first:8.2f} ms {every} {share}"
        f" {watched / plain:8.3f}   {len(found)} looks in {took:.0f} s"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", nargs="*", help=", ".join(MODELS))
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="of each of eight turns, every second watched"
    )
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    heads = ("a step", "a look", "its units", "first look")
    print(f"{'model':12}", *(f"{head:>11}" for head in heads), f"{'every':>8} {'share':>8} {'on : off':>8}")
    for name in given.models or MODELS:
        print(row(name, given.seconds), flush=True)


if __name__ == "__main__":
    main()
