"""What a step has beside the plain loop, in a script: accumulation, autocast, projections, averages..."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from torch import nn

from ..base.ledger import Entry
from ..controls.by_pattern import setting_of
from .draft import Draft
from .module_expression import place
from .sources import Unwritable

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


class Regimen:
    """The lines of these controls; each is left out where the run never used it."""

    def __init__(self, draft: Draft) -> None:
        self._draft, self._settings = draft, draft.origin.settings
        self._choice = self._settings["normalise"]
        self._split, self._projects = set(draft.origin.split), False
        self._dropouts = dict(draft.origin.dropouts)
        dropping = draft.loop.regimen.dropping
        self._own_rates = {
            path: dropping._own[id(layer)][1] if id(layer) in dropping._own else layer.p
            for path, layer in dropping.layers().items()
        }
        self.changes: dict[str, Callable[[Entry], list[str]]] = {
            "accumulate": lambda entry: [f"accumulate = {entry.applied}"],
            "normalise": lambda entry: self._normalise(entry.asked),
            "dropout": self._dropout,
            "label_smoothing": self._smoothing,
            "ema": self._average,
            "precision": lambda entry: [f"mixed = {entry.applied != 'full'}"],
            "early_stopping": self._stopped,
        }

    def ever(self, name: str) -> list[Any]:
        """Return all values that a control had in the run."""
        return [self._settings[name], *(entry.applied for entry in self._draft.changed(name))]

    def begin(self) -> None:
        """Contribute what is in force from the beginning, and what a step has for it."""
        draft = self._draft
        if any(count != 1 for count in self.ever("accumulate")):
            draft.accumulates = True
            draft.settings.append(f"accumulate = {self.first('accumulate')}  # batches a step")
        self._begin_precision()
        if any(self.ever("normalise")):
            self._begin_normalising()
        wanted = self._settings["label_smoothing"]
        own = draft.loop.objective.smoothing
        if own._task.loss is not None and wanted is not None and wanted != _own_smoothing(own._task.loss):
            draft.setup += [*self._smoothed(wanted)]
        if any(decay is not None for decay in self.ever("ema")):
            self._begin_averaging()

    def first(self, name: str) -> Any:
        """Return a setting as the first step has it."""
        early = [entry.applied for entry in self._draft.changed(name) if entry.step == 0]
        return early[-1] if early else self._settings[name]

    # -- each of them

    def _begin_precision(self) -> None:
        modes, draft = set(self.ever("precision")), self._draft
        if modes == {"full"}:
            return
        if "fp16" in modes:
            raise Unwritable("it was computed in fp16, whose scale depends on the device")
        kind = draft.device.partition(":")[0]
        enabled = ""
        if draft.changed("precision"):
            draft.settings.append(f"mixed = {self._settings['precision'] != 'full'}  # whether in bfloat16")
            enabled = ", enabled=mixed"
        draft.context = f'with torch.autocast("{kind}", dtype=torch.bfloat16{enabled}):'

    def _begin_normalising(self) -> None:
        draft = self._draft
        rules = [rule for choice in self.ever("normalise") for rule in (choice or {}).values()]
        if "weight_norm" in rules:
            self._check_split()
            if draft.changed("normalise"):
                draft.definitions.append(_SPLIT.strip("\n"))
        self._projects = any(rule not in (None, "weight_norm") for rule in rules)
        lines = self._normalise(self._choice)
        if not self._projects:
            return
        draft.setup.append("\n".join(["# The weights that are projected after each step, and how.", *lines]))
        draft.after += [
            "with torch.no_grad():",
            "    for weight, project in projected:",
            "        if weight.requires_grad:",
            "            weight.copy_(project(weight))",
        ]

    def _normalise(self, choice: Any) -> list[str]:
        draft, pairs, lines = self._draft, [], []
        for slot in draft.loop.regimen.normalising.slots():
            rule = setting_of(choice, slot.name, None)
            layer, split = place(draft.model, slot.name.rpartition(".")[0]), rule == "weight_norm"
            if split != (slot.name in self._split):
                call = f'{"split" if split else "unite"}({layer}, "{slot.key}"'
                lines.append(f"{call}, dim={slot.axis})" if split else f"{call})")
                (self._split.add if split else self._split.discard)(slot.name)
            if rule is not None and not split:
                pairs.append(f"({place(draft.model, slot.name)}, {self._projection(rule, slot.axis)})")
        if not self._projects:
            return lines
        line = f"projected = [{', '.join(pairs)}]"
        return [
            *lines,
            *([line] if len(line) < 80 else ["projected = [", *(f"    {pair}," for pair in pairs), "]"]),
        ]

    def _check_split(self) -> None:
        """Refuse what of `weight_norm` cannot be written."""
        draft = self._draft
        model, origin = draft.model, draft.origin
        others = draft.changed("trainable", "optimizer", "ema") or origin.settings["ema"] is not None
        if others or not all(parameter.requires_grad for parameter in model.parameters()):
            raise Unwritable(
                "weights were split by weight_norm beside freezing, averages or another optimizer"
            )
        if origin.kind.__name__ in ("Adagrad", "Rprop") and draft.changed("normalise"):
            raise Unwritable(f"weights were split by weight_norm in mid-run under {origin.kind.__name__}")

    def _projection(self, rule: Any, axis: int) -> str:
        if rule not in ("unit", "unit_dim1"):
            return f"lambda weight: torch.renorm(weight, 2, {axis}, {rule[1]!r})"
        name, text = _PROJECTIONS[rule, axis if rule == "unit" else 0]
        self._draft.sources.imports.add("from torch import nn")
        if text.strip("\n") not in self._draft.definitions:
            self._draft.definitions.append(text.strip("\n"))
        return name

    def _dropout(self, entry: Entry) -> list[str]:
        lines = []
        for path, now in self._dropouts.items():
            wanted = setting_of(entry.asked, path, None)
            rate = self._own_rates[path] if wanted is None else wanted
            if rate != now:
                lines.append(f"{place(self._draft.model, path)}.p = {rate!r}")
                self._dropouts[path] = rate
        return lines

    def _smoothing(self, entry: Entry) -> list[str]:
        return self._smoothed(entry.applied)

    def _smoothed(self, value: Any) -> list[str]:
        if not isinstance(self._draft.opened.task.loss, nn.Module):
            raise Unwritable("the label smoothing of a function was changed")
        return [f"loss_function.label_smoothing = {value!r}"]

    def _begin_averaging(self) -> None:
        draft, decay = self._draft, self._settings["ema"]
        draft.sources.imports |= {
            "from torch.optim.swa_utils import AveragedModel",
            "from torch.optim.swa_utils import get_ema_multi_avg_fn",
        }
        self._decay = decay
        guard = bool(draft.changed("ema"))
        draft.setup.append("averaged = None" if decay is None else self._averaged(decay))
        update = "averaged.update_parameters(model)"
        draft.after += ["if averaged is not None:", f"    {update}"] if guard else [update]
        name = f"{draft.path.stem}.averaged.pt"
        if self.ever("ema")[-1] is not None:
            draft.ending.append(f'torch.save(averaged.module.state_dict(), HERE / "{name}")')

    def _average(self, entry: Entry) -> list[str]:
        before, self._decay = self._decay, entry.applied
        if entry.applied is None:
            return ["averaged = None"]
        if before is None:
            return [self._averaged(entry.applied)]
        return [f"averaged.multi_avg_fn = get_ema_multi_avg_fn({entry.applied!r})"]

    def _averaged(self, decay: float) -> str:
        return f"averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn({decay!r}))"

    def _stopped(self, entry: Entry) -> list[str]:
        return ["model.load_state_dict(best)"] if restored_from(entry) is not None else []

    def best(self) -> dict[int, list[str]]:
        """Return step -> the lines that keep the best weights, where early stopping put some back."""
        lines = {}
        for entry in self._draft.changed("early_stopping"):
            if (step := restored_from(entry)) is None:
                continue
            if any(decay is not None for decay in self.ever("ema")):
                raise Unwritable("early stopping put averaged weights back")
            self._draft.sources.imports.add("import copy")
            lines[step] = ["best = copy.deepcopy(model.state_dict())  # the best on the validation data"]
        return lines


def restored_from(entry: Entry) -> int | None:
    """Return the step whose weights early stopping put back; None where it put none back."""
    found = re.search(r"was best after step ([\d,]+)", entry.note)
    if entry.by != "early stopping" or "put back" not in entry.note or found is None:
        return None
    return int(found.group(1).replace(",", ""))


def _own_smoothing(loss: Any) -> float | None:
    return getattr(loss, "label_smoothing", None)
