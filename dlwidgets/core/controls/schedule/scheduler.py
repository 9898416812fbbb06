"""A schedule under way: torch's scheduler on a stand-in optimizer."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Optimizer, lr_scheduler

from ...base.state import Reference
from ...base.words import quote_error
from .plan import Ahead, SchedulePlan, is_scheduler, quiet

OF_ANOTHER = (
    "the scheduler was made for another optimizer: pass a factory, as "
    "lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 30)"
)

#: What a scheduler writes into a parameter group for itself.
_SCHEDULER_KEYS = ("initial_lr", "max_lr", "min_lr", "swa_lr", "max_momentum", "base_momentum")

#: Rates that a number alone gives, without the steps before it.
_DIRECT = (lr_scheduler.LambdaLR, lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)

#: Steps of a scheduler that are tried at most to draw the coming rates: a tenth of a second.
_MAX_TRIED = 20_000


def stand_in(
    optimizer: Optimizer, rates: Sequence[Any] | None = None, clean: bool = True,
    groups: Sequence[Mapping[str, Any]] | None = None,
) -> Optimizer:  # fmt: skip
    """Return an optimizer like another, with parameter groups of its own.

    It shares everything else and is never stepped. What a scheduler does to it reaches nobody.

    Parameters
    ----------
    rates : those of its groups; None: as they are.
    clean : leave out what an earlier scheduler wrote into the groups.
    groups : those to have, where they are not the optimizer's.
    """
    made = object.__new__(type(optimizer))
    made.__dict__.update(optimizer.__dict__)
    made.param_groups = [
        {key: _copied(value) for key, value in group.items() if not clean or key not in _SCHEDULER_KEYS}
        for group in (optimizer.param_groups if groups is None else groups)
    ]
    for group, rate in zip(made.param_groups, rates or ()):
        group["lr"] = _copied(rate)

    def step() -> None:
        """Stand for a step that was taken."""

    # So torch sees that its schedulers are stepped after the optimizer, and leaves our method alone.
    step._wrapped_by_lr_sched = True  # type: ignore[attr-defined]
    made.step, made._opt_called = step, True  # type: ignore[method-assign, attr-defined]
    return made


class ActiveSchedule:
    """A plan under way, with the scheduler's own rates.

    `after_step()`, `after_epoch()` and `feed_metric()` step the scheduler as its plan says. One that raises
    is not stepped again: the rate stays where it is, and `failure` says why.

    Parameters
    ----------
    optimizer : what is stood in for; its class and settings are those that a factory sees.
    rates : those of the groups where the schedule begins.
    groups : its groups, where factors have split those of the optimizer.

    Attributes
    ----------
    scheduler : torch's scheduler. Its optimizer is a stand-in.
    taken : optimizer steps since it began.
    units : how often the scheduler was stepped.
    cycled : the settings of a group, beside the rate, that it changes along, as "momentum".
    """

    def __init__(
        self, plan: SchedulePlan, optimizer: Optimizer, rates: Sequence[Any], clean: bool = True,
        groups: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        self.plan, self.began, self._home = plan, [_copied(rate) for rate in rates], optimizer
        self._model = stand_in(optimizer, rates, clean, groups)
        before = [dict(group) for group in self._model.param_groups]
        made = plan.build(self._model)
        if not is_scheduler(made):
            raise ValueError(f"the factory returned {type(made).__name__}, which is no scheduler")
        owner = getattr(made, "optimizer", self._model)
        if owner is not self._model:
            if owner is not optimizer and made is not plan.make:
                raise ValueError(OF_ANOTHER)
            # Made for the optimizer itself: it goes on from where it is, on the stand-in.
            made = copy.deepcopy(made, {id(owner): self._model})
            theirs_all = owner.param_groups if groups is None or owner is not optimizer else groups
            if len(getattr(made, "base_lrs", theirs_all)) != len(theirs_all):
                raise ValueError(OF_ANOTHER)
            for group, theirs in zip(self._model.param_groups, theirs_all):
                group.update({key: _copied(value) for key, value in theirs.items() if key != "params"})
        self.scheduler = made
        self.start = [_copied(group["lr"]) for group in self._model.param_groups]
        if any(rate < 0 for rate in self.start):
            raise ValueError(f"its rate is {min(map(float, self.start)):g}, and a negative one trains uphill")
        self.taken, self.units, self.failure = 0, 0, ""
        self._max_advances = plan.max_advances
        self.cycled = self._find_cycled(before)
        if plan.at:
            self.taken = plan.at
            for _ in range(plan.at - plan.warmup):
                self._advance()

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self._max_advances is not None and self.units >= self._max_advances or bool(self.failure)

    @property
    def warming(self) -> bool:
        """Whether the next step belongs to the warm-up."""
        return self.taken < self.plan.warmup

    def rates(self) -> list[Any]:
        """Return the rate of each group for the next step."""
        if self.warming:
            return [self._warm(rate, self.taken) for rate in self.start]
        return [group["lr"] for group in self._model.param_groups]

    def settings(self, group: int) -> dict[str, Any]:
        """Return what else it has set in a group."""
        groups = self._model.param_groups
        return {key: groups[min(group, len(groups) - 1)][key] for key in self.cycled}

    def after_step(self) -> None:
        self.taken += 1
        if self.plan.unit == "step":
            self._advance()

    def after_epoch(self) -> None:
        if self.plan.unit == "epoch":
            self._advance()

    def feed_metric(self, value: float) -> None:
        if self.plan.unit == "evaluation":
            self._advance(value)

    def _advance(self, *metric: float) -> None:
        if self.taken <= self.plan.warmup and self.plan.warmup or self.finished:
            return
        before = [_copied(group["lr"]) for group in self._model.param_groups]
        try:
            _step(self.scheduler, *metric)
            # A curve that ends at 0 may miss it by a rounding.
            if (least := min(float(group["lr"]) for group in self._model.param_groups)) < -1e-12:
                raise ValueError(f"its rate would be {least:g}, and a negative one trains uphill")
        except Exception as error:  # noqa: BLE001 - a person's scheduler may raise anything
            self.failure = quote_error(error)
            for group, rate in zip(self._model.param_groups, before):
                group["lr"] = rate
        else:
            self.units += 1

    def _warm(self, rate: Any, taken: int) -> Any:
        return rate * ((taken + 1) / (self.plan.warmup + 1))

    def _find_cycled(self, before: Sequence[dict[str, Any]]) -> tuple[str, ...]:
        found, trials = set(), [self._model.param_groups]
        try:
            twin, groups = self._twin()
        except Exception:  # noqa: BLE001 - what a person's scheduler holds may not let itself be copied
            return ()
        try:
            for _ in range(3):
                _step(twin, *([0.0] if self.plan.unit == "evaluation" else []))
                # After each: a short cycle may be back where it began by the third.
                trials.append([dict(group) for group in groups])
        except Exception as error:  # noqa: BLE001 - what the first steps raise is told when it is asked for
            if self.plan.max_advances is None or self.plan.max_advances > 3:
                raise ValueError(f"its first steps failed: {quote_error(error).rstrip('.')}") from None
        for was, now in (pair for groups in trials for pair in zip(before, groups)):
            keys = was.keys() - {"params", "lr", *_SCHEDULER_KEYS}
            found |= {key for key in keys if bool(was[key] != now[key])}
        return tuple(sorted(found))

    def forecast(self, offsets: Sequence[int], leader: int, ahead: Ahead) -> list[float]:
        """Return a group's rates at ascending offsets (0: the next step)."""
        plan, left, each = self.plan, ahead.left, ahead.each
        warm = max(0, plan.warmup - self.taken)

        def count_units(steps: int) -> int:
            """Return how many steps, or ends of epochs, lie so far ahead."""
            if plan.unit == "step":
                return steps
            return 1 + (steps - left) // each if left and each and steps >= left else 0

        try:
            twin, groups = self._twin()
        except Exception:  # noqa: BLE001 - what a person's scheduler holds may not let itself be copied
            return []
        direct = type(twin) in _DIRECT or (
            hasattr(twin, "_get_closed_form_lr") and type(twin).__module__ == "torch.optim.lr_scheduler"
        )
        now, at, done, rates = groups[leader]["lr"], getattr(twin, "last_epoch", 0), 0, []
        for offset in offsets:
            if self.taken + offset < plan.warmup:
                rates.append(float(self._warm(self.start[leader], self.taken + offset)))
                continue
            count = max(0, count_units(offset) - count_units(warm))
            if plan.unit == "evaluation" or self.finished:
                count = 0
            elif plan.max_advances is not None:
                count = min(count, plan.max_advances - self.units)
            try:
                if count == 0 or count == done:
                    pass
                elif direct:
                    twin.last_epoch = at + count
                    if hasattr(twin, "_get_closed_form_lr"):
                        now = twin._get_closed_form_lr()[leader]
                    else:
                        twin._get_lr_called_within_step = True
                        now = twin.get_lr()[leader]
                elif type(twin) is lr_scheduler.CosineAnnealingWarmRestarts:
                    twin.step(at + count)
                    now = groups[leader]["lr"]
                elif count > _MAX_TRIED:
                    break
                else:
                    for _ in range(count - done):
                        _step(twin)
                    now = groups[leader]["lr"]
            except Exception:  # noqa: BLE001 - a schedule that ends by raising stays where it was
                last = rates[-1] if rates else float(now)
                rates += [last] * (len(offsets) - len(rates))
                break
            done = count
            rates.append(float(now))
        return rates

    def _twin(self) -> tuple[Any, list[dict[str, Any]]]:
        """Return a copy of the scheduler with groups of its own."""
        other = stand_in(self._model, clean=False)
        return copy.deepcopy(self.scheduler, {id(self._model): other}), other.param_groups

    def state(self) -> dict[str, Any]:
        """Return how far it is, as plain data for schedulers of torch."""
        groups = self._model.param_groups
        return {
            "home": Reference(self._home), "taken": self.taken, "units": self.units, "ended": self.failure,
            "start": self.start, "groups": [{k: v for k, v in g.items() if k != "params"} for g in groups],
            "scheduler": self.scheduler.state_dict() if hasattr(self.scheduler, "state_dict") else None,
        }  # fmt: skip

    def install(self, state: dict[str, Any]) -> None:
        """Go back to where `state()` was taken, of this plan."""
        state = _copy_state({key: value for key, value in state.items() if key != "home"})
        self.taken, self.units, self.failure = state["taken"], state["units"], state["ended"]
        self.start = list(state["start"])
        if state["scheduler"] is not None:
            # What is no plain data is not there when it comes from disk: it is as it was made.
            made = self.scheduler.state_dict()
            kept = {key: made.get(key) if one is None else one for key, one in state["scheduler"].items()}
            self.scheduler.load_state_dict(kept)
        for group, kept in zip(self._model.param_groups, state["groups"]):
            group.update(kept)


