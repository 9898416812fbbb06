"""The section "excites": the samples that drive a channel most, small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ...core.activations.look import number
from ...core.activations.study.top_samples import Excited, Responses, probe_numbers
from ...core.base.trees import tree_tensors
from ...core.pictures.thumbnail import make_thumbnail
from .section import Section, StudySubject

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

#: How many samples are shown, the longest side of their pictures [pixels], and the points of a line.
_SHOWN, _SIDE, _POINTS = 12, 48, 64
#: Tokens shown on each side of the one that counts.
_AROUND = 4


@dataclass
class _Gathering:
    """Answers, and the first and last step whose weights gave them."""

    answers: Responses
    first: int | None
    last: int | None


class TopSamplesSection(Section):
    """Gathers a layer's answers to probe samples, and shows one channel's."""

    #: `key` is what samples are ordered by.
    trait, empty = "exciting", {"exciting": {}, "excited": b""}

    def __init__(self) -> None:
        self.key = "max"
        self.forget()

    def forget(self) -> None:
        """Let go what was gathered."""
        super().forget()
        self._shown: _Gathering | None = None
        self._next: _Gathering | None = None
        self._of: Any = None
        self._small: dict[int, Any] = {}

    def sort(self, by: Any) -> None:
        """Order samples by a channel's largest value, "max", or its "mean"."""
        if by not in ("max", "mean"):
            raise ValueError(f"Samples are ordered by 'max' or 'mean', not by {by!r}.")
        self.key = by

    def work(self, subject: StudySubject, seconds: float) -> bool:
        """Gather answers, anew where the weights have moved, and picture the strongest."""
        of = (subject.layer, id(subject.model), len(subject.samples))
        if self._of != of:
            self.forget()
            self._of = of
        made = self._next or self._shown
        if made is None or made.answers.complete and made.last != subject.step:
            # While it is gathered anew, what was found before is shown.
            numbers = np.random.default_rng(0).permutation(probe_numbers(len(subject.samples)))
            answers = Responses(subject.layer, numbers, behind=subject.layout.behind)
            made = self._next = _Gathering(answers, subject.step, subject.step)
        if not made.answers.complete:
            made.answers.gather(subject.model, subject.samples, seconds)
            made.last = subject.step
        if made is self._next and (made.answers.complete or self._shown is None):
            self._shown = made
        if made.answers.complete:
            self._next = None
        if self._shown is not None and self._shown.answers.taken:
            self.found = self._picture(subject, self._shown)
        return not made.answers.complete

    def _picture(self, subject: StudySubject, shown: _Gathering) -> dict[str, Any]:
        answers = shown.answers
        channel = min(subject.channel, answers.channels - 1)
        found = answers.top(channel, self.key, _SHOWN)  # type: ignore[arg-type]
        for one in found:
            if one.sample not in self._small:
                self._small[one.sample] = _make_small(subject.samples.inputs(one.sample))
        kinds = [self._small[one.sample] for one in found]
        self._small = dict(list(self._small.items())[-8 * _SHOWN :])
        shapes = {kind.shape if isinstance(kind, np.ndarray) else None for kind in kinds}
        images = len(shapes) == 1 and None not in shapes
        note = f"the first {answers.channels:,} of {answers.total:,} channels are kept"
        words = {
            "layer": subject.layer, "channel": channel, "by": self.key, "taken": answers.taken,
            "wanted": len(answers.numbers), "of": len(subject.samples),
            "first": shown.first, "last": shown.last,
            "note": note if answers.channels < answers.total else "",
            "active": float((answers.values(channel, "max") > 0).mean()),
            "size": list(kinds[0].shape[:2]) if images else [],
            "tiles": [
                {
                    "sample": one.sample, "value": number(one.value),
                    "box": None if one.box is None else list(one.box),
                    "line": kind if isinstance(kind, list) else None,
                    "words": _around(kind, one) if isinstance(kind, str) else "",
                }
                for one, kind in zip(found, kinds, strict=True)
            ],
        }  # fmt: skip
        return {"exciting": words, "excited": np.stack(kinds).tobytes() if images else b""}

    def figure(self, values: dict[str, Any], image: Any) -> Figure | None:
        from ...core.figures.study import top_samples_figure

        found, images = values["exciting"], None
        if not found.get("tiles"):
            return None
        if found["size"]:
            images = np.frombuffer(values["excited"], np.uint8).reshape(-1, *found["size"], 3)
        return top_samples_figure(images, found["tiles"], f"{found['layer']}, channel {found['channel']}")

    def frame(self, values: dict[str, Any]) -> pd.DataFrame:
        import pandas as pd

        rows = []
        for tile in values["exciting"].get("tiles", []):
            box = tile["box"] or [None] * 4
            left, top, width, height = box if len(box) == 4 else (box[0], None, box[1], None)
            rows.append((tile["sample"], tile["value"], left, top, width, height))
        names = ["sample", "value", "left", "top", "width", "height"]
        return pd.DataFrame(rows, columns=names).set_index("sample")


def _make_small(inputs: Any) -> np.ndarray | list[int] | str:
    """Return a small image, points of a line (0..100), or words."""
    seen = make_thumbnail(inputs)
    if seen.image is not None:
        pixels = torch.from_numpy(seen.image).permute(2, 0, 1)[None].float()
        step = math.ceil(max(pixels.shape[2:]) / _SIDE)
        if step > 1:
            pixels = F.avg_pool2d(pixels, step, ceil_mode=True, count_include_pad=False)
        return pixels[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
    if seen.kind == "tokens":
        return seen.words
    first = next((tensor for tensor in tree_tensors(inputs) if tensor.is_floating_point()), None)
    if first is None or not first.numel():
        return ""
    row = first[0].float().cpu()
    row = row.reshape(-1) if row.ndim < 2 else row.reshape(-1, row.shape[-1])[0]
    if len(row) > _POINTS:
        row = F.adaptive_avg_pool1d(row[None, None], _POINTS)[0, 0]
    row = row.nan_to_num(0.0, 0.0, 0.0)
    low, high = float(row.min()), float(row.max())
    return ((row - low) / ((high - low) or 1.0) * 100).round().int().tolist()


def _around(words: str, one: Excited) -> str:
    """Return the tokens around the one that counts, which stands in brackets."""
    tokens = [token for token in words.split(" ") if token != "…"]
    if one.box is None or len(one.box) != 2 or not tokens:
        return " ".join(tokens[: 2 * _AROUND])
    at = min(len(tokens) - 1, round(one.box[0] / one.box[1]))
    first = max(0, at - _AROUND)
    shown = [f"[{token}]" if i == at else token for i, token in enumerate(tokens)]
    before, after = ("… " if first else ""), (" …" if at + _AROUND + 1 < len(tokens) else "")
    return before + " ".join(shown[first : at + _AROUND + 1]) + after
