"""Weight normalisation, as a control: weights projected after each step, or split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations
from torch.optim import Optimizer

from ..base.ledger import Entry
from ..base.words import did_you_mean, pluralize
from ..layers.framework import framework_of
from ..layers.structure import expression_of
from ..layers.walk import uncompiled
from .control import Control, Panel, PanelRow, Unwritable, Writer, parse_number
from .parameter_groups import groups_by_id, prepare_join, remove_parameter
from .patterns import ByPattern, read_by_pattern, setting_of, single_setting

MODES = ("unit", "unit_dim1", "max_norm", "weight_norm")
#: The norm that a unit's weights may have at most, where none was given (Srivastava et al. 2014: 3 or 4).
_MAX_NORM = 3.0
_ELSEWHERE = {
    "l2": "Plain L2 is weight_decay=1e-4.",
    "spectral": "Spectral norm is put on by torch.nn.utils.parametrizations.spectral_norm.",
    "batch": "Batch normalisation is a layer of the model.",
}


class WeightSlot(NamedTuple):
    """A weight with two or more axes, and its unit axis."""

    name: str
    module: nn.Module
    key: str
    axis: int


class SplitWeight:
    """A weight that can be split into length and direction, and reunited.

    The parameters are the same objects each time, so that whoever holds one of them, as an optimizer of a
    person's own or a snapshot, finds it where it was.
    """

    def __init__(self, slot: WeightSlot) -> None:
        self._slot, self.on = slot, False
        self._whole = slot.module._parameters[slot.key]
        #: None before it was ever split.
        self.length: nn.Parameter | None = None
        self.direction: nn.Parameter | None = None

    def put_on(self, optimizer: Optimizer) -> None:
        """Split the weight, and exchange it in its group, or change nothing."""
        name, module, key, axis = self._slot
        if is_parametrized(module, key):
            raise ValueError(f"{name!r} has a parametrization already")
        whole = self._whole = module._parameters[key]
        if whole is None:
            raise ValueError(f"{name!r} is no parameter any more")
        order = [*module._parameters]
        weight_norm(module, key, dim=axis)
        parts = module.parametrizations[key]
        self.length = parts.original0 = _reuse(self.length, parts.original0)
        self.direction = parts.original1 = _reuse(self.direction, parts.original1)
        self.on, self._order = True, order
        try:
            self._exchange(optimizer, [whole], [self.length, self.direction])
        except ValueError:
            self._unite()
            raise

    def take_off(self, optimizer: Optimizer) -> None:
        """Make the weight one again, with the value it has."""
        length, direction = self.length, self.direction
        self._unite()
        self._exchange(optimizer, [direction, length], [self._whole])

    def _unite(self) -> None:
        (_, module, key, _), whole, direction = self._slot, self._whole, self.direction
        remove_parametrizations(module, key, leave_parametrized=True)
        # The parameter from before, in its old place: the order of a model's parameters decides on last bits.
        whole.data = module._parameters[key].data  # type: ignore[union-attr]
        whole.requires_grad_(direction.requires_grad)  # type: ignore[union-attr]
        module._parameters[key] = whole
        kept = {name: module._parameters.pop(name) for name in [*module._parameters]}
        known = {name: place for place, name in enumerate(self._order)}
        for name in sorted(kept, key=lambda name: known.get(name, len(known))):
            module._parameters[name] = kept[name]
        self.on = False

    def _exchange(self, optimizer: Optimizer, old: list, new: list) -> None:
        """Put `new` in the group of `old`, where the optimizer has it."""
        group = groups_by_id(optimizer).get(id(old[0]))
        if group is None:
            return
        path = self._slot.name if len(new) == 1 else f"{self._slot.name} (weight_norm)"
        joins = [prepare_join(optimizer, group, path, one) for one in new]
        for one in old:
            remove_parameter(optimizer, one)
            one.grad = None
        for join in joins:
            join()


def _reuse(known: nn.Parameter | None, made: nn.Parameter) -> nn.Parameter:
    """Return the known parameter with the value of a new one."""
    if known is None or known.shape != made.shape:
        return made
    with torch.no_grad():
        known.data = made.data
    known.requires_grad_(made.requires_grad)
    return known


class WeightNormalisation:
    """Normalises the weights of chosen layers, except frozen ones.

    A rule is one of

    * "unit": each unit, a filter or a row of a matrix, is scaled to an L2 norm of 1 after each step:
      `F.normalize(w.flatten(1), dim=1)`;
    * "unit_dim1": `F.normalize(w, p=2, dim=1)` as it is often written, which for a convolution normalises
      over the input channels, at each position apart;
    * "max_norm" or ("max_norm", c): a unit whose norm is more than c is scaled to c after each step
      (Srivastava et al. 2014): `torch.renorm(w, 2, 0, c)`; 3 where no c is given;
    * "weight_norm": each unit is split into length and direction, which train apart (Salimans & Kingma 2016):
      `torch.nn.utils.parametrizations.weight_norm`.

    The first three begin with the next step. Biases and gains, with one axis, are never normalised.

    Attributes
    ----------
    choice : pattern -> rule, or None for what is left alone; None: nothing is normalised.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = uncompiled(model)
        self.choice: ByPattern | None = None
        self._splits: dict[tuple[int, str], SplitWeight] = {}
        self._projections: list[tuple[nn.Parameter, Callable[[torch.Tensor], torch.Tensor]]] = []

    def slots(self) -> list[WeightSlot]:
        """Return the weights that can be normalised, in order, each once."""
        found, seen = [], set()
        for path, module in self.model.named_modules():
            own = {key: one for key, one in module._parameters.items() if one is not None}
            for (owner, key), split in self._splits.items():
                if owner == id(module) and split.on:
                    own[key] = split.direction
            for key, tensor in own.items():
                inside = ".parametrizations." in f".{path}."
                if id(tensor) in seen or inside or is_lazy(tensor) or tensor.ndim < 2:
                    continue
                if tensor.is_floating_point() and (axis := framework_of(module).unit_axis(module, key)) is not None:
                    seen.add(id(tensor))
                    name = f"{path}.{key}" if path else key
                    found.append(WeightSlot(name, module, key, axis))
        return found

    def put(self, choice: ByPattern | None, optimizer: Optimizer) -> str:
        """Put a choice in force, as `Control.put`; return what changed."""
        slots = self.slots()
        for slot in slots:
            if why := framework_of(slot.module).refuse_rule(slot.module, setting_of(choice, slot.name)):
                raise ValueError(f"{slot.name!r} {why}")
        rules = {slot.name: setting_of(choice, slot.name) for slot in slots}
        off = [slot for slot in slots if self._is_split(slot) and rules[slot.name] != "weight_norm"]
        wanted = [slot for slot in slots if rules[slot.name] == "weight_norm" and not self._is_split(slot)]
        # What is frozen stays as it is, split or not.
        fresh = [slot for slot in wanted if self._trains(slot)]
        self._put_on(fresh, optimizer)
        self._take_off(off, optimizer)
        self.choice = choice
        self.renew()
        said = []
        if fresh:
            said.append(f"weight_norm put on {_name_slots(fresh)}")
        if off:
            said.append(f"weight_norm taken off {_name_slots(off)}, the weights stay")
        if fresh or off:
            said.append("what the optimizer kept of these weights begins anew")
        if frozen := [slot for slot in slots if rules[slot.name] is not None and not self._trains(slot)]:
            said.append(f"{_name_slots(frozen)} {'is' if len(frozen) == 1 else 'are'} frozen and left alone")
        if signs := [slot for slot in slots if self._only_signs(slot, rules[slot.name])]:
            dim1 = rules[signs[0].name] == "unit_dim1"
            why = "has a single input channel" if dim1 else "holds one number a unit"
            more = f" and {len(signs) - 1} more" if len(signs) > 1 else ""
            said.append(f"{signs[0].name!r}{more} {why}: its weights become +1 or -1 and nothing else")
        return "; ".join(said)

    def renew(self) -> None:
        """Update which tensors are projected, as for a changed model."""
        self._projections = []
        for slot in self.slots() if self.choice is not None else ():
            rule = setting_of(self.choice, slot.name)
            if rule not in (None, "weight_norm") and not self._is_split(slot):
                weight = slot.module._parameters[slot.key]
                self._projections.append((weight, projection(rule, slot.axis)))  # type: ignore[arg-type]

    def project(self) -> None:
        """Project the weights that a step has moved."""
        if not self._projections:
            return
        with torch.no_grad():
            for weight, projected in self._projections:
                if weight.requires_grad:
                    weight.copy_(projected(weight))

    def plain(self, weights: dict[str, Any]) -> dict[str, Any]:
        """Return a state dict as the model has it without `weight_norm`."""
        for slot in filter(self._is_split, self.slots()):
            path = slot.name[: -len(slot.key)] + f"parametrizations.{slot.key}."
            whole = {f"{path}original0": (slot.name, getattr(slot.module, slot.key))}
            kept = ((name, value) for name, value in weights.items() if name != f"{path}original1")
            weights = dict(whole.get(name, (name, value)) for name, value in kept)
        return weights

    def state(self) -> dict[str, Any]:
        """Return the choice, and which weights are split."""
        split = [slot.name for slot in self.slots() if self._is_split(slot)]
        return {"choice": None if self.choice is None else dict(self.choice), "split": split}

    def install(self, state: dict[str, Any], optimizer: Optimizer) -> None:
        """Restore a state, before weights and optimizer are restored."""
        choice = state["choice"]
        rules = {name: tuple(r) if isinstance(r, list) else r for name, r in (choice or {}).items()}
        slots, split = self.slots(), state["split"]
        self._put_on([slot for slot in slots if slot.name in split and not self._is_split(slot)], optimizer)
        self._take_off([s for s in slots if self._is_split(s) and s.name not in split], optimizer)
        self.choice = None if choice is None else ByPattern(rules)
        self.renew()

    def _is_split(self, slot: WeightSlot) -> bool:
        split = self._splits.get((id(slot.module), slot.key))
        return split is not None and split.on

    def _trains(self, slot: WeightSlot) -> bool:
        if self._is_split(slot):
            return self._splits[id(slot.module), slot.key].direction.requires_grad  # type: ignore[union-attr]
        tensor = slot.module._parameters[slot.key]
        return tensor is not None and tensor.requires_grad

    def _take_off(self, slots: list[WeightSlot], optimizer: Optimizer) -> None:
        for slot in slots:
            self._splits[id(slot.module), slot.key].take_off(optimizer)

    def _put_on(self, slots: list[WeightSlot], optimizer: Optimizer) -> None:
        done: list[SplitWeight] = []
        everywhere = Counter(id(one) for part in self.model.modules() for one in part._parameters.values())
        try:
            for slot in slots:
                if isinstance(slot.module, nn.RNNBase):
                    kind = type(slot.module).__name__
                    why = f"belongs to an {kind}, which reads its weights as one block"
                    raise ValueError(f"{slot.name!r} {why}")
                if everywhere[id(slot.module._parameters[slot.key])] > 1:
                    raise ValueError(f"{slot.name!r} is shared with another layer (tied weights)")
                split = self._splits.setdefault((id(slot.module), slot.key), SplitWeight(slot))
                split.put_on(optimizer)
                done.append(split)
        except ValueError:
            for split in done:
                split.take_off(optimizer)
            raise

    def _only_signs(self, slot: WeightSlot, rule: Any) -> bool:
        if rule not in ("unit", "unit_dim1") or self._is_split(slot) or not self._trains(slot):
            return False
        shape = slot.module._parameters[slot.key].shape  # type: ignore[union-attr]
        return shape[1] == 1 if rule == "unit_dim1" else shape.numel() == shape[slot.axis]


