"""The verbs of doing a run again: its ledger, a script that repeats it, and the replay of a ledger."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.setup import Opened
from ..training.recorded import Recorded
from ..training.replay import MOVES, exactly, read_ledger
from ..training.trainer import Trainer

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Self


class Repeatable(Recorded):
    """What repeats a run; a session without its traits and without the verbs of `Runnable`.

    Whoever inherits brings `_trainer`, `_opened`, `_result` and `_check_open` of a session, its traits, and
    `_read_wish`, which returns a wish in one form.
    """

    _trainer: Trainer
    _opened: Opened
    _result: Callable[[Callable[[], Any]], Any]
    _check_open: Callable[[], None]
    _read_wish: Callable[[Any], Any]
    thresholds: Any
    traits: Callable[[], dict[str, Any]]

    def ledger(self) -> pd.DataFrame:
        """Return a data frame, a row a change: time, step, name, asked, applied, by, rejected, note, line.

        `undone` says that a rewind took it back, or that it belongs to a line that was left. `exactly` is
        (asked, applied) as Python writes them, so that a ledger written to a file loses no digit.
        """
        steering, line = self._trainer.steering, self._trainer.timeline.line
        frame, entries = super().ledger(), list(steering.ledger.entries)
        there = set(map(id, line.changes))
        kept = [id(one) in there or one.rejected or (one.by == "run" and not one.step) for one in entries]
        same = {(one.time, one.name, one.step) for one in line.changes}
        kept = [was or (one.time, one.name, one.step) in same for was, one in zip(kept, entries)]
        frame["undone"] = [not one for one in kept][: len(frame)]
        frame["exactly"] = [exactly(one) for one in entries][: len(frame)]
        return frame

    def to_script(self, path: str | os.PathLike[str], *, data: bool = True) -> Path:
        """Write the run as a plain PyTorch script, and return its path.

        The script imports no dlwidgets. Run on the CPU with the same PyTorch and as many threads it gives the
        weights of now, bit for bit: it begins with the weights that the run began with, sees the same
        batches, and makes each change at its step. Where the run was taken back, it has the line under way
        alone. First weights and data lie beside it, as "run.initial.pt" and "run.data.pt" for "run.py".

        Multilabel and binary models end with a function `predict`, which says 1 or 0 at `session.thresholds`,
        and with what it finds and misses on validation data in memory ("run.valid.pt").

        Parameters
        ----------
        data : False: the data is left out, and the script has a marked place for it.

        Raises
        ------
        ValueError : no step was taken, or something of the run cannot be written, in one sentence.

        Notes
        -----
        The first weights are kept in the CPU's memory from the first step on, where they take no more than
        the memory that is set aside for snapshots by itself. Where the script needs something put into it by
        hand, as a model whose source is not to be had, it stops there and says what, and a warning does here.
        """
        from .draft import Draft
        from .regimen import restored_from
        from .script import save, write_script
        from .sources import Unwritable

        path = Path(path)
        if path.suffix != ".py":
            raise ValueError(f"to_script({str(path)!r}): the name of a Python file is wanted, as 'run.py'.")
        thresholds = self.thresholds
        version = getattr(sys.modules.get(__name__.partition(".")[0]), "__version__", "")

        def work() -> Draft:
            trainer = self._trainer
            if not trainer.loop.steps:
                raise ValueError("No step was taken yet: there is nothing that a script could repeat.")
            if trainer.origin is None:
                why = trainer.lost or "This session did not begin this run: its first weights are not known."
                raise ValueError(why)
            line, origin = trainer.timeline.line, trainer.origin
            changes = [
                entry for number, entry in enumerate(line.changes)
                if (entry.step < trainer.loop.steps or restored_from(entry) is not None)
                and (number >= origin.changes or entry.name == "skip")
            ]  # fmt: skip
            rewound = any(entry.name in MOVES for entry in trainer.steering.ledger.entries)
            draft = Draft(
                trainer.loop, self._opened, origin, changes, trainer.seed, path, rewound, data, thresholds
            )
            try:
                save(draft, write_script(draft, f"dlwidgets {version}".rstrip()), path)
            except Unwritable as why:
                raise ValueError(f"This run cannot be written as a script: {str(why).rstrip('.')}.") from None
            return draft

        for note in self._result(work).notes:
            warnings.warn(f"{path.name}: {note}", stacklevel=2)
        return path

    def replay(self, ledger: Any) -> Self:
        """Have the changes of another run made once more, each at its step, as this one trains.

        With the same model, data and seed it gives the same weights, bit for bit, as far as the ledger goes.
        Nothing trains by this alone: `fit()`, `start()` and `step()` do. What was rejected or undone is left
        out, and in this session's ledger the changes are by "replay".

        Parameters
        ----------
        ledger : a data frame as `session.ledger()` gives it, its entries, or the path of a file that it was
            written to with `to_json` or `to_csv`.

        Raises
        ------
        TypeError, ValueError : steps were taken already, or the ledger does not fit, in one sentence.
        """
        self._check_open()
        steps = self._trainer.loop.steps
        if steps:
            raise ValueError(
                f"This session is at step {steps:,}: a ledger is replayed by one that was not trained yet."
            )
        known, traits = self._trainer.steering.CONTROLS, self.traits()
        self._trainer.pending = read_ledger(
            ledger, known, lambda name, value: self._read_wish({"trait": traits[name], "value": value})
        )
        return self
