"""Early stopping: end a run once a metric stops improving."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ..base.ledger import Entry
from ..base.numbers import read_count, read_integer, read_number
from ..base.words import did_you_mean, pluralize
from ..scoring.metrics import less_is_better
from .control import Control, Panel, PanelRow, Unwritable, Writer, parse_number

#: What an evaluation finds of each task, beside the loss.
METRICS = {
    "multiclass": ("accuracy", "macro_f1"), "multilabel": ("macro_f1",), "binary": ("macro_f1",),
    "regression": ("mean_absolute_error",), "detection": ("map50",),
}  # fmt: skip
_OFFERED = {task: names for task, names in METRICS.items() if task != "regression"}


class StoppingRule(NamedTuple):
    """When to stop (Prechelt 1998, "Early Stopping - But When?").

    `patience` evaluations in a row in which `metric` was not better than its best by more than `min_delta`;
    with `restore`, the weights of the best evaluation are put back when the run ends, however it does.
    """

    metric: str = "valid_loss"
    patience: int = 5
    min_delta: float = 0.0
    restore: bool = False


class Patience:
    """Says when to stop, and keeps the best weights.

    Parameters
    ----------
    beside : returns the tensors that the loss or the step holds beside the model: they go along.

    Attributes
    ----------
    rule : when to stop; None: never.
    best, best_step : the best value so far, and after how many steps it was seen; None before any.
    waited : evaluations since.
    restored : the step at which the best weights were put back last; None before that.
    due_steps : steps whose evaluation was counted, and on how many samples, None for all; those that a person
        asked for between are not.
    """

    def __init__(self, model: nn.Module, beside: Callable[[], Mapping[str, torch.Tensor]] = dict) -> None:
        self._model, self._beside = model, beside
        self.rule: StoppingRule | None = None
        self.due_steps: dict[int, int | None] = {}
        self._samples: int | None = None
        self.put(None)

    def put(self, rule: StoppingRule | None) -> None:
        """Stop by another rule; the counting begins anew.

        The best so far stays where it was the best by the same metric.
        """
        before, self.rule, self.waited = self.rule, rule, 0
        if before is not None and rule is not None and before.metric == rule.metric:
            return
        self.best: float | None = None
        self.best_step: int | None = None
        self.restored: int | None = None
        self._counted = 0
        self._weights: dict[str, torch.Tensor] = {}

    def compare_on(self, samples: int | None) -> str:
        """Compare evaluations on so many samples (None: all) from here on.

        Only like is compared with like: where they were others, the best is counted anew, and a sentence says so.
        """
        before, self._samples = self._samples, samples
        if before == samples or self.rule is None or self.best is None:
            return ""
        was, now = ("all" if one is None else f"{one:,}" for one in (before, samples))
        said = f"Evaluations are on {now} validation samples now and were on {was}: what is best is counted anew"
        said += f" ({self.said})."
        self.forget(self.rule.metric)
        return said

    def forget(self, metric: str) -> None:
        """Count what is best by a metric anew: its scale is another."""
        if self.rule is not None and self.rule.metric == metric:
            rule, self.rule = self.rule, None
            self.put(rule)

    def after(self, value: float | None, step: int) -> str | None:
        """Count an evaluation; return why to stop, or None.

        To be called with the weights that were evaluated in the model. None or NaN is never better.
        """
        rule = self.rule
        if rule is None:
            return None
        self._counted = step
        self.due_steps[step] = self._samples
        better = value is not None and not math.isnan(value)
        if better and self.best is not None:
            less = less_is_better(rule.metric)
            better = value < self.best - rule.min_delta if less else value > self.best + rule.min_delta
        if better:
            self.best, self.best_step, self.waited = value, step, 0
            self._weights = self._now(torch.clone)
            return None
        self.waited += 1
        if self.waited < rule.patience:
            return None
        ago = pluralize(self.waited, "evaluation")
        return f"Stopped early after step {step}: {self.said}, {ago} ago."

    @property
    def said(self) -> str:
        """What was best, and after which step, in a clause."""
        metric = self.rule.metric  # type: ignore[union-attr]
        if self.best is None:
            return f"{metric} was never a number"
        return f"{metric} was best after step {self.best_step} ({self.best:.4g})"

    def is_replayed(self, step: int) -> bool:
        """Say whether a retaken step's evaluation counts."""
        return step in self.due_steps and step > self._counted

    def restore(self, step: int) -> bool:
        """Restore the best weights as a run ends; say whether it did.

        Not where the rule does not ask for it, or they are there.
        """
        self.waited = 0
        if self.rule is None or not self.rule.restore or not self._weights:
            return False
        if step in (self.best_step, self.restored):
            return False
        self._write(self._weights)
        self.restored = step
        return True

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Swap the best weights in, and those of now back again."""
        kept = self._now(torch.clone)
        self._write(self._weights)
        try:
            yield
        finally:
            self._write(kept)

    def _now(self, read: Callable[[torch.Tensor], torch.Tensor] = lambda t: t) -> dict[str, torch.Tensor]:
        tensors = {**self._model.state_dict(), **self._beside()}
        return {name: read(t.detach()) for name, t in tensors.items() if isinstance(t, torch.Tensor)}

    @torch.no_grad()
    def _write(self, weights: Mapping[str, torch.Tensor]) -> None:
        now = self._now()
        for name, kept in weights.items():
            if name in now and now[name].shape == kept.shape:
                now[name].copy_(kept)

    def state(self) -> dict[str, Any]:
        """Return the rule, the counts, and the best weights if kept."""
        rule = None if self.rule is None else tuple(self.rule)
        counting = {"best": self.best, "best_step": self.best_step, "waited": self.waited}
        counting |= {"restored": self.restored, "counted": self._counted, "samples": self._samples}
        return {"rule": rule, **counting, "weights": dict(self._weights)}

    def install(self, state: dict[str, Any]) -> None:
        self.put(None if state["rule"] is None else StoppingRule(*state["rule"]))
        self.best, self.best_step, self.waited = state["best"], state["best_step"], state["waited"]
        self.restored, self._counted = state.get("restored"), state.get("counted", 0)
        self._samples = state.get("samples")
        now = self._now()
        self._weights = {
            name: kept.to(now[name].device if name in now else kept.device, copy=True)
            for name, kept in state["weights"].items()
        }


def _read_rule(value: Any) -> StoppingRule | None:
    """Read a metric, a patience, fields, or a dict; None is never."""
    if value is None or value is False:
        return None
    if isinstance(value, Mapping):
        fields = StoppingRule._fields
        for key in value:
            if key not in fields:
                hint = did_you_mean(str(key), fields)
                raise ValueError(f"early_stopping has {key!r}; it can have {', '.join(fields)}.{hint}")
        rule = StoppingRule(**value)
    elif isinstance(value, str):
        rule = StoppingRule(value)
    elif read_integer(value) is not None:
        rule = StoppingRule(patience=value)
    elif isinstance(value, (tuple, list)) and 1 <= len(value) <= 4:
        rule = StoppingRule(*value)
    else:
        raise ValueError(f'early_stopping={value!r}: ("valid_loss", 5), a patience, or None, is wanted.')
    patience, delta = read_count(rule.patience), read_number(rule.min_delta)
    for name, fits, wanted in (
        ("metric", isinstance(rule.metric, str), "a name as 'valid_loss' is"),
        ("patience", patience is not None, "evaluations, 1 or more, are"),
        ("min_delta", delta is not None and 0 <= delta < math.inf, "a number, 0 or more, is"),
        ("restore", isinstance(rule.restore, (bool, np.bool_)), "True or False is"),
    ):
        if not fits:
            raise ValueError(f"early_stopping has the {name} {getattr(rule, name)!r}: {wanted} wanted.")
    return StoppingRule(rule.metric, patience, delta, bool(rule.restore))  # type: ignore[arg-type]


def restored_from(entry: Entry) -> int | None:
    """Return the step whose weights were put back, or None."""
    found = re.search(r"was best after step ([\d,]+)", entry.note)
    if entry.by != "early stopping" or "put back" not in entry.note or found is None:
        return None
    return int(found.group(1).replace(",", ""))


class EarlyStoppingWriter(Writer):
    """Writes the best weights, kept at their step and put back."""

    def before(self) -> dict[int, list[str]]:
        lines = {}
        for entry in self.script.changed("early_stopping"):
            if (step := restored_from(entry)) is None:
                continue
            if any(decay is not None for decay in self.script.ever("ema")):
                raise Unwritable("early stopping put averaged weights back")
            self.script.sources.imports.add("import copy")
            lines[step] = ["best = copy.deepcopy(model.state_dict())  # the best on the validation data"]
            if self._loss_learns:
                lines[step].append("best_loss = copy.deepcopy(loss_function.state_dict())")
        return lines

    def change(self, entry: Entry) -> list[str]:
        if restored_from(entry) is None:
            return []
        theirs = ["loss_function.load_state_dict(best_loss)"] if self._loss_learns else []
        return ["model.load_state_dict(best)", *theirs]

    @property
    def _loss_learns(self) -> bool:
        loss = self.script.opened.task.loss
        own = isinstance(loss, nn.Module) and not type(loss).__module__.startswith(("torch.", "dlwidgets."))
        return own and bool(loss.state_dict())


def _typed(panel: Panel, name: str, value: Any) -> Any:
    now = panel.asked.get("early_stopping")
    return {**(now._asdict() if now else {}), name: value}


def _stops(panel: Panel) -> bool:
    return panel.asked.get("early_stopping") is not None


class EarlyStopping(Control):
    """When a run ends, for lack of improvement of a metric."""

    name = "early_stopping"
    aliases = ("stop_early", "earlystopping", "early_stop")
    loop_part = "patience"
    writer = EarlyStoppingWriter
    rows = (
        PanelRow(
            "run", "Stop early", "choice", lambda value: value.metric if value else "never",
            lambda panel, word: None if word == "never" else _typed(panel, "metric", word),
            choices=lambda panel: ("never", "valid_loss", *_OFFERED.get(panel.session.task, ())),
            why_not=lambda panel: "" if panel.session.has_valid else "no validation data",
            hint="Once this has not become better for some evaluations",
        ),
        PanelRow(
            "run", "Patience", "text", lambda value: value and value.patience,
            lambda panel, text: _typed(panel, "patience", parse_number(text)),
            part="patience", there=_stops, unit="evaluations",
        ),
        PanelRow(
            "run", "Restore best", "flag", lambda value: bool(value and value.restore),
            lambda panel, on: _typed(panel, "restore", bool(on)), part="restore", there=_stops,
        ),
    )  # fmt: skip

    def read(self, value: Any) -> StoppingRule | None:
        rule = _read_rule(value)
        task = self.loop.objective.task
        known = ("valid_loss", *METRICS.get(task.name, ()))
        known += ("perplexity",) if task.own is not None and task.own.next_token else ()
        known += tuple(f"valid_loss_{name}" for name in self.loop.objective.names)
        if rule is not None and rule.metric not in known:
            have = f"evaluations have {', '.join(known)}.{did_you_mean(rule.metric, known)}"
            raise ValueError(f"early_stopping has the metric {rule.metric!r}; {have}")
        return rule

    def now(self) -> StoppingRule | None:
        return self.loop.patience.rule

    def redo(self, entry: Entry) -> None:
        if entry.by == "early stopping":
            self.loop.restore_best()
        else:
            self.put(entry.asked)

    def put(self, value: StoppingRule | None) -> None:
        if value is not None and not self.steering.evaluates:
            raise ValueError("there is no validation data to tell when to stop")
        self.loop.patience.put(value)

    @classmethod
    def headline(cls, panel: Panel) -> str:
        return "stops early" if panel.applied.get("early_stopping") else ""
