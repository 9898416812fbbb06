"""What an activation browser shows, as words, numbers, a Figure and a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.activations.distribution import map_frame
from ...core.activations.look import Look, Wanted
from ...core.activations.look_file import save_look
from ...core.scoring.verdict import Verdict, verdict
from .looking import Looking

if TYPE_CHECKING:
    import os

    import pandas as pd
    from matplotlib.figure import Figure

FIRST_LOOK = "The first look is being taken."


class Told(Looking):
    """Tells of the last look; whoever inherits sets `_per`, what the colours span."""

    _per: str

    def _verdict(self) -> Verdict:
        if self._seen is None or self._seen.look.scores is None:
            return Verdict()
        limits = 0.5 if self._home is None else self._home.thresholds
        return verdict(self._seen.look.scores, self._seen.target, self._task, self._classes, limits)

    def title(self) -> str:
        """Return what is shown in words: "relu5 · sample 412, has pneumonia, missed (0.31) · 64 maps"."""
        if self._seen is None:
            return self._wanted_layer()
        found, own = self._seen.look, self._samples.own
        said = self._verdict().words
        which = f"sample {self._seen.index}" if self._seen.index is not None or own is None else own.name
        what = {"input": "given to ", "filters": "weights of "}.get(found.wanted.show, "")
        size = found.picture.size if found.picture is not None else ""
        by = found.picture.by if found.picture is not None else "index"
        words = [
            what + (found.layer or found.kind) + found.part,
            which + (f", {said}" if said else ""),
            size if by == "index" else f"{size} by {by}",
            f"step {self._seen.step:,}" if self._seen.step is not None else "",
        ]
        return " · ".join(filter(None, words))

    def figure(self) -> Figure:
        """Return the picture of the last look as a matplotlib Figure."""
        from ...core.figures.activations import activation_figure

        found = Look(Wanted(""), reason=FIRST_LOOK) if self._seen is None else self._seen.look
        return activation_figure(
            found.picture, self.title(), per=self._per, shown=found.input, reason=found.reason
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each map that is looked at, or for each unit: see `map_frame`."""
        return map_frame(None if self._seen is None else self._seen.look.picture)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write what is looked at as NPZ, and return where.

        The file holds `values` (the tensor that is shown, without batch axis, or the weights), `input` (or
        `input_0`, ...), `scores` where there are any, and `layer`, `part`, `show`, `sample` (-1: one's own)
        and `step` (-1: none).

        Raises
        ------
        ValueError : there is nothing to save, for the reason given.
        """
        seen = self._seen
        if seen is None:
            raise ValueError("There is nothing to save yet: the first look is being taken.")
        if seen.index is None and self._samples.own is None:
            raise ValueError("The sample of your own was let go: look at it again, then save.")
        inputs = self._samples.inputs(len(self._samples) if seen.index is None else seen.index)
        return save_look(path, seen.look, inputs, seen.index, seen.step)
