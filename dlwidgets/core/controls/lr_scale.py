"""Factors on the learning rate of parts of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..base.numbers import read_number
from ..base.words import did_you_mean, pluralize
from ..layers.depth import order_blocks
from ..layers.walk import numel_of
from .control import Control, Panel, PanelRow, parse_number
from .optimizer_number import MovementWriter, read_non_negative
from .patterns import ByPattern, FreezableParts, list_few
from .scaled_groups import ScaledGroups

#: The word for factors that shrink from the model's head to its input.
DECAY = "layer_decay"


class RateFactors:
    """The factors on the rates of a model's parameters.

    Attributes
    ----------
    choice : pattern -> factor, the last one that means a parameter counting; None: 1 for all.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.choice: ByPattern | None = None

    def of_each(self, choice: Mapping[str, float] | None) -> dict[int, float]:
        """Return id -> factor of the parameters that patterns mean."""
        if not choice:
            return {}
        parts, found = FreezableParts(self.model), dict[int, float]()
        for pattern, factor in choice.items():
            numbers = (number for number in parts.match(pattern) if number < len(parts.tensors))
            found |= {id(parts.tensors[number]): factor for number in numbers}
        return found

    def in_force(self, groups: ScaledGroups) -> list[dict[str, Any]]:
        """Return a dict for each group of the optimizer.

        factor, lr : the factor, and the rate in force with it; None where the optimizer has none.
        own : the number of the group that the optimizer was made with.
        parameters, training : how many numbers it has, and how many of them train.
        patterns : those of the choice with this factor; none where the rest of the model has it.
        """
        found = []
        for group, (number, factor) in zip(groups.optimizer.param_groups, groups.places):
            sizes = [(numel_of(one), one.requires_grad) for one in group["params"]]
            found.append({
                "factor": factor, "lr": float(group["lr"]) if "lr" in group else None, "own": number,
                "parameters": sum(size for size, _ in sizes), "training": sum(size for size, trains in sizes if trains),
                "patterns": [pattern for pattern, one in (self.choice or {}).items() if one == factor],
            })
        return found

    def settle(self, groups: ScaledGroups) -> None:
        """Split an optimizer's groups as the choice says."""
        if self.choice is not None or groups.is_split:
            groups.split(self.of_each(self.choice))


def decayed(model: nn.Module, decay: float) -> dict[str, float]:
    """Return pattern -> factor for rates that decay from the head.

    The factor of block l of L, counted from the input, is decay ** (L - l): 1 for the last one, which is the
    head. That is the layer-wise decay of ELECTRA (Clark et al., 2020) and BEiT (Bao et al., 2021), "layer_decay"
    in timm; the blocks are those of `layers.depth.order_blocks`.
    """
    blocks = order_blocks(model)
    return {path: decay ** (len(blocks) - 1 - depth) for depth, block in enumerate(blocks) for path in block}


def _decay_in(choice: Mapping[str, float] | None) -> float | None:
    """Return the decay of a choice with three rates or more."""
    factors = [*dict.fromkeys((choice or {}).values())][::-1]
    is_decay = len(factors) > 2 and all(one == factors[1] ** number for number, one in enumerate(factors))
    return factors[1] if is_decay else None


def describe_factors(choice: Mapping[str, float] | None) -> str:
    """Return a choice in words: "features × 0.1"."""
    named = (("all" if name == "*" else name, factor) for name, factor in (choice or {}).items())
    return list_few([f"{name} \N{MULTIPLICATION SIGN} {factor:.4g}" for name, factor in named], 3)


def _typed(_panel: Panel, text: Any) -> Any:
    """Read what was typed: "features: 0.1, head: 2"."""
    if isinstance(parse_number(text), (int, float)) or not str(text).strip():
        return parse_number(text)
    found = {}
    for one in str(text).replace("\N{MULTIPLICATION SIGN}", ":").replace("=", ":").split(","):
        name, _, factor = one.rpartition(":")
        found[name.strip()] = parse_number(factor)
    return found


