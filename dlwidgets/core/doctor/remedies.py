"""Remedies: changes of a run that may help, by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..base.framework_loss import FrameworkLoss
from ..base.numbers import format_number, format_rate
from ..base.words import did_you_mean
from ..layers.framework import framework_of
from ..layers.walk import Layer, walk
from .course import find_last_good, find_onset, of_one_loss
from .finding import Finding

if TYPE_CHECKING:
    from ..training.run import Run

#: Steps of whose gradient norms a limit is made, and how many of them must have been measured.
_NORMS, _FEW = 200, 10
#: By how much a rate is lowered or raised.
_TENTH, _TENFOLD = 0.1, 10.0
#: Steps of a warm-up, as a share of the run; the patience of early stopping [evaluations]; a usual weight decay
#: (AdamW's own); an epsilon that half precision can hold (torch's smallest normal float16 is 6e-5).
_WARM, _PATIENCE, _DECAY, _EPS = 0.1, 5, 0.01, 1e-4


class Unfit(ValueError):
    """Why a remedy does not apply to a run, in a clause."""


@dataclass(frozen=True)
class Case:
    """A finding, and what remedies for it are chosen by.

    Attributes
    ----------
    finding : what is to be helped.
    wishes : what is in force, as wishes, by the name of a control.
    norms : the gradient norms measured from before the trouble, float64.
    losses : of the line under way, float64.
    snapshots : steps of which a state is kept, and the rate that was in force there.
    loss, last : the loss, and the kind of the model's last layer, by their names.
    frozen : the fewest names of what is frozen by hand.
    weights : the path of the layer whose weights the finding is of: its own, or the last before it that has some.
    has_valid, has_dropout : whether there is validation data; whether the model has layers of dropout.
    other_loss : a loss of another framework that takes what the last layer puts out, or None.
    read : returns a wish in one form; raises ValueError in a sentence.
    say : returns a text in the words of the model's framework.
    """

    finding: Finding
    wishes: Mapping[str, Any]
    norms: np.ndarray = field(default_factory=lambda: np.empty(0))
    losses: np.ndarray = field(default_factory=lambda: np.empty(0))
    snapshots: Mapping[int, float | None] = field(default_factory=dict)
    loss: str = ""
    last: str = ""
    frozen: tuple[str, ...] = ()
    weights: str | None = None
    has_valid: bool = True
    has_dropout: bool = True
    other_loss: Any = None
    read: Callable[[str, Any], Any] = lambda name, value: value
    say: Callable[[str], str] = str

    @classmethod
    def of(cls, run: Run, finding: Finding) -> Case:
        """Return the case of a finding in a run."""
        steering, record = run.steering, run.now("history")
        columns = {name: column.values for name, column in record.columns.items()}
        norms = columns["grad_norm"][: max(0, finding.step - 1) or None][-_NORMS:]
        layers, task = walk(run.loop.model), run.loop.objective.task
        return cls(
            finding, {**run.settings(), **steering.wishes()}, norms[np.isfinite(norms)],
            of_one_loss(columns["loss"], run.now("changes")), run.timeline.rates,
            task.loss_name, _last_kind(layers[-1].module),
            tuple(run.loop.freezing.frozen_by_hand()), _weighted(layers, finding.layer),
            run.data.valid is not None, bool(run.loop.dropout.layers()),
            task.loss.turned() if isinstance(task.loss, FrameworkLoss) else None,
            steering.read, partial(framework_of(run.loop.model).say_for, run.loop.model),
        )  # fmt: skip

    @cached_property
    def last_good(self) -> int | None:
        """The step of the newest good state; None without one."""
        return find_last_good(self.finding, self.losses, self.snapshots)

    @cached_property
    def spoiled(self) -> bool:
        """Whether what was learnt since is not to be gone on with."""
        return self.finding.severity == "high" or find_onset(self.losses) is not None

    def get(self, name: str) -> Any:
        """Return what is wished for of a control, or raise Unfit."""
        if name not in self.wishes:
            raise Unfit(f"this session has no control {name!r}")
        return self.wishes[name]

    def number(self, name: str) -> float:
        """Return a number in force, or raise Unfit."""
        value = self.get(name)
        if not isinstance(value, (int, float)):
            raise Unfit(f"the optimizer has no {'rate' if name == 'lr' else name.replace('_', ' ')}")
        return value


#: What a remedy sets, in words for its button, and as wishes.
Dose = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Remedy:
    """A change that may help.

    Attributes
    ----------
    name : as rules name it.
    label : what stands on its button where it does not apply, as "Rate × 0.1".
    dose : returns what stands on its button, as "Rate × 0.1 → 1e-4", and the wishes that it makes; raises Unfit.
    rewind : whether it goes back to the last good state first, where what was learnt since is spoiled.
    view : the view that it opens in place of a wish; "" for none.
    """

    name: str
    label: str
    dose: Callable[[Case], Dose]
    rewind: bool = False
    view: str = ""


@dataclass(frozen=True)
class Offer:
    """A remedy for a finding, as a button shows it.

    Attributes
    ----------
    name, label, view : of the remedy; the label with its numbers.
    settings : the wishes that it makes.
    back : the step to which it goes back first; None where it does not.
    why_not : why it does not apply here, in a clause; "" where it does.
    """

    name: str
    label: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    back: int | None = None
    why_not: str = ""
    view: str = ""


def offer_remedies(case: Case) -> tuple[Offer, ...]:
    """Return the remedies of a case, in the order of its finding."""
    return tuple(offer_remedy(case, REMEDIES[name]) for name in case.finding.remedies if name in REMEDIES)


def offer_remedy(case: Case, remedy: Remedy) -> Offer:
    """Return a remedy with its numbers, or why it does not apply."""
    try:
        label, settings = remedy.dose(case)
        read = {name: case.read(name, value) for name, value in settings.items()}
    except (ValueError, TypeError) as why:
        return Offer(remedy.name, remedy.label, why_not=case.say(str(why).rstrip(".")), view=remedy.view)
    back = case.last_good if remedy.rewind and case.spoiled else None
    same = settings and back is None and all(case.wishes.get(name) == value for name, value in read.items())
    return Offer(remedy.name, label, read, back, "it is so already" if same else "", remedy.view)


def find_remedy(name: str | None, among: tuple[Offer, ...]) -> Offer:
    """Return an offer by its name, or the first that applies.

    Raises
    ------
    ValueError : the finding has no such remedy, or it does not apply here.
    """
    fits = [one for one in among if not one.why_not and one.settings]
    if name is None and fits:
        return fits[0]
    names = [one.name for one in among]
    if name not in names:
        said = "No remedy that is known applies here" if name is None else f"There is no remedy {name!r} here"
        there = ", ".join(names) or "none"
        raise ValueError(f"{said}: there are {there}.{did_you_mean(str(name), names)}")
    chosen = among[names.index(name)]
    if chosen not in fits:
        raise ValueError(f"{chosen.label} does not apply here: {chosen.why_not or 'it changes nothing'}.")
    return chosen


def take_remedy(run: Run, offer: Offer) -> None:
    """Go back and make a remedy's changes, on the training thread."""
    timeline, line = run.timeline, run.timeline.line
    if offer.back is not None:
        timeline.rewind(offer.back, True, "doctor", note=offer.label)
    timeline.line.undoes = timeline.line is not line
    run.put(offer.settings, dict.fromkeys(offer.settings, "doctor"))


