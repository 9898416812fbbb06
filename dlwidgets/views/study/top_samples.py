"""The section "excites": the samples that drive a channel most, small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...core.activations.study.top_samples import Excited, Responses, probe_numbers
from ...core.base.trees import tree_tensors
from ...core.pictures.thumbnail import make_thumbnail
from .subject import StudySubject

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


class TopSamplesSection:
    """Gathers a layer's answers to probe samples, and shows one channel's."""

    def __init__(self) -> None:
        self.by = "max"
        self._shown: _Gathering | None = None
        self._next: _Gathering | None = None
        self._of: Any = None
        self._small: dict[int, Any] = {}
        self._values: dict[str, Any] = {}

    def sort(self, by: Any) -> None:
        """Order samples by a channel's largest value, or its mean.

        Raises
        ------
        ValueError : it is neither "max" nor "mean".
        """
        if by not in ("max", "mean"):
            raise ValueError(f"Samples are ordered by 'max' or 'mean', not by {by!r}.")
        self.by = by

    def forget(self) -> None:
        """Let go what was gathered."""
        self._shown = self._next = self._of = None
        self._small, self._values = {}, {}

    @property
    def key(self) -> Any:
        """What a person decides."""
        return self.by

    def work(self, subject: StudySubject, seconds: float) -> bool:
        """Gather for about `seconds`; return whether more is to be done."""
        of = (subject.layer, id(subject.model), len(subject.samples))
        if self._of != of:
            self.forget()
            self._of = of
        made = self._next or self._shown
        if made is None or made.answers.complete and made.last != subject.step:
            # The weights have moved: gathered anew, while what was found before is shown.
            numbers = np.random.default_rng(0).permutation(probe_numbers(len(subject.samples)))
            made = self._next = _Gathering(
                Responses(subject.layer, numbers, behind=subject.layout.behind), subject.step, subject.step
            )
        if not made.answers.complete:
            made.answers.gather(subject.model, subject.samples, seconds)
            made.last = subject.step
        if made is self._next and (made.answers.complete or self._shown is None):
            self._shown = made
        if made.answers.complete:
            self._next = None
        self._picture(subject)
        return not made.answers.complete

    def values(self) -> dict[str, Any]:
        """Return the picture as values of traits."""
        return {"exciting": {}, "excited": b"", **self._values}

    # -- inside

    def _picture(self, subject: StudySubject) -> None:
        if self._shown is None or not self._shown.answers.taken:
            return
        shown = self._shown.answers
        channel = min(subject.channel, shown.channels - 1)
        found = shown.top(channel, self.by, _SHOWN)  # type: ignore[arg-type]
        answers = shown.values(channel, "max")
        words: dict[str, Any] = {
            "layer": subject.layer, "channel": channel, "by": self.by, "taken": shown.taken,
            "wanted": len(shown.numbers), "of": len(subject.samples),
            "first": self._shown.first, "last": self._shown.last, "note": "",
            "active": float((answers > 0).mean()),
        }  # fmt: skip
        if shown.channels < shown.total:
            words["note"] = f"the first {shown.channels:,} of {shown.total:,} channels are kept"
        kinds = [self._thumbnail(subject.samples, one.sample) for one in found]
        self._small = dict(list(self._small.items())[-8 * _SHOWN :])
        images = [kind for kind in kinds if isinstance(kind, np.ndarray)]
        same = len(images) == len(found) and len({image.shape for image in images}) == 1
        pixels = np.stack(images).tobytes() if same and images else b""
        words["size"] = list(images[0].shape[:2]) if pixels else []
        words["tiles"] = [
            {
                "sample": one.sample,
                "value": one.value if math.isfinite(one.value) else None,
                "box": None if one.box is None else list(one.box),
                "line": kind if isinstance(kind, list) else None,
                "words": _around(kind, one) if isinstance(kind, str) else "",
            }
            for one, kind in zip(found, kinds, strict=True)
        ]
        self._values = {"exciting": words, "excited": pixels}

    def _thumbnail(self, samples: Any, number: int) -> Any:
        if number not in self._small:
            self._small[number] = _small(samples.inputs(number))
        return self._small[number]


def _small(inputs: Any) -> np.ndarray | list[int] | str:
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
    tokens = [token for token in words.split(" ") if token != "…"]
    if one.box is None or len(one.box) != 2 or not tokens:
        return " ".join(tokens[: 2 * _AROUND])
    at = min(len(tokens) - 1, round(one.box[0] / one.box[1]))
    first = max(0, at - _AROUND)
    shown = [f"[{token}]" if i == at else token for i, token in enumerate(tokens)]
    before, after = ("… " if first else ""), (" …" if at + _AROUND + 1 < len(tokens) else "")
    return before + " ".join(shown[first : at + _AROUND + 1]) + after