def read_rule(value: Any) -> Any:
    """Read a rule: None, a mode, or ("max_norm", c)."""
    if value is None:
        return None
    mode, limit = value if isinstance(value, (tuple, list)) and len(value) == 2 else (value, None)
    if not isinstance(mode, str) or mode not in MODES:
        key = str(mode).lower()
        hint = did_you_mean(key, MODES)
        hint = next((f" {said}" for word, said in _ELSEWHERE.items() if key.startswith(word)), hint)
        raise ValueError(f"normalise has the rule {value!r}, which is none of {', '.join(MODES)}.{hint}")
    if mode != "max_norm":
        if limit is not None:
            raise ValueError(f"normalise has the rule {value!r}: only max_norm has a number.")
        return mode
    limit = _MAX_NORM if limit is None else limit
    if not isinstance(limit, Real) or isinstance(limit, bool) or not 0 < limit < float("inf"):
        wanted = "the largest norm is a positive number, such as 3."
        raise ValueError(f"normalise has the rule {value!r}: {wanted}")
    return "max_norm", float(limit)


def projection(rule: Any, axis: int = 0) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a rule's projection of a weight with unit axis `axis`."""

    def unit(weight: torch.Tensor) -> torch.Tensor:
        turned = weight.transpose(0, axis)
        return F.normalize(turned.flatten(1), dim=1).view_as(turned).transpose(0, axis)

    if rule == "unit_dim1":
        return lambda weight: F.normalize(weight, p=2.0, dim=1)
    return unit if rule == "unit" else lambda weight: torch.renorm(weight, 2, axis, rule[1])