def describe_remedies(finding: Finding) -> str:
    """Return the labels of what may help, in one line."""
    return ", ".join(REMEDIES[name].label for name in finding.remedies if name in REMEDIES)


# -- the doses


def _scale_rate(factor: float) -> Callable[[Case], Dose]:
    def dose(case: Case) -> Dose:
        # Where the rate was raised since the state to which it goes back, it is the rate from before that.
        there = case.snapshots.get(case.last_good) if factor < 1 and case.spoiled else None
        rate = float(f"{min(case.number('lr'), there or math.inf) * factor:.6g}")
        if not rate:
            raise Unfit("the rate is 0")
        return f"Rate × {factor:g} → {format_rate(rate)}", {"lr": rate}

    return dose


def _set_rate(case: Case) -> Dose:
    case.get("lr")
    return "Rate → 0.001", {"lr": 1e-3}


def _warm_up(case: Case) -> Dose:
    """Put a warm-up before the schedule in force, or a cosine."""
    name, options = case.get("schedule") or ("cosine", {})
    if options.get("warmup"):
        raise Unfit("the schedule has a warm-up already")
    return f"Warm up over {_WARM:.0%} of the run", {"schedule": (name, {**options, "warmup": _WARM})}


def _clip(case: Case, limit: float, label: str) -> Dose:
    mode, now = case.get("clip") or ("off", 0.0)
    if mode == "norm" and now <= limit:
        raise Unfit(f"it clips at {format_number(now)} already")
    return f"{label} {format_number(limit)}", {"clip": ("norm", limit)}


