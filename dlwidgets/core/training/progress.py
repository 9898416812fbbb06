"""The progress of a run: a bar, or lines in a log."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ..base.frontend import find_frontend, in_notebook

if TYPE_CHECKING:
    from .run import Run


class Progress:
    """Shows on stderr how far a run is, at each `show()`.

    A bar of tqdm in a terminal or a notebook; anywhere else, as in a log, a plain line an epoch.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._began = run, run.loop.steps
        self._bar: Any = None
        self._told = run.loop.epochs
        self._barred = in_notebook() or (sys.stderr is not None and sys.stderr.isatty())

    def show(self) -> None:
        """Show how far the run is now."""
        if self._barred:
            self._draw()
        else:
            # An epoch is over when it has been evaluated: the next has begun.
            self._tell(self._run.loop.epoch - 1)

    def close(self) -> None:
        """Show where the run ended."""
        if not self._barred:
            self._tell(self._run.loop.epochs)
            return
        self._draw()
        if self._run.orders.ending == "done":
            self._set_total(self._bar.n)
        self._bar.refresh()
        self._bar.close()
        if in_notebook():
            # A notebook that is saved shows a bar as it was at first.
            sys.stdout.write(f"{self._run.loop.steps - self._began:,} steps, {self._words()}\n")

    def _draw(self) -> None:
        loop = self._run.loop
        steps, epochs = loop.steps, self._run.orders.last_epoch
        left = None if epochs is None else loop.steps_to_go(epochs)
        total = None if left is None else steps - self._began + left
        if self._bar is None:
            from tqdm.auto import tqdm

            if not find_frontend().has_threads:
                tqdm.monitor_interval = 0  # it would warn that no thread can be started
            self._bar = tqdm(total=total, unit="step", **_size())
        bar = self._bar
        if total is not None and total != bar.total:
            self._set_total(total)
        bar.set_postfix_str(self._words(), refresh=False)
        bar.update(steps - self._began - bar.n)

    def _words(self) -> str:
        """Return the epoch and the newest figures in words."""
        loop = self._run.loop
        figures = {"loss": loop.loss, **self._evaluated(loop.steps)}
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        return f"epoch {loop.epoch} of {self._run.orders.newest_goal}, {shown}"

    def _set_total(self, total: int) -> None:
        """Have the bar, also a notebook's, end after so many steps."""
        bar, done = self._bar, self._bar.n
        if not bar.disable:
            began = bar.start_t
            bar.reset(total)
            bar.start_t, bar.n, bar.last_print_n = began, done, done

    def _tell(self, upto: int) -> None:
        """Write a line for each epoch that has ended since the last."""
        columns = self._run.loop.history.columns
        for number in range(self._told + 1, upto + 1):
            rows = np.flatnonzero(columns["epoch"].values == number)
            if sys.stderr is None or not len(rows):
                continue
            figures = {"loss": np.nanmean(columns["loss"].values[rows]), **self._evaluated(rows[-1] + 1)}
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            sys.stderr.write(f"epoch {number}, step {rows[-1] + 1:,}: {shown}\n")
            sys.stderr.flush()
        self._told = max(self._told, upto)

    def _evaluated(self, step: int) -> dict[str, float]:
        """Return the newest validation loss up to a step, if any."""
        past = [row for row in self._run.loop.history.evaluations if row["step"] <= step]
        return {"valid_loss": past[-1]["valid_loss"]} if past else {}


def _size() -> dict[str, Any]:
    """Return a bar's size; some terminals say that they have none."""
    with contextlib.suppress(OSError):
        if sys.stderr.isatty() and not os.get_terminal_size(sys.stderr.fileno()).columns:
            return {"ncols": 80, "nrows": 24}
    return {"dynamic_ncols": True}