class LrScale(Control):
    """Factors on the learning rate: pattern -> factor, or None.

    The rate of a parameter is that of its group, as the schedule has it, times the factor: timm's and BEiT's
    `group["lr_scale"]`, so that a schedule with rates of its own (one-cycle) is scaled as well.
    """

    name = "lr_scale"
    aliases = (
        DECAY, "layerwise_decay", "layerwise_lr_decay", "llrd", "lr_mult", "lr_multiplier", "lr_multipliers",
        "group_lr", "lr_groups", "discriminative_lr", "discriminative_rates", "differential_lr", "param_groups",
        "backbone_lr", "lr_factor",
    )  # fmt: skip
    bounds = "any"
    touches = ("lr",)
    writer = MovementWriter
    rows = (
        PanelRow(
            "optimizer", "Rates of parts", show=describe_factors, wish=_typed, empty="the same for all",
            hint="Factors on the rate: features: 0.1, head: 1; a part that is not named has 1",
        ),
        PanelRow(
            "optimizer", "Layer decay", part="decay", show=_decay_in, empty="none",
            wish=lambda panel, text: None if parse_number(text) in (None, 1) else (DECAY, parse_number(text)),
            hint="The rate of each block is this times that of the block behind it; the head has all of it",
        ),
    )  # fmt: skip

    def read(self, value: Any) -> ByPattern | None:
        if value is None or (isinstance(value, Mapping) and not value):
            return None
        if isinstance(value, (tuple, list)):
            value = self._read_decay(value)
        if not isinstance(value, Mapping):
            if (factor := read_non_negative(value)) is None:
                raise ValueError(
                    f"lr_scale={value!r}: factors on the rate are wanted, as {{'features': 0.1}}, or "
                    f"({DECAY!r}, 0.8), or None."
                )
            value = {"*": factor}
        parts, found = FreezableParts(self.loop.model), dict[str, float]()
        for key, factor in value.items():
            try:
                patterns = parts.patterns_for(key)
            except (TypeError, ValueError) as why:
                raise type(why)(f"lr_scale: {why}") from None
            if (number := read_non_negative(factor)) is None:
                wanted = "a factor on the rate, 0 or more, is wanted, as 0.1."
                raise ValueError(f"lr_scale has {factor!r} for {key!r}: {wanted}")
            found |= dict.fromkeys(patterns, number)
        return ByPattern(found)

    def _read_decay(self, value: Any) -> dict[str, float]:
        word, decay = value if len(value) == 2 else (None, None)
        decay = read_number(decay)
        if not isinstance(word, str) or decay is None or not 0 < decay <= 1:
            raise ValueError(f"lr_scale={value!r}: ({DECAY!r}, 0.8) is wanted, with a number above 0, at most 1.")
        if word.lower().replace(" ", "_").replace("-", "_") not in (DECAY, "layerwise_decay", "decay"):
            raise ValueError(f"lr_scale has {word!r}: {DECAY!r} is wanted.{did_you_mean(word, [DECAY])}")
        return decayed(self.loop.model, decay)

    def now(self) -> ByPattern | None:
        return self.loop.rate_factors.choice

    def put(self, value: ByPattern | None) -> str | None:
        loop = self.loop
        groups, factors = loop.rate.groups, loop.rate_factors
        if value is not None and any("lr" not in group for group in groups.param_groups):
            raise ValueError(f"{type(loop.optimizer).__name__} has no learning rate")
        factors.choice = value
        factors.settle(groups)
        still = [pattern for pattern, factor in (value or {}).items() if factor == 0]
        said = [f"{describe_factors(value)}: {pluralize(len(loop.optimizer.param_groups), 'group')}"] if value else []
        if still:
            said.append(
                f"at a rate of 0 the weights of {list_few(still)} stay, but BatchNorm's statistics go on and their "
                "gradients are computed: freeze() holds all of it and is faster"
            )
        return "; ".join(said) or None

    def optimizer_changed(self) -> None:
        self.loop.rate_factors.settle(self.loop.rate.groups)

    def state(self) -> dict[str, Any]:
        return {"choice": None if self.now() is None else dict(self.now() or {})}

    def install(self, state: dict[str, Any]) -> None:
        self.loop.rate_factors.choice = None if state["choice"] is None else ByPattern(state["choice"])
        self.loop.rate_factors.settle(self.loop.rate.groups)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        count = len({group["factor"] for group in panel.applied.get("lr_groups", ())})
        return f"{count} rates" if count > 1 else ""