def _quantile(case: Case, share: float) -> float:
    if len(case.norms) < _FEW:
        raise Unfit(f"fewer than {_FEW} gradient norms were measured: clipping at a large norm measures them")
    return float(f"{np.quantile(case.norms, share):.3g}")


def _raise_clip(case: Case) -> Dose:
    mode, now = case.get("clip") or ("off", 0.0)
    if mode == "off":
        raise Unfit("nothing is clipped")
    norms = mode == "norm" and len(case.norms) >= _FEW
    limit = max(_quantile(case, 0.9), 2 * now) if norms else _TENFOLD * now
    return f"Clip limit {format_number(now)} → {format_number(limit)}", {"clip": (mode, limit)}


def _no_clip(case: Case) -> Dose:
    if case.get("clip") is None:
        raise Unfit("nothing is clipped")
    return "Clip nothing", {"clip": None}


def _scale_batch(factor: float) -> Callable[[Case], Dose]:
    def dose(case: Case) -> Dose:
        size = int(case.number("batch_size") * factor)
        if not size:
            raise Unfit("a batch has one sample already")
        return f"Batch of {size:,}", {"batch_size": size}

    return dose


def _accumulate(case: Case) -> Dose:
    count = 4 * int(case.number("accumulate"))
    return f"Accumulate {count:,} batches a step", {"accumulate": count}


def _weighted(layers: Sequence[Layer], path: str | None) -> str | None:
    """Return a layer's path, or the last before it with weights."""
    before: str | None = None
    for layer in layers:
        if layer.path == path:
            return path if before is None or next(layer.module.parameters(), None) is not None else before
        if layer.module._parameters:
            before = layer.path
    return path


def _redraw(case: Case) -> Dose:
    """Draw the weights anew: an activation's are those before it."""
    case.get("reinitialise")
    return f"Re-initialise {case.weights or 'the whole model'}", {"reinitialise": case.weights or ""}


def _on_layer(control: str, verb: str, value: Callable[[Case, str], Any]) -> Callable[[Case], Dose]:
    """Return the dose of a remedy for the layer of a finding."""

    def dose(case: Case) -> Dose:
        case.get(control)
        if (layer := case.finding.layer) is None:
            raise Unfit("the finding names no layer")
        return f"{verb} {layer or 'the whole model'}", {control: value(case, layer)}

    return dose


def _training(case: Case, layer: str) -> dict[str, bool]:
    return {**(case.wishes["trainable"] or {}), layer or "*": True}


