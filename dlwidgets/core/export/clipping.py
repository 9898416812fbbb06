"""Gradient clipping in a script: only the modes that the run used, a variable where the limit changed."""

from __future__ import annotations

from typing import Any

from ..base.ledger import Entry
from ..controls.clipping import spared
from .draft import Draft
from .module_expression import place

_CALLS = {
    "norm": "nn.utils.clip_grad_norm_(model.parameters(), {})",
    "value": "nn.utils.clip_grad_value_(model.parameters(), {})",
    "adaptive": "clip_adaptively({}, {})",
}
_NAMES = {"norm": "max_norm", "value": "max_value", "adaptive": "max_ratio"}

_ADAPTIVE = '''
def unit_norms(tensor):
    """Return the norm of each row or filter, shaped to multiply the tensor."""
    if tensor.ndim <= 1:
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=tuple(range(1, tensor.ndim)), keepdim=True)


@torch.no_grad()
def clip_adaptively(parameters, max_ratio):
    """Scale down gradients that are large beside their weights (AGC, Brock et al. 2021)."""
    for parameter in parameters:
        if parameter.grad is None or parameter.grad.is_sparse or not parameter.grad.numel():
            continue
        most = unit_norms(parameter).clamp_(min=1e-3).mul_(max_ratio)
        norms = unit_norms(parameter.grad)
        parameter.grad.mul_(torch.where(norms > most, most / norms.clamp(min=1e-6), 1.0))
'''


class Clipping:
    """The lines that clip gradients."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._changes = [entry for entry in draft.changes if entry.name == "clip"]
        begin = [entry.applied for entry in self._changes if entry.step == 0]
        self._first = _read(begin[-1] if begin else draft.origin.settings["clip"])
        later = [_read(entry.applied) for entry in self._changes if entry.step > 0]
        self._used = list(dict.fromkeys(clip[0] for clip in (self._first, *later) if clip is not None))
        self._varies = bool(later)
        self._always = len(self._used) == 1 and None not in (self._first, *later)

    def begin(self) -> None:
        """Contribute the variables that later changes set, and the function that clips adaptively."""
        if "adaptive" in self._used:
            self._draft.definitions.append(_ADAPTIVE.strip("\n"))
        if self._varies:
            for mode in self._used:
                limit = self._first[1] if self._first is not None and self._first[0] == mode else None
                self._draft.settings.append(f"{_NAMES[mode]} = {limit!r}" + self._words(mode, limit))

    def step(self) -> None:
        """Contribute the lines of a step."""
        for mode in self._used:
            if mode != "adaptive":
                self._draft.sources.imports.add("from torch import nn")
            if not self._varies:
                self._draft.before.append(self._call(mode, repr(self._first[1])))  # type: ignore[index]
            elif self._always:
                self._draft.before.append(self._call(mode, _NAMES[mode]))
            else:
                name = _NAMES[mode]
                self._draft.before += [f"if {name} is not None:", f"    {self._call(mode, name)}"]

    def change(self, entry: Entry) -> list[str]:
        """Return the lines of a change."""
        now = _read(entry.applied)
        before = self._first
        for other in self._changes:
            if other is entry:
                break
            before = _read(other.applied)
        lines = []
        if before is not None and (now is None or before[0] != now[0]):
            lines.append(f"{_NAMES[before[0]]} = None")
        if now is not None:
            lines.append(f"{_NAMES[now[0]]} = {now[1]!r}")
        return lines

    def _call(self, mode: str, limit: str) -> str:
        if mode != "adaptive":
            return _CALLS[mode].format(limit)
        path, left = spared(self._draft.model)
        if path is None:
            return _CALLS[mode].format("model.parameters()", limit)
        if path == "":
            return _CALLS[mode].format("[]", limit)
        names = [name for name, one in self._draft.model.named_parameters() if any(one is p for p in left)]
        head = place(self._draft.model, path)
        self._draft.setup.append(
            f"# The last linear layer is left alone by adaptive clipping, as in the paper.\n"
            f"head = {{*{head}.parameters()}}\n"
            "clipped = [parameter for parameter in model.parameters() if parameter not in head]"
        )
        return (
            _CALLS[mode].format("clipped", limit)
            if names
            else _CALLS[mode].format("model.parameters()", limit)
        )

    def _words(self, mode: str, limit: Any) -> str:
        words = {"norm": "gradients are clipped to this norm", "value": "gradients are clipped to this value",
                 "adaptive": "gradients are clipped to this share of their weights' norm"}  # fmt: skip
        return f"  # {words[mode]}" + ("" if limit is not None else ", once it is set")


def _read(clip: Any) -> tuple[str, float] | None:
    return None if clip is None else (clip[0], clip[1])