def _name_slots(slots: list[WeightSlot]) -> str:
    names = ", ".join(slot.name for slot in slots[:3])
    return names if len(slots) <= 3 else f"{names} and {pluralize(len(slots) - 3, 'more weight')}"


_PROJECTIONS = {
    ("unit", 0): ("unit_norm", '''
def unit_norm(weight):
    """Return a weight with each filter, or row, scaled to an L2 norm of 1."""
    return nn.functional.normalize(weight.flatten(1), dim=1).view_as(weight)
'''),
    ("unit", 1): ("unit_norm_transposed", '''
def unit_norm_transposed(weight):
    """Return the weight of a transposed convolution with each filter scaled to an L2 norm of 1."""
    turned = weight.transpose(0, 1)
    return nn.functional.normalize(turned.flatten(1), dim=1).view_as(turned).transpose(0, 1)
'''),
    ("unit_dim1", 0): ("unit_norm_of_inputs", '''
def unit_norm_of_inputs(weight):
    """Return a weight scaled to an L2 norm of 1 over its second axis."""
    return nn.functional.normalize(weight, p=2.0, dim=1)
'''),
}  # fmt: skip

_UNIT_ON_AXIS = '''
def unit_norm_axis_{axis}(weight):
    """Return a weight with each unit, along axis {axis}, scaled to an L2 norm of 1."""
    turned = weight.transpose(0, {axis})
    return torch.nn.functional.normalize(turned.flatten(1), dim=1).view_as(turned).transpose(0, {axis})
'''

