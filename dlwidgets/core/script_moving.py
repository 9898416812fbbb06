"""How the weights move, in a script: the optimizer, its rate, weight decay, momentum and betas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from .controls import GroupValue
from .ledger import Entry
from .script_draft import Draft
from .script_optimizer import optimizer_text


class Moving:
    """The lines that make the optimizer and change its numbers."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._groups = [dict(group) for group in draft.origin.groups]
        self.changes: dict[str, Callable[[Entry], list[str]]] = {
            "lr": lambda entry: self._number("lr", entry.applied),
            "weight_decay": lambda entry: self._number("weight_decay", entry.applied),
            "momentum": lambda entry: self._number("momentum", entry.applied),
        }

    def begin(self) -> None:
        """Contribute the optimizer."""
        draft, origin = self._draft, self._draft.origin
        text = f"optimizer = {optimizer_text(origin.kind, origin.groups, draft.model, draft.sources)}"
        if origin.state is not None:
            path = draft.beside("optimizer", origin.state, "what the optimizer had kept before the run")
            text += f"\noptimizer.load_state_dict(torch.load({path}, weights_only=True))"
        draft.setup.append(text)

    def _number(self, key: str, value: float) -> list[str]:
        shares = GroupValue(_Groups(self._groups), key)._multipliers  # type: ignore[arg-type]
        if len(shares) == 1:
            return [f'optimizer.param_groups[0]["{key}"] = {value!r}']
        if set(shares) == {1.0}:
            return ["for group in optimizer.param_groups:", f'    group["{key}"] = {value!r}']
        return [
            f"for group, share in zip(optimizer.param_groups, {shares!r}):",
            f'    group["{key}"] = {value!r} * share',
        ]


class _Groups:
    """Parameter groups as an optimizer has them."""

    def __init__(self, groups: list[Mapping[str, Any]]) -> None:
        self.param_groups = [
            {key: v.item() if isinstance(v, torch.Tensor) and v.ndim == 0 else v for key, v in group.items()}
            for group in groups
        ]
