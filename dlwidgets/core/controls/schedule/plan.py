"""Schedules by name: wishes read, and every number resolved."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, NamedTuple

from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import SWALR

from ...base.words import did_you_mean, pluralize, quote_error, refuse_texts
from ...scoring.metrics import less_is_better

#: A wish in one form: (what, options), or None for a rate that stays. What is a name, a class, a factory
#: `optimizer -> scheduler` or a scheduler.
Wish = tuple[Any, dict[str, Any]]

#: A scheduler is stepped to its place again, at most so often, which takes two seconds; one that would have
#: to be stepped more is not stretched.
_MAX_STEPS = 300_000

_UNKNOWN = "the data does not say how many steps an epoch has"

#: Options of torch's classes that make a rate negative, or mean nothing, below zero.
_NOT_NEGATIVE = (
    "max_lr", "base_lr", "min_lr", "swa_lr", "eta_min", "gamma", "factor", "start_factor", "end_factor",
    "div_factor", "final_div_factor", "patience", "cooldown",
)  # fmt: skip

#: Classes that torch documents as stepped after each batch; the others count epochs there.
_BY_BATCH = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)


class Ahead(NamedTuple):
    """What of a run lies ahead.

    Attributes
    ----------
    steps : how many; None where the data does not say.
    epochs : how many, one that is under way included.
    left : steps to the end of the epoch under way, or of the next one; None as above.
    each : steps of an epoch; None as above.
    done : (steps, epochs) that lie behind.
    """

    steps: int | None
    epochs: int
    left: int | None = None
    each: int | None = None
    done: tuple[int, int] = (0, 0)

    def end(self, unit: str) -> int | None:
        """Return the number of the run's last step or epoch."""
        if unit == "epoch":
            return self.done[1] + self.epochs
        return None if self.steps is None else self.done[0] + self.steps


class _Kind(NamedTuple):
    """A schedule by name.

    Attributes
    ----------
    fitted : its options for a run of `n` units that begins at `rates`.
    length : the option that says how long it is.
    ends : whether the rate then stays where it is; torch's cosine goes up again, its one-cycle raises.
    """

    scheduler: type[Any]
    length: str
    fitted: Callable[[int, list[float]], dict[str, Any]]
    ends: bool = False


