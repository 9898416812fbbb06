"""The lines of optimizer, rate, schedule, decay, momentum and betas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..base.ledger import Entry
from ..controls.lr_scale import RateFactors
from ..controls.optimizer import default_settings
from ..controls.optimizer_number import MovementWriter
from ..controls.schedule.rate import Rate
from ..controls.steering import CONTROLS, Steering
from ..layers.structure import expression_of
from .draft import Draft
from .keras import write_slice
from .schedule import ScheduleLines
from .sources import Unwritable
from .text import format_call, indent

#: The numbers of a parameter group that are controls.
_NUMBERS = ("lr", "weight_decay", "momentum", "betas")
#: What RMSprop makes only with the first step, and fails without once it has a momentum.
_BUFFERS = [
    "for parameter, kept in optimizer.state.items():",
    '    kept.setdefault("momentum_buffer", torch.zeros_like(parameter))',
]


class Movement:
    """The lines that make the optimizer and change its numbers.

    A shadow of the optimizer, over the model's parameters but never stepped, goes through the changes as the
    session's did: what it has then is what the script sets.
    """

    def __init__(self, draft: Draft) -> None:
        self._draft, origin, history = draft, draft.origin, draft.loop.history
        parameters = draft.parameters
        groups = [
            {**group, "params": [parameters[name] for name in group["params"] if name in parameters]}
            for group in origin.groups
        ]
        #: The shadow of the optimizer.
        self.optimizer: Optimizer = origin.kind(groups)
        self._rate = Rate(self.optimizer)
        self._rate.ahead, self._rate.valid = draft.loop.ahead, draft.loop.rate.valid
        self._loop: Any = SimpleNamespace(
            optimizer=self.optimizer, rate=self._rate, model=draft.model, steps=0, swap=self._swap,
            loss_parameters=draft.loop.loss_parameters, rate_factors=RateFactors(draft.model),
            freezing=SimpleNamespace(choice=None, put=lambda choice, optimizer: ""),
        )  # fmt: skip
        self._steering = Steering(self._loop, kinds=[one for one in CONTROLS if one.writer is MovementWriter])
        if origin.schedule is not None:
            self._rate.begin(origin.asked_schedule, origin.schedule)
            self._rate.scale(origin.factor)
        if (factors := origin.settings.get("lr_scale")) is not None:
            self._steering["lr_scale"].put(factors)
        self._epochs, self._losses, self._rates = (
            history.columns[name].values.tolist() for name in ("epoch", "loss", "lr")
        )
        due = draft.loop.rate.due_steps
        self._evaluations = {row["step"]: row for row in history.evaluations if row["step"] in due}
        self._schedules = ScheduleLines(draft)
        self._slider = False

    def _swap(self, optimizer: Optimizer) -> None:
        self.optimizer = self._loop.optimizer = optimizer
        self._rate.rebind(optimizer)

    def begin(self) -> None:
        """Contribute the optimizer, and the schedule that there was from the beginning."""
        draft, origin = self._draft, self._draft.origin
        names = origin.names if origin.state is None else None
        made = _write_optimizer(draft, origin.kind, self._groups(origin.groups), names)
        text = f"optimizer = {made}"
        if origin.state is not None:
            path = draft.save_beside("optimizer", origin.state, "what the optimizer had kept before the run")
            text += f"\noptimizer.load_state_dict(torch.load({path}, weights_only=True))"
        draft.setup.append("\n".join([text, *self._tell_places()]))
        self._schedules.begin(self._rate.cycled)

    def finish(self) -> None:
        """Write what depends on all changes; compare the last rates."""
        self._replay_to(self._draft.steps)
        self._schedules.finish(self._slider)

    def change(self, entry: Entry) -> list[str]:
        """Return the lines of a change."""
        self._replay_to(entry.step)
        rate, before, factor = self._rate, self._numbers(), self._rate.factor
        scheduled = rate.plan is not None
        began = rate.starting_rates() if entry.by != "run" or not scheduled else rate.began  # type: ignore[union-attr]
        own = rate.original_groups[0] if rate.cycled and rate.original_groups else {}
        units, before_groups = {rate.plan and rate.plan.unit}, rate.groups.places
        self._put(entry)
        units.add(rate.plan and rate.plan.unit)
        if not entry.step and self._epochs[0] > 1 and "epoch" in units:
            raise Unwritable(
                f"{entry.name} was changed under a schedule by epochs while all of the first was left out"
            )
        rmsprop = type(self.optimizer) is torch.optim.RMSprop
        if entry.name == "schedule":
            lines = [line for key, value in own.items() for line in _set_in_all_groups(key, [_plain(value)])]
            lines += self._schedules.change(entry, began, rate.factor if entry.by == "run" else 1.0, rate.cycled)
            return lines + (_BUFFERS if rmsprop and "momentum" in rate.cycled and entry.step else [])
        if entry.name == "lr_scale":
            return self._regroup(before_groups)
        if entry.name == "optimizer":
            slid = scheduled and rate.factor != factor
            return self._exchange() + ([self._slide(rate.value)] if slid else [])
        if entry.name == "lr" and scheduled:
            return [self._slide(entry.applied)]
        lines = []
        for key, now in self._numbers().items():
            if now == before[key]:
                continue
            if len(now) == 1:
                lines.append(f'optimizer.param_groups[0]["{key}"] = {now[0]!r}')
            else:
                lines += _set_in_all_groups(key, now)
            if key == "momentum" and rmsprop and not any(before[key]):
                lines += _BUFFERS
        return lines

    def _slide(self, value: Any) -> str:
        leader, self._slider = self._rate.leader, True
        return f"schedule.set({value!r}" + (f", leader={leader})" if leader else ")")

    def _exchange(self) -> list[str]:
        """Return the lines that make another optimizer."""
        draft, optimizer = self._draft, self.optimizer
        if any(optimizer.state.values()):
            raise Unwritable("the optimizer was exchanged for one that had moved weights before")
        made = _write_optimizer(draft, type(optimizer), self._groups(), None)
        return [*f"optimizer = {made}".splitlines(), *self._tell_places(":")]

    def _groups(self, own: Sequence[Mapping[str, Any]] = ()) -> Sequence[Mapping[str, Any]]:
        """Return the optimizer's groups, "params" being names.

        `own` has settings of its own groups to take, where they are not those of now.
        """
        if own and not self._rate.groups.is_split:
            return own
        names = {id(parameter): name for name, parameter in self._draft.parameters.items()}
        groups = []
        for group, (number, factor) in zip(self.optimizer.param_groups, self._rate.groups.places):
            made = {**group, **own[number], "lr": own[number]["lr"] * factor} if own else group
            groups.append({**made, "params": tuple(names.get(id(one)) for one in group["params"])})
        return groups

    def _tell_places(self, again: str = "") -> list[str]:
        """Return the line with number and factor of each group."""
        if not self._schedules.scales:
            return []
        places = ", ".join(f"({number}, {factor!r})" for number, factor in self._rate.groups.places)
        about = "" if again else "  # of each group: its number in the schedule, its factor"
        return [f"scales[{again}] = [{places}]" if again else f"scales = [{places}]{about}"]

    def settle(self) -> list[str]:
        """Return the lines that give what joined the optimizer its factor."""
        before = self._rate.groups.places
        self._loop.rate_factors.settle(self._rate.groups)
        return self._regroup(before) if self._rate.groups.is_split else []

    def _regroup(self, before: Sequence[tuple[int, float]]) -> list[str]:
        """Return the lines that cut the groups anew, keeping settings.

        `before` has number and factor of the groups until then.
        """
        lines = ["optimizer.param_groups[:] = ["]
        first = {number: place for place, (number, _) in reversed([*enumerate(before)])}
        for group, (number, _) in zip(self._groups(), self._rate.groups.places):
            params = _parameters_text(self._draft, group["params"])
            params = f"list({params})" if params.endswith("parameters()") else params
            text = f'{{**optimizer.param_groups[{first[number]}], "params": {params}, "lr": {_plain(group["lr"])!r}}},'
            lines += indent(text).splitlines()
        return [*lines, "]", *self._tell_places(":")]

    def _numbers(self) -> dict[str, list[Any]]:
        """Return the numbers of the parameter groups."""
        groups = self.optimizer.param_groups
        return {key: [_plain(group.get(key)) for group in groups] for key in _NUMBERS}

    def _replay_to(self, step: int) -> None:
        """Replay the steps up to one, comparing their rates."""
        if step and not self._loop.steps:
            for _ in range(1, int(self._epochs[0])):
                self._rate.after_epoch()
        for number in range(self._loop.steps, step):
            taken = number + 1
            if (self._rate.value or 0.0) != self._rates[number]:
                raise Unwritable(
                    f"step {taken} was taken with the rate {self._rates[number]!r}, which no change explains"
                )
            self._loop.steps = taken
            self._rate.after_step(self._losses[number])
            # All batches of an epoch may have been left out.
            last = self._draft.loop.epochs + 1 if taken == len(self._epochs) else self._epochs[taken]
            for _ in range(int(last) - int(self._epochs[number])):
                self._rate.after_epoch()
            if taken in self._evaluations:
                self._rate.after_evaluation(self._evaluations[taken], taken)

    def _put(self, entry: Entry) -> None:
        """Make a change as the session did."""
        try:
            self._steering[entry.name].redo(entry)
        except ValueError as why:
            raise Unwritable(
                f"the change of {entry.name} after step {entry.step} cannot be made again: {why}"
            ) from None
        if self._rate.plan is not None and set(self._rate.ratios) - {1.0}:
            raise Unwritable(
                "the groups of the optimizer have other proportions than their schedule gives them"
            )


def _set_in_all_groups(key: str, values: list[Any]) -> list[str]:
    if all(one == values[0] for one in values):
        return ["for group in optimizer.param_groups:", f'    group["{key}"] = {values[0]!r}']
    return [f"for group, value in zip(optimizer.param_groups, {values!r}):", f'    group["{key}"] = value']


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, torch.Tensor) else value


def _write_optimizer(
    draft: Draft, kind: type[Optimizer], groups: Sequence[Mapping[str, Any]], names: Sequence[str] | None
) -> str:
    """Return the expression for an optimizer, checked by making it.

    `names` are those of all parameters that the model has where it is made; None: those of now.
    """
    head, usual, parameters = draft.sources.use(kind), default_settings(kind), draft.parameters
    if any(None in group["params"] for group in groups):
        raise Unwritable("the optimizer moves tensors that are no parameters of the model")
    settings = [
        {
            key: _plain(value) for key, value in group.items()
            if key in usual and (key == "lr" or not _equal(value, usual[key]))
        } for group in groups
    ]  # fmt: skip
    shared = {
        key: value for key, value in settings[0].items()
        if all(_equal(group.get(key), value) for group in groups[1:])
    }  # fmt: skip
    own = [{key: value for key, value in one.items() if key not in shared} for one in settings]

    given = [
        {**one, "params": [parameters[name] for name in group["params"] if name in parameters]}
        for one, group in zip(own, groups)
    ]
    try:
        made = kind(given if len(groups) > 1 else given[0]["params"], **shared)
    except Exception as error:  # noqa: BLE001 - a class of a person's own may want anything
        raise Unwritable(f"{head} cannot be made with the settings it has: {error}") from None
    for ours, theirs in zip(made.param_groups, groups):
        for key in usual.keys() & theirs.keys():
            if not _equal(ours.get(key), theirs[key]):
                raise Unwritable(f"{head} has {key}={theirs[key]!r}, with which it cannot be made")

    texts = [_parameters_text(draft, group["params"]) for group in groups]
    if len(groups) > 1:
        lines = [
            ", ".join([f'"params": {text}', *(f'"{key}": {value!r}' for key, value in one.items())])
            for text, one in zip(texts, own)
        ]
        first = "[\n" + "".join(f"{indent(f'{{{line}}}')},\n" for line in lines) + "]"
    else:
        # Each parameter is moved by itself: their order plays no part.
        all_names = parameters if names is None else names
        whole = sorted(groups[0]["params"]) == sorted(all_names) and not any(map(_is_beside, all_names))
        first = "model.parameters()" if whole else texts[0]
    # The rate first: it is what is looked for.
    return format_call(head, [first], dict(sorted(shared.items(), key=lambda one: one[0] != "lr")))


def _is_beside(name: str) -> bool:
    """Say whether a parameter is none of the model's."""
    return name.startswith("(")