_SPLIT = '''
def split(layer, name, dim):
    """Split a weight into length and direction, which the optimizer moves in its place."""
    whole = layer._parameters[name]
    nn.utils.parametrizations.weight_norm(layer, name, dim=dim)
    exchange([whole], [layer.parametrizations[name].original0, layer.parametrizations[name].original1])


def unite(layer, name):
    """Make a weight one again."""
    parts = [layer.parametrizations[name].original0, layer.parametrizations[name].original1]
    nn.utils.parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
    for other in [other for other in layer._parameters if other != name]:
        layer._parameters[other] = layer._parameters.pop(other)  # the weight comes first, as before
    exchange(parts, [layer._parameters[name]])


def exchange(old, new):
    """Let the optimizer move other parameters; what it kept of the old ones is gone."""
    for group in optimizer.param_groups:
        if any(one is old[0] for one in group["params"]):
            group["params"] = [p for p in group["params"] if all(p is not one for one in old)] + new
    for one in old:
        optimizer.state.pop(one, None)
'''


class NormaliseWriter(Writer):
    """Writes the weights that are projected after each step, or split."""

    def __init__(self, name: str, script: Any) -> None:
        super().__init__(name, script)
        self._split, self._projects = set(script.origin.split), False

    def begin(self) -> None:
        script = self.script
        rules = [rule for choice in self.ever for rule in (choice or {}).values()]
        if "weight_norm" in rules:
            origin, changed = script.origin, script.changed("normalise")
            others = script.changed("trainable", "optimizer", "ema") or origin.settings["ema"] is not None
            if others or not all(parameter.requires_grad for parameter in script.model.parameters()):
                raise Unwritable(
                    "weights were split by weight_norm beside freezing, averages or another optimizer"
                )
            kind = origin.kind.__name__
            if kind in ("Adagrad", "Rprop") and changed:
                raise Unwritable(f"weights were split by weight_norm in mid-run under {kind}")
            if changed:
                script.definitions.append(_SPLIT.strip("\n"))
        self._projects = any(rule not in (None, "weight_norm") for rule in rules)
        lines = self._normalise(self.at_first) if rules else []
        if not self._projects:
            return
        script.setup.append("\n".join(["# The weights that are projected after each step, and how.", *lines]))
        script.after += [
            "with torch.no_grad():",
            "    for weight, project in projected:",
            "        if weight.requires_grad:",
            "            weight.copy_(project(weight))",
        ]

    def anew(self, choice: Any) -> list[str]:
        """Return the lines that find the projected weights anew."""
        return self._normalise(choice) if self._projects else []

    def _normalise(self, choice: Any) -> list[str]:
        script, pairs, lines = self.script, [], []
        for slot in script.loop.normalisation.slots():
            rule = setting_of(choice, slot.name)
            layer, split = expression_of(script.model, slot.name.rpartition(".")[0]), rule == "weight_norm"
            if split != (slot.name in self._split):
                call = f'{"split" if split else "unite"}({layer}, "{slot.key}"'
                lines.append(f"{call}, dim={slot.axis})" if split else f"{call})")
                (self._split.add if split else self._split.discard)(slot.name)
            if rule is not None and not split:
                weight = expression_of(script.model, slot.name)
                pairs.append(f"({weight}, {self._projection(rule, slot.axis)})")
        if not self._projects:
            return lines
        if len(line := f"projected = [{', '.join(pairs)}]") < 80:
            return [*lines, line]
        return [*lines, "projected = [", *(f"    {pair}," for pair in pairs), "]"]

    def _projection(self, rule: Any, axis: int) -> str:
        if rule not in ("unit", "unit_dim1"):
            return f"lambda weight: torch.renorm(weight, 2, {axis}, {rule[1]!r})"
        name, text = _PROJECTIONS.get((rule, axis if rule == "unit" else 0)) or (
            f"unit_norm_axis_{axis}", _UNIT_ON_AXIS.format(axis=axis)
        )  # fmt: skip
        self.script.sources.imports.add("from torch import nn")
        if text.strip("\n") not in self.script.definitions:
            self.script.definitions.append(text.strip("\n"))
        return name

    def change(self, entry: Entry) -> list[str]:
        return self._normalise(entry.asked)


