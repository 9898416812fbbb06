"""The loss function, as a control: exchanged in mid-run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ..base.framework_loss import FrameworkLoss
from ..base.ledger import Entry
from ..base.state import Reference, dereference
from ..data.losses import change_loss
from ..data.task import Task, read_loss
from ..layers.framework import is_foreign
from .control import Control, Unwritable, Writer


class LossFunctionWriter(Writer):
    """Writes the loss that takes the place of another."""

    def change(self, entry: Entry) -> list[str]:
        return self.script.losses.change(entry)

    def finish(self) -> None:
        losses = self.script.losses
        if self.script.accumulates and losses is not None and not losses.divide_alike:
            raise Unwritable("gradients were accumulated under losses whose means divide by other counts")


class LossFunction(Control):
    """The loss that trains and is evaluated; None: the first."""

    name = "loss_function"
    aliases = ("criterion", "loss_fn")
    touches = ("label_smoothing",)
    shapes_model = True
    writer = LossFunctionWriter

    def __init__(self, steering: Any = None) -> None:
        self._wish: Any = None
        #: id of a wish's loss, or its name -> the wish, and the task that it gave.
        self._tasks: dict[Any, tuple[Any, Task]] = {}
        super().__init__(steering)
        if steering is not None:
            self._tasks[None] = None, self.loop.objective.task

    def read(self, value: Any) -> Any:
        if value is None:
            return None
        if self.loop.objective.custom is not None:
            raise ValueError("loss_function: the loss is what training_step= returns, and cannot be another.")
        try:
            loss = read_loss(value, is_foreign(self.loop.model))
        except (TypeError, ValueError) as why:
            raise type(why)(str(why).replace("loss=", "loss_function=", 1)) from None
        if isinstance(loss, FrameworkLoss):
            return value if isinstance(value, str) else loss
        return type(loss).__name__ if isinstance(value, str) or value is type(loss) and _named(loss) else loss

    def task_of(self, wish: Any) -> Task:
        """Return the task with a wish's loss, always the same."""
        key = wish if wish is None or isinstance(wish, str) else id(wish)
        if key not in self._tasks:
            loop = self.loop
            inputs, targets = loop.objective.tried
            output = loop.forward(inputs)
            output = output.cpu() if isinstance(output, torch.Tensor) else output
            first = self._with_classes(self._tasks[None][1])
            made = change_loss(first, read_loss(wish, is_foreign(loop.model)), targets, output, isinstance(wish, str))
            self._tasks[key] = wish, made
        return self._tasks[key][1]

    def _with_classes(self, task: Task) -> Task:
        """Return a task with the classes of now."""
        now = self.loop.objective.task
        return replace(task, outputs=now.outputs, classes=now.classes)

    def now(self) -> Any:
        return self._wish

    def follows(self) -> dict[str, Any]:
        return {"loss_in_words": self.loop.objective.task.loss_name}

    def put(self, value: Any) -> str | None:
        loop = self.loop
        if value == self._wish:
            return None
        before, task = loop.objective.task, self.task_of(value)
        smoothed = loop.objective.smoothing.wish
        self._change(value, task)
        loop.patience.forget("valid_loss")
        said = f"{before.loss_name} → {task.loss_name}, whose values cannot be compared with those before"
        if smoothed is not None:
            self.steering.adopted["label_smoothing"] = None
            said += "; label smoothing is the new loss's own"
        return said

    def _change(self, wish: Any, task: Task) -> None:
        if isinstance(task.loss, nn.Module):
            task.loss.to(self.loop.objective.device)
        self._wish = wish
        self.loop.objective.change_task(self._with_classes(task))
        self.loop.refresh()

    def state(self) -> dict[str, Any]:
        name = self._wish if isinstance(self._wish, str) else None
        lost = "" if name == self._wish else self.loop.objective.task.loss_name
        return {"name": name, "wish": Reference(self._wish), "lost": lost}

    def install(self, state: dict[str, Any]) -> str | None:
        """Restore a loss, before weights and optimizer are restored."""
        wish = state["name"] if dereference(state["wish"]) is None else dereference(state["wish"])
        if wish is not self._wish and wish != self._wish:
            self._change(wish, self.task_of(wish))
        if state["lost"] and wish is None:
            return f"the loss was {state['lost']}, which no file can hold: set session.loss_function to it again"
        return None


def _named(loss: Any) -> bool:
    """Say whether a loss can be told by its name."""
    return vars(nn).get(type(loss).__name__) is type(loss)