def _parameters_text(draft: Draft, names: Sequence[str]) -> str:
    """Return the expression for parameters, those of the loss as well."""
    loss, mine = draft.opened.task.loss, [name for name in names if not _is_beside(name)]
    theirs = [name.removeprefix("(loss).") for name in names if _is_beside(name)]
    if not theirs:
        return (draft.foreign and write_slice(draft, mine)) or _module_text(draft.model, mine)
    if not isinstance(loss, nn.Module) or not {*theirs} <= {*dict(loss.named_parameters())}:
        raise Unwritable("the optimizer moves tensors that belong neither to the model nor to the loss")
    parts = [(draft.model, mine, "model"), (loss, theirs, "loss_function")]
    return f"[{', '.join(f'*{_module_text(*part)}' for part in parts if part[1])}]"


def _module_text(model: nn.Module, names: Sequence[str], called: str = "model") -> str:
    """Return the expression for parameters, by whole layers where possible."""
    for path, module in model.named_modules():
        inside = [f"{path}.{name}" if path else name for name, _ in module.named_parameters()]
        if inside and inside == list(names):
            return f"{expression_of(model, path, called)}.parameters()"
    texts = [expression_of(model, name, called) for name in names]
    parameters = dict(model.named_parameters())
    if len(names) <= 6 or not set(names) <= parameters.keys():
        return f"[{', '.join(texts)}]"
    for test, wanted in (("p.ndim > 1", True), ("p.ndim <= 1", False)):
        if [name for name, p in parameters.items() if (p.ndim > 1) is wanted] == list(names):
            return f"[p for p in {called}.parameters() if {test}]"
    return "[\n" + indent(",\n".join(texts)) + ",\n]"


def _equal(one: Any, other: Any) -> bool:
    one, other = _plain(one), _plain(other)
    return bool(one == other) and (type(one) is type(other) or not isinstance(one, bool))