_WORDS = {None: "off", **dict(zip(MODES, ("unit", "unit, dim 1", "max-norm", "weight_norm")))}


def _word_of(value: Any) -> Any:
    rule = single_setting(value)
    return _WORDS.get(rule[0] if isinstance(rule, tuple) else rule, rule)


def _limit_of(value: Any) -> Any:
    rule = single_setting(value)
    return rule[1] if isinstance(rule, tuple) else None


def _choose(panel: Panel, word: Any) -> Any:
    if word == "by layer":
        return panel.asked.get("normalise")
    return next((rule for rule, said in _WORDS.items() if said == word), word)


class Normalise(Control):
    """Which weights are normalised, and by which rule."""

    name = "normalise"
    aliases = (
        "normalize", "weight_norm", "weight_normalisation", "weight_normalization", "max_norm_constraint",
    )  # fmt: skip
    shapes_model = True
    loop_part = "normalisation"
    writer = NormaliseWriter
    rows = (
        PanelRow(
            "regularisation", "Normalise", "choice", _word_of, _choose,
            hint="Weights of each filter or row: scaled to norm 1 after each step, held below a norm, or "
            "split",
            choices=lambda panel: [
                *dict.fromkeys((*_WORDS.values(), _word_of(panel.asked.get("normalise"))))
            ],
        ),
        PanelRow(
            "regularisation", "Largest norm", "text", _limit_of,
            lambda _, text: ("max_norm", parse_number(text)),
            part="most", there=lambda panel: _limit_of(panel.asked.get("normalise")) is not None,
        ),
    )  # fmt: skip

    def read(self, value: Any) -> ByPattern | None:
        names = [slot.name for slot in self.loop.normalisation.slots()]
        what = "weight of two or more axes"
        return read_by_pattern(self.loop.model, self.name, value, names, what, read_rule)

    def now(self) -> ByPattern | None:
        return self.loop.normalisation.choice

    def put(self, value: ByPattern | None) -> str:
        said = self.loop.normalisation.put(value, self.loop.optimizer)
        self.loop.refresh()
        return said

    def install(self, state: Any) -> None:
        self.loop.normalisation.install(state, self.loop.optimizer)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return _word_of(panel.applied["normalise"]) if panel.applied.get("normalise") else ""
