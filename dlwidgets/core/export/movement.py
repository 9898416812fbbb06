"""The lines of optimizer, rate, schedule, decay, momentum and betas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch.optim import Optimizer

from ..base.ledger import Entry
from ..controls.movement import MovementWriter
from ..controls.schedule.rate import Rate
from ..controls.steering import CONTROLS, Steering
from .draft import Draft
from .optimizer import optimizer_text
from .schedule import ScheduleLines
from .sources import Unwritable

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
        self._draft = draft
        self.shadow = Shadow(draft)
        self._schedules = ScheduleLines(draft)
        self._cycled, self._slider = set(draft.origin.cycled), False

    @property
    def optimizer(self) -> Optimizer:
        """The shadow of the optimizer."""
        return self.shadow.optimizer

    def begin(self) -> None:
        """Contribute the optimizer, and the schedule that there was from the beginning."""
        draft, origin = self._draft, self._draft.origin
        names = origin.names if origin.state is None else None
        made = optimizer_text(origin.kind, origin.groups, draft.model, draft.sources, names)
        text = f"optimizer = {made}"
        if origin.state is not None:
            path = draft.save_beside("optimizer", origin.state, "what the optimizer had kept before the run")
            text += f"\noptimizer.load_state_dict(torch.load({path}, weights_only=True))"
        draft.setup.append(text)
        self._schedules.begin()

    def finish(self) -> None:
        """Write what depends on all changes; compare the last rates."""
        self.shadow.replay_to(self._draft.steps)
        self._schedules.finish(sorted(self._cycled & {"momentum", "betas"}), self._slider)

    def change(self, entry: Entry) -> list[str]:
        """Return the lines of a change."""
        shadow = self.shadow
        shadow.replay_to(entry.step)
        rate, before, factor = shadow.rate, shadow.numbers(), shadow.rate.factor
        scheduled = rate.plan is not None
        began = rate.starting_rates() if entry.by != "run" or not scheduled else rate.began  # type: ignore[union-attr]
        own = rate.original_groups[0] if rate.cycled and rate.original_groups else {}
        shadow.put(entry)
        self._cycled |= set(rate.cycled)
        rmsprop = type(shadow.optimizer) is torch.optim.RMSprop
        if entry.name == "schedule":
            lines = [line for key, value in own.items() for line in _set_in_all_groups(key, [_plain(value)])]
            lines += self._schedules.change(entry, began, rate.factor if entry.by == "run" else 1.0)
            return lines + (_BUFFERS if rmsprop and "momentum" in rate.cycled and entry.step else [])
        if entry.name == "optimizer":
            slid = scheduled and rate.factor != factor
            return self._exchange() + ([self._slide(rate.value)] if slid else [])
        if entry.name == "lr" and scheduled:
            return [self._slide(entry.applied)]
        lines = []
        for key, now in shadow.numbers().items():
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
        leader, self._slider = self.shadow.rate.leader, True
        return f"schedule.set({value!r}" + (f", leader={leader})" if leader else ")")

    def _exchange(self) -> list[str]:
        """Return the lines that make another optimizer."""
        draft, optimizer = self._draft, self.optimizer
        if any(optimizer.state.values()):
            raise Unwritable("the optimizer was exchanged for one that had moved weights before")
        names = {id(parameter): name for name, parameter in draft.model.named_parameters()}
        groups = [
            {**group, "params": tuple(names.get(id(one)) for one in group["params"])}
            for group in optimizer.param_groups
        ]
        text = optimizer_text(type(optimizer), groups, draft.model, draft.sources)
        return f"optimizer = {text}".splitlines()


class Shadow:
    """A copy of optimizer and rate that replays a run's changes."""

    def __init__(self, draft: Draft) -> None:
        self._draft, origin, history = draft, draft.origin, draft.loop.history
        parameters = dict(draft.model.named_parameters())
        groups = [
            {**group, "params": [parameters[name] for name in group["params"] if name in parameters]}
            for group in origin.groups
        ]
        self.optimizer: Optimizer = origin.kind(groups)
        #: Its rate.
        self.rate = Rate(self.optimizer)
        self.rate.ahead, self.rate.valid = draft.loop.ahead, draft.loop.rate.valid
        self._loop: Any = SimpleNamespace(
            optimizer=self.optimizer, rate=self.rate, model=draft.model, steps=0, swap=self._swap,
            freezing=SimpleNamespace(choice=None, put=lambda choice, optimizer: ""),
        )  # fmt: skip
        self._steering = Steering(self._loop, kinds=[one for one in CONTROLS if one.writer is MovementWriter])
        if origin.schedule is not None:
            self.rate.begin(origin.asked_schedule, origin.schedule)
        self._epochs, self._losses, self._rates = (
            history.columns[name].values.tolist() for name in ("epoch", "loss", "lr")
        )
        due = draft.loop.rate.due_steps
        self._evaluations = {row["step"]: row for row in history.evaluations if row["step"] in due}

    def _swap(self, optimizer: Optimizer) -> None:
        self.optimizer = self._loop.optimizer = optimizer
        self.rate.rebind(optimizer)

    def numbers(self) -> dict[str, list[Any]]:
        """Return the numbers of the parameter groups."""
        groups = self.optimizer.param_groups
        return {key: [_plain(group.get(key)) for group in groups] for key in _NUMBERS}

    def replay_to(self, step: int) -> None:
        """Replay the steps up to one, comparing their rates.

        Raises
        ------
        Unwritable : one of them is another.
        """
        for number in range(self._loop.steps, step):
            taken = number + 1
            if (self.rate.value or 0.0) != self._rates[number]:
                raise Unwritable(
                    f"step {taken} was taken with the rate {self._rates[number]!r}, which no change explains"
                )
            self._loop.steps = taken
            self.rate.after_step(self._losses[number])
            if taken == len(self._epochs):
                ended = self._draft.loop.epochs == self._epochs[number]
            else:
                ended = self._epochs[taken] != self._epochs[number]
            if ended:
                self.rate.after_epoch()
            if taken in self._evaluations:
                self.rate.after_evaluation(self._evaluations[taken], taken)

    def put(self, entry: Entry) -> None:
        """Make a change as the session did."""
        try:
            self._steering[entry.name].redo(entry)
        except ValueError as why:
            raise Unwritable(
                f"the change of {entry.name} after step {entry.step} cannot be made again: {why}"
            ) from None
        if self.rate.plan is not None and set(self.rate.ratios) - {1.0}:
            raise Unwritable(
                "the groups of the optimizer have other proportions than their schedule gives them"
            )


def _set_in_all_groups(key: str, values: list[Any]) -> list[str]:
    if all(one == values[0] for one in values):
        return ["for group in optimizer.param_groups:", f'    group["{key}"] = {values[0]!r}']
    return [
        f"for group, value in zip(optimizer.param_groups, {values!r}):",
        f'    group["{key}"] = value',
    ]  # fmt: skip


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, torch.Tensor) else value