def cycled_in(group: Mapping[str, Any], cycled: Sequence[str]) -> list[str]:
    """Return the settings of a group that are cycled."""
    found = [key for key in cycled if key in group]
    # Adam's first beta is what SGD calls momentum.
    for one, other in (("momentum", "betas"), ("betas", "momentum")):
        if one in cycled and one not in group and other in group:
            found.append(other)
    return found


def cycle(group: dict[str, Any], wanted: Mapping[str, Any]) -> None:
    """Set in a group what a schedule cycles."""
    for key in cycled_in(group, tuple(wanted)):
        if key in wanted:
            group[key] = wanted[key]
        elif key == "betas":
            group["betas"] = (wanted["momentum"], *group["betas"][1:])
        else:
            group["momentum"] = wanted["betas"][0]


def _copy_state(state: Any) -> Any:
    """Return a copy of a state with its references replaced."""
    if isinstance(state, Reference):
        return copy.deepcopy(state.value)
    if type(state) is dict:
        return {key: _copy_state(value) for key, value in state.items()}
    if type(state) in (list, tuple):
        return type(state)(map(_copy_state, state))
    return copy.deepcopy(state)


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _step(scheduler: Any, *metric: float) -> None:
    """Step a scheduler, without older torch's warnings of its own call."""
    if getattr(scheduler, "last_epoch", 0) + 1 in getattr(scheduler, "_milestones", ()):
        with quiet():
            scheduler.step(*metric)
    else:
        scheduler.step(*metric)
