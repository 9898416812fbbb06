"""What a picture costs the thread that trains: microseconds and bytes of each view, on a wire that ends here.

    python tests/benchmarks/bench_views.py            every view, its curves, its stored picture
    python tests/benchmarks/bench_views.py pictures   project(), and a whole turn with serialising and sending
    python tests/benchmarks/bench_views.py curves     a curve of up to ten million steps
    python tests/benchmarks/bench_views.py stored     the static picture beside each widget

Prints tables and fails on nothing. The wire serialises and signs as the kernel does, with jupyter_client's
Session, and sends nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import comm
import numpy as np
import torch
from comm.base_comm import BaseComm
from jupyter_client.session import Session as Messages

import dlwidgets as dlw
from dlwidgets.core.base.buckets import Curve
from dlwidgets.core.base.history import GrowingColumn
from dlwidgets.views.view import View

ROUNDS = 300
PICTURES_A_SECOND = 10


class Wire(BaseComm):
    """A comm that does what the kernel's does with a message, up to the socket."""

    messages = Messages(key=b"a key, so that messages are signed")
    sent = 0

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        """Serialise and sign a message; count its bytes."""
        content = {"data": data or {}, "comm_id": self.comm_id, **keys}
        parts = self.messages.serialize(self.messages.msg(msg_type, content, metadata=metadata))
        Wire.sent += sum(map(len, parts)) + sum(memoryview(buffer).nbytes for buffer in buffers or [])


def median(work: Callable[[], Any], rounds: int = ROUNDS, before: Callable[[], Any] = lambda: None) -> float:
    """Return the median seconds of `work()`, each time after `before()`, whose time is not counted."""
    times = []
    for _ in range(rounds):
        before()
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def training(steps: int) -> tuple[Any, Any]:
    """Return a session trained for some steps with validation and changes, and its dashboard."""
    data = dlw.teaching.findings(n_train=300, n_valid=400)
    torch.manual_seed(0)
    session = dlw.Session(
        dlw.teaching.ChestNet(),
        train=data.train,
        valid=data.valid,
        classes=data.classes,
        batch_size=32,
        evaluate_every=10,
    )
    board = dlw.Dashboard(session, show="full")
    session.step(steps)
    # A long run: the curves as after a night.
    rng = np.random.default_rng(0)
    for _ in range(100_000):
        session.record.step(
            epoch=2,
            loss=float(rng.random()),
            lr=1e-3,
            batch_size=32,
            grad_norm=float(rng.random()),
            seconds=0.01,
        )
    return session, board


def pictures() -> None:
    """Print what one picture of each view costs, on the training thread, and how many bytes it has."""
    session, board = training(30)
    views: dict[str, View] = {
        "training: head": board.training._head,
        "training: facts": board.training._facts,
        "curves": board.curves,
        "doctor": board.doctor,
        "tabs, worst finding": board._tabs,
        "layers": board.layers,
        "confusion": board.confusion,
        "activations": board.activations,
    }

    def measure() -> None:
        total = 0.0
        print(f"\n{'view':<20}{'project() µs':>14}{'whole turn µs':>15}{'KB':>9}{'% of a core at 10/s':>30}")
        for name, view in views.items():
            view._handle_custom_msg({"hello": 0}, [])

            def step(view: View = view) -> None:
                # One more step between two pictures, and a page that has drawn the last.
                session.record.step(epoch=2, loss=0.5, lr=1e-3, batch_size=32, grad_norm=1.0, seconds=0.01)
                view._drawn = view.frame

            projecting = median(view.project, before=step)
            step(), view.refresh(), step()
            before = Wire.sent
            view.refresh()
            size = Wire.sent - before
            turn = median(view.refresh, before=step)
            total += turn
            share = 100 * turn * PICTURES_A_SECOND
            print(f"{name:<20}{1e6 * projecting:>14.0f}{1e6 * turn:>15.0f}{size / 1000:>9.1f}{share:>29.2f} ")
            view._drawn = None
        print(f"{'all':<20}{'':>14}{1e6 * total:>15.0f}{'':>9}{100 * total * PICTURES_A_SECOND:>29.2f} ")
        closed = median(lambda: [view.refresh() for view in views.values()])
        print(f"with no page open: {1e6 * closed:.1f} µs for all of them")

    # There, as in a run: with its context, its threads of arithmetic, and nobody else at the interpreter.
    session.at_step(measure).result()
    board.close()
    session.close()


def curves() -> None:
    """Print what a picture of a long column costs at first, and once it is followed."""
    print(f"\n{'steps':>12}{'first picture':>18}{'then':>12}")
    for length in (1_000, 30_000, 1_000_000, 10_000_000):
        column = GrowingColumn()
        column._array, column._length = np.random.default_rng(0).random(length + 10 * ROUNDS), length
        curve = Curve(column)
        began = time.perf_counter()
        curve.buckets()
        first = time.perf_counter() - began

        def grow(column: GrowingColumn = column) -> None:
            column._length += 10

        print(f"{length:>12,}{1e3 * first:>15.2f} ms{1e6 * median(curve.buckets, before=grow):>9.0f} µs")


def stored() -> None:
    """Print how long the picture beside each widget takes, for a first display and for later ones."""
    session, board = training(30)
    print(f"\n{'stored picture':<20}{'first':>10}{'then':>10}{'KB':>8}")
    for view in (*board.views, board):
        began = time.perf_counter()
        data = view._repr_mimebundle_()
        first = time.perf_counter() - began
        size = len(dict(data[0] if isinstance(data, tuple) else data).get("image/png", "")) * 3 / 4
        then = median(view._repr_mimebundle_, rounds=3)
        print(f"{type(view).__name__:<20}{first:>8.2f} s{then:>8.2f} s{size / 1000:>8.0f}")
    board.close()
    session.close()


if __name__ == "__main__":
    comm.create_comm = Wire
    tables = {"pictures": pictures, "curves": curves, "stored": stored}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=list(tables))
    chosen = parser.parse_args().what
    for name, show in tables.items():
        if chosen in (None, name):
            show()
