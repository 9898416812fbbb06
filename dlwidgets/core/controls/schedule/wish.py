"""Wishes for a schedule, read into one form or refused."""

from __future__ import annotations

import difflib
import inspect
import math
from numbers import Real
from typing import Any

from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from ...base.words import did_you_mean
from .plan import CLASSES, NAMES, Wish, is_scheduler

#: Options of every schedule, beside those of its class in torch.
COMMON = ("warmup", "unit")

_SYNONYMS = {
    "stepdecay": "step", "exp": "exponential", "exponentialdecay": "exponential", "cosineannealing": "cosine",
    "cos": "cosine", "cosinedecay": "cosine", "sgdr": "cosine restarts", "warmrestarts": "cosine restarts",
    "cosinewarmrestarts": "cosine restarts", "cosinewithrestarts": "cosine restarts",
    "cosineannealingwithrestarts": "cosine restarts", "1cycle": "one-cycle", "lineardecay": "linear",
    "poly": "polynomial", "polynomialdecay": "polynomial", "reduceonplateau": "plateau",
}  # fmt: skip


def read_schedule(value: Any) -> Wish | None:
    """Return a wish for a schedule in one form.

    Parameters
    ----------
    value : None or "constant"; a name of `NAMES`; the name of a class of torch.optim.lr_scheduler; such a
        class; a factory `optimizer -> scheduler`; a scheduler; or any of them with options, as
        ("cosine", {"warmup": 100}) or {"name": "cosine", "warmup": 100}.

    Raises
    ------
    ValueError : one sentence on what is wrong.
    """
    options: Any = {}
    what = value
    if isinstance(value, dict):
        options = dict(value)
        what = options.pop("name", None)
        if what is None:
            raise ValueError(f'schedule={value!r}: say which, as {{"name": "cosine", "warmup": 100}}.')
    elif isinstance(value, (tuple, list)):
        if len(value) != 2 or not isinstance(value[1], dict):
            raise ValueError(f'schedule={value!r}: a pair is wanted, as ("cosine", {{"warmup": 100}}).')
        what, options = value[0], dict(value[1])
    if isinstance(what, str):
        if _key(what) in ("constant", "none", "off", "no"):
            what = None
        else:
            what = _find_name(what)
    if what is None:
        if options:
            raise ValueError(f"schedule={value!r}: a rate that stays has no options.")
        return None
    if isinstance(what, type) and CLASSES.get(what.__name__) is what:
        what = what.__name__
    if isinstance(what, str):
        what = _fitted_name(what, options)
    elif isinstance(what, type):
        if not callable(getattr(what, "step", None)):
            raise ValueError(f"schedule={what.__name__}: it is no scheduler, since it has no step().")
    elif not is_scheduler(what) and not callable(what):
        raise ValueError(
            f'schedule={value!r}: pass a name such as "cosine", a scheduler, or a factory '
            "lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 30)."
        )
    _check_options(what, options)
    return what, options


def _key(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _find_name(name: str) -> str:
    """Return the name of a schedule or of a torch class."""
    key = _key(name)
    known = {**{_key(one): one for one in NAMES}, **_SYNONYMS, **{_key(one): one for one in CLASSES}}
    if key in known:
        return known[key]
    if f"{key}lr" in known:
        return known[f"{key}lr"]
    if key in ("sequentiallr", "chainedscheduler", "sequential", "chained"):
        raise ValueError(
            f"schedule={name!r} is made of schedulers: pass a factory, as lambda optimizer: "
            "SequentialLR(optimizer, [...], milestones=[...])."
        )
    near = difflib.get_close_matches(key, known, n=1)
    hint = f" Did you mean {known[near[0]]!r}?" if near else f" There are: constant, {', '.join(NAMES)}."
    raise ValueError(f"schedule={name!r} is not known.{hint}")


def _fitted_name(name: str, options: dict[str, Any]) -> str:
    """Return the named schedule where a class's length is left open."""
    for short, kind in NAMES.items():
        if name in CLASSES and CLASSES[name] is kind.scheduler:
            required = [p.name for p in _parameters(kind.scheduler) if p.default is p.empty]
            if any(one not in options for one in required) or "over" in options:
                return short
    if name in CLASSES and CLASSES[name] is OneCycleLR and not {"total_steps", "epochs"} & {*options}:
        return "one-cycle"
    return name


def _parameters(scheduler: type[Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(scheduler).parameters.values())[1:]


def _check_options(what: Any, options: dict[str, Any]) -> None:
    """Refuse options that there are not, and values that none can have."""
    known: list[str] = [*COMMON]
    open_ended = False
    if isinstance(what, str):
        scheduler = NAMES[what].scheduler if what in NAMES else CLASSES[what]
        own = _parameters(scheduler)
        known += [p.name for p in own if p.name not in ("last_epoch", "verbose")]
        known += ["over"] if what in NAMES and what != "plateau" else []
        known += ["metric"] if issubclass(scheduler, ReduceLROnPlateau) else []
        missing = [p.name for p in own if p.default is p.empty and p.name not in options]
        if what not in NAMES and missing:
            raise ValueError(
                f"schedule={what!r} wants {', '.join(missing)}: ({what!r}, {{{missing[0]!r}: ...}})."
            )
    elif isinstance(what, type):
        open_ended = True
    else:
        known.append("metric")
    said = what if isinstance(what, str) else getattr(what, "__name__", type(what).__name__)
    for name in options:
        if name not in known and not open_ended:
            hint = did_you_mean(name, known, f" There are: {', '.join(known)}.")
            raise ValueError(f"schedule {said!r} has no option {name!r}.{hint}")
    if options.get("unit", "step") not in ("step", "epoch"):
        raise ValueError(f'schedule {said!r} has unit={options["unit"]!r}: "step" or "epoch" is wanted.')
    for name in ("warmup", "over"):
        value = options.get(name)
        if value is None:
            continue
        number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        whole = number and float(value).is_integer()
        if name == "warmup" and not (number and value >= 0 and (whole or value < 1)):
            raise ValueError(
                f"schedule {said!r} has warmup={value!r}: steps, or a share below 1, are wanted."
            )
        if name == "over" and not (whole and value >= 1):
            raise ValueError(f"schedule {said!r} has over={value!r}: a whole number, 1 or more, is wanted.")