def _freeze(case: Case) -> Dose:
    """Freeze by the session what is frozen by hand, statistics and all."""
    now = case.get("trainable") or {}
    if not case.frozen:
        raise Unfit("nothing is frozen by hand")
    more = f" and {len(case.frozen) - 1} more" if case.frozen[1:] else ""
    others = {name: on for name, on in now.items() if name not in case.frozen}
    label = f"Freeze {case.frozen[0]}{more}, statistics too"
    return label, {"trainable": {**others, **dict.fromkeys(case.frozen, False)}}


def _take_torchs(case: Case) -> Dose:
    """Take torch's optimizer in place of one that moves what is frozen."""
    kind, _ = case.get("optimizer")
    if isinstance(kind, str):
        raise Unfit(f"{kind} is torch's own, which leaves what has no gradient alone")
    bases = (one for one in kind.__mro__ if vars(torch.optim).get(one.__name__) is one)
    near = next((one.__name__ for one in bases if one is not torch.optim.Optimizer), "AdamW")
    return f"{kind.__name__} → torch's {near}", {"optimizer": near}


def _last_kind(layer: Any) -> str:
    """Return the class of a last layer, or of its activation."""
    names = {"softmax": "Softmax", "sigmoid": "Sigmoid", "log_softmax": "LogSoftmax"}
    return names.get(framework_of(layer).activation_of(layer)[0], type(layer).__name__)


def _swap_loss(case: Case) -> Dose:
    """Swap the loss for the one that takes the output."""
    case.get("loss_function")
    if case.other_loss is not None and case.finding.rule == "last_layer":
        return f"{case.loss} → {case.other_loss.source or 'from_logits turned'}", {"loss_function": case.other_loss}
    fits = {
        "BCEWithLogitsLoss": "BCELoss" if case.last == "Sigmoid" else "",
        "CrossEntropyLoss": {"LogSoftmax": "NLLLoss", "Softmax": "NLLOfProbabilities"}.get(case.last),
        "NLLLoss": {"Softmax": "NLLOfProbabilities", "LogSoftmax": ""}.get(case.last, "CrossEntropyLoss"),
        "BCELoss": "BCEWithLogitsLoss" if case.last != "Sigmoid" else "",
    }
    better = "CrossEntropyLoss" if case.finding.rule == "targets_one_hot" else fits.get(case.loss)
    if not better:
        raise Unfit(f"{case.loss} is what fits the task: it is the last layer that has to be another")
    return f"{case.loss} → {better}", {"loss_function": better}


def _scale_inputs(case: Case) -> Dose:
    if case.get("input_scaling") is not None:
        raise Unfit("the inputs are scaled already")
    return "Normalise the inputs", {"input_scaling": "standardize"}


def _stop_early(case: Case) -> Dose:
    case.get("early_stopping")
    if not case.has_valid:
        raise Unfit("there is no validation data")
    rule = {"metric": "valid_loss", "patience": _PATIENCE, "restore": True}
    return f"Stop {_PATIENCE} evaluations after the best, and keep that", {"early_stopping": rule}


def _decay(case: Case) -> Dose:
    decay = case.number("weight_decay") * _TENFOLD or _DECAY
    return f"Weight decay {decay:.3g}", {"weight_decay": decay}


def _drop(case: Case) -> Dose:
    rates = case.get("dropout")
    if not case.has_dropout:
        raise Unfit("the model has no dropout layer: put nn.Dropout(0.5) before its last one")
    if rates and max(rates.values()) >= 0.5:
        raise Unfit("half of the units are dropped already")
    return "Dropout 0.5", {"dropout": 0.5}


def _change_eps(case: Case) -> Dose:
    kind, options = case.get("optimizer")
    eps = options.get("eps", 1e-8)
    if case.finding.rule == "adam_epsilon":  # it is too large
        return f"Epsilon {eps:g} → 1e-08", {"optimizer": (kind, {**options, "eps": 1e-8})}
    if "betas" not in options and "adam" not in str(kind).lower():
        raise Unfit("the optimizer has no epsilon of Adam's")
    if eps >= _EPS:
        raise Unfit(f"epsilon is {eps:g} already")
    return f"Epsilon {eps:g} → {_EPS:g}", {"optimizer": (kind, {**options, "eps": _EPS})}


