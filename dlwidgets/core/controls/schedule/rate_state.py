"""The state of a rate and its schedule: read off as plain data, and put back."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from ...base.state import Reference, dereference
from ..group_value import GroupValue
from .plan import Plan, Wish, is_plain
from .scheduler import Scheduled


class RateState:
    """What of a `Rate` can be read off and put back between two steps: see `stateful.Stateful`."""

    optimizer: Optimizer
    wish: Wish | None
    plan: Plan | None
    _own: GroupValue
    _scheduled: Scheduled | None
    _factor: float
    _ratios: list[float]
    _written: list[float]
    _before: list[dict[str, Any]]
    _end: int | None
    _fed: int
    _losses: list[float]

    def state(self) -> dict[str, Any]:
        """Return all that stands nowhere but here: see `stateful.Stateful`."""
        state: dict[str, Any] = {"own": self._own.state(), "name": None, "fed": self._fed}
        if self._scheduled is not None:
            plan = self._scheduled.plan
            state |= {
                "name": plan.name, "plan": plan.plain(), "made": Reference((self.wish, plan)),
                "wish": list(self.wish) if is_plain(self.wish) else None,  # type: ignore[arg-type]
                "scheduled": self._scheduled.state(), "began": self._scheduled.began,
                "multiplier": self._factor, "ratios": list(self._ratios), "before": self._before,
                "written": list(self._written), "end": self._end, "losses": list(self._losses),
            }  # fmt: skip
        return state

    def install(self, state: dict[str, Any], optimizer: Optimizer) -> str | None:
        """Take over a state, with the optimizer that was in force and has been put back already."""
        self.optimizer = optimizer
        self._own = GroupValue(optimizer, "lr")
        self._own.install(state["own"])
        self._fed = state["fed"]
        if state["name"] is None:
            self._scheduled, self.wish, self._factor, self._before = None, None, 1.0, []
            return None
        wish, plan = dereference(state["made"]) or self._again(state)
        if plan is None:
            self._scheduled, self.wish, self._factor, self._before = None, None, 1.0, []
            return f"the schedule ({state['name']}) was made by code: set session.schedule again"
        scheduled = Scheduled(plan, dereference(state["scheduled"]["home"]) or optimizer, state["began"])
        scheduled.install(state["scheduled"])
        self._scheduled, self.wish = scheduled, wish
        self._factor, self._ratios = state["multiplier"], list(state["ratios"])
        self._before = [dict(one) for one in state["before"]]
        self._written, self._end = list(state["written"]), state["end"]
        self._losses = list(state["losses"])
        return None

    def _again(self, state: dict[str, Any]) -> tuple[Wish | None, Plan | None]:
        """Return the schedule of a state that came from disk."""
        if state["wish"] is not None and state["plan"] is not None:
            return (state["wish"][0], dict(state["wish"][1])), Plan.of(state["plan"])
        if self.plan is not None and self.plan.name == state["name"]:
            return self.wish, self.plan
        return None, None
