"""The controls of how the weights move: optimizer, rate, schedule, weight decay, momentum, betas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..base.ledger import Entry, Ledger
from ..base.state import Reference, dereference
from ..base.words import quote_error
from .group_value import GroupValue
from .optimizers import in_short, is_so, swap

if TYPE_CHECKING:
    from ..training.loop import Loop


class Rejected(ValueError):
    """A wish that cannot be met, and why, in a clause."""


class MovingControls:
    """Those controls of `Steering` that stand in the optimizer; each as it is described there."""

    CONTROLS = ("optimizer", "lr", "schedule", "weight_decay", "momentum", "betas")

    _loop: Loop
    ledger: Ledger

    def __init__(self) -> None:
        super().__init__()
        self._asked_decay: float | None = None
        #: Wishes that came along with another one, for a session to show.
        self.adopted: dict[str, Any] = {}
        self._look_at_optimizer()

    def _look_at_optimizer(self) -> None:
        optimizer = self._loop.optimizer
        self._decay, self._momentum = GroupValue(optimizer, "weight_decay"), GroupValue(optimizer, "momentum")
        self._own_decay, self._own_momentum = self._decay.value, self._momentum.value
        self._own_betas = [group.get("betas") for group in optimizer.param_groups]

    def moving(self) -> dict[str, Any]:
        """Return what is in force; "schedule" is the wish that leaves nothing open."""
        rate, optimizer = self._loop.rate, self._loop.optimizer
        group = optimizer.param_groups[0]
        return {
            "optimizer": in_short(optimizer, rate.uncycled),
            "lr": rate.value,
            "schedule": rate.settled,
            "weight_decay": self._decay.value,
            "momentum": self._momentum.value,
            "betas": tuple(map(float, group["betas"])) if "betas" in group else None,
        }

    def following(self) -> dict[str, Any]:
        """Return what is to be shown beside what is in force.

        "schedule_in_words", "scheduled_lr": what the schedule has for the next step, and "lr_multiplier",
        which makes "lr", the rate in force, of it.
        """
        rate = self._loop.rate
        return {
            "schedule_in_words": rate.words,
            "scheduled_lr": rate.scheduled,
            "lr_multiplier": rate.multiplier,
        }

    def moving_state(self) -> dict[str, Any]:
        """Return what stands neither in the optimizer nor elsewhere."""
        return {
            "rate": self._loop.rate.state(),
            "own": Reference((
                self._decay, self._own_decay, self._momentum, self._own_momentum, self._own_betas,
                self._asked_decay,
            )),
        }  # fmt: skip

    def install_moving(self, state: dict[str, Any]) -> str | None:
        """Put that back; the optimizer has been put back already."""
        said = self._loop.rate.install(state["rate"], self._loop.optimizer)
        if (own := dereference(state["own"])) is None:
            self._look_at_optimizer()
        else:
            (
                self._decay, self._own_decay, self._momentum, self._own_momentum, self._own_betas,
                self._asked_decay,
            ) = own  # fmt: skip
        return said

    def run_begins(self, run: int) -> None:
        """Fit the schedule to a run that begins."""
        rate, before = self._loop.rate, self._loop.rate.settled
        note = rate.run_begins(run)
        if not note and rate.settled != before and any(one.name == "schedule" for one in self.ledger.entries):
            # What the ledger says of the schedule would not be so any more.
            note = f"fitted to the run: {rate.words}"
        if note:
            self.ledger.add(Entry(self._loop.steps, "schedule", rate.wish, rate.settled, "run", note))

    def stretch_schedule(self) -> None:
        """Have the schedule end with a run whose steps are others now; in the ledger it is by the run."""
        rate = self._loop.rate
        if note := rate.stretch():
            self.ledger.add(Entry(self._loop.steps, "schedule", rate.wish, rate.settled, "run", note))

    def redo_schedule(self, entry: Entry) -> None:
        """Put a schedule in force once more as it was when the entry was written."""
        if entry.by == "run":
            self._loop.rate.renew(entry.applied)
        else:
            self._loop.rate.begin(entry.asked, entry.applied)
        ready_for_momentum(self._loop.optimizer)

    def _put_lr(self, value: float) -> str | None:
        try:
            return self._loop.rate.set(value)
        except ValueError as why:
            raise Rejected(str(why)) from None

    def _put_schedule(self, value: Any) -> str:
        try:
            said = self._loop.rate.begin(value)
        except ValueError as why:
            raise Rejected(str(why).rstrip(".")) from None
        ready_for_momentum(self._loop.optimizer)  # which one-cycle changes along
        # What it begins from, or ends with, is the learning rate from here on.
        self.adopted = {**self.adopted, "lr": self._loop.rate.base}
        return said

    def _put_optimizer(self, value: Any) -> str | None:
        loop = self._loop
        old, before = loop.optimizer, loop.rate.value
        if is_so(value, old):
            return None
        try:
            made, lr = swap(value, loop.model, old, self._asked_decay)
            if made is old:
                return None
            if loop.rate.plan is not None and GroupValue(made, "lr").value is None:
                raise ValueError(
                    f"{type(made).__name__} has no learning rate, and there is a schedule for one"
                )
            loop.freezing.put(loop.freezing.choice, made)
        except Exception as error:  # noqa: BLE001 - a factory may raise anything
            raise Rejected(quote_error(error).rstrip(".")) from None
        loop.swap(made)
        self._look_at_optimizer()
        brought = made is value[0] and made.state
        said = "with the state that it came with" if brought else "its state starts anew"
        names = ["weight_decay", "momentum", "betas"]
        if lr is not None and lr != before:
            said += f"; lr {'none' if before is None else f'{before:g}'} → {lr:g}"
            said += f"; {more}" if (more := self._put_lr(lr)) else ""
            names.append("lr")
        elif before is not None and loop.rate.value is not None:
            said += f"; lr stays {before:g}"
        in_force = {**self.moving(), "lr": loop.rate.base}
        self.adopted = {**self.adopted, **{name: in_force[name] for name in names}}
        return said

    def _put_weight_decay(self, value: float | None) -> None:
        if self._own_decay is None:
            if value is None:
                return
            raise Rejected(f"{type(self._loop.optimizer).__name__} has no weight decay")
        wanted = self._own_decay if value is None else value
        if wanted == self._decay.value:
            return  # the ledger says nothing of it: the next optimizer must not know of it either
        self._asked_decay = value
        self._decay.set(wanted)

    def _put_momentum(self, value: float | None) -> None:
        optimizer = self._loop.optimizer
        if self._own_momentum is None:
            if value is None:
                return
            raise Rejected(
                f"{type(optimizer).__name__} has no momentum: SGD, RMSprop and Muon have one"
                + ("; here betas is what you want" if self._own_betas[0] is not None else "")
            )
        self._check_free("momentum")
        self._momentum.set(self._own_momentum if value is None else value)
        ready_for_momentum(optimizer)

    def _put_betas(self, value: tuple[float, ...] | None) -> None:
        groups = self._loop.optimizer.param_groups
        if self._own_betas[0] is None:
            if value is None:
                return
            raise Rejected(
                f"{type(self._loop.optimizer).__name__} has no betas: Adam and its kin (AdamW, NAdam, RAdam, "
                "Adamax) have them"
                + ("; here momentum is what you want" if self._own_momentum is not None else "")
            )
        if value is not None and len(value) != len(self._own_betas[0]):
            raise Rejected(f"{type(self._loop.optimizer).__name__} has {len(self._own_betas[0])} betas")
        self._check_free("betas")
        for group, own in zip(groups, self._own_betas):
            group["betas"] = own if value is None else value

    def _check_free(self, name: str) -> None:
        rate = self._loop.rate
        if rate.cycled:
            raise Rejected(
                f"the schedule {rate.plan.name} cycles it: "  # type: ignore[union-attr]
                f'its option "cycle_momentum": False leaves {name} alone'
            )


def ready_for_momentum(optimizer: Any) -> None:
    """Give RMSprop what it makes only with the first step: without, it fails once it has a momentum."""
    for group in optimizer.param_groups:
        if type(optimizer).__name__ == "RMSprop" and group["momentum"] > 0:
            for parameter in group["params"]:
                state = optimizer.state.get(parameter)
                if state and "momentum_buffer" not in state:
                    state["momentum_buffer"] = parameter.detach().new_zeros(parameter.shape)