def _lower_momentum(case: Case) -> Dose:
    momentum = case.number("momentum")
    lower = 0.9 if momentum > 0.9 else 0.5
    if momentum <= lower:
        raise Unfit(f"momentum is {momentum:g}")
    return f"Momentum {momentum:g} → {lower:g}", {"momentum": lower}


def _set(control: str, value: Any, label: str) -> Callable[[Case], Dose]:
    """Return the dose that sets one control to one value."""

    def dose(case: Case) -> Dose:
        case.get(control)
        return label, {control: value}

    return dose


def _longer(case: Case) -> Dose:
    epochs = 2 * int(case.number("epochs"))
    return f"Train for {epochs:,} epochs", {"epochs": epochs}


#: All remedies, by name.
REMEDIES: dict[str, Remedy] = {
    one.name: one
    for one in (
        Remedy("lower_rate", "Rate × 0.1", _scale_rate(_TENTH), rewind=True),
        Remedy("raise_rate", "Rate × 10", _scale_rate(_TENFOLD)),
        Remedy("set_rate", "Rate → 0.001", _set_rate),
        Remedy("cosine", "Cosine schedule", _set("schedule", "cosine", "Cosine schedule"), rewind=True),
        Remedy("warm_up", "Warm up", _warm_up, rewind=True),
        Remedy("clip", "Clip at 1", lambda case: _clip(case, 1.0, "Clip at"), rewind=True),
        Remedy(
            "clip_p90", "Clip at the 90th percentile",
            lambda case: _clip(case, _quantile(case, 0.9), "Clip at the 90th percentile,"), rewind=True,
        ),
        Remedy("raise_clip", "Clip at a higher limit", _raise_clip),
        Remedy("no_clip", "Clip nothing", _no_clip),
        Remedy("halve_batch", "Half the batch", _scale_batch(0.5), rewind=True),
        Remedy("double_batch", "Twice the batch", _scale_batch(2.0)),
        Remedy("accumulate", "Accumulate batches", _accumulate),
        Remedy("reinitialise", "Re-initialise the layer", _redraw),
        Remedy("swap_loss", "Another loss", _swap_loss),
        Remedy("scale_inputs", "Normalise the inputs", _scale_inputs),
        Remedy("show_labels", "Show the labels", lambda case: ("Show the suspicious labels", {}), view="labels"),
        Remedy("unfreeze", "Unfreeze the layer", _on_layer("trainable", "Unfreeze", _training)),
        Remedy("hold_statistics", "Hold the statistics too", _freeze),
        Remedy("freeze_too", "Freeze it by the session", _freeze),
        Remedy("torch_optimizer", "An optimizer of torch's own", _take_torchs),
        Remedy("add_to_optimizer", "Train it too", _on_layer("trainable", "Train", _training)),
        Remedy("early_stopping", "Stop early", _stop_early),
        Remedy("weight_decay", "More weight decay", _decay),
        Remedy("dropout", "Dropout 0.5", _drop),
        Remedy("label_smoothing", "Label smoothing 0.1", _set("label_smoothing", 0.1, "Label smoothing 0.1")),
        Remedy("ema", "Average the weights", _set("ema", 0.99, "Average the weights, decay 0.99")),
        Remedy("adam_eps", "Another epsilon", _change_eps, rewind=True),
        Remedy("full_precision", "Full precision", _set("precision", "full", "Full precision"), rewind=True),
        Remedy("lower_momentum", "Less momentum", _lower_momentum, rewind=True),
        Remedy("train_longer", "Train longer", _longer),
    )
}  # fmt: skip