NAMES: dict[str, _Kind] = {
    "step": _Kind(
        lr_scheduler.StepLR, "step_size", lambda n, _: {"step_size": math.ceil(n / 3), "gamma": 0.1}
    ),
    "exponential": _Kind(lr_scheduler.ExponentialLR, "gamma", lambda n, _: {"gamma": 0.01 ** (1 / n)}),
    "cosine": _Kind(lr_scheduler.CosineAnnealingLR, "T_max", lambda n, _: {"T_max": n, "eta_min": 0.0}, True),
    "cosine restarts": _Kind(
        lr_scheduler.CosineAnnealingWarmRestarts, "T_0",
        lambda n, _: {"T_0": math.ceil(n / 7), "T_mult": 2, "eta_min": 0.0},
    ),
    "one-cycle": _Kind(
        lr_scheduler.OneCycleLR, "total_steps",
        lambda n, rates: {"max_lr": rates[0] if len(rates) == 1 else rates, "total_steps": n}, True,
    ),
    "linear": _Kind(
        lr_scheduler.LinearLR, "total_iters",
        lambda n, _: {"start_factor": 1.0, "end_factor": 0.0, "total_iters": n}, True,
    ),
    "polynomial": _Kind(
        lr_scheduler.PolynomialLR, "total_iters", lambda n, _: {"total_iters": n, "power": 2.0}, True
    ),
    "plateau": _Kind(ReduceLROnPlateau, "patience", lambda n, _: {"factor": 0.1, "patience": max(1, n // 5)}),
}  # fmt: skip
"""The names. A run of `n` steps (of epochs with `unit="epoch"`) has by default: "step" a tenth of the rate
after each third; "exponential" a hundredth at the end; "cosine" 0 at the end; "cosine restarts" three cycles,
each twice as long as the last; "one-cycle" its peak, the rate it begins from, after 0.3 of the run; "linear"
0 at the end; "polynomial" 0 at the end, by the square of what is left of the run; "plateau" a tenth once as
many evaluations as a fifth of the epochs brought nothing better. All else is as the classes have it."""

#: torch's classes of schedulers that a name and options are enough for.
CLASSES: dict[str, type[Any]] = {
    name: kind for name, kind in {**vars(lr_scheduler), "SWALR": SWALR}.items()
    if isinstance(kind, type) and issubclass(kind, LRScheduler) and not name.startswith("_")
    and kind not in (LRScheduler, lr_scheduler.SequentialLR, lr_scheduler.ChainedScheduler)
}  # fmt: skip

_SYNONYMS = {
    "stepdecay": "step", "exp": "exponential", "exponentialdecay": "exponential", "cosineannealing": "cosine",
    "cos": "cosine", "cosinedecay": "cosine", "sgdr": "cosine restarts", "warmrestarts": "cosine restarts",
    "cosinewarmrestarts": "cosine restarts", "cosinewithrestarts": "cosine restarts",
    "cosineannealingwithrestarts": "cosine restarts", "1cycle": "one-cycle", "lineardecay": "linear",
    "poly": "polynomial", "polynomialdecay": "polynomial", "reduceonplateau": "plateau",
}  # fmt: skip


@dataclass(frozen=True)
class SchedulePlan:
    """A schedule with every number resolved.

    Attributes
    ----------
    name : of a schedule, of a class of schedulers, or of a factory.
    make : a factory `optimizer -> scheduler`, or a scheduler that was made already; None with `scheduler`.
    scheduler : the class; None for a factory.
    options : the keywords of that class.
    unit : "step" or "epoch": after each of them the scheduler is stepped; "evaluation" where it waits for a
        metric.
    warmup : steps before the schedule proper, in which the rate grows linearly to where that begins: in step
        i of them, from 1, it is i / (warmup + 1) of it. The scheduler is not stepped meanwhile.
    length : units that it takes to its end; None where it has none.
    fitted : whether that is the length of the run.
    metric : what a scheduler that waits for a metric is fed.
    at : steps, those of a warm-up included, that it has behind it where it begins: one that is stretched.
    """

    name: str
    make: Any = None
    scheduler: type[Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    unit: str = "step"
    warmup: int = 0
    length: int | None = None
    fitted: bool = False
    metric: str | None = None
    at: int = 0

    @property
    def words(self) -> str:
        """The schedule in words: "cosine over 900 steps"."""
        said = self.name
        if self.metric is not None:
            said += f" of {self.metric}"
        elif self.at:
            said += " to the end of the run"  # drawn out, with more or less behind it than was taken
        elif self.length is not None:
            said += f" over {pluralize(self.length, self.unit)}"
        else:
            said += f", counted in {self.unit}s"
        return said + (f", after a warm-up of {pluralize(self.warmup, 'step')}" if self.warmup else "")

    def to_dict(self) -> dict[str, Any] | None:
        """Return it as numbers and words; None for a factory."""
        if not (self.name in NAMES or self.name in CLASSES) or not is_plain_wish(self.options):
            return None
        fields = (one.name for one in dataclasses.fields(self))
        return {name: getattr(self, name) for name in fields if name not in ("make", "scheduler")}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> SchedulePlan:
        """Return the plan of what `to_dict()` returned."""
        name = plain["name"]
        known = {key: value for key, value in plain.items() if key != "ends"}  # in older files
        return cls(scheduler=NAMES[name].scheduler if name in NAMES else CLASSES[name], **known)

    @property
    def max_advances(self) -> int | None:
        """How often the scheduler is stepped at most; None: without limit."""
        return max_advances(self.name, self.length)

    def build(self, optimizer: Optimizer) -> Any:
        """Return the scheduler; that of a factory may be for another optimizer."""
        with quiet():
            if self.scheduler is not None:
                return self.scheduler(optimizer, **self.options)
            return self.make(optimizer) if not is_scheduler(self.make) else self.make

    def stretch(self, wish: Wish, taken: int, ahead: Ahead, rates: Sequence[Any]) -> Wish | None:
        """Return a wish whose schedule ends with the run, or None.

        One that is not fitted to the run, or counts epochs, stays. What is left of the curve spreads over the
        steps that are left of the run, and what lies behind is as much of the whole as before: after u of n
        steps, with r to come, it has n' = r n / (n - u) in all and n' - r of them behind. A warm-up that is
        under way goes on as it is. It began at `rates`, those of the groups, and has `taken` steps behind it.
        """
        rest, kind = ahead.steps, NAMES.get(self.name)
        if kind is None or not self.fitted or self.unit != "step" or self.length is None or not rest:
            return None
        warming = self.warmup - taken
        if warming > 0:
            length, at = rest - warming, taken
        else:
            left = self.length + warming
            if left <= 0:
                return None  # it is over: the rate stays where it is
            length = round(rest * self.length / left)
            at = self.warmup + length - rest
        if length < 1 or length > _MAX_STEPS or (length == self.length and at == taken):
            return None
        apart = ("unit", "warmup", "over", "metric")
        options = {name: one for name, one in wish[1].items() if name not in apart}
        resolved: dict[str, Any] = {"unit": "step", "warmup": self.warmup, "over": length, "at": at}
        made = kind.fitted(length, [float(rate) for rate in rates])
        return wish[0], {name: one for name, one in resolved.items() if one} | made | options


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
    what, options = value, {}
    if isinstance(value, dict):
        options = dict(value)
        if (what := options.pop("name", None)) is None:
            raise ValueError(f'schedule={value!r}: say which, as {{"name": "cosine", "warmup": 100}}.')
    elif isinstance(value, (tuple, list)):
        if len(value) != 2 or not isinstance(value[1], dict):
            raise ValueError(f'schedule={value!r}: a pair is wanted, as ("cosine", {{"warmup": 100}}).')
        what, options = value[0], dict(value[1])
    if isinstance(what, str):
        what = None if _key(what) in ("constant", "none", "off", "no") else _find_name(what)
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
    if found := known.get(key, known.get(f"{key}lr")):
        return found
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
    found = CLASSES.get(name)
    for short, kind in NAMES.items():
        if found is kind.scheduler:
            required = [p.name for p in _parameters(kind.scheduler) if p.default is p.empty]
            if any(one not in options for one in required) or "over" in options:
                return short
    open_end = found is lr_scheduler.OneCycleLR and not {"total_steps", "epochs"} & {*options}
    return "one-cycle" if open_end else name


def _parameters(scheduler: type[Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(scheduler).parameters.values())[1:]


def _check_options(what: Any, options: dict[str, Any]) -> None:
    """Refuse options that there are not, and values that none can have."""
    known, own = ["warmup", "unit"], list[inspect.Parameter]()
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
    elif not isinstance(what, type):
        known.append("metric")
    said = what if isinstance(what, str) else getattr(what, "__name__", type(what).__name__)
    for name in options:
        if name not in known and not isinstance(what, type):
            hint = did_you_mean(name, known, f" There are: {', '.join(known)}.")
            raise ValueError(f"schedule {said!r} has no option {name!r}.{hint}")
    refuse_texts(options, {p.name: p.default for p in own}, f"schedule {said!r}")
    if options.get("unit", "step") not in ("step", "epoch"):
        raise ValueError(f'schedule {said!r} has unit={options["unit"]!r}: "step" or "epoch" is wanted.')
    for name in ("warmup", "over"):
        value = options.get(name)
        if value is None:
            continue
        number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        whole = number and float(value).is_integer()
        fits, wanted = whole and value >= 1, "a whole number, 1 or more, is"
        if name == "warmup":
            fits, wanted = number and value >= 0 and (whole or value < 1), "steps, or a share below 1, are"
        if not fits:
            raise ValueError(f"schedule {said!r} has {name}={value!r}: {wanted} wanted.")
    for name in _NOT_NEGATIVE if isinstance(what, (str, type)) else ():
        given = options.get(name)
        each = given if isinstance(given, (list, tuple)) else [given]
        if given is not None and not all(isinstance(one, Real) and one >= 0 for one in each):
            raise ValueError(f"schedule {said!r} has {name}={given!r}: 0 or more is wanted.")


def resolve_schedule(
    wish: Wish, ahead: Ahead, rates: list[float], stand_in: Callable[[], Optimizer], valid: bool
) -> SchedulePlan:
    """Return a schedule with every number resolved.

    Parameters
    ----------
    rates : those of the parameter groups where it begins.
    stand_in : returns an optimizer that a scheduler may be tried on.
    valid : whether there is validation data.
    """
    what, options = wish[0], dict(wish[1])
    unit, over, metric = options.pop("unit", None), options.pop("over", None), options.pop("metric", None)
    warmup = options.pop("warmup", None) or 0
    if 0 < warmup < 1:
        if ahead.steps is None:
            raise ValueError(f"{_UNKNOWN}: give warmup as a number of steps")
        warmup *= ahead.steps
    warmup = round(warmup)
    kind = NAMES.get(what) if isinstance(what, str) else None
    if kind is not None:
        plan = _fit(what, options, unit, warmup, over, ahead, rates)
    elif isinstance(what, str):
        plan = SchedulePlan(what, None, CLASSES[what], options)
    elif isinstance(what, type):
        plan = SchedulePlan(what.__name__, None, what, options)
    else:
        plan = SchedulePlan("", what)
    try:
        built = plan.build(stand_in())
    except Exception as error:  # noqa: BLE001 - a factory may raise anything
        raise ValueError(quote_error(error).rstrip(".")) from None
    if not is_scheduler(built):
        raise ValueError(f"the factory returned {type(built).__name__}, which is no scheduler")
    if warmup and isinstance(built, lr_scheduler.OneCycleLR):
        raise ValueError("one-cycle warms up by itself: pct_start says how long")
    if waits_for_metric(built):
        metric = metric or ("valid_loss" if valid else "loss")
        if metric != "loss" and not valid:
            raise ValueError(f"there is no validation data to measure {metric} on: pass metric='loss'")
        unit = "evaluation"
        if plan.scheduler is not None and "mode" not in plan.options:
            better = "min" if less_is_better(metric) else "max"
            plan = dataclasses.replace(plan, options={"mode": better, **plan.options})
    elif metric is not None:
        raise ValueError("it takes no metric")
    elif kind is not None:
        unit = plan.unit
    unit = unit or ("step" if isinstance(built, _BY_BATCH) else "epoch")
    return dataclasses.replace(
        plan, name=plan.name or type(built).__name__, unit=unit, warmup=warmup, metric=metric
    )


def max_advances(what: Any, length: int | None) -> int | None:
    """Return how often a schedule is stepped at most; None: without limit."""
    kind = NAMES.get(what) if isinstance(what, str) else None
    if kind is None or not kind.ends or length is None:
        return None
    return length - (kind.scheduler is lr_scheduler.OneCycleLR)


def split_options(wish: Wish) -> tuple[dict[str, Any], int, int | None, int]:
    """Return the options, warm-up, length and steps behind of a resolved wish."""
    options = {name: one for name, one in wish[1].items() if name not in ("unit", "metric")}
    return options, options.pop("warmup", 0), options.pop("over", None), options.pop("at", 0)


def is_scheduler(thing: Any) -> bool:
    """Say whether something is a scheduler, of torch or like one."""
    return not isinstance(thing, (type, Optimizer)) and callable(getattr(thing, "step", None))


def is_plain_wish(value: Any) -> bool:
    """Say whether something can be written down as numbers and words."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and is_plain_wish(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(is_plain_wish, value))
    return isinstance(value, (bool, int, float, str, type(None)))


def waits_for_metric(scheduler: Any) -> bool:
    """Say whether a scheduler is stepped with a metric; refuse any other."""
    for one in inspect.signature(scheduler.step).parameters.values():
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD):
            if "metric" in one.name or one.name in ("loss", "value", "score"):
                return True
            raise ValueError(f"its step() wants {one.name}, which a session does not know")
    return False


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence torch's warnings on old options and the order of calls."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*(scheduler|verbose)", UserWarning)
        yield


def _fit(
    name: str, options: dict[str, Any], unit: str | None, warmup: int, over: int | None, ahead: Ahead,
    rates: list[float],
) -> SchedulePlan:  # fmt: skip
    """Return a named schedule, its open options fitted to the run."""
    kind = NAMES[name]
    own = kind.length in options or {"epochs", "steps_per_epoch"} <= options.keys()
    fits = over is None and not own
    waits = kind.scheduler is ReduceLROnPlateau
    if waits:
        length: int | None = ahead.epochs
    elif own:
        length = options.get(kind.length) or options.get("epochs", 0) * options.get("steps_per_epoch", 0)
        unit = unit or "step"
    elif over is not None:
        unit, length = unit or "step", int(over)
    else:
        unit = unit or ("epoch" if ahead.steps is None else "step")
        if unit == "epoch":
            gone = warmup * ahead.epochs // ahead.steps if ahead.steps else 0
            length = max(1, ahead.epochs - gone)
        elif ahead.steps is None:
            raise ValueError(f'{_UNKNOWN}: say ({name!r}, {{"over": 1000}}), or {{"unit": "epoch"}}')
        else:
            length = max(1, ahead.steps - warmup)
    made = {**(kind.fitted(length or 1, rates) if isinstance(length, int) and length > 0 else {}), **options}
    if "epochs" in options:
        made.pop("total_steps", None)
    if waits or (own and not kind.ends) or not isinstance(length, int):
        length = None
    return SchedulePlan(name, None, kind.scheduler, made, unit or "step", warmup, length, fits and not waits)
