"""What ends with the interpreter: no thread may then be in the middle of a step."""

from __future__ import annotations

import atexit
import contextlib
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .trainer import Trainer

#: How long is waited for steps and checkpoints under way [s].
_PATIENCE = 10.0

_running: weakref.WeakSet[Trainer] = weakref.WeakSet()


def end_at_exit(trainer: Trainer) -> None:
    """Have a trainer pause, and its checkpoints written, before the interpreter goes.

    An interpreter that ends while another thread is inside of torch crashes the process.
    """
    _running.add(trainer)


@atexit.register
def _end_all() -> None:
    for trainer in list(_running):
        trainer.orders.pause()
    until = time.monotonic() + _PATIENCE
    for trainer in list(_running):
        with contextlib.suppress(KeyboardInterrupt):
            trainer.worker.wait(until=lambda: time.monotonic() > until)
            if trainer.autosave is not None:
                trainer.autosave.checkpoints.wait(max(0.0, until - time.monotonic()))
